"""The example of a policy does what its comments say, on plans of the real command, in a real Rego interpreter."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import pages
from support.command import Front, on_a_file
from support.packages import ROOT
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.simulator import State

RULES = ROOT / "docs/examples/policy/keys.rego"
FILE = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets.env}
  gh: {type: github-actions, repository: Acme/api}
  evil: {type: github-actions, repository: mallory/repo}
environments:
  ci:
    deletion_grace: 7d
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys: {}
  production:
    deliver: [{to: local, as: "KEY_{KEY}"}]
    keys: %s
"""
Decision = tuple[set[str], set[str]]


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def decide(plan: str) -> Decision:
    """Give what the policy denies and what it warns of."""
    regorus = pytest.importorskip("regorus", reason="there is no wheel of it for this machine")
    engine = regorus.Engine()
    engine.add_policy_from_file(str(RULES))
    engine.set_input_json(plan)
    return engine.eval_rule("data.main.deny"), engine.eval_rule("data.main.warn")


def used(name: str, cost: int) -> Callable[[State], None]:
    return lambda state: spend(state, state.create_key(name, Decimal(100))[0].id, cost)


def limited(name: str, limit: str) -> Callable[[State], object]:
    return lambda state: state.create_key(name, Decimal(limit))


@pytest.mark.parametrize(
    ("happen", "keys", "words", "decision"),
    [
        (lambda _: None, "{api: {credit_limit: 500}}", (), (set(), set())),
        (used("production/api", 9), "{}", (), (set(), set())),
        (used("production/api", 10), "{}", (), ({"production/api: it has spent $10 in 30 days"}, set())),
        (used("ci/tests", 12), "{}", (), ({"ci/tests: it has spent $12 in 30 days"}, set())),
        (used("production/api", 99), "{api: {credit_limit: 100}}", (), (set(), set())),
        (limited("production/api", "2.5"), "{api: {credit_limit: 5}}", (), (set(), set())),
        (
            limited("production/api", "2.5"),
            "{api: {credit_limit: 5.01}}",
            (),
            ({"production/api: the limit more than doubles, from $2.5"}, set()),
        ),
        (limited("production/api", "0"), "{api: {credit_limit: 500}}", (), (set(), set())),
        (
            lambda _: None,
            "{api: {credit_limit: 500}}",
            ("--allow", "ci/*", "--allow", "production/api"),
            ({"--allow production/api: only guardrails of ci are lifted here"}, set()),
        ),
        (
            lambda _: None,
            "{a: {credit_limit: null}}",
            (),
            ({"production/a: it would have no limit"}, {"1 more keys without a limit"}),
        ),
        (
            limited("production/a", "5"),
            "{a: {credit_limit: null}}",
            (),
            ({"production/a: it would have no limit"}, {"1 more keys without a limit"}),
        ),
        (
            lambda _: None,
            "{a: {credit_limit: 1, deliver: [{to: gh, as: A}, {to: evil, as: A}]}}",
            ("--base", "old.yaml"),
            (
                {"production/a: its secret would go to mallory/repo"},
                {"production/a: evil is new for its environment", "production/a: gh is new for its environment"},
            ),
        ),
    ],
)
def test_the_policy_decides_as_its_comments_say(
    front: Front, happen: Callable[[State], object], keys: str, words: tuple[str, ...], decision: Decision
) -> None:
    happen(front.state)
    Path("old.yaml").write_text(FILE % "{}")
    assert decide(front.write(FILE % keys)("plan", "--format", "json", *words).out) == decision


def test_it_holds_against_a_plan_without_an_account_too(front: Front) -> None:
    front.write(FILE % "{}")
    assert decide(front("plan", "--base", "keys.yaml", "--offline", "--format", "json").out) == (set(), set())


def test_the_page_shows_the_whole_policy() -> None:
    assert pages.blocks(pages.read("docs/policy.md"), "rego") == [RULES.read_text("utf-8")]
