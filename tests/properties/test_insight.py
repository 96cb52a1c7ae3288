"""What holds for the use of every account, whatever the service tells of it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.insight.activity import Question, account_activity, activity_report
from reconciler.insight.breakdown import Grouping, percentages, spread
from reconciler.model import KeyTally, Statistics, Tally
from reconciler.render.activity import activity_csv, activity_document, render_markdown, render_text
from reconciler.render.escape import defused, terminal, to_json
from support.builders import NOW, declaration, declared, live, snapshot
from support.gfm import Page
from support.search import examples
from support.statistics import TODAY, day

if TYPE_CHECKING:
    from reconciler.insight.activity import ActivityReport

EXAMPLES = settings(max_examples=examples(60))
FILE = declaration([declared("ci/a", team="core"), declared("ci/b", renamed_from=("earlier",)), declared("p/a")])
names = st.text(max_size=8) | st.sampled_from(
    [
        "ci/a",
        "ci/a~next",
        "ci/b~old.20260101T000000Z",
        "ci/x",
        "p/a",
        "earlier",
        "q/z",
        "=1",
        "-2",
        "@a",
        "reconciler~lock.a",
    ]
)
amounts = st.decimals(0, 10**6, places=6, allow_nan=False) | st.decimals(0, 1, places=12)
counts = st.integers(0, 10**6)
tallies = st.builds(Tally, counts, amounts, counts, counts)
keys = st.lists(names, max_size=6, unique=True).map(
    lambda found: snapshot(*(live(number, name) for number, name in enumerate(found)))
)
ids = st.none() | st.integers(0, 9)


def below_zero(tally: Tally) -> bool:
    return tally.requests < 0 or tally.cost < 0 or tally.input_tokens < 0 or tally.output_tokens < 0


def windows(days: int) -> st.SearchStrategy[Statistics]:
    return st.builds(
        Statistics,
        st.just(days),
        st.none() | tallies,
        st.lists(st.tuples(st.integers(-1, days).map(day), tallies), max_size=4).map(tuple),
        st.lists(st.tuples(names, tallies), max_size=4).map(tuple),
        st.lists(st.builds(KeyTally, ids, names, tallies), max_size=8).map(tuple),
    )


@st.composite
def reports(draw: st.DrawFn) -> ActivityReport:
    days = draw(st.sampled_from([1, 2, 3]))
    by = draw(st.sampled_from(Grouping))
    daily = by is not Grouping.DAY and draw(st.booleans())
    environments = ("ci",) if by in {Grouping.KEY, Grouping.ENVIRONMENT, Grouping.TEAM} and draw(st.booleans()) else ()
    question = Question(days, by, environments, daily)
    file = FILE if environments or by is Grouping.TEAM or draw(st.booleans()) else None
    accounts = [
        account_activity(
            question, f"NAGA_{number}", {n: draw(windows(n)) for n in range(1, days + 1)}, draw(keys), NOW, file
        )
        for number in range(draw(st.sampled_from([1, 2])))
    ]
    return activity_report(question, TODAY, accounts, declared=file is not None)


@EXAMPLES
@given(reports())
def test_the_lines_always_add_up_to_the_total(report: ActivityReport) -> None:
    for breakdown in (report.whole, *(account.breakdown for account in report.accounts)):
        assert sum((line.tally for line in breakdown.lines), Tally()) == breakdown.total
        shares = [line.share for line in breakdown.lines if line.share is not None]
        assert not shares or sum(shares) == 100
        assert all(Decimal(0) <= share <= Decimal(100) for share in shares)


@EXAMPLES
@given(reports())
def test_the_days_of_a_line_add_up_to_it_and_none_is_below_zero(report: ActivityReport) -> None:
    for line in (line for account in report.accounts for line in account.breakdown.lines if line.daily):
        assert sum((tally for _, tally in line.daily), Tally()) == line.tally
        assert not any(below_zero(tally) for _, tally in line.daily)


@EXAMPLES
@given(reports())
def test_csv_reads_back(report: ActivityReport) -> None:
    text = activity_csv(report)
    records = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    total = sum((account.breakdown.total for account in report.accounts), Tally())
    assert sum(Decimal(record["cost_usd"]) for record in records) == total.cost
    assert sum(int(record["requests"]) for record in records) == total.requests
    expected = {defused(line.group.name) for account in report.accounts for line in account.breakdown.lines}
    assert {record["name"] for record in records} <= expected
    assert not any(record["name"].startswith(("=", "+", "-", "@")) for record in records)
    assert text.count("\n") == text.count("\r\n") == len(records) + 1


@EXAMPLES
@given(names, names)
def test_different_names_stay_different_in_csv(one: str, other: str) -> None:
    assert (defused(one) == defused(other)) == (terminal(one) == terminal(other))


@EXAMPLES
@given(reports())
def test_json_holds_every_line_exactly(report: ActivityReport) -> None:
    document = json.loads(to_json(activity_document(report)))
    lines = [line for account in document["accounts"] for line in account["lines"]]
    assert sum(Decimal(line["cost"]) for line in lines) == report.whole.total.cost == Decimal(document["total"]["cost"])


@EXAMPLES
@given(reports(), st.integers(20, 150))
def test_no_name_gets_out_of_its_line_or_its_cell(report: ActivityReport, width: int) -> None:
    shown = render_text(report, color=False, width=width, top=5)
    assert all(line == terminal(line) or "\\" in line for line in shown.splitlines())
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert Page(render_markdown(report, top=5)).active == []


@EXAMPLES
@given(st.lists(amounts, max_size=20))
def test_percentages_add_up_and_are_near_the_truth(parts: list[Decimal]) -> None:
    shares = percentages(parts)
    if shares is None:
        assert not any(parts)
        return
    assert sum(shares) == 100
    whole = sum(parts)
    assert all(
        abs(share - part * 100 / whole) < Decimal("0.1000001") for share, part in zip(shares, parts, strict=True)
    )


@EXAMPLES
@given(st.lists(tallies, min_size=1, max_size=8))
def test_days_from_any_windows_add_up_to_the_longest(told: list[Tally]) -> None:
    days, _ = spread(told)
    assert sum(days, Tally()) == told[0]
    assert not any(map(below_zero, days))
