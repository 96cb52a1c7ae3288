"""What a shell proposes for the values of options: names of the declaration in place.

A shell asks while somebody types, so that a declaration which is missing or broken is silence and no error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click
    from click.shell_completion import CompletionItem

    from reconciler.model import Declaration

_DEFAULT: Final = Path("keys.yaml")
_GIT: Final = "git:"


def environments(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Give the declared environments that begin with what is typed so far, without those that are there already."""
    declaration = _declaration(context)
    return _fitting(declaration.environments, context, parameter, begun) if declaration else []


def addresses(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Give the addresses of declared keys in the same way; after -e, of those in its environments."""
    declaration = _declaration(context)
    chosen = context.params.get("environment") or context.params.get("environments")
    keys = declaration.keys if declaration else ()
    known = (str(key.address) for key in keys if not chosen or key.address.environment in chosen)
    return _fitting(known, context, parameter, begun)


def teams(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Give the teams that declared keys belong to, in the same way."""
    declaration = _declaration(context)
    known = {key.team for key in declaration.keys if key.team is not None} if declaration else ()
    return _fitting(known, context, parameter, begun)


def bases(context: click.Context, _: click.Parameter, begun: str) -> list[str] | list[CompletionItem[str]]:
    """Give git:REV for the revisions that have a name, or else let a path follow."""
    if not begun.startswith(_GIT):
        return _paths("file", begun)
    from reconciler.cli.revision import names_of_revisions

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
    return file.expanduser() if isinstance(file, Path) else _DEFAULT


def _declaration(context: click.Context) -> Declaration | None:
    path = _file(context)
    if str(path) == "-" or not (path.is_file() or path.is_dir()):  # nothing to read, or nothing to wait for
        return None
    from reconciler.declaration import load

    try:
        return load(path)
    except Exception:  # noqa: BLE001  # whatever it is, who types wants no traceback on the line
        return None
