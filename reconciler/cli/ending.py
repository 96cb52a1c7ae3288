"""How the process ends when a command does not: one line on stderr for each thing that is wrong, and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.console import let_go, note, show
from reconciler.diagnostic import Severity
from reconciler.errors import DeclarationError, Interrupted, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = ReconcilerError.exit_code
_EXTRA: Final = "Got unexpected extra argument"  # how click begins it


def explain(error: BaseException, *, verbose: bool) -> int:
    """Say what is wrong and give the exit code; an error of a kind that nobody foresaw shows nothing it holds."""
    match error:
        case DeclarationError(diagnostics=diagnostics):
            for diagnostic in diagnostics:
                note(str(diagnostic))
            count = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
            note(f"{count} error{'s' * (count != 1)}; nothing was changed.")
        case ReconcilerError():
            for line in str(error).split("\n"):
                note(f"error: {line}")
        case KeyboardInterrupt() | click.Abort():
            # The terminal has just shown ^C.
            note("Interrupted.", start="\n" if sys.stderr.isatty() else "")
            return Interrupted.exit_code
        case click.ClickException():
            _explain_usage(error)
        case OSError():
            _explain_system(error)
        case _:
            _explain_bug(error, verbose=verbose)
    return error.exit_code if isinstance(error, ReconcilerError) else FAILED


def _explain_usage(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        show(f"{error.format_message()}\n", err=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" ({context.command_path} --help tells more)" if context else ""
    message = " ".join(error.format_message().split())
    if context and message.startswith(_EXTRA) and any(each.name == "file" for each in context.command.params):
        hint = f" (a file or folder is named with -f; {context.command_path} --help tells more)"
    note(f"error: {message}{hint}")


def _explain_system(error: OSError) -> None:
    """Explain what the system refused; when that was our output, nothing more is tried with it."""
    try:
        sys.stdout.flush()
    except OSError:
        let_go(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return  # Whoever read the output has seen enough.
    where = f"{error.filename}: " if error.filename else ""
    note(f"error: {where}{error.strerror or type(error).__name__}")


def _explain_bug(error: BaseException, *, verbose: bool) -> None:
    how = "" if verbose else "; with reconciler -v it shows where, without values: please report that"
    note(f"error: unexpected {type(error).__name__}, a bug in reconciler or in a destination{how}")
    if verbose:
        for line in _frames(error):
            note(line)


def _frames(error: BaseException) -> Iterator[str]:
    """Give where an error and those it came from were raised, without their messages: these might hold a secret."""
    link: BaseException | None = error
    while link is not None:
        yield f"{type(link).__name__}, raised at"
        for frame in traceback.extract_tb(link.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        link = link.__cause__ or link.__context__
