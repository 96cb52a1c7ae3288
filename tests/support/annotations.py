"""GitHub workflow commands, read as the runner reads a line of a step's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}


@dataclass(frozen=True)
class Command:
    name: str
    properties: Mapping[str, str]
    message: str


def commands(log: str) -> list[Command]:
    """Give the commands that the runner obeys in a log; it knows two notations, and the old one counts anywhere."""
    return [command for line in log.splitlines() if (command := _command(line))]


def _command(line: str) -> Command | None:
    head, end, data = line.lstrip().removeprefix("::").partition("::")
    if not line.lstrip().startswith("::") or not end:
        return Command("##", {}, line) if "##[" in line else None
    name, _, stated = head.strip().partition(" ")
    pairs = (pair.strip().partition("=") for pair in stated.split(",") if pair)
    return Command(name, {key: _decoded(value, _PROPERTY) for key, _, value in pairs}, _decoded(data, _DATA))


def _decoded(text: str, codes: Mapping[str, str]) -> str:
    for code, character in codes.items():
        text = text.replace(code, character)
    return text
