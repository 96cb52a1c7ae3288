"""No name gets through what shows the inventory, a key, or alerts, to act on a screen, a page, a log or a chat."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.diagnostic import Location, Severity
from reconciler.insight.alerts import Alert, AlertRule, News, Unjudged, Verdict
from reconciler.insight.inventory import InventoryKey, detail_of, take_inventory
from reconciler.planning.planner import make_plan
from reconciler.render.alerts import alerts_document, alerts_markdown, alerts_text, message
from reconciler.render.escape import terminal, to_json
from reconciler.render.github import render_alerts
from reconciler.render.inventory import (
    detail_document,
    detail_text,
    inventory_csv,
    inventory_markdown,
    inventory_text,
    key_document,
)
from support.annotations import commands
from support.builders import activity, declaration, declared, live, snapshot
from support.gfm import Page
from support.hostile import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable


def keys_with(text: str) -> tuple[InventoryKey, ...]:
    key = declared("ci/a", team=text, description=text, source=Location(text, 3, 1))
    account = snapshot(live(1, text), live(2, "ci/a"), live(3, "ci/a~old.20991231T000000Z"))
    return take_inventory(text, account, [activity({})], declaration([key]))


def verdict_with(text: str) -> Verdict:
    alert = Alert(AlertRule.DRIFT, Severity.WARNING, text, text, text, text, name=text, source=Location(text, 3, 1))
    return Verdict((alert, replace(alert, source=None)), (Unjudged(AlertRule.UNDELIVERED, text, text),), (text,))


def detail_with(text: str, at: int, *, as_json: bool) -> str:
    keys = keys_with(text)
    key = declared("ci/a", team=text, description=text, source=Location(text, 3, 1))
    plan = make_plan(declaration([key]), snapshot(live(1, text), live(2, "ci/a")))
    detail = detail_of(keys[at], keys, plan)
    return to_json(detail_document(detail)) if as_json else detail_text(detail, color=False, width=None)


def news_with(text: str) -> News:
    identity = (text, text, text, text)
    return News(verdict_with(text).alerts, frozenset({identity}), (identity,), frozenset())


TEXTS: dict[str, Callable[[str], str]] = {
    "inventory": lambda text: inventory_text(keys_with(text), days=30, color=False, width=None),
    "narrow inventory": lambda text: inventory_text(keys_with(text), days=30, color=False, width=20),
    "declared key": lambda text: detail_with(text, 0, as_json=False),
    "unmanaged key": lambda text: detail_with(text, -1, as_json=False),
    "alerts": lambda text: alerts_text(verdict_with(text), several=True, color=False, width=None),
    "narrow alerts": lambda text: alerts_text(verdict_with(text), several=True, color=False, width=20),
}
PAGES: dict[str, Callable[[str], str]] = {
    "inventory": lambda text: inventory_markdown(keys_with(text), days=30),
    "alerts": lambda text: alerts_markdown(verdict_with(text), several=True),
    "message": lambda text: message(news_with(text), several=True),
}
DOCUMENTS: dict[str, Callable[[str], str]] = {
    "key": lambda text: detail_with(text, -1, as_json=True),
    "alerts": lambda text: to_json(alerts_document(verdict_with(text))),
}
OURS = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "ul", "li"}

hostile = pytest.mark.parametrize("text", NAMES)


@hostile
@pytest.mark.parametrize("render", [*TEXTS.values(), *PAGES.values()], ids=[*TEXTS, *(f"{each}.md" for each in PAGES)])
def test_nothing_invisible_and_no_command_reaches_a_screen(render: Callable[[str], str], text: str) -> None:
    for line in render(text).removesuffix("\n").split("\n"):
        # Our own signs have a selector that makes them pictures.
        assert not [each for each in line if each != " " and unicodedata.category(each)[0] in "CZ"]
        assert not line.strip().startswith("::")
        assert "##[" not in line


@hostile
@pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)
def test_a_page_holds_no_element_but_ours_and_nothing_that_acts(render: Callable[[str], str], text: str) -> None:
    page = Page(render(text))
    assert page.tags <= OURS
    assert not [*page.comments, *page.active]
    assert {name for name, _ in page.attributes} <= {"align"}
    assert {len(row) for table in page.tables for row in table} <= {2, 5, 11}


@hostile
def test_a_chat_finds_nothing_to_act_on_in_a_message_even_in_code(text: str) -> None:
    assert not re.search("[<>@&]", message(news_with(text), several=True))


@hostile
def test_annotations_are_the_only_commands(text: str) -> None:
    output = render_alerts(verdict_with(text), "headline")
    assert [each.name for each in commands(output)] == ["warning", "warning", "warning"]
    assert "##[" not in output


@hostile
@pytest.mark.parametrize("render", DOCUMENTS.values(), ids=DOCUMENTS)
def test_programs_get_names_as_they_are(render: Callable[[str], str], text: str) -> None:
    out = render(text)
    assert out.isascii()
    assert "##[" not in out
    assert json.dumps(text) in json.dumps(json.loads(out))


@hostile
def test_a_table_for_spreadsheets_has_a_line_for_each_key(text: str) -> None:
    keys = keys_with(text)
    rows = [*csv.DictReader(io.StringIO(inventory_csv(keys), newline=""))]
    assert len(rows) == len(keys)
    assert rows[-1]["name"].removeprefix("'") == terminal(text)
    assert [*rows[0]] == [*key_document(keys[0])]
