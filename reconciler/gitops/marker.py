"""The hidden first line of what we write on GitHub: by it we find our own again, and read back what it was about.

What follows it is made of escaped names, which cannot begin such a line; and only text that begins with one counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NONE: Final = "none"
_PLAN: Final = re.compile(
    r"<!-- reconciler:plan [0-9a-f]{32} head=(?P<head>[0-9a-f]{40}|[0-9a-f]{64}) "
    r"digest=(?P<digest>none|sha256:[0-9a-f]{64}) -->(?=\r?\n|\Z)",
    re.ASCII,
)
_DRIFT: Final = re.compile(
    r"<!-- reconciler:drift [0-9a-f]{32} shows=(?P<shows>none|[0-9a-f]{64}) -->(?=\r?\n|\Z)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PlanMarker:
    """What a comment is about: a selection, planned for the commit `head`.

    `digest` is that of a plan which can be applied; None when the plan was refused, failed or was made offline.
    """

    selection: str
    head: str
    digest: str | None

    def __str__(self) -> str:
        """Write the line, without its end."""
        return f"{plan_prefix(self.selection)}head={self.head} digest={self.digest or _NONE} -->"


@dataclass(frozen=True, slots=True)
class DriftMarker:
    """What an issue is about: a selection, and the fingerprint of the drift that it shows; None when it shows none."""

    selection: str
    shows: str | None

    def __str__(self) -> str:
        """Write the line, without its end."""
        return f"{drift_prefix(self.selection)}shows={self.shows or _NONE} -->"


def selection(file: str, environments: Iterable[str], only: Iterable[str] = ()) -> str:
    """Name what -e and --only select of a file, as 32 hexadecimal digits."""
    parts = [file, sorted({*environments}), sorted({*only})]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def plan_prefix(selected: str) -> str:
    """Give how comments on the plan of a selection begin."""
    return f"<!-- reconciler:plan {selected} "


def drift_prefix(selected: str) -> str:
    """Give how issues on the drift of a selection begin."""
    return f"<!-- reconciler:drift {selected} "


def read_plan_marker(selected: str, body: str) -> PlanMarker | None:
    """Read the first line of a comment; None when it is not one of ours on this selection."""
    found = _PLAN.match(body) if body.startswith(plan_prefix(selected)) else None
    return found and PlanMarker(selected, found["head"], _known(found["digest"]))


def read_drift_marker(selected: str, body: str) -> DriftMarker | None:
    """Read the first line of an issue; None when it is not one of ours on this selection."""
    found = _DRIFT.match(body) if body.startswith(drift_prefix(selected)) else None
    return found and DriftMarker(selected, _known(found["shows"]))


def _known(text: str) -> str | None:
    return None if text == _NONE else text
