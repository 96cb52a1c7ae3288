"""Guardrails at the command line: what they refuse, in every format and before the first write, and what lifts them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from support.command import Front, call, on_a_file, on_a_socket
from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.simulator import State

PLACES = {
    "text": "keys.yaml:{line}",
    "json": '"source": {{"file": "keys.yaml", "line": {line}}}',
    "markdown": "keys.yaml:{line}",
    "github": "file=keys.yaml,line={line}",
}

# The rule, the guardrails, the keys, and what is live and used.
CASES: dict[str, tuple[str, str, Callable[[State], object]]] = {
    "max-deletions": ("max_deletions: 1", "{}", lambda state: [state.create_key(f"ci/{key}") for key in "ab"]),
    "protected": ("protected: true", "{}", lambda state: state.create_key("ci/a")),
    "protect-active": ("protect_active: 7d", "{}", lambda state: spend(state, state.create_key("ci/a")[0].id, 1)),
    "credit-budget": ("credit_budget: 5", "{a: {credit_limit: 6}}", lambda _: None),
    "max-credit-limit": ("max_credit_limit: 5", "{a: {credit_limit: 6}}", lambda _: None),
    "require-limit": ("require_limit: true", "{a: {credit_limit: null}}", lambda _: None),
    "max-lifetime": ("max_lifetime: 30d", "{a: {credit_limit: 1}}", lambda _: None),
    "require-rotation": ("require_rotation: true", "{a: {credit_limit: 1}}", lambda _: None),
    "limit-below-spend": (
        "limit_below_spend: true",
        "{a: {credit_limit: 5}}",
        lambda state: spend(state, state.create_key("ci/a", Decimal(9))[0].id, 6),
    ),
}
FILE = """\
version: 1
destinations: {{local: {{type: dotenv, path: secrets.env}}}}
{account}
environments:
  ci:
    {environment}
    deliver: [{{to: local, as: "KEY_{{KEY}}"}}]
    keys: {keys}
"""


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def prepare(front: Front, rule: str, *, where: str = "account") -> None:
    guardrail, keys, happen = CASES[rule]
    layers = {"account": "", "environment": "", where: f"guardrails: {{{guardrail}}}"}
    front.write(FILE.format(keys=keys, **layers))
    happen(front.state)


@pytest.mark.parametrize("where", ["account", "environment"])
@pytest.mark.parametrize("rule", CASES)
def test_each_guardrail_refuses_in_every_format_and_before_the_first_write(front: Front, rule: str, where: str) -> None:
    prepare(front, rule, where=where)
    before, line = front.state.keys(), 3 if where == "account" else 6
    for output_format, place in PLACES.items():
        ended = front("plan", "--format", output_format, "--detailed-exitcode")
        assert ended.code == 3
        assert rule in ended.out
        assert place.format(line=line) in ended.out
    for output_format in ("text", "json", "markdown"):
        ended = front("apply", "--auto-approve", "--format", output_format)
        assert ended.code == 3
        assert "error: refused: " in ended.err
        assert rule in ended.out + ended.err
    assert front.state.keys() == before


@pytest.mark.parametrize("glob", ["ci/*", "*"])
@pytest.mark.parametrize("rule", CASES)
def test_each_guardrail_is_lifted_by_who_allows_the_address(front: Front, rule: str, glob: str) -> None:
    prepare(front, rule)
    ended = front("plan", "--allow", glob, "--format", "json")
    assert ended.code == 0
    noted = [(each["severity"], each["source"]) for each in ended.document["findings"] if each["rule"] == rule]
    assert noted == [("note", {"file": "keys.yaml", "line": 3})]
    assert rule in {each["rule"] for each in ended.document["lifted"]}
    applied = front("apply", "--auto-approve", "--allow", glob, "--format", "json")
    assert applied.code == 0
    assert applied.document["lifted"] == ended.document["lifted"]


def test_an_address_lifts_its_own_guardrails_and_no_others(front: Front) -> None:
    prepare(front, "max-deletions")
    front.state.create_key("ci/c")
    assert front("apply", "--auto-approve", "--allow", "ci/a").code == 3
    assert len(front.names()) == 3
    assert front("apply", "--auto-approve", "--allow", "ci/a", "--allow", "ci/b").code == 0
    assert front.names() == []


def test_all_violations_come_at_once(front: Front) -> None:
    front.write(
        FILE.format(
            account="guardrails: {max_credit_limit: 5, require_rotation: true, credit_budget: 10}",
            environment="",
            keys="{a: {credit_limit: 6}, b: {credit_limit: 7}}",
        )
    )
    found = {(each["rule"], each["address"]) for each in front("plan", "--format", "json").document["findings"]}
    assert found == {
        *((rule, f"ci/{key}") for rule in ("max-credit-limit", "require-rotation") for key in "ab"),
        ("credit-budget", "ci/b"),
    }


@pytest.mark.parametrize("what", ["balance", "activity"])
def test_what_cannot_be_read_beside_the_keys_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with on_a_socket(tmp_path, monkeypatch, f"GET /v1/account/{what} status=403") as front:
        ended = front.declare("{a: {credit_limit: 1}}")("plan", "--format", "json")
        (finding,) = ended.document["findings"]
        assert (ended.code, finding["rule"], finding["severity"]) == (0, "not-read", "warning")
        assert f"GET /v1/account/{what}: 403" in finding["message"]
        assert (ended.document["credit"]["balance"] is None) is (what == "balance")
        assert front("apply", "--auto-approve").code == 0
        assert front.names() == ["ci/a"]


def test_a_guardrail_that_cannot_be_checked_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403") as front:
        prepare(front, "protect-active")
        assert front("apply", "--auto-approve").code == 3
        assert front.names() == ["ci/a"]
        assert front("apply", "--auto-approve", "--allow", "ci/a").code == 0


def test_recent_use_stands_beside_what_takes_a_key_away(front: Front) -> None:
    spend(front.state, front.state.create_key("ci/a", Decimal(9))[0].id, 6, requests=892)
    front.declare("{}")
    assert "still in use: 892 requests, $6 in 30 days" in front("plan").out
    (change,) = front("plan", "--format", "json").document["changes"]
    assert change["spend"] == {"days": 30, "cost": "6", "requests": 892}


# --- what a run leaves alone ------------------------------------------------------------------------------------------

TWO_ENVIRONMENTS = """\
version: 1
unmanaged: {unmanaged}
guardrails: {{max_credit_limit: 5}}
destinations: {{local: {{type: dotenv, path: secrets.env}}}}
defaults: {{credit_limit: 1, deliver: [{{to: local, as: "{{ENVIRONMENT}}_{{KEY}}"}}]}}
environments:
  ci: {{keys: {{a: {{}}, b: {{}}}}}}
  production: {{keys: {{a: {{credit_limit: 9}}}}}}
"""


@pytest.mark.parametrize("unmanaged", ["delete", "error"])
@pytest.mark.parametrize(
    ("words", "created"),
    [
        (["-e", "ci"], ["ci/a", "ci/b"]),
        (["--only", "ci/a"], ["ci/a"]),
        (["--only", "*/b", "--only", "ci/a"], ["ci/a", "ci/b"]),
        (["-e", "ci", "--only", "*/a"], ["ci/a"]),
    ],
    ids=" ".join,
)
def test_what_a_selection_leaves_out_is_neither_changed_nor_judged(
    front: Front, words: list[str], created: list[str], unmanaged: str
) -> None:
    for name in ("production/gone", "stranger"):
        front.state.create_key(name)
    front.write(TWO_ENVIRONMENTS.format(unmanaged=unmanaged))
    assert front("plan").code == 3
    ended = front("apply", "--auto-approve", *words)
    assert (ended.code, ended.err.count("warning")) == (0, 0)
    assert set(front.names()) == {"production/gone", "stranger", *created}


def test_deletions_are_selected_too(front: Front) -> None:
    for name in ("ci/x", "ci/y", "production/x"):
        front.state.create_key(name)
    front.write("{version: 1, environments: {ci: {keys: {}}, production: {keys: {}}}}")
    ended = front("apply", "--auto-approve", "--only", "ci/x")
    assert ended.code == 0
    assert front.names() == ["ci/y", "production/x"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("", 1),
        (", id: 7", 0),
        (", renamed_from: [old]", 0),
        (", deliver: []", 0),
        (", deliver: [], rotate_every: 90d", 1),
        (", id: 7, rotate_every: 90d", 1),
        (", deliver: [], rotate_every: 90d, is_enabled: false", 0),
    ],
)
def test_validate_refuses_a_key_whose_secret_nobody_would_receive(front: Front, fields: str, code: int) -> None:
    front.write(f"version: 1\nenvironments:\n  ci:\n    keys:\n      a: {{credit_limit: 1{fields}}}\n")
    ended = call("validate")
    assert ended.code == code
    assert ended.err.startswith("keys.yaml:5:7: error: key 'ci/a' ") is bool(code)


@pytest.mark.parametrize("words", [("plan",), ("apply", "--auto-approve")])
def test_plan_and_apply_agree_on_a_key_whose_secret_nobody_would_receive(front: Front, words: tuple[str, ...]) -> None:
    front.write("{version: 1, environments: {ci: {keys: {a: {credit_limit: 1}}}}}")
    assert front(*words).code == 3
    front.state.create_key("ci/a", Decimal(1))
    assert front(*words).code == 0
    front.write("{version: 1, environments: {ci: {keys: {a: {credit_limit: 1}}}}}")
    assert front(*words, "--rotate", "ci/a").code == 3


@pytest.mark.parametrize("command", [("plan", "--detailed-exitcode"), ("apply", "--auto-approve")])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "prodction"], "production/"),
        (["--only", "production"], "production/"),
        (["--only", "production/"], "--only production/"),
        (["--allow", "ci/"], "--allow ci/"),
        (["--only", "ci/*", "--only", "prodction/*"], "--only prodction/*"),
        (["-e", "ci", "--only", "production/*"], "--only production/*"),
        (["--only", "stranger"], "--only stranger"),
        (["--allow", "ci/aa"], " ci/a?"),
        (["--allow", "strangers"], " stranger?"),
    ],
    ids=str,
)
def test_an_option_that_matches_nothing_is_an_error(
    front: Front, command: tuple[str, ...], words: list[str], said: str
) -> None:
    front.state.create_key("stranger")
    front.write(TWO_ENVIRONMENTS.format(unmanaged="report"))
    ended = front(*command, *words)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert front.names() == ["stranger"]


@pytest.mark.parametrize(
    "words",
    [
        ["--only", "ci/gone"],
        ["--only", "empty/*"],
        ["-e", "empty", "--only", "*"],
        ["--allow", "ci/gone"],
        ["--allow", "stranger"],
        ["--allow", "empty/*"],
        ["-e", "ci", "--allow", "production/a"],
    ],
    ids=str,
)
def test_what_is_live_or_reaches_a_whole_environment_is_something(front: Front, words: list[str]) -> None:
    for name in ("ci/gone", "stranger"):
        front.state.create_key(name)
    front.write(TWO_ENVIRONMENTS.format(unmanaged="report") + "  empty: {keys: {}}\n")
    ended = front("plan", *words)
    assert ended.out
    assert "matches no key" not in ended.err


@pytest.mark.parametrize("words", [("--only", "ci/x"), ("--allow", "ci/x")])
def test_a_plan_without_the_account_knows_what_matches_nothing_too(front: Front, words: tuple[str, ...]) -> None:
    front.write(TWO_ENVIRONMENTS.format(unmanaged="report"))
    ended = front("plan", "--base", "keys.yaml", "--offline", *words)
    assert (ended.code, ended.out) == (1, "")
    assert "matches no key" in ended.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prodution", " production?\n"),
        ("x\x1b", " x\\x1b "),
        ("prod", " production?\n"),
    ],
)
def test_an_environment_that_is_not_declared_is_refused(front: Front, name: str, said: str) -> None:
    front.write(TWO_ENVIRONMENTS.format(unmanaged="report"))
    ended = front("plan", "-e", name)
    assert (ended.code, ended.out, said in ended.err) == (1, "", True)


def test_pending_changes_outside_of_the_selection_are_not_pending(front: Front) -> None:
    front.write(TWO_ENVIRONMENTS.format(unmanaged="report"))
    front("apply", "--auto-approve", "-e", "ci")
    assert front("plan", "--detailed-exitcode", "-e", "ci").code == 0
    assert front("plan", "--detailed-exitcode", "--allow", "*").code == 2


def test_a_rotation_without_overlap_can_be_planned_and_is_held_by_protection(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    front.state.travel(timedelta(days=1))
    front.write(FILE.format(account="guardrails: {protected: true}", environment="", keys="{a: {credit_limit: 1}}"))
    assert front("plan", "--rotate", "ci/a").code == 0
    ended = front("plan", "--rotate", "ci/a", "--no-overlap")
    assert ended.code == 3
    assert "rotate it without overlap" in ended.out
