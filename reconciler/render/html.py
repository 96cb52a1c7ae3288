"""A page of figures as one HTML document that needs nothing else: no script, no network, no font.

Every text passes through `escape.terminal`, which makes the invisible visible, and is then escaped for HTML; nothing
from outside gets into the style, and the policy of the page allows that one style and nothing more.
"""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from reconciler.render.amounts import cents
from reconciler.render.chart import stacked_bars
from reconciler.render.escape import terminal
from reconciler.render.page import Detail, Figure, Mark, Name, Share, Tone

if TYPE_CHECKING:
    from jinja2 import Template

    from reconciler.render.page import Cell, Chart, Page

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
