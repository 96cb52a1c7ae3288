"""Colour on a terminal, and how much room text takes there."""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import lru_cache


class Ink(Enum):
    """The ways text is set apart, by their ANSI code."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    ALARM = "1;31"


class Pen:
    """Writes text in an ink, or plainly when there is to be no colour."""

    __slots__ = ("_color",)

    def __init__(self, *, color: bool) -> None:
        """Say whether to use colour at all."""
        self._color = color

    def __call__(self, ink: Ink, text: str) -> str:
        """Give the text with the codes around it that switch the ink on and off."""
        if not self._color or ink is Ink.PLAIN or not text:
            return text
        return f"\x1b[{ink.value}m{text}\x1b[0m"


def columns(text: str) -> int:
    """Count the columns that text without escapes takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def pad(text: str, width: int) -> str:
    """Fill text with spaces up to a width in columns; longer text stays as it is."""
    return text + " " * (width - columns(text))


@lru_cache(maxsize=4096)
def _columns_of(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
