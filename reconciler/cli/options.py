"""The options that commands share, what a shell proposes for them, and the plan request that they make."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from datetime import date, timedelta

    from click.shell_completion import CompletionItem

    from reconciler.declaration import SourceFile
    from reconciler.engine.accounts import PlanRequest
    from reconciler.insight.history import Span
    from reconciler.model import Address, Declaration


F = TypeVar("F", bound="Callable[..., object]")


def read_duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Read an option as the file writes durations: 90s, 30m, 24h, 7d or 2w."""
    from reconciler.units import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        msg = f"{value!r} is {error}"
        raise click.BadParameter(msg, context, parameter) from None


DEFAULT_SHOWN: Final = "keys.yaml, else keys/"


def default_file() -> Path:
    """Name the declaration where nobody does."""
    from reconciler.files import default_path

    return default_path()


def file_option(command: F) -> F:
    """Add `-f/--file`."""
    return click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path),
        default=default_file,
        show_default=DEFAULT_SHOWN,
        help="The declaration: a file, a folder of *.yaml files, or - for standard input.",
    )(command)


def environments_option(what: str, rest: str = "") -> Callable[[F], F]:
    """Add `-e/--environment`, as `environments`; its help says `what` is done with it, and the `rest`."""
    return click.option(
        "-e",
        "--environment",
        "environments",
        multiple=True,
        metavar="ENV",
        shell_complete=environments,
        help=f"{what} this environment only{rest}; can be given several times.",
    )


def days_option(what: str) -> Callable[[F], F]:
    """Add `--days`, the window of activity up to today; `what` is its help."""
    from reconciler.model import LONGEST_DAYS

    return click.option(
        "--days", type=click.IntRange(1, LONGEST_DAYS), default=LONGEST_DAYS, show_default=True, help=what
    )


def _read_day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    from datetime import date

    try:
        day = None if value is None else date.fromisoformat(value)
    except ValueError:
        day = None
    if value is not None and str(day) != value:
        msg = f"{value!r} is no day like 2026-10-01"
        raise click.BadParameter(msg, context, parameter)
    return day


def _read_month(context: click.Context, parameter: click.Parameter, value: str | None) -> Span | None:
    """Return the first and the last day of a month."""
    from datetime import date, timedelta

    from reconciler.insight.history import Span

    try:
        first = None if value is None else date.fromisoformat(f"{value}-01")
    except ValueError:
        first = None
    if value is None:
        return None
    if first is None or str(first)[:-3] != value or first.year == date.max.year:
        msg = f"{value!r} is no month like 2026-10"
        raise click.BadParameter(msg, context, parameter)
    return Span(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))


def recorded_options(what: str) -> Callable[[F], F]:
    """Add `--from`, whose help is `what`, and the days of the history: `--month`, `--since`, `--until`."""
    options = (
        click.option("--from", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help=what),
        click.option("--month", metavar="YYYY-MM", callback=_read_month, help="With --from: the month to show."),
        click.option(
            "--since", metavar="DAY", callback=_read_day, help="With --from: the first day to show, like 2026-10-01."
        ),
        click.option(
            "--until", metavar="DAY", callback=_read_day, help="With --from: the last day to show, like 2026-10-31."
        ),
    )

    def added(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def asked_period(
    context: click.Context, folder: Path | None, month: Span | None, since: date | None, until: date | None
) -> tuple[date | None, date | None]:
    """Return the first and the last day that are meant, None for as far as the history reaches; raises UsageError."""
    from click.core import ParameterSource

    if folder is None and (month or since or until):
        msg = "--month, --since and --until go with --from FOLDER, where `record` keeps the history"
        raise UsageError(msg)
    if month and (since or until):
        msg = "--month does not go with --since or --until; give one or the other"
        raise UsageError(msg)
    if since and until and since > until:
        msg = f"--since {since} is after --until {until}"
        raise UsageError(msg)
    is_given = context.get_parameter_source("days") is not ParameterSource.DEFAULT
    if folder is not None and is_given and context.command.name != "report":  # which shows the last days as well
        msg = "--days goes up to today, which is not recorded; with --from, say --month, --since or --until"
        raise UsageError(msg)
    return month or (since, until)


def simulator_option(command: F) -> F:
    """Add `--simulator`."""
    return click.option(
        "--simulator",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Use the embedded simulator instead of the service; its account is kept in PATH.",
    )(command)


def full_option(command: F) -> F:
    """Add `--full`."""
    return click.option(
        "--full", is_flag=True, help="List each change of a long plan, which a terminal gets summed up by environment."
    )(command)


def format_option(*choices: str) -> Callable[[F], F]:
    """Add `--format` with these choices, the first one being the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="How to write the result.",
    )


# What a shell proposes for the values of options: names of the declaration in place.
#
# A shell asks while somebody types, so that a declaration which is missing or broken is silence and no error.

_GIT: Final = "git:"


def environments(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the declared environments that begin with what is typed so far, without those that are there already."""
    declaration = _declaration(context)
    return _fitting(declaration.environments, context, parameter, begun) if declaration else []


def addresses(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the addresses of declared keys in the same way; after -e, of those in its environments."""
    declaration = _declaration(context)
    chosen = context.params.get("environment") or context.params.get("environments")
    keys = declaration.keys if declaration else ()
    known = (str(key.address) for key in keys if not chosen or key.address.environment in chosen)
    return _fitting(known, context, parameter, begun)


def leases(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the addresses of declared leases in the same way."""
    declaration = _declaration(context)
    known = (str(lease.address) for lease in declaration.leases) if declaration else ()
    return _fitting(known, context, parameter, begun)


def teams(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the teams that declared keys belong to, in the same way."""
    declaration = _declaration(context)
    known = {key.team for key in declaration.keys if key.team is not None} if declaration else ()
    return _fitting(known, context, parameter, begun)


def bases(context: click.Context, _: click.Parameter, begun: str) -> list[str] | list[CompletionItem[str]]:
    """Return git:REV for the revisions that have a name, or else let a path follow."""
    if not begun.startswith(_GIT):
        return _paths("file", begun)
    from reconciler.cli.git import names_of_revisions

    file = _file(context)
    return [f"{_GIT}{name}" for name in names_of_revisions(file) if name.startswith(begun.removeprefix(_GIT))]


def files(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """Let the shell propose files and folders."""
    return _paths("file", begun)


def folders(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """Let the shell propose folders."""
    return _paths("dir", begun)


def _paths(kind: str, begun: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type=kind)]


def _fitting(known: Iterable[str], context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    there = context.params.get(parameter.name or "") if parameter.multiple else ()
    return sorted(name for name in known if name.startswith(begun) and name not in (there or ()))


def _file(context: click.Context) -> Path:
    file = context.params.get("file")
    return file.expanduser() if isinstance(file, Path) else default_file()


def _declaration(context: click.Context) -> Declaration | None:
    path = _file(context)
    if str(path) == "-" or not (path.is_file() or path.is_dir()):  # nothing to read, or nothing to wait for
        return None
    from reconciler.declaration import load

    try:
        return load(path)
    except Exception:  # noqa: BLE001  # whatever it is, who types wants no traceback on the line
        return None


# What plan and apply are asked for: the options that they share, and what follows from them.


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """The shared options as they were typed."""

    file: Path
    simulator: Path | None
    rotate: tuple[str, ...]
    allow: tuple[str, ...]
    environment: tuple[str, ...]
    only: tuple[str, ...]
    no_overlap: bool
    base: str | None
    due: bool = False


_OPTIONS: Final = (
    file_option,
    simulator_option,
    click.option(
        "-e",
        "--environment",
        multiple=True,
        metavar="ENV",
        shell_complete=environments,
        help="Plan this environment only; can be given several times.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="GLOB",
        shell_complete=addresses,
        help="Plan only what matches, like 'ci/*'; can be given several times.",
    ),
    click.option(
        "--rotate",
        multiple=True,
        metavar="ADDRESS",
        shell_complete=addresses,
        help="Rotate this declared key now; a glob like 'ci/*' too, and several times.",
    ),
    click.option(
        "--no-overlap",
        is_flag=True,
        help="Disable a key that --rotate names as soon as its successor is delivered.",
    ),
    click.option(
        "--due",
        is_flag=True,
        help="Do only what the file asks for by the clock: rotations, renewals, and what has come to its end.",
    ),
    click.option(
        "--allow",
        multiple=True,
        metavar="ADDRESS",
        shell_complete=addresses,
        help="Lift the guardrails of this address for this run; a glob like 'ci/*' too, and several times.",
    ),
    click.option(
        "--base",
        metavar="OLD",
        shell_complete=bases,
        help="The declaration before the change, a path, git:REV or git:REV:PATH: what it protects stays protected.",
    ),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options, which the command gets as one argument `asked`."""

    @wraps(command)
    def collected(*args: Any, **options: Any) -> Any:  # noqa: ANN401  # click passes whatever the command declares
        shared_options = SharedOptions(**{name: options.pop(name) for name in SharedOptions.__slots__})
        return command(*args, shared_options=shared_options, **options)

    decorated: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@contextmanager
def annotated(output_format: str) -> Iterator[None]:
    """Show what is wrong with a declaration in the format too, where it is `github`, `gitlab` or `sarif`."""
    from reconciler.errors import DeclarationError

    try:
        yield
    except DeclarationError as error:
        if output_format == "github":
            from reconciler.cli.console import show
            from reconciler.render.github import render_diagnostics

            show(render_diagnostics(error.diagnostics))
        elif output_format == "gitlab":
            from reconciler.cli.console import show
            from reconciler.render.gitlab import code_quality

            show(code_quality(error.diagnostics))
        elif output_format == "sarif":
            from reconciler import __version__
            from reconciler.cli.console import show
            from reconciler.render import sarif

            show(sarif.render_diagnostics(error.diagnostics, __version__))
        raise


def make_request(shared_options: SharedOptions) -> PlanRequest:
    """Load what was asked for; raises DeclarationError, and UsageError for a name that is not declared."""
    from reconciler.declaration import load
    from reconciler.declaration.loader import collector_paused
    from reconciler.engine.accounts import PlanRequest
    from reconciler.planning.actions import Options

    if shared_options.no_overlap and not shared_options.rotate:
        msg = "--no-overlap is for the keys that --rotate names; add --rotate environment/key"
        raise UsageError(msg)
    if shared_options.due and shared_options.rotate:
        msg = "--due leaves everything to the clock, so --rotate does not go with it; leave one of them out"
        raise UsageError(msg)
    with collector_paused():
        declaration = load(shared_options.file)
        gc.freeze()  # what was read stays to the end, so the collector need not walk it, neither now nor later
    base = None if shared_options.base is None else _load_base(shared_options.base, shared_options.file)
    environments = {*declaration.environments, *(base.environments if base else ())}
    for name in shared_options.environment:
        if name not in environments:
            refuse_unknown(f"environment {name} is not declared", name, environments)
    options = Options(
        overlap=not shared_options.no_overlap,
        allow=shared_options.allow,
        environments=frozenset(shared_options.environment),
        only=shared_options.only,
        due=shared_options.due,
    )
    covers = options.selector()
    options = replace(options, rotate=_declared(shared_options.rotate, declaration, covers))
    for address in sorted(options.rotate):
        if not covers(address):
            msg = f"--rotate {address} is left out by -e or --only; name it there as well"
            raise UsageError(msg)
    return PlanRequest(declaration, base, options, shared_options.simulator)


def _load_base(old: str, file: Path) -> Declaration:
    from reconciler.declaration import STANDARD_INPUT, load_sources, read_sources

    kind, colon, revision = old.partition(":")
    if file == Path(old) == STANDARD_INPUT:
        msg = "-f and --base can't both be standard input; give one of them a path"
        raise UsageError(msg)
    if (kind, colon) == ("git", ":"):
        if file == STANDARD_INPUT:
            msg = f"--base {old} needs to know which file standard input stands for; give --base a path"
            raise UsageError(msg)
        from reconciler.cli.git import sources_at

        return load_sources(sources_at(revision, file), is_base=True)
    if Path(old) != STANDARD_INPUT and not Path(old).exists():
        msg = f"--base {old} is no file or folder; give a path, or a revision as in git:origin/main"
        raise UsageError(msg)
    # Its paths mean what they mean in the file that takes its place, wherever the old one has been put. A folder that
    # takes the place of a file stands beside it.
    folder = file if file.is_dir() and not Path(old).is_file() else file.parent
    return load_sources([_in_place_of(folder, source) for source in read_sources(Path(old))], is_base=True)


def _in_place_of(folder: Path, source: SourceFile) -> SourceFile:
    """Have the paths of an old file start in the folder of the new one; what they led to lies beside the old one."""
    from reconciler.declaration.destinations import Earlier, fingerprint_of
    from reconciler.files import real_path

    now, then = real_path(folder), real_path(source.folder)

    def fingerprint(real: str) -> str:
        inside = real.removeprefix(f"{now}/")
        return fingerprint_of(real if inside == real else f"{then}/{inside}")

    return replace(source, folder=folder, earlier=Earlier(fingerprint))


def _declared(texts: Iterable[str], declaration: Declaration, covers: Callable[[Address], bool]) -> frozenset[Address]:
    from reconciler.planning.actions import matcher

    known = {str(key.address): key.address for key in declaration.keys} if texts else {}
    found: set[Address] = set()
    for text in texts:
        meant = matcher([text])
        addresses = [address for name, address in known.items() if meant(name)]
        if not addresses:
            refuse_unknown(f"{text} is not declared, an address is environment/key", text, known)
        # A glob reaches what the run is about; what reaches nothing of it is a mistake, which is told by an address.
        found.update([each for each in addresses if covers(each)] or addresses)
    return frozenset(found)


def refuse_unknown(message: str, name: str, known: Collection[str]) -> NoReturn:
    """Raise UsageError for a name that nothing has, with one that may have been meant, else with those there are."""
    from reconciler.units import near

    raise UsageError(message + near(name, known))


def declaration_if_any(context: click.Context, file: Path) -> Declaration | None:
    """Load the declaration; None when there is none at the default path and no other path was asked for."""
    from click.core import ParameterSource

    from reconciler.declaration import load

    if context.get_parameter_source("file") is ParameterSource.DEFAULT and not file.exists():
        return None
    return load(file)
