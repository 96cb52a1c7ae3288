"""Looks for issued secrets in the memory of this process: in whatever an object that is alive refers to."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUED = re.compile(rb"ng-[A-Za-z0-9]{32}")


def issued_secrets() -> set[bytes]:
    """Give everything alive that looks like the secret of a simulated key, in texts, bytes and buffers alike."""
    return {found for content in _contents() for found in ISSUED.findall(content)}


def _contents() -> Iterator[bytes]:
    seen: set[int] = set()
    waiting: list[object] = list(gc.get_objects())
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            kind = type(each)
            if kind is str:
                if "ng-" in each:
                    yield each.encode(errors="replace")
            elif kind is bytes or kind is bytearray:
                if b"ng-" in each:
                    yield bytes(each)
            elif not gc.is_tracked(each) and id(each) not in seen:  # like a tuple of texts: the collector skips it
                seen.add(id(each))
                waiting.append(each)
