"""Files as people write them, and what they mean apart from how they are written."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.declaration import SourceFile, load_sources
from reconciler.diagnostic import Location
from reconciler.formatting.canonical import formatted

if TYPE_CHECKING:
    from collections.abc import Sequence

NOWHERE = Location("", 0, 0)


def without_places(value: Any) -> Any:
    """Give a value of the model in which no place of a file is named."""
    match value:
        case Location():
            return NOWHERE
        case tuple() if not hasattr(value, "_fields"):
            return tuple(map(without_places, value))
        case dict():
            return {name: without_places(inner) for name, inner in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{each.name: without_places(getattr(value, each.name)) for each in fields(value)})
        case _:
            return value


def written(text: str, name: str = "keys.yaml") -> SourceFile:
    return SourceFile(name, Path("folder"), text.encode())


def fmt(text: str) -> str:
    return formatted(written(text)).decode()


def meaning(*sources: SourceFile) -> Any:
    return without_places(load_sources(sources))


def comments(text: str) -> Sequence[str]:
    """Give the comments of a text whose scalars hold no hash."""
    return sorted(line[line.index("#") :].rstrip() for line in text.splitlines() if "#" in line)
