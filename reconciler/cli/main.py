"""The command `reconciler`: finds the sub-command, and turns every error into a message and an exit code."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import click

from reconciler import __version__
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130

# Each command lives in a module of its own that is imported only when the command is used.
COMMANDS: Final = {
    "validate": "Check the file, offline.",
    "plan": "Show what has to change until the account matches the file.",
    "apply": "Change the account until it matches the file.",
    "simulate": "Serve a simulated account over HTTP.",
    "demo": "Tell the whole story on a simulated account, in a temporary folder.",
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"reconciler.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101  # narrows the type of a dynamic import
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"No such command '{args[0]}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-v", "--verbose", is_flag=True, help="Show unmanaged keys, and each request as it is made.")
@click.version_option(__version__, message="reconciler %(version)s")
@click.pass_context
def cli(context: click.Context, *, verbose: bool) -> None:
    """Keep the API keys of a NagaAI account equal to a reviewed file.

    Exit codes: 0 done · 1 error · 2 changes pending (plan --detailed-exitcode) · 3 refused by a guardrail ·
    4 the plan is stale · 5 applied in part · 130 interrupted.
    """
    context.obj = verbose
    if verbose:
        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("reconciler").setLevel(logging.DEBUG)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; this is the only place where errors become exit codes."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments), prog_name="reconciler", standalone_mode=False
        )
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return 1
    except ReconcilerError as error:
        from reconciler.cli.console import show_error

        show_error(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; keep the interpreter from complaining when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Enter here from the command line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())
