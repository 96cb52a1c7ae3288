"""Draws a protocol: its steps from top to bottom, and between them where a run can die and what the next one does."""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING, Final

from protocol import Crash, Step

if TYPE_CHECKING:
    from protocol import Protocol

WIDTH: Final = 1000
SPINE: Final = 40
CRASH_LEFT: Final = 84
LINE: Final = 18
GAP: Final = 14

_STYLE: Final = """\
.sheet { fill: #ffffff; stroke: #d0d7de; }
.step { fill: #eef4ff; stroke: #3b6fc9; }
.crash { fill: #fff4f2; stroke: #d0543f; }
.spine { stroke: #8c959f; stroke-width: 2; }
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 14px; fill: #1f2328; }
.title { font-size: 18px; font-weight: bold; }
.does, .mark, .next { font-weight: bold; }
.note, .label { fill: #59636e; }
.mark { fill: #b3321c; }
.live { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; }
"""


def draw(protocol: Protocol) -> str:
    """Draw a protocol as SVG."""
    y = 56
    shapes: list[str] = []
    for stage in protocol.course:
        height, drawn = _step(stage, y) if isinstance(stage, Step) else _crash(stage, y)
        shapes += drawn
        y += height + GAP
    bottom = y - GAP
    head = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 20}" xmlns="http://www.w3.org/2000/svg" role="img">',
        f"<title>{escape(protocol.title)}: each step, and what the next run does after a crash</title>",
        f"<style>\n{_STYLE}</style>",
        f'<rect class="sheet" x="1" y="1" width="{WIDTH - 2}" height="{bottom + 18}" rx="8"/>',
        _text(20, 32, "title", protocol.title),
        f'<line class="spine" x1="{SPINE}" y1="56" x2="{SPINE}" y2="{bottom}"/>',
    ]
    return "\n".join([*head, *shapes, "</svg>"]) + "\n"


def _step(step: Step, y: int) -> tuple[int, list[str]]:
    height = LINE + 16
    note = f'<tspan class="note" dx="12">{escape(step.note)}</tspan>' if step.note else ""
    return height, [
        f'<rect class="step" x="20" y="{y}" width="{WIDTH - 40}" height="{height}" rx="6"/>',
        f'<text x="36" y="{y + 22}"><tspan class="does">{escape(step.does)}</tspan>{note}</text>',
    ]


def _crash(crash: Crash, y: int) -> tuple[int, list[str]]:
    left, right = CRASH_LEFT + 58, CRASH_LEFT + 430
    live = list(crash.live) or ["none"]
    meaning = textwrap.wrap(crash.meaning, 58)
    rows = max(len(live) + 1, len(meaning) + 1)
    height = rows * LINE + 16
    middle = y + height // 2
    shapes = [
        f'<line class="spine" x1="{SPINE}" y1="{middle}" x2="{CRASH_LEFT}" y2="{middle}" stroke-dasharray="4 4"/>',
        f'<rect class="crash" x="{CRASH_LEFT}" y="{y}" width="{WIDTH - 20 - CRASH_LEFT}" height="{height}" rx="6"/>',
        _text(CRASH_LEFT + 14, y + 22, "mark", f"✕ {crash.mark}"),
    ]
    for row, name in enumerate(live):
        label = "live: " if row == 0 else ""
        shapes.append(_labelled(left, y + 22 + row * LINE, label, name, "live"))
    shapes.append(_labelled(left, y + 22 + len(live) * LINE, "destinations hold: ", crash.delivered, ""))
    shapes.append(_labelled(right, y + 22, "next plan: ", crash.next_plan, "next"))
    shapes += [_text(right, y + 22 + row * LINE, "note", line) for row, line in enumerate(meaning, start=1)]
    return height, shapes


def _text(x: int, y: int, kind: str, words: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


def _labelled(x: int, y: int, label: str, words: str, kind: str) -> str:
    start = f'<tspan class="label">{escape(label)}</tspan>' if label else ""
    indent = x if label else x + 32
    return f'<text x="{indent}" y="{y}">{start}<tspan class="{kind}">{escape(words)}</tspan></text>'
