from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.insight.report import UnreadAccount, strands
from reconciler.render.columns import cents
from reconciler.render.html import render_page
from reconciler.render.report import MOST_ACCOUNTS, report_page
from support.builders import NOW, declaration, declared, live
from support.htmlpage import HtmlPage, local, text
from support.reviews import Spent, review, usual, window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.insight.report import Account, AccountReport

DAY = timedelta(days=1)
LARGEST = 2_000_000


def written(*accounts: Account, facts: Sequence[str] = ("keys.yaml",)) -> str:
    days = max((account.days for account in accounts if not isinstance(account, UnreadAccount)), default=30)
    return render_page(report_page(accounts, days, NOW, facts))


def shown(*accounts: Account) -> HtmlPage:
    return HtmlPage(written(*accounts))


def tiles(found: HtmlPage) -> dict[str, list[str]]:
    return {
        text(next(each.iter("dt"))): [text(line) for line in each.iter("dd")]
        for each in found.all("div")
        if "tile" in (each.get("class") or "").split()
    }


def section(found: HtmlPage, ident: str) -> str:
    return text(found.by_id(ident))


# --- what the page tells ----------------------------------------------------------------------------------------------


def test_the_page_says_what_it_is_about_and_of_when_it_is() -> None:
    found = shown(usual())

    assert found.texts("title", "h1")[:2] == ["API keys and credits"] * 2
    assert "As of 22 November 2026, 12:00 UTC Last 30 days keys.yaml" in text(next(found.all("header")))
    assert "rounded to cents" in text(next(found.all("footer")))


def test_the_figures_that_matter_come_first() -> None:
    found = tiles(shown(usual()))

    assert found["Balance"] == [
        "$100.00",
        "lasts 5.7 days at the pace of the last 7 days",
        "lasts 14 days at the pace of the last 29 days",
    ]
    assert found["Spent in 30 days"] == [
        "$202.35",
        "70 requests",
        "$17.41 a day in the last 7",
        "$6.98 a day in the last 29",
    ]
    assert found["Limits handed out"] == [
        "$625.00",
        "to 3 keys",
        "1 more key without a limit",
        "at most $430.65 left to spend",
        "6.2 times the balance",
    ]
    assert found["Keys"] == ["4", "1 not managed"]
    assert found["Needs attention"][0] == "3"


def test_alerts_and_findings_stand_with_what_to_do() -> None:
    rows = shown(usual()).table("Alerts and findings, the worst first")

    assert rows[0] == ["Severity", "About", "What it is"]
    assert [row[:2] for row in rows[1:4]] == [
        ["! warning", "account"],
        ["! warning", "production/worker"],
        ["! warning", "ci/tests"],
    ]
    assert rows[2][2].startswith("has spent $99 of its limit of $100 (99 %), more than 90 %find out what spends it")
    assert "reconciler show production/worker" in rows[2][2]


def test_an_account_in_order_says_so() -> None:
    found = shown(review([live(1, "ci/api")], file=declaration([declared("ci/api")])))

    assert tiles(found)["Needs attention"] == ["nothing"]
    assert section(found, "attention") == "What needs attention Nothing does."
    assert section(found, "changes") == "Changes to apply The account matches the declaration: 1 key."
    assert section(found, "spend") == "Spend by day Nothing was spent in 30 days."
    assert section(found, "next").endswith("Nothing expires or is due for rotation in the next 90 days.")
    assert tiles(found)["Balance"][1:] == ["nothing was spent in today"]


def test_keys_are_held_against_their_limits() -> None:
    rows = shown(usual()).table("What has used up most of its limit first")

    assert rows == [
        ["Key", "Spent of its limit", "Spent in 30 days", "Last used", "State"],
        ["production/workerteam search", "99 % · $99.00 of $100.00", "$99.00", "within 7 days", "✓ settled"],
        ["production/apiteam platform", "at least 18.5 % · $92.85 of $500.00", "$92.85", "within 7 days", "✓ settled"],
        ["ci/tests", "10 % · $2.50 of $25.00", "$2.50", "within 7 days", "✓ settled"],
        ["playground", "no limit", "$0.000125", "within 1 day", "! unmanaged"],
    ]


def test_a_key_that_was_not_used_spent_nothing_which_is_known() -> None:
    found = shown(review([live(1, "ci/off", "10", is_enabled=False)]))
    assert found.table("What has used up most of its limit first")[1][2] == "$0.00"


def test_the_bar_of_a_key_is_as_long_as_its_share_and_never_longer_than_its_limit() -> None:
    keys = [live(number, f"ci/{name}", "10") for number, name in enumerate("abc", start=1)]
    spent = [(1, "ci/a", 0, "12"), (2, "ci/b", 0, "8"), (3, "ci/c", 0, "1")]

    found = shown(review(keys, spent))

    lengths = [
        (each.get("class"), [rect.get("width") for rect in each][1])
        for each in found.all("svg")
        if "gauge" in (each.get("class") or "").split()
    ]
    assert lengths == [
        ("gauge plain", "100.0"),
        ("gauge bad", "100.0"),
        ("gauge warning", "80.0"),
        ("gauge plain", "10.0"),
    ]


def test_what_happens_next_says_when_and_in_how_many_days() -> None:
    keys = [
        live(1, "ci/a", created_at=NOW - 31 * DAY),
        live(2, "ci/b", expires_at=NOW + timedelta(hours=2)),
        live(3, "ci/c", expires_at=NOW + 60 * DAY),
        live(4, "ci/d", expires_at=NOW - timedelta(hours=2)),
    ]
    found = shown(review(keys, file=declaration([declared("ci/a", rotate_every=30 * DAY)])))

    assert found.table("What is overdue, and what happens in the next 90 days (UTC)")[1:] == [
        ["✕ Nov 21, 1 day ago", "ci/a", "is due for rotation"],
        ["✕ Nov 22, overdue", "ci/d", "expires"],
        ["Nov 22, today", "ci/b", "expires"],
        ["Jan 21, 2027, in 60 days", "ci/c", "expires"],
    ]


def test_the_changes_that_wait_are_listed() -> None:
    wanted = declaration([declared("ci/api", "7"), declared("ci/new", "3")])

    found = shown(review([live(1, "ci/api", "5")], file=wanted))

    assert "Plan: 1 to create, 1 to update. Limits: $5 → $10 (+$5)" in section(found, "changes")
    assert found.table("What reconciler apply does next")[1:] == [
        ["ci/api", "~ update", "credit_limit $5 → $7"],
        ["ci/new", "+ create", "credit_limit $3"],
    ]
    assert "2 changes to apply" in tiles(found)["Needs attention"]


def test_a_plan_that_cannot_be_made_is_a_finding_and_no_change() -> None:
    found = shown(review([live(1, "ci/api"), live(2, "ci/api")], file=declaration([declared("ci/api")])))

    assert section(found, "changes") == "Changes to apply Nothing is planned until the errors are resolved."
    assert tiles(found)["Needs attention"][1] == "1 error"


# --- spend ------------------------------------------------------------------------------------------------------------


def bars(found: HtmlPage) -> list[str]:
    (svg,) = (each for each in found.all("svg") if each.get("class") == "chart wide")
    return [text(each) for each in svg.iter() if local(each) == "title"][1:]


def test_every_bar_of_the_chart_is_what_an_environment_spent_on_a_day() -> None:
    report = usual()
    names = ["production", "ci", "keys that are unmanaged", "deleted keys"]
    days = [NOW - ago * DAY for ago in range(29, -1, -1)]

    assert bars(shown(report)) == [
        f"{name}, {day:%b} {day.day}: {cents(cost)}"
        for name, strand in zip(names, strands(report), strict=True)
        for day, cost in zip(days, strand.costs, strict=True)
    ]


def test_the_table_beside_the_chart_has_the_same_figures_and_their_sums() -> None:
    rows = shown(usual(days=4)).table("What was spent on each day")

    assert rows == [
        ["Day", "production", "ci", "keys that are unmanaged", "deleted keys", "Total"],
        ["Nov 19", "$111.35", "$0.00", "$0.00", "$0.00", "$111.35"],
        ["Nov 20", "$0.00", "$7.00", "$0.00", "$1.00", "$8.00"],
        ["Nov 21", "$0.00", "$2.50", "$0.00", "$0.00", "$2.50"],
        ["Nov 22", "$0.00", "$0.00", "$0.000125", "$0.00", "$0.000125"],
        ["All days", "$111.35", "$9.50", "$0.000125", "$1.00", "$121.85"],
    ]


def test_the_summary_says_how_much_when_and_by_whom() -> None:
    found = shown(usual(days=4))

    assert (
        text(next(found.all("figcaption")))
        == "$121.85 in 4 days, the most on Nov 19: $111.35. production: 91.3 % of it."
    )
    assert [text(each) for each in found.all("li") if "production" in text(each)] == ["production $111.35"]


def test_models_and_teams_are_shared_out() -> None:
    found = shown(usual())

    assert found.table("What each model cost in 30 days")[1:] == [["gpt", "70", "100.0 %", "$202.35"]]
    assert [row[0] for row in found.table("What each team cost in 30 days")[1:]] == [
        "search",
        "platform",
        "no team",
        "not declared",
        "keys that are unmanaged",
        "deleted keys",
    ]


def test_one_team_has_nothing_to_share() -> None:
    file = declaration([declared("ci/api", team="one")])

    assert "teams" not in shown(review([live(1, "ci/api")], [(1, "ci/api", 0, "1")], file)).ids


def test_days_that_could_not_be_read_by_environment_are_those_of_the_whole_account() -> None:
    spent = [(1, "ci/api", 0, "2"), (1, "ci/api", 5, "3")]

    found = shown(review([live(1, "ci/api")], spent, windows={30: window(30, spent)}))

    assert "the days are those of the whole account" in section(found, "spend")
    assert bars(found)[-1] == "all keys, Nov 22: $2.00"


def test_what_the_service_has_in_no_part_of_its_answer_is_said() -> None:
    windows = {
        days: window(days, [(1, "ci/api", 0, "2")], total=None if days < 30 else usual().spend) for days in range(1, 30)
    }
    whole = window(30, [(1, "ci/api", 0, "2"), (2, "ci/other", 0, "5")])
    cut = window(30, [(1, "ci/api", 0, "2")], total=whole.total)

    found = shown(review([live(1, "ci/api")], windows={**windows, 30: cut}))

    assert "$5.00 of the service's total is in none of its parts" in section(found, "spend")


def test_days_that_came_out_below_zero_are_said() -> None:
    windows = {days: window(days, [(1, "ci/api", 0, "2")]) for days in range(1, 31)}
    windows[4] = window(4, [(1, "ci/api", 0, "3")])

    found = shown(review([live(1, "ci/api")], windows=windows))

    assert "1 day came out below zero" in section(found, "spend")


def test_more_environments_than_colours_are_taken_together() -> None:
    spent: list[Spent] = [(at, f"env{at}/api", 0, str(20 - at)) for at in range(1, 10)]

    found = shown(review([], spent, declaration(environments=[f"env{at}" for at in range(1, 10)])))

    assert found.table("What was spent on each day")[0][-2:] == ["3 others", "Total"]


# --- what is not known ------------------------------------------------------------------------------------------------


def test_what_could_not_be_read_is_unknown_and_not_nothing() -> None:
    unread = ("the balance could not be read: 503", "the activity of 30 days could not be read: 503")
    file = declaration([declared("ci/api")])

    found = shown(review([live(1, "ci/api")], file=file, balance=None, windows={}, unread=unread))

    assert tiles(found)["Balance"] == ["unknown", "it could not be read"]
    assert tiles(found)["Spent in 30 days"] == ["unknown", "the activity could not be read"]
    assert all(line in section(found, "attention") for line in unread)
    assert "balance_below was not judged" in section(found, "attention")
    assert "spend" not in found.ids
    assert found.table("What has used up most of its limit first")[1][1:4] == ["of $5.00", "unknown", "unknown"]


def test_limits_that_are_not_known_are_said_to_be() -> None:
    account = usual()

    found = shown(replace(account, balance=replace(account.balance, limits=None)))

    assert tiles(found)["Limits handed out"] == ["unknown", "the keys could not be read"]


def test_without_a_file_the_account_is_shown_and_nothing_is_judged() -> None:
    found = shown(review([live(1, "ci/api")], [(1, "ci/api", 0, "2")]))

    assert {"spend", "models", "limits", "next"} <= {*found.ids}
    assert not {"attention", "changes"} & {*found.ids}


def test_without_a_file_what_could_not_be_read_is_said_all_the_same() -> None:
    found = shown(review(balance=None, unread=("the balance could not be read: 503",)))

    assert section(found, "attention") == "What needs attention the balance could not be read: 503"


def test_an_empty_account_has_a_page() -> None:
    found = shown(review())

    assert tiles(found)["Keys"] == ["0"]
    assert "limits" not in found.ids


def test_limits_that_are_below_the_balance_are_not_compared() -> None:
    assert tiles(shown(review([live(1, "ci/api", "5")])))["Limits handed out"] == [
        "$5.00",
        "to 1 key",
        "$5.00 left to spend",
    ]


# --- several accounts -------------------------------------------------------------------------------------------------


def in_account(number: int, **more: Any) -> AccountReport:
    file = declaration([declared(f"env{number}/api", "50")])
    keys = [live(1, f"env{number}/api", "50", created_at=NOW - 40 * DAY)]
    return review(keys, [(1, f"env{number}/api", 1, "14")], file, variable=f"NAGA_{number}_KEY", **more)


def test_several_accounts_have_an_overview_and_a_part_each() -> None:
    lost = UnreadAccount("NAGA_LOST_KEY", ("old",), "NAGA_LOST_KEY is not set")
    idle = review([], [], declaration(), variable="NAGA_IDLE_KEY")
    mute = in_account(2, balance=None, unread=("the balance could not be read: 503",))

    found = shown(in_account(1), lost, idle, mute)

    assert found.table("The accounts of the file") == [
        ["Account", "Balance", "Lasts", "Spent", "Keys", "Needs attention"],
        ["env1 (NAGA_1_KEY)", "$100.00", "50 days", "$14.00", "1", "✓ nothing"],
        ["old (NAGA_LOST_KEY)", "unknown", "unknown", "unknown", "unknown", "✕ not read"],
        ["NAGA_IDLE_KEY", "$100.00", "for ever", "$0.00", "0", "✓ nothing"],
        ["env2 (NAGA_2_KEY)", "unknown", "unknown", "$14.00", "1", "! 1 warning"],
    ]
    assert [text(each) for each in found.all("h2")] == [
        "All accounts",
        "env1 (NAGA_1_KEY)",
        "old (NAGA_LOST_KEY)",
        "NAGA_IDLE_KEY",
        "env2 (NAGA_2_KEY)",
    ]
    assert "NAGA_LOST_KEY is not set" in section(found, "account-2-unread")
    assert found.requests == []
    assert len(found.ids) == len({*found.ids})


# --- large accounts ---------------------------------------------------------------------------------------------------


def large(count: int, *, name: str = "{}") -> AccountReport:
    wanted = [declared(f"env{at % 40}/key{at}", "5", expires_at=NOW + DAY) for at in range(count // 2)]
    keys = [live(at, f"env{at % 40}/key{at}", "7", expires_at=NOW + DAY) for at in range(count // 2)]
    keys += [live(at, name.format(at), None, expires_at=NOW + DAY) for at in range(count // 2, count)]
    spent: list[Spent] = [(key.id, key.name, key.id % 30, "0.123456") for key in keys]
    every = window(30, spent)
    models = tuple((name.format(at), tally) for at, (_, tally) in enumerate(islice(every.by_day * 10, 200)))
    windows = {days: window(days, spent[::100]) for days in range(1, 30)} | {30: window(30, spent, by_model=models)}
    return review(keys, [], declaration(wanted), windows=windows)


@pytest.mark.proof
def test_ten_thousand_keys_make_a_page_of_less_than_two_megabytes() -> None:
    page = written(large(10_000))

    assert len(page.encode()) < LARGEST
    found = HtmlPage(page)
    assert len(found.table("What has used up most of its limit first")) == 61
    assert "9,940 more keys not shown here." in section(found, "limits")
    assert "more models not shown here." in section(found, "models")
    assert "more findings not shown here." in section(found, "attention")
    assert "more events not shown here." in section(found, "next")
    assert "more changes not shown here." in section(found, "changes")


@pytest.mark.proof
def test_not_even_the_longest_hostile_names_in_many_accounts_make_it_larger() -> None:
    longest = large(400, name="\u202e" * 250 + "{}")

    page = written(*[longest] * 30)

    assert len(page.encode()) < LARGEST
    found = HtmlPage(page)
    assert len(found.table("The accounts of the file")) == 31
    assert sum(each.get("class") == "chart wide" for each in found.all("svg")) == MOST_ACCOUNTS
    assert "20 accounts at the end of this list are told of here only" in text(found.by_id("overview-accounts"))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "$0.00"),
        ("0.01", "$0.01"),
        ("0.009999", "$0.009999"),
        ("-0.0000004", "$0.000000"),
        ("1234567.005", "$1,234,567.00"),
        ("-2.5", "-$2.50"),
    ],
)
def test_amounts_are_in_cents_and_smaller_ones_in_millionths(amount: str, words: str) -> None:
    assert cents(Decimal(amount)).replace("-$0.000000", "$0.000000") == words
