"""A page of figures as one HTML document with charts; it loads nothing else: no script, no network, no font.

Every text passes through `escape.terminal`, which makes the invisible visible, and is then escaped for HTML; nothing
from outside gets into the style, and the policy of the page allows that one style and nothing more.
"""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import StrEnum
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from reconciler.render.columns import cents
from reconciler.render.escape import terminal
from reconciler.units import dollars

if TYPE_CHECKING:
    from jinja2 import Template


# Charts as SVG that stands in a page: no script, no style of its own, nothing that is fetched.
#
# Colours and fonts are the page's, by class. The library draws with floats, which decide how high a bar is and
# nothing else: the amounts that can be read are the decimals themselves.

_SVG: Final = "http://www.w3.org/2000/svg"
_DRAWN: Final = {"g", "path", "rect", "text"}
_ATTRIBUTES: Final = {"class", "d", "height", "transform", "viewBox", "width", "x", "y"}
_LONG_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_WIDE: Final = (960, 300, 10)
_NARROW: Final = (400, 280, 4)
_STEPS: Final = 4
"""Into how many steps the scale is divided, about."""


def stacked_bars(chart: Chart, ident: str, *, wide: bool) -> str:
    """Draw a chart as bars, one upon the other, for a wide or a narrow screen; `ident` is unique on the page.

    Raises ImportError without the charting library.
    """
    width, height, labels = _WIDE if wide else _NARROW
    drawing = _library().StackedBar(
        js=(),
        disable_xml_declaration=True,
        width=width,
        height=height,
        margin=2,
        margin_top=10,
        margin_left=6,
        spacing=6,
        show_legend=False,
        x_labels=[terminal(column) for column in chart.columns],
        x_labels_major_every=-(-len(chart.columns) // labels),
        show_minor_x_labels=False,
        truncate_label=-1,
        y_labels=[{"value": float(step), "label": dollars(step)} for step in _steps(chart)],
    )
    for series in chart.series:
        drawing.add("", [float(value) for value in series.values])
    drawn = ET.fromstring(drawing.render())  # noqa: S314  # the library's own output, a moment ago
    root = ET.Element("svg", {"viewBox": drawn.attrib["viewBox"], "class": f"chart {'wide' if wide else 'narrow'}"})
    _name(root, ident, chart)
    _copy(drawn, root)
    for number, (series, bars) in enumerate(zip(chart.series, root.iterfind(".//g[@class='bars']"), strict=True)):
        bars.set("class", f"bars kind-{number}")
        for column, value, bar in zip(chart.columns, series.values, bars, strict=True):
            ET.SubElement(bar, "title").text = terminal(f"{series.name}, {column}: {cents(value)}")
    return ET.tostring(root, encoding="unicode")


def _library() -> Any:  # noqa: ANN401  # it comes without types, and its stubs would bring those of Django
    """Import the charting library, without the importer for its maps that it leaves behind and Python warns of."""
    import pygal  # type: ignore[import-untyped]  # as above

    sys.meta_path[:] = [importer for importer in sys.meta_path if type(importer).__module__ != pygal.__name__]
    return pygal


def _steps(chart: Chart) -> list[Decimal]:
    """Return the amounts that the scale shows: round ones, from the lowest stack to above the highest."""
    stacks = [*zip(*(series.values for series in chart.series), strict=True)]
    top = max(sum((value for value in stack if value > 0), Decimal(0)) for stack in stacks)
    bottom = min(sum((value for value in stack if value < 0), Decimal(0)) for stack in stacks)
    rough = (top - bottom) / _STEPS or Decimal(1)
    step = next(each for each in _round_amounts(rough.adjusted()) if each >= rough)
    first, last = (
        int((bottom / step).to_integral_value(ROUND_FLOOR)),
        int((top / step).to_integral_value(ROUND_CEILING)),
    )
    return [number * step for number in range(first, max(last, 1) + 1)]


def _round_amounts(exponent: int) -> list[Decimal]:
    return [Decimal((0, (digit,), power)) for power in (exponent, exponent + 1) for digit in (1, 2, 5)]


def _name(root: ET.Element, ident: str, chart: Chart) -> None:
    root.set("role", "img")
    root.set("aria-labelledby", f"{ident}-title {ident}-summary")
    for kind, tag, text in (("title", "title", chart.title), ("summary", "desc", chart.summary)):
        ET.SubElement(root, tag, {"id": f"{ident}-{kind}"}).text = terminal(text)


def _copy(drawn: ET.Element, into: ET.Element) -> None:
    """Take over what is drawn: neither style nor script, nor what scripts would show."""
    for element in drawn:
        tag = element.tag.removeprefix(f"{{{_SVG}}}")
        kinds = set(element.attrib.get("class", "").split())
        if tag not in _DRAWN or kinds & {"tooltip-overlay", "background"}:
            continue
        kept = {
            name: _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.1f}", value)
            for name, value in element.attrib.items()
            if name in _ATTRIBUTES and value
        }
        copied = ET.SubElement(into, tag, kept)
        copied.text = element.text if tag == "text" else None
        _copy(element, copied)


# What a page of figures shows, as values: the words are chosen elsewhere, how it looks is up to the format.
#
# Every text in here may hold a name from outside; whoever writes the page escapes all of them.


class Tone(StrEnum):
    """How something stands, in words and in colour."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that matters, and what to know about it."""

    label: str
    value: str
    notes: tuple[str, ...] = ()
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Name:
    """A name from the account or the file, set apart from what stands around it; `about` says more of it."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """A sentence, and below it what to do or to know."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that says how something stands."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, from 0 to 1 (what is beyond is shown as full), and the same in words."""

    part: Decimal
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount, a count or an instant, which stands to the right."""

    text: str


Cell = str | Name | Detail | Mark | Share | Figure


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the cell in column `head` is what a row is about. `more` says what is left out.

    A `wide` one stays a table on a narrow screen; any other becomes a list there.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0
    wide: bool = False
    more: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one kind, one for each column of its chart; USD."""

    name: str
    values: tuple[Decimal, ...]
    total: Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """Figures stacked by column; the table has the same ones for those who cannot see it."""

    title: str
    summary: str
    columns: tuple[str, ...]
    series: tuple[Series, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with a chart or tables or neither; what stands in `notes` is about the figures."""

    ident: str
    heading: str
    intro: str = ""
    chart: Chart | None = None
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What is said of one account; `name` is empty where there is only one."""

    ident: str
    name: str
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page; `facts` say what it is about and of when it is, `footnotes` how its figures came about."""

    title: str
    facts: tuple[str, ...]
    parts: tuple[Part, ...]
    footnotes: tuple[str, ...] = ()


# A page of figures as one HTML document that needs nothing else: no script, no network, no font.

_SYMBOLS: Final = {Tone.PLAIN: "·", Tone.GOOD: "✓", Tone.WARNING: "!", Tone.BAD: "✕"}


def render_page(page: Page) -> str:
    """Write a page; raises ImportError without jinja2 or the charting library."""
    return _template().render(page=page)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reconciler.render", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cents=cents, kind=_kind, draw=_draw, percent=_percent)
    environment.globals.update(symbols=_SYMBOLS)
    # The hash of the policy is over what stands between the tags, to the character.
    style = environment.get_template("report.css").render()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    environment.globals.update(style=environment.filters["safe"](style), style_digest=digest)
    return environment.get_template("report.html.j2")


def _shown(value: object) -> object:
    """Make visible what is not, in every text that the template puts out and that is not markup already."""
    return terminal(value) if type(value) is str else value


def _kind(cell: Cell) -> str:
    match cell:
        case Name():
            return "name"
        case Mark():
            return "mark"
        case Share():
            return "share"
        case Figure():
            return "figure"
        case Detail():
            return "detail"
        case _:
            return "text"


def _draw(chart: Chart, ident: str) -> str:
    """Draw a chart twice: a wide one is not to be read on a phone. Only one of them is shown, or read out."""
    from markupsafe import Markup

    return Markup("\n").join(
        Markup(stacked_bars(chart, f"{ident}-{name}", wide=name == "wide"))  # noqa: S704  # all of its texts are escaped
        for name in ("wide", "narrow")
    )


def _percent(part: Decimal) -> str:
    return f"{min(max(part * 100, Decimal(0)), Decimal(100)):.1f}"
