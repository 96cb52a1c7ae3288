"""What programs read by the Python API: what the commands show, as values."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

import reconciler
from reconciler import Address, load, to_dict, to_html, to_openmetrics
from reconciler.errors import AccountError, UsageError
from reconciler.insight.inventory import KeyStatus
from support.command import Front, on_a_file
from support.htmlpage import HtmlPage
from support.several import A, B, at_a_service
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE = """\
version: 1
destinations: {local: {type: dotenv, path: secrets.env}}
environments:
  ci:
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys: {a: {credit_limit: 10, team: web}, b: {credit_limit: 5}}
  dev: {keys: {}}
"""
SIMULATOR: Any = {"simulator": "sim.db"}
READS: dict[str, Callable[..., Any]] = {
    "list": reconciler.list_keys,
    "show ci/a": lambda *given, **how: reconciler.show(Address("ci", "a"), *given, **how),
    "show 1": lambda *given, **how: reconciler.show(1, *given, **how),
    "balance": reconciler.balance,
    "activity": reconciler.activity,
    "activity --by key --days 3": lambda *given, **how: reconciler.activity(*given, by="key", days=3, **how),
}


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        key, _ = front.state.create_key("ci/a", Decimal(10))
        spend(front.state, key.id, 9)
        yield front.write(FILE)


def timeless(value: Any) -> Any:
    """Leave out when it was read: the second of two readings may be of the next second."""
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name != "at"}
    return [timeless(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("command", READS)
def test_programs_get_what_the_command_shows(front: Front, tmp_path: Path, command: str) -> None:
    read = READS[command]

    def both(*given: Any) -> list[dict[str, Any]]:
        found = [to_dict(read(*given, **SIMULATOR)), front(*command.split(), "--format", "json").document]
        return [timeless(each) for each in found]

    mine, theirs = both(load())
    assert mine == theirs
    (tmp_path / "keys.yaml").unlink()
    mine, theirs = both()
    assert mine == theirs


def test_a_verdict_is_what_check_shows(front: Front) -> None:
    verdict = reconciler.check(load(), **SIMULATOR)
    assert to_dict(verdict)["summary"] == front("check", "--format", "json").document["summary"]
    assert [str(alert.address) for alert in verdict.alerts] == ["ci/b"]
    assert verdict.standard
    asked = to_dict(reconciler.check(load(), check_destinations=True, **SIMULATOR))
    shown = front("check", "--check-destinations", "--format", "json").document
    assert [asked[part] for part in ("not_judged", "notes")] == [shown[part] for part in ("not_judged", "notes")]


def test_values_are_typed(front: Front) -> None:
    del front
    found = reconciler.list_keys(load(), environments=["ci"], days=7, **SIMULATOR)
    assert [(str(key.address), key.status) for key in found.keys] == [
        ("ci/a", KeyStatus.SETTLED),
        ("ci/b", KeyStatus.MISSING),
    ]
    shares = [key.share.value for key in found.keys if key.share is not None]
    assert shares == [Decimal("0.9")]
    assert reconciler.balance(minimum=Decimal(10**6), **SIMULATOR).suffices is False
    assert (found.errors, found.warnings) == ((), ())


def test_a_report_becomes_a_page_and_metrics(front: Front) -> None:
    found = reconciler.report(load(), days=2, daily=True, environments=("ci",), **SIMULATOR)
    assert [len(account.keys) for account in cast("Any", found.accounts)] == [2]
    assert HtmlPage(to_html(found, facts=["from a program"])).texts("h1") == ["API keys and credits"]
    assert "from a program" in to_html(found, facts=["from a program"])
    metrics = reconciler.report(load(), **SIMULATOR)
    written = [line for line in front("metrics").out.splitlines() if "timestamp" not in line]
    assert [line for line in to_openmetrics(metrics).splitlines() if "timestamp" not in line] == written


def test_a_plan_asks_the_destinations_too(front: Front) -> None:
    del front
    assert [each.rule for each in reconciler.plan(load(), **SIMULATOR).findings] == []
    asked = reconciler.plan(load(), preflight=True, check_destinations=True, **SIMULATOR)
    assert {each.rule for each in asked.findings} == {"not-checked"}


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: reconciler.list_keys(load(), days=31, **SIMULATOR), "1 to 30 days"),
        (lambda: reconciler.list_keys(load(), environments="ci", **SIMULATOR), "not one text"),
        (lambda: reconciler.list_keys(load(), environments=["cy"], **SIMULATOR), "known here: ci, dev"),
        (lambda: reconciler.activity(load(), by="planet", **SIMULATOR), "day, model, key"),
        (lambda: reconciler.activity(by="team", **SIMULATOR), "names the teams"),
        (lambda: reconciler.balance(environments=["ci"], **SIMULATOR), "declares the environments"),
        (lambda: reconciler.show("ci/c", load(), **SIMULATOR), "there is no key ci/c"),
    ],
)
def test_what_cannot_be_meant_is_refused(read: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read()


def test_an_account_that_cannot_be_read_is_said_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_a_service(tmp_path, monkeypatch) as accounts:
        accounts.declare_both("{x: {}}", "{x: {}}")
        monkeypatch.delenv(B)
        everything: list[Any] = [
            reconciler.list_keys(load()),
            reconciler.balance(load()),
            reconciler.activity(load()),
            reconciler.report(load()),
        ]
        for found in everything:
            assert len(found.errors) == 1
            assert B in found.errors[0]
        assert {each.account for each in reconciler.check(load()).unjudged} == {B}
        with pytest.raises(AccountError, match=A):
            reconciler.list_keys(load(), credentials={})
