"""Help pages, hints about what was mistyped, and how an error ends the process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.console import let_go, note, show
from reconciler.errors import DeclarationError, Interrupted, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.diagnostic import Diagnostic


EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done",
    1: "error: usage, configuration, network, refused by the service",
    2: "changes are pending (only plan --detailed-exitcode)",
    3: "refused by a guardrail; too little for balance --min; an alert of check",
    4: "the plan is stale: make it anew, and review again",
    5: "applied in part: the next apply completes it",
    130: "interrupted",
}

VARIABLES: Final[Mapping[str, str]] = {
    "NAGA_PROVISIONING_KEY": "the account's provisioning key",
    "NAGA_BASE_URL": "where the service is (https://api.naga.ac/v1)",
    "HTTPS_PROXY, NO_PROXY": "the proxy to go through, and for which hosts not",
    "SSL_CERT_FILE": "authorities to trust instead of the public ones",
    "GITHUB_ACTIONS": "true masks each new secret in the log of the build",
    "GITHUB_TOKEN": "the login for what a command does on GitHub",
    "GITLAB_TOKEN": "the login for what a command does on GitLab",
    "RECONCILER_NOTIFY_URLS": "where --notify sends to, as Apprise URLs",
    "NO_COLOR, FORCE_COLOR": "never colour the output, or always",
}

FILES: Final[Mapping[str, str]] = {
    "keys.yaml": "the declaration, where -f names no other",
    "sim.db": "a simulated account, by the name that --simulator gives it",
    "plan.json": "a saved plan, by the name that plan --out gives it",
}

_ORDINARY: Final = (0, 1, 130)
_SPECIAL: Final[Mapping[str, Mapping[int, str]]] = {
    "plan": {2: "changes are pending, with --detailed-exitcode", 3: "a finding would make apply refuse"},
    "apply": {3: "refused by a guardrail"} | {code: EXIT_CODES[code] for code in (4, 5)},
    "revoke": {
        1: "error, or a key is not dead",
        0: "dead, and replaced where there is something to replace",
        5: "dead, but not replaced: the next apply does that",
    },
    "fmt": {1: "error, or with --check: a file would change"},
    "balance": {3: "an account has less than --min"},
    "check": {3: "an alert fires"},
    "run": {
        1: "no key could be had",
        3: "max_open or --min-balance refuses",
        126: "COMMAND cannot be started",
        127: "COMMAND was not found",
    },
}
_ACCOUNT: Final = ("NAGA_PROVISIONING_KEY", "NAGA_BASE_URL", "HTTPS_PROXY, NO_PROXY", "SSL_CERT_FILE")
_READ_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "simulator": _ACCOUNT,
    "auto_approve": ("GITHUB_ACTIONS",),
    "no_replace": ("GITHUB_ACTIONS",),
    "comment": ("GITHUB_TOKEN", "GITLAB_TOKEN"),
    "reviewed": ("GITHUB_TOKEN", "GITLAB_TOKEN"),
    "notify": ("RECONCILER_NOTIFY_URLS",),
}
_USED_FOR: Final = {"file": "keys.yaml", "simulator": "sim.db"}
_SAVED_BY: Final = frozenset({"plan", "apply"})


def of_all() -> str:
    """Return what holds for the program as a whole."""
    return "\n\n".join([_exit_codes(EXIT_CODES), _variables(VARIABLES), _files(FILES), _MORE])


def of_command(name: str, command: click.Command) -> str:
    """Return what holds for one command, after what it says there itself; what it reads follows from its options."""
    options = {parameter.name for parameter in command.params}
    variables = [variable for option, each in _READ_FOR.items() if option in options for variable in each]
    files = [file for option, file in _USED_FOR.items() if option in options]
    files += ["plan.json"] if name in _SAVED_BY else []
    parts = [
        command.epilog,
        _exit_codes({code: EXIT_CODES[code] for code in _ORDINARY} | {**_SPECIAL.get(name, {})}),
        _variables([*variables, "NO_COLOR, FORCE_COLOR"]),
        _files(files) if files else None,
    ]
    return "\n\n".join(part for part in parts if part)


def _exit_codes(meanings: Mapping[int, str]) -> str:
    return _section("Exit codes", {str(code): meanings[code] for code in sorted(meanings)}, 4)


def _variables(names: Iterable[str]) -> str:
    return _section("Environment", {name: VARIABLES[name] for name in names}, 23)


def _files(names: Iterable[str]) -> str:
    return _section("Files", {name: FILES[name] for name in names}, 10)


def _section(title: str, meanings: Mapping[str, str], width: int) -> str:
    # The mark is click's own: what follows up to a blank line is shown line by line.
    return "\n".join(["\b", f"{title}:", *(f"  {term:<{width}} {meaning}" for term, meaning in meanings.items())])


_MORE: Final = """\
\b
Destinations log in with what each system has in its usual place, such as
VAULT_TOKEN, GITHUB_TOKEN or AWS_PROFILE: docs/destinations.md lists it all."""


# What is said of what there is not, but nearly: a command of another tool, an option in the wrong place.

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
    "rotate": "A key is rotated by reconciler apply --rotate ENV/KEY; one that has leaked dies by reconciler revoke.",
    "version": "reconciler --version tells it.",
}
"""What people want to do that is no command, and what does it."""

_APPROVAL: Final = "--auto-approve"
_FORMAT: Final = "--format"
_NOTHING_ASKED: Final = "reconciler plan shows what apply would do, and changes nothing."
_YES: Final = ("--yes", "Did you mean --yes?")
_ONLY: Final = ("--only", "Did you mean --only?")
_OPTIONS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "--yes": ((_APPROVAL, "Did you mean --auto-approve?"),),
    "-y": ((_APPROVAL, "Did you mean --auto-approve?"), _YES),
    "--force": ((_APPROVAL, "Did you mean --auto-approve, or --allow ADDRESS to lift a guardrail?"), _YES),
    "--auto-approve": (_YES,),
    "--json": ((_FORMAT, "Did you mean --format json?"),),
    "--output": ((_FORMAT, "Did you mean --format?"),),
    "-o": ((_FORMAT, "Did you mean --format?"),),
    "--dry-run": ((_APPROVAL, _NOTHING_ASKED),),
    "--target": (_ONLY,),
    "-t": (_ONLY,),  # all that click tells of -target=ADDRESS
    "-a": ((_APPROVAL, "Did you mean --auto-approve?"),),  # and of -auto-approve
    "--check": (("--detailed-exitcode", "Did you mean --detailed-exitcode?"),),
}
"""Options of other tools and commands: the option that a command must have for a hint to be right, and the hint."""

_LOGIN: Final = "There is nothing to log in to: NAGA_PROVISIONING_KEY holds the account's provisioning key."


def unknown_command(word: str, commands: Sequence[str]) -> str:
    """Return the message that there is no such command, with the one that may have been meant."""
    from difflib import get_close_matches

    near = [HABITS[word]] if word in HABITS else get_close_matches(word, commands, n=1)
    if word in TASKS:
        return f"No such command '{word}'. {TASKS[word]}"
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"No such command '{word}'.{f' {_LOGIN}' if word == 'login' else hint}"


def before_the_command(
    group: click.Group, context: click.Context, error: click.NoSuchOption, words: Sequence[str]
) -> click.UsageError:
    """Return what to raise for an option that the program lacks: it may be one of the command that follows it."""
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
    """Return what to raise for what is wrong after a command: it says which one, and knows the program's options."""
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
    """Return what to raise for an option that other tools have: what does that here, if this command does it."""
    if context.info_name == "plan" and error.option_name == "--dry-run":
        return click.UsageError("No such option '--dry-run'. A plan changes nothing: leave it out.", context)
    for needed, hint in _OPTIONS.get(error.option_name, ()):
        if _option(context.command, needed) is not None:
            return click.UsageError(f"No such option '{error.option_name}'. {hint}", context)
    return error


def _option(command: click.Command, name: str) -> click.Option | None:
    options = (each for each in command.params if isinstance(each, click.Option))
    return next((each for each in options if name in each.opts), None)


def _inner(group: click.Group, context: click.Context, name: str) -> click.Context:
    command = group.get_command(context, name)
    assert command is not None  # noqa: S101  # the name is one of the group's
    return click.Context(command, info_name=name, parent=context)


# How the process ends when a command does not: one line on stderr for each thing that is wrong, and an exit code.

FAILED: Final = ReconcilerError.exit_code
_BEFORE: Final = 60
_AFTER: Final = 60
"""How many characters of a line are shown around a place, at most."""

_EXTRA: Final = "Got unexpected extra argument"  # how click begins it


def excerpt(diagnostic: Diagnostic) -> Iterator[str]:
    """Show the line that a diagnostic is about, with a mark below the place; of a long line, the part around it."""
    if diagnostic.line is None:
        return
    from reconciler.render.columns import columns
    from reconciler.render.escape import terminal

    column = diagnostic.location.column - 1
    first = max(0, column - _BEFORE) if len(diagnostic.line) > _BEFORE + _AFTER else 0
    before, after = diagnostic.line[first:column], diagnostic.line[column : column + _AFTER].rstrip()
    gutter = f"{diagnostic.location.line:>5} | "
    yield f"{gutter}{before}{after}"
    yield f"{'| ':>{len(gutter)}}{' ' * (columns(terminal(gutter + before)) - len(gutter))}^"


def explain(error: BaseException, *, verbose: bool) -> int:
    """Return what is wrong and give the exit code; an error of a kind that nobody foresaw shows nothing it holds."""
    match error:
        case DeclarationError(diagnostics=diagnostics):
            from reconciler.diagnostic import Severity

            for diagnostic in diagnostics:
                note(str(diagnostic))
                for line in excerpt(diagnostic):
                    note(line)
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
    """Yield where an error and those it came from were raised, without their messages: these might hold a secret."""
    import traceback

    link: BaseException | None = error
    while link is not None:
        yield f"{type(link).__name__}, raised at"
        for frame in traceback.extract_tb(link.__traceback__):
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"
        link = link.__cause__ or link.__context__
