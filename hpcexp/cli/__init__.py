"""The command line: one file for each group of commands; heavy imports live in the handlers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from hpcexp.errors import HpcexpError, UsageError, explain_os_error

FAILED_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130
BROKEN_PIPE_EXIT_CODE = 141


def main() -> None:
    """Entry point of `hpcexp`: a user's mistake is a message, never a traceback."""
    from hpcexp.cli.app import app

    try:
        code = app(prog_name="hpcexp", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk can still be said
        sys.exit(code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HpcexpError as error:
        _fail(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED_EXIT_CODE)
    except BrokenPipeError:  # `hpcexp status | head`
        sys.stderr.close()
        sys.exit(BROKEN_PIPE_EXIT_CODE)
    except OSError as error:
        _fail(explain_os_error(error), FAILED_EXIT_CODE)
    except Exception as error:
        from hpcexp.workloads.own.importing import explain_if_theirs

        explained = explain_if_theirs(error)
        if explained is None:
            raise
        _fail(explained, UsageError.exit_code)


def _fail(message: str, exit_code: int) -> NoReturn:
    """Say what is wrong if that is possible, and exit.

    Where standard output or error is a full disk, what waits for it is thrown away: Python
    would try it once more at its end, and change the exit code.
    """
    with suppress(OSError):
        click.echo(message, err=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(exit_code)
