"""Charts as SVG that stands in a page: no script, no style of its own, nothing that is fetched.

Colours and fonts are the page's, by class. The library draws with floats, which decide how high a bar is and nothing
else: the amounts that can be read are the decimals themselves.
"""

from __future__ import annotations

import re
import sys
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from reconciler.plan.phrases import dollars
from reconciler.render.amounts import cents
from reconciler.render.escape import terminal

if TYPE_CHECKING:
    from reconciler.render.page import Chart

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
    """Give the amounts that the scale shows: round ones, from the lowest stack to above the highest."""
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
