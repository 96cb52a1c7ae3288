from __future__ import annotations

import base64
import hashlib
import re
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.render.columns import cents
from reconciler.render.escape import terminal
from reconciler.render.html import (
    Cell,
    Chart,
    Detail,
    Figure,
    Mark,
    Name,
    Page,
    Part,
    Section,
    Series,
    Share,
    Table,
    Tile,
    Tone,
    _steps,
    render_page,
)
from support.htmlpage import HtmlPage, local, text
from support.search import examples

HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style><script>alert(1)</script>",
    "\"' onmouseover=alert(1) x='",
    "]]><svg onload=alert(1)>",
    "<!-- -->&lt;b&gt;&amp;",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eexe.gpj\u2066\u200f",
    "a\x00b\x1b[31m\r\n\ufffe\ud800",
    "javascript:alert(1)//\u2028",
    "מפתח/ייצור",
]
names = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=20))


def chart(*series: tuple[str, list[str]]) -> Chart:
    values = [(name, tuple(Decimal(each) for each in amounts)) for name, amounts in series]
    first = date(2026, 11, 1)
    columns = tuple(f"{first + timedelta(days=at):%b %d}" for at in range(len(values[0][1])))
    kinds = tuple(Series(name, amounts, sum(amounts, Decimal(0))) for name, amounts in values)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (column, *(Figure(cents(kind.values[at])) for kind in kinds)) for at, column in enumerate(columns)
    )
    table = Table("What was spent on each day", ("Day", *(kind.name for kind in kinds)), rows, wide=True)
    return Chart("Spend by day", "So much in all.", columns, kinds, table)


def page(*sections: Section, tiles: tuple[Tile, ...] = (), **fields: Any) -> Page:
    return Page("API keys", ("As of today",), (Part("", "", tiles, sections),), **fields)


def everything(name: str) -> Page:
    """A page with a name in every place that takes text."""
    table = Table(
        name,
        (name, name, name, name, name, name),
        (
            (
                Name(name, name),
                Detail(name, name),
                Mark(name, Tone.BAD),
                Share(Decimal("0.5"), name, Tone.WARNING),
                Figure(name),
                name,
            ),
        ),
        more=name,
    )
    drawn = Chart(name, name, (name, name), (Series(name, (Decimal(1), Decimal(2)), Decimal(3)),), table)
    sections = (Section("one", name, name, drawn, (table,), (name,)), Section("two", name))
    parts = (Part("a-", name, (Tile(name, name, (name,), Tone.BAD),), sections), Part("b-", name, (), ()))
    return Page(name, (name,), parts, (name,))


def styles() -> str:
    return resources.files("reconciler.render").joinpath("templates/report.css").read_text("utf-8")


# --- nothing is asked for, nothing runs -------------------------------------------------------------------------------


def test_a_page_is_valid_and_asks_for_nothing() -> None:
    found = HtmlPage(render_page(everything("production/api")))

    assert found.requests == []
    assert len(found.ids) == len({*found.ids})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    plain, hostile = HtmlPage(render_page(everything("x"))), HtmlPage(render_page(everything(name)))

    assert hostile.requests == []
    assert [element.tag for element in hostile.all()] == [element.tag for element in plain.all()]
    assert [sorted(element.attrib) for element in hostile.all()] == [sorted(each.attrib) for each in plain.all()]
    assert hostile.texts("bdi")[0] == " ".join(terminal(name).split())


@settings(max_examples=examples(60))
@given(names)
def test_no_name_changes_what_the_page_is_made_of(name: str) -> None:
    plain, hostile = HtmlPage(render_page(everything("x"))), HtmlPage(render_page(everything(name)))

    assert hostile.requests == []
    assert [element.tag for element in hostile.all()] == [element.tag for element in plain.all()]


@settings(max_examples=examples(60))
@given(names)
def test_what_cannot_be_seen_is_never_on_the_page(name: str) -> None:
    written = render_page(everything(name))

    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]", written
    )


def test_a_long_name_breaks_wherever_it_stands_and_never_widens_its_table() -> None:
    assert re.search(r"^bdi, \.detail-cell \{ overflow-wrap: anywhere; \}$", styles(), re.MULTILINE)


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    found = HtmlPage(render_page(page()))
    (policy,) = (each.get("content") or "" for each in found.all("meta") if "Policy" in (each.get("http-equiv") or ""))
    (style,) = found.all("style")

    digest = base64.b64encode(hashlib.sha256((style.text or "").encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_a_page_has_landmarks_a_language_and_headings_in_order() -> None:
    found = HtmlPage(render_page(everything("x")))

    assert found.root.get("lang") == "en"
    assert [local(each) for each in found.all("header", "nav", "main", "footer")] == ["header", "nav", "main", "footer"]
    levels = [int(local(each)[1]) for each in found.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_link_and_every_label_leads_to_something() -> None:
    found = HtmlPage(render_page(everything("x")))

    links = [href.removeprefix("#") for each in found.all("a") if (href := each.get("href"))]
    labels = [ident for each in found.all() for ident in (each.get("aria-labelledby") or "").split()]
    assert links
    assert {*links, *labels} <= {*found.ids}


def test_every_table_has_a_caption_heads_and_a_place_for_the_keyboard() -> None:
    found = HtmlPage(render_page(everything("x")))

    tables = [*found.all("table")]
    assert tables
    for each in tables:
        assert text(next(each.iter("caption")))
        rows = [*each.iter("tr")]
        assert {cell.get("scope") for cell in rows[0]} == {"col"}
        assert all([cell.get("scope") for cell in row if local(cell) == "th"] == ["row"] for row in rows[1:])
    assert all(
        each.get("tabindex") == "0" for each in found.all("div") if "scroll" in (each.get("class") or "").split()
    )


def test_a_row_is_about_the_cell_that_its_table_names() -> None:
    table = Table("Findings", ("Severity", "About"), ((Mark("error", Tone.BAD), Name("ci/tests")),), head=1)

    found = HtmlPage(render_page(page(Section("one", "One", tables=(table,)))))

    assert [text(each) for each in found.all("th") if each.get("scope") == "row"] == ["ci/tests"]


def test_a_chart_has_a_name_a_summary_and_the_same_figures_as_a_table() -> None:
    drawn = chart(("ci", ["1.5", "0", "2.000001"]), ("production", ["10", "0.004", "0"]))

    found = HtmlPage(render_page(page(Section("spend", "Spend", chart=drawn))))

    for svg in (each for each in found.all("svg") if each.get("role") == "img"):
        labels = [text(found.by_id(ident)) for ident in (svg.get("aria-labelledby") or "").split()]
        assert labels == ["Spend by day", "So much in all."]
    assert found.table("What was spent on each day") == [
        ["Day", "ci", "production"],
        ["Nov 01", "$1.50", "$10.00"],
        ["Nov 02", "$0.00", "$0.004000"],
        ["Nov 03", "$2.00", "$0.00"],
    ]


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_colours_can_be_told_apart_in_every_scheme(scheme: str) -> None:
    light, dark, printed = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", styles(), re.DOTALL)
    )
    colors = {"light": light, "dark": dark, "print": {**light, **printed}}[scheme]

    assert dark.keys() == light.keys()
    for ground in ("page", "card"):
        for ansi in ("text", "soft", "link", "good", "warning", "bad"):
            assert contrast(colors[ansi], colors[ground]) >= 4.5, (ansi, ground)
    for number in range(7):
        assert contrast(colors[f"kind-{number}"], colors["card"]) >= 3, number


def test_whoever_wants_less_motion_gets_none_and_everybody_sees_the_focus() -> None:
    css = styles()
    without = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", css, flags=re.DOTALL)

    assert not re.search(r"scroll-behavior|animation|transition", without)
    assert ":focus-visible { outline: 3px solid" in css


# --- charts -----------------------------------------------------------------------------------------------------------


def bars(found: HtmlPage, variant: str) -> list[list[tuple[str, float]]]:
    """Give the bars of a chart by series: what each says, and how high it is."""
    (svg,) = (each for each in found.all("svg") if (each.get("class") or "") == f"chart {variant}")
    series = [each for each in svg.iter() if (each.get("class") or "").startswith("bars kind-")]
    return [
        [(text(next(each for each in bar if local(each) == "title")), float(bar[0].get("height") or 0)) for bar in kind]
        for kind in series
    ]


@pytest.mark.parametrize("variant", ["wide", "narrow"])
def test_every_bar_says_its_amount_and_is_as_high_as_that(variant: str) -> None:
    drawn = chart(("ci", ["1.5", "0", "2.25"]), ("production", ["10", "0.75", "40"]))

    found = bars(HtmlPage(render_page(page(Section("spend", "Spend", chart=drawn)))), variant)

    assert [[said for said, _ in kind] for kind in found] == [
        ["ci, Nov 01: $1.50", "ci, Nov 02: $0.00", "ci, Nov 03: $2.25"],
        ["production, Nov 01: $10.00", "production, Nov 02: $0.75", "production, Nov 03: $40.00"],
    ]
    unit = found[1][2][1] / 40
    for kind, series in zip(found, drawn.series, strict=True):
        for (_, height), value in zip(kind, series.values, strict=True):
            assert height == pytest.approx(unit * float(value), abs=0.11)


def test_days_are_labelled_so_that_labels_do_not_meet() -> None:
    drawn = chart(("ci", ["1"] * 30))

    found = HtmlPage(render_page(page(Section("spend", "Spend", chart=drawn))))

    for svg in (each for each in found.all("svg") if each.get("role") == "img"):
        labels = [text(each) for each in svg.iter() if local(each) == "text" and text(each).startswith("Nov")]
        assert labels[0] == "Nov 01"
        assert len(labels) <= 10


def test_a_single_day_is_a_chart_too() -> None:
    found = HtmlPage(render_page(page(Section("spend", "Spend", chart=chart(("ci", ["0.000001"]))))))

    assert bars(found, "wide")[0][0][0] == "ci, Nov 01: $0.000001"


amounts = st.decimals(min_value=-1000, max_value=10**7, places=6, allow_nan=False, allow_infinity=False)


@settings(max_examples=examples(100))
@given(st.lists(amounts, min_size=1, max_size=5))
def test_the_scale_reaches_from_below_the_lowest_to_above_the_highest(values: list[Decimal]) -> None:
    steps = _steps(chart(("ci", [str(value) for value in values])))

    assert steps[0] <= min(*values, Decimal(0)) <= max(*values, Decimal(0)) <= steps[-1]
    assert Decimal(0) in steps
    assert 2 <= len(steps) <= 7
    assert len({after - before for before, after in pairwise(steps)}) == 1
