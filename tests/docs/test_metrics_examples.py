"""The example rules and the example dashboard ask for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler.insight.metrics import gauges
from support import pages
from support.builders import NOW, declaration, declared, live
from support.packages import ROOT
from support.reviews import review

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = ROOT / "docs/examples/metrics"
ADDED = {"alertname", "severity"}


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Every gauge with its labels, of an account that has something of everything."""
    expires = NOW + timedelta(days=9)
    wanted = declared("ci/api", "5", expires_at=expires, rotate_every=timedelta(days=30), renew="month")
    key = live(1, f"ci/api~per.{NOW:%Y%m01}.0", "5", expires_at=expires)
    account = review([key], [(1, "ci/api", 1, "1")], declaration([wanted]))
    return {gauge.name: {*gauge.labels} for gauge in gauges([account], version="1", most_keys=9)}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((EXAMPLES / "alerts.yml").read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / "dashboard.json").read_text("utf-8"))
    return document


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard()["templating"]["list"][1:]:
        yield re.sub(r"label_values\((\w+), (\w+)\)", r"sum by (\2) (\1)", variable["query"]["query"])


@pytest.mark.parametrize("query", [*queries()])
def test_a_query_asks_for_what_there_is(query: str, known: dict[str, set[str]]) -> None:
    asked = re.findall(r"(naga_\w+)(?:\{(.*?)\})?", query)
    grouped = {label for labels in re.findall(r"by \((.*?)\)", query) for label in labels.split(", ")}

    assert asked
    for name, matchers in asked:
        labels = {*re.findall(r"(\w+)=", matchers), *grouped}
        assert name in known
        assert labels <= known[name]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_says_of_which_labels_it_has(rule: dict[str, Any], known: dict[str, set[str]]) -> None:
    (name,) = set(re.findall(r"naga_\w+", rule["expr"]))
    used = {*re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))}

    assert used <= known[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {*rule["annotations"]} == {"summary", "description"}


def test_every_rule_is_tested() -> None:
    tests = yaml.safe_load((EXAMPLES / "alerts.test.yml").read_text("utf-8"))["tests"]
    firing = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")}

    assert firing == {rule["alert"] for rule in rules()}


def test_panels_of_the_dashboard_do_not_overlap_and_have_a_title() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert panel["title"]
    assert {x for x, _ in taken} == set(range(24))


def test_the_guide_names_every_metric(known: dict[str, set[str]]) -> None:
    guide = pages.read(ROOT / "docs/insight.md")
    told = {
        name.strip("`"): {label.strip(" `") for label in labels.split(",")} - {"", "–"}  # noqa: RUF001  # a dash, as tables have it
        for name, labels in re.findall(r"^\| (`naga_\w+`) \| ([^|]*) \|", guide, re.MULTILINE)
    }

    assert told == known
