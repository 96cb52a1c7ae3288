"""What a shell proposes for the values of options: names of the declaration in place.

A shell asks while somebody types, so that a declaration which is missing or broken is silence and no error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import click

    from reconciler.model import Declaration

_DEFAULT: Final = Path("keys.yaml")


def environments(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Give the declared environments that begin with what is typed so far."""
    declaration = _declaration(context)
    return sorted(name for name in declaration.environments if name.startswith(begun)) if declaration else []


def addresses(context: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Give the addresses of declared keys that begin with what is typed so far."""
    declaration = _declaration(context)
    known = (str(key.address) for key in declaration.keys) if declaration else ()
    return sorted(address for address in known if address.startswith(begun))


def _declaration(context: click.Context) -> Declaration | None:
    file = context.params.get("file")
    path = file if isinstance(file, Path) else _DEFAULT
    if str(path) == "-" or not (path.is_file() or path.is_dir()):  # nothing to read, or nothing to wait for
        return None
    from reconciler.declaration import load

    try:
        return load(path)
    except Exception:  # noqa: BLE001  # whatever it is, who types wants no traceback on the line
        return None
