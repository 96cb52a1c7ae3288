"""What plan and apply are asked for: the options that they share, and what follows from them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from reconciler.cli import suggestions
from reconciler.cli.options import file_option, simulator_option
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from reconciler.fleet.request import Request
    from reconciler.model import Address, Declaration


@dataclass(frozen=True, slots=True)
class Asked:
    """The shared options as they were typed."""

    file: Path
    simulator: Path | None
    rotate: tuple[str, ...]
    allow: tuple[str, ...]
    environment: tuple[str, ...]
    only: tuple[str, ...]
    no_overlap: bool
    base: str | None


_OPTIONS: Final = (
    file_option,
    simulator_option,
    click.option(
        "-e",
        "--environment",
        multiple=True,
        metavar="ENV",
        shell_complete=suggestions.environments,
        help="Plan this environment only; can be given several times.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="GLOB",
        shell_complete=suggestions.addresses,
        help="Plan only what matches, like 'ci/*'; can be given several times.",
    ),
    click.option(
        "--rotate",
        multiple=True,
        metavar="ADDRESS",
        shell_complete=suggestions.addresses,
        help="Rotate this declared key (environment/key) now; can be given several times.",
    ),
    click.option(
        "--no-overlap",
        is_flag=True,
        help="Disable a key that --rotate names at once: for one that has leaked.",
    ),
    click.option(
        "--allow",
        multiple=True,
        metavar="ADDRESS",
        shell_complete=suggestions.addresses,
        help="Lift the guardrails of this address for this run; a glob like 'ci/*' too, and several times.",
    ),
    click.option(
        "--base",
        metavar="OLD",
        shell_complete=suggestions.bases,
        help="The declaration before the change, a path or git:REV: what it protects stays protected.",
    ),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options, which the command gets as one argument `asked`."""

    @wraps(command)
    def collected(*args: Any, **options: Any) -> Any:  # noqa: ANN401  # click passes whatever the command declares
        asked = Asked(**{name: options.pop(name) for name in Asked.__slots__})
        return command(*args, asked=asked, **options)

    decorated: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@contextmanager
def annotated(output_format: str) -> Iterator[None]:
    """Where the format is `github`, show what is wrong with a declaration as annotations too."""
    from reconciler.errors import DeclarationError

    try:
        yield
    except DeclarationError as error:
        if output_format == "github":
            from reconciler.cli.console import show
            from reconciler.render.github import render_diagnostics

            show(render_diagnostics(error.diagnostics))
        raise


def make_request(asked: Asked) -> Request:
    """Load what was asked for; raises DeclarationError, and UsageError for a name that is not declared."""
    from reconciler.declaration import load
    from reconciler.declaration.collector import collector_paused
    from reconciler.fleet.request import Request
    from reconciler.plan.options import Options

    if asked.no_overlap and not asked.rotate:
        msg = "--no-overlap is for the keys that --rotate names; add --rotate environment/key"
        raise UsageError(msg)
    with collector_paused():
        declaration = load(asked.file)
        gc.freeze()  # what was read stays to the end, so the collector need not walk it, neither now nor later
    base = None if asked.base is None else _load_base(asked.base, asked.file)
    environments = {*declaration.environments, *(base.environments if base else ())}
    for name in asked.environment:
        if name not in environments:
            refuse_unknown(f"environment {name} is not declared", name, environments)
    options = Options(
        rotate=_declared(asked.rotate, declaration),
        overlap=not asked.no_overlap,
        allow=asked.allow,
        environments=frozenset(asked.environment),
        only=asked.only,
    )
    covers = options.selector()
    for address in sorted(options.rotate):
        if not covers(address):
            msg = f"--rotate {address} is left out by -e or --only; name it there as well"
            raise UsageError(msg)
    return Request(declaration, base, options, asked.simulator)


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
        from reconciler.cli.revision import sources_at

        return load_sources(sources_at(revision, file))
    if Path(old) != STANDARD_INPUT and not Path(old).exists():
        msg = f"--base {old} is no file or folder; give a path, or a revision as in git:origin/main"
        raise UsageError(msg)
    # Its paths mean what they mean in the file that takes its place, wherever the old one has been put.
    folder = file if file.is_dir() else file.parent
    return load_sources([replace(source, folder=folder) for source in read_sources(Path(old))])


def _declared(texts: Iterable[str], declaration: Declaration) -> frozenset[Address]:
    known = {str(key.address): key.address for key in declaration.keys} if texts else {}
    for text in texts:
        if text not in known:
            refuse_unknown(f"{text} is not declared, an address is environment/key", text, known)
    return frozenset(known[text] for text in texts)


def refuse_unknown(message: str, name: str, known: Collection[str]) -> NoReturn:
    """Raise UsageError for a name that nothing has, with one that may have been meant, else with those there are."""
    from reconciler.plan.phrases import near

    raise UsageError(message + near(name, known))
