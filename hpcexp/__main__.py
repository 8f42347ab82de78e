"""`python -m hpcexp`: the command line."""

from hpcexp.cli import main

main()
