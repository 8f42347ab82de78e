"""The command line: one file for each group of commands; heavy imports live in the handlers."""

from __future__ import annotations

import sys

from hpcexp.errors import HpcexpError


def main() -> None:
    """Entry point of `hpcexp`: a user's mistake is a message, never a traceback."""
    from hpcexp.cli.app import app

    try:
        app()
    except HpcexpError as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `hpcexp status | head`
        sys.stderr.close()
        sys.exit(141)
