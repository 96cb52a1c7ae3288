"""Pictures of what a terminal shows: real commands, run on a simulated account, their colours kept."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from reconciler.simulator import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS: Final = 96
COMMAND: Final = Path(sys.executable).with_name("reconciler")

# Frozen, so that the same code draws the same picture on any day.
THEN: Final = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW: Final = datetime(2026, 8, 3, 12, tzinfo=UTC)

KEYS: Final = """\
version: 1

destinations:
  local: {type: dotenv, path: ".secrets/{environment}.env"}

environments:
  production:
    deletion_grace: 7d
    deliver: [{to: local, as: "NAGA_API_KEY_{KEY}"}]
    keys:
      api: {credit_limit: 500}
      search: {credit_limit: 150, description: new in this pull request}
      worker: {credit_limit: 100, rotate_every: 90d, rotation_overlap: 7d}
  ci:
    deliver: [{to: local, as: "NAGA_API_KEY_{KEY}"}]
    keys:
      tests: {credit_limit: 25}
"""
LIVE: Final = {
    "production/api": 400,
    "production/worker": 100,
    "production/batch": 50,
    "ci/tests": 25,
    "ci/nightly": 10,
    "dashboard-trial": 5,
}

_DARK: Final = ("1b1f24", "ff7b72", "57c46c", "deb850", "79b8ff", "bc8cff", "56ccdc", "d0d7de")
_LIGHT: Final = ("f6f8fa", "cf222e", "116329", "7d4e00", "0550ae", "8250df", "0a6b74", "1f2328")


def _theme(colours: Sequence[str]) -> TerminalTheme:
    """Make a theme of eight colours; the first is the background, the last the text."""
    first, *rest = ((int(each[:2], 16), int(each[2:4], 16), int(each[4:], 16)) for each in colours)
    return TerminalTheme(background=first, foreground=rest[-1], normal=[first, *rest])


THEMES: Final = {"dark": _theme(_DARK), "light": _theme(_LIGHT)}
# No fonts from the network; rich stretches every run of text to its columns, so any fixed-width font lines up.
_FORMAT: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 16px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def prepare(folder: Path) -> None:
    """Put a file and a simulated account that differs from it into a folder."""
    (folder / "keys.yaml").write_text(KEYS, "utf-8")
    with State(folder / "account.db") as state:
        state.travel(THEN - state.now())
        for live, limit in LIVE.items():
            state.create_key(live, credit_limit=Decimal(limit))
        state.travel(NOW - THEN + timedelta(seconds=1))


def plans() -> Iterator[tuple[str, str]]:
    """Draw the plan of a pull request, as SVG for each theme; yields the theme and the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        yield from _pictures("plan --simulator account.db", folder)


def _pictures(arguments: str, folder: Path) -> Iterator[tuple[str, str]]:
    screen = f"\x1b[1m$ reconciler {arguments}\x1b[0m\n{_terminal_output(arguments.split(), folder)}"
    for name, theme in THEMES.items():
        console = Console(width=COLUMNS, record=True, file=io.StringIO())
        console.print(Text.from_ansi(screen), end="")
        svg = console.export_svg(title="", theme=theme, code_format=_FORMAT, unique_id="screen")
        yield name, "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _terminal_output(arguments: list[str], folder: Path) -> str:
    """Run the command as on a terminal and give what it writes there."""
    ours, theirs = pty.openpty()
    left_out = ("NO_COLOR", "PYTHONIOENCODING", "PYTHONSAFEPATH")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    with os.fdopen(theirs, "wb") as terminal:
        process = subprocess.Popen(  # noqa: S603  # our own command, our own words
            [COMMAND, *arguments],
            cwd=folder,
            env={**environment, "TERM": "xterm", "COLUMNS": str(COLUMNS)},
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.PIPE,
        )
    shown = bytearray()
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    _, complaints = process.communicate()
    if process.returncode:
        sys.exit(f"reconciler {' '.join(arguments)} ended with {process.returncode}: {complaints.decode()}")
    return shown.decode().replace("\r\n", "\n")
