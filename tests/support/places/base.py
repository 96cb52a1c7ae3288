"""What the suite has to know about a destination's world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import Target


class Place(Protocol):
    """A destination in a world of its own, seen from outside."""

    target: Target
    unusable_names: tuple[str, str]

    def held(self) -> dict[str, str]:
        """What is there: the secrets by their names."""
        ...

    def traces(self) -> object:
        """Everything about the place that a write would change."""
        ...

    def break_down(self) -> None:
        """From now on, no delivery succeeds."""
        ...


def file_times(folder: Path) -> object:
    return [(path, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))]
