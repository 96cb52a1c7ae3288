"""The command `reconciler`: finds the sub-command, and turns every error into a message and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from reconciler import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from click.shell_completion import CompletionItem

NAME: Final = "reconciler"
COMPLETION: Final = "_RECONCILER_COMPLETE"
COLLECT_AFTER: Final = 100_000
"""How many objects have to be added before the cyclic collector looks through them: most runs end before."""

# Each command lives in a module of its own that is imported only when the command is used.
COMMANDS: Final = {
    "init": "Write a starter keys.yaml and the GitHub workflows, or GitLab jobs, into a repository.",
    "import": "Write a file that declares the live account, or add to one what it lacks.",
    "validate": "Check the file, offline.",
    "fmt": "Write files in their canonical form, comments kept.",
    "plan": "Show what has to change until the account matches the file.",
    "apply": "Change the account until it matches the file.",
    "run": "Run a command with a key that lives as long as it does.",
    "revoke": "Kill leaked keys at once, then replace them.",
    "list": "List the keys of the account with their state, limit, spend, age, expiry, rotation and last use.",
    "show": "Show one key with all that is known of it, and what a plan would do with it.",
    "balance": "Show what is left on the account, how long it lasts, and what it is promised to.",
    "activity": "Show what the account was used for: requests, cost, tokens.",
    "record": "Keep what the service forgets after 30 days: who used what, day by day.",
    "check": "Judge the account by the alerts of the file, and say what to do about those that fire.",
    "schema": "Print the JSON schema of keys.yaml, of a plan, or of what record says with --format json.",
    "metrics": "Write what is known of the accounts as OpenMetrics text.",
    "report": "Write one page that shows where the credits go, and what needs attention.",
    "simulate": "Serve a simulated NagaAI account over HTTP, until Ctrl-C.",
    "completion": "Print the script by which a shell completes commands, options, environments and keys.",
    "demo": "Tell the whole story on a simulated account, in a temporary folder.",
}
_MODULES: Final = {"import": "import_keys", "list": "list_keys"}  # words of Python itself, which name no module


class _LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = _MODULES.get(cmd_name, cmd_name)
            command = importlib.import_module(f"reconciler.cli.{module}").command
            assert isinstance(command, click.Command)  # noqa: S101  # narrows the type of a dynamic import
            command.format_epilog = partial(_format_epilog, command, cmd_name)  # type: ignore[method-assign]  # made when it is asked for
            self.add_command(command, cmd_name)
        return self.commands[cmd_name]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = [*args]  # click takes them away
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from reconciler.cli import help as help_pages

            raise help_pages.before_the_command(self, ctx, error, typed) from None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            from reconciler.cli import help as help_pages

            raise help_pages.after_the_command(self, ctx, error) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:  # that is a shell asking for completions
            from reconciler.cli import help as help_pages

            ctx.fail(help_pages.unknown_command(args[0], [*COMMANDS]))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        begun = [CompletionItem(name, help=COMMANDS[name]) for name in names]
        return [*begun, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from reconciler.cli import help as help_pages

        self.epilog = help_pages.of_all()
        super().format_epilog(ctx, formatter)


def _format_epilog(command: click.Command, name: str, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    from reconciler.cli import help as help_pages

    own, command.epilog = command.epilog, help_pages.of_command(name, command)
    click.Command.format_epilog(command, ctx, formatter)
    command.epilog = own


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-v", "--verbose", is_flag=True, help="Show unmanaged keys, all that was done, and each request.")
@click.version_option(__version__, message="reconciler %(version)s")
@click.pass_context
def cli(context: click.Context, *, verbose: bool) -> None:
    """Keep the API keys of a NagaAI account equal to a reviewed file.

    \b
    Examples:
      reconciler demo
      reconciler plan --help
    """
    from reconciler.cli.console import use_color

    context.obj = verbose
    context.color = use_color()
    if verbose:
        from reconciler.cli.console import notes_of_the_log

        context.with_resource(notes_of_the_log())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; this is the only place where errors become exit codes."""
    from reconciler.cli.console import hide_typed

    verbose = False
    typed = sys.argv[1:] if arguments is None else [*arguments]
    hide_typed(typed)
    try:
        with cli.make_context(NAME, typed) as context:
            verbose = bool(context.params["verbose"])
            code = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # whatever it is, it gets a message and a code
        with _deaf():
            from reconciler.cli.help import explain

            return explain(error, verbose=verbose)
    return code if isinstance(code, int) else 0


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore signals: who sends a second one, as `timeout` and a cancelled workflow do, wants no traceback either."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """Enter here from the command line."""
    gc.set_threshold(COLLECT_AFTER)
    from reconciler.cli.console import prepare_streams

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepare_streams()
    if COMPLETION in os.environ:
        from reconciler.cli import completion

        sys.exit(completion.answer(os.environ[COMPLETION], cli))
    code = run()
    gc.freeze()  # nor is there any use in looking for garbage on the way out
    # All has been said and done; the second signal of a cancelled workflow must not change how it ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(code)
