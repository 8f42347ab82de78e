"""The command line: one file for each group of commands; heavy imports live in the handlers."""

from __future__ import annotations

import sys

import click

from hpcexp.errors import HpcexpError

INTERRUPTED_EXIT_CODE = 130
BROKEN_PIPE_EXIT_CODE = 141


def main() -> None:
    """Entry point of `hpcexp`: a user's mistake is a message, never a traceback."""
    from hpcexp.cli.app import app

    try:
        sys.exit(app(prog_name="hpcexp", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HpcexpError as error:
        sys.stdout.flush()
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED_EXIT_CODE)
    except BrokenPipeError:  # `hpcexp status | head`
        sys.stderr.close()
        sys.exit(BROKEN_PIPE_EXIT_CODE)
