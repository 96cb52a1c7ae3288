"""What is said of what there is not, but nearly: a command of another tool, an option in the wrong place."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HABITS: Final[Mapping[str, str]] = {
    "diff": "plan",
    "export": "import",
    "format": "fmt",
    "get": "show",
    "lint": "validate",
    "ls": "list",
    "status": "plan",
    "sync": "apply",
}
"""What people type from habit, and the command that does it."""

TASKS: Final[Mapping[str, str]] = {
    "add": "A key is created by declaring it in keys.yaml: reconciler apply creates it then.",
    "create": "A key is created by declaring it in keys.yaml: reconciler apply creates it then.",
    "delete": "A key goes by being taken out of keys.yaml: reconciler apply deletes it then.",
    "destroy": "Keys go by being taken out of keys.yaml: reconciler apply deletes them then.",
    "help": "reconciler --help tells more, and so does each command.",
    "remove": "A key goes by being taken out of keys.yaml: reconciler apply deletes it then.",
    "rename": "A key is renamed in keys.yaml, with renamed_from: [its earlier name]; reconciler apply does it then.",
    "rm": "A key goes by being taken out of keys.yaml: reconciler apply deletes it then.",
    "rotate": "A key is rotated by reconciler apply --rotate ENV/KEY, and with --no-overlap if it has leaked.",
    "version": "reconciler --version tells it.",
}
"""What people want to do that is no command, and what does it."""

_APPROVAL: Final = "--auto-approve"
_FORMAT: Final = "--format"
_NOTHING_ASKED: Final = "reconciler plan shows what apply would do, and changes nothing."
_OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "--yes": (_APPROVAL, "Did you mean --auto-approve?"),
    "-y": (_APPROVAL, "Did you mean --auto-approve?"),
    "--force": (_APPROVAL, "Did you mean --auto-approve, or --allow ADDRESS to lift a guardrail?"),
    "--json": (_FORMAT, "Did you mean --format json?"),
    "--output": (_FORMAT, "Did you mean --format?"),
    "-o": (_FORMAT, "Did you mean --format?"),
    "--dry-run": ("--auto-approve", _NOTHING_ASKED),
}
"""Options of other tools: the option that a command must have for the hint to be right, and the hint."""

_LOGIN: Final = "There is nothing to log in to: NAGA_PROVISIONING_KEY holds the account's provisioning key."


def unknown_command(word: str, commands: Sequence[str]) -> str:
    """Say that there is no such command, and which one may have been meant."""
    near = [HABITS[word]] if word in HABITS else get_close_matches(word, commands, n=1)
    if word in TASKS:
        return f"No such command '{word}'. {TASKS[word]}"
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"No such command '{word}'.{f' {_LOGIN}' if word == 'login' else hint}"


def before_the_command(
    group: click.Group, context: click.Context, error: click.NoSuchOption, words: Sequence[str]
) -> click.UsageError:
    """Give what to raise for an option that the program lacks: it may be one of the command that follows it."""
    name = error.option_name
    commands = {each: group.get_command(context, each) for each in group.list_commands(context)}
    takers = {each: option for each, command in commands.items() if command and (option := _option(command, name))}
    if not takers:
        typed = next((word for word in words if word in commands), None)
        return error if typed is None else _from_elsewhere(error, _inner(group, context, typed))
    example, option = next(iter(takers.items()))
    value = words.index(name) + 1 if name in words and not option.is_flag else None
    typed = next((word for place, word in enumerate(words) if word in commands and place != value), None)
    if typed is None:
        message = f"{name} belongs after the command, as in {context.command_path} {example} {name}"
        return click.UsageError(message, context)
    inner = _inner(group, context, typed)
    if typed not in takers:
        return click.NoSuchOption(name, ctx=inner)
    return click.UsageError(f"{name} belongs after the command: {inner.command_path} {name}", inner)


def after_the_command(group: click.Group, context: click.Context, error: click.UsageError) -> click.UsageError:
    """Give what to raise for what is wrong after a command: it says which one, and knows the program's own options."""
    command, path = context.invoked_subcommand, context.command_path
    if isinstance(error, click.NoSuchOption) and _option(group, error.option_name):
        name = error.option_name
        return click.UsageError(f"{name} belongs before the command: {path} {name} {command}", context)
    if error.ctx is None and command is not None:
        error.ctx = _inner(group, context, command)
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        return _from_elsewhere(error, error.ctx)
    return error


def _from_elsewhere(error: click.NoSuchOption, context: click.Context) -> click.UsageError:
    """Give what to raise for an option that other tools have: what does that here, if this command does it."""
    needed, hint = _OPTIONS.get(error.option_name, ("", ""))
    if context.info_name == "plan" and error.option_name == "--dry-run":
        return click.UsageError("No such option '--dry-run'. A plan changes nothing: leave it out.", context)
    if not hint or _option(context.command, needed) is None:
        return error
    return click.UsageError(f"No such option '{error.option_name}'. {hint}", context)


def _option(command: click.Command, name: str) -> click.Option | None:
    options = (each for each in command.params if isinstance(each, click.Option))
    return next((each for each in options if name in each.opts), None)


def _inner(group: click.Group, context: click.Context, name: str) -> click.Context:
    command = group.get_command(context, name)
    assert command is not None  # noqa: S101  # the name is one of the group's
    return click.Context(command, info_name=name, parent=context)
