"""`plan --preflight` and `plan --check-destinations`: what destinations are asked, and when."""

from __future__ import annotations

import asyncio
import stat
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.destinations.base import Held
from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.execution.executor import ask_destinations
from reconciler.model import Delivery
from reconciler.planning.deliveries import Answer, Due, Holding, undelivered
from support.builders import NOW, SOMEWHERE, address, live
from support.command import Ended, Front, on_a_file
from support.fakes import FakeDestination, FakeRegistry
from support.places.aws import AwsPlace
from support.places.github import GitHubPlace
from support.places.vault import VaultPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target
    from support.places.base import Place

ONE = "{a: {credit_limit: 1}}"
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 1}}"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def findings(ended: Ended) -> list[tuple[str, str, str | None, int | None]]:
    return [
        (each["rule"], each["severity"], each["address"], each["source"] and each["source"]["line"])
        for each in ended.document["findings"]
    ]


class Teller(FakeDestination):
    """Tells whose secrets it holds, as told."""

    def __init__(self, held: Mapping[str, Held] | str) -> None:
        super().__init__()
        self.described: list[Sequence[str]] = []
        self._told = held

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        self.described.append(names)
        if isinstance(self._told, str):
            raise DestinationError(self._told)
        return self._told


# --- plan asks nobody unless it is told to ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--format", "json"), ("--out", "plan.json"), ("--detailed-exitcode",)])
def test_a_plain_plan_touches_no_destination(
    front: Front, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def touched(*_: object, **__: object) -> None:
        msg = "a destination was touched"
        raise AssertionError(msg)

    monkeypatch.setattr(Registry, "__init__", touched)
    front.state.create_key("ci/b", Decimal(1))
    assert front.declare(TWO)("plan", *words).code in (0, 2)


def test_asking_writes_nothing_and_runs_nothing(front: Front) -> None:
    ran = Path("ran")
    program = Path("program.sh")
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    front.state.create_key("ci/b", Decimal(1))
    front.write(
        """\
        version: 1
        destinations:
          local: {type: dotenv, path: folder/secrets.env}
          run: {type: exec, command: [./program.sh]}
        environments:
          ci:
            deliver: [{to: local, as: "KEY_{KEY}"}, {to: run, as: "KEY_{KEY}"}]
            keys: {a: {credit_limit: 1}, b: {credit_limit: 1}}
        """
    )
    before = sorted(Path().rglob("*"))
    ended = front("plan", "--preflight", "--check-destinations", "--format", "json")
    assert ended.code == 0
    assert findings(ended) == [("allow-exec", "note", "ci/a", 7), ("not-checked", "note", None, None)]
    assert sorted(Path().rglob("*")) == before
    assert front.names() == ["ci/b"]


# --- --preflight ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", ["text", "json", "markdown", "github"])
def test_preflight_finds_what_apply_would_stumble_over(front: Front, output_format: str) -> None:
    Path("secrets.env").mkdir()
    front.declare(TWO)
    assert front("plan").code == 0
    ended = front("plan", "--preflight", "--format", output_format)
    assert ended.code == 3
    assert "preflight" in ended.out
    assert "secrets.env" in ended.out
    if output_format == "json":
        assert findings(ended) == [("preflight", "error", None, 6)]


def test_preflight_says_which_key_it_is_about_when_it_is_one(front: Front) -> None:
    Path("secrets.env").mkdir()
    assert findings(front.declare(ONE)("plan", "--preflight", "--format", "json")) == [
        ("preflight", "error", "ci/a", 6)
    ]


def test_preflight_wants_a_destination_for_each_new_secret(front: Front) -> None:
    front.write("{version: 1, environments: {ci: {keys: {a: {credit_limit: 1}}}}}")
    ended = front("plan", "--preflight", "--format", "json")
    assert ended.code == 3
    assert ("no-destination", "error", "ci/a", 1) in findings(ended)


def test_preflight_asks_about_what_the_plan_delivers_and_about_nothing_else(front: Front) -> None:
    Path("secrets.env").mkdir()
    front.state.create_key("ci/a", Decimal(1))
    front.declare(ONE)
    assert front("plan", "--preflight").code == 0
    assert front("plan", "--preflight", "--rotate", "ci/a").code == 3


def test_a_saved_plan_that_preflight_refused_is_not_applied(front: Front) -> None:
    Path("secrets.env").mkdir()
    assert front.declare(ONE)("plan", "--preflight", "--out", "plan.json").code == 3
    Path("secrets.env").rmdir()
    assert front("apply", "plan.json", "--auto-approve").code == 3
    assert front("plan", "--preflight", "--out", "plan.json").code == 0
    assert front("apply", "plan.json", "--auto-approve").code == 0


RUNS = """\
version: 1
destinations:
  run: {type: exec, command: ["true"]}
  another: {type: exec, command: ["true", "{name}"]}
environments:
  ci:
    deliver: [{to: run, as: "KEY_{KEY}"}]
    keys:
      a: {credit_limit: 1}
      b: {credit_limit: 1}
      c: {credit_limit: 1, deliver: [{to: another, as: c}]}
"""


@pytest.mark.parametrize("output_format", ["text", "json", "markdown", "github"])
def test_preflight_tells_that_apply_will_need_to_be_allowed_to_run_commands(front: Front, output_format: str) -> None:
    front.write(RUNS)
    assert "allow-exec" not in front("plan", "--format", output_format).out
    ended = front("plan", "--preflight", "--format", output_format)
    assert ended.code == 0
    said = ended.out.replace("`", "")  # which Markdown sets around options
    assert "another: a command of keys.yaml takes its secret, which apply runs only with --allow-exec" in said
    assert "run: a command of keys.yaml takes 2 secrets, which apply runs only with --allow-exec" in said
    if output_format == "json":
        assert findings(ended) == [("allow-exec", "note", "ci/c", 11), ("allow-exec", "note", None, 7)]


def test_the_note_on_commands_is_about_due_deliveries_only_and_keeps_no_plan_from_being_applied(front: Front) -> None:
    front.write(RUNS)
    assert front("plan", "--preflight", "--out", "plan.json").code == 0
    assert front("apply", "plan.json", "--auto-approve").code == 1
    assert front("apply", "plan.json", "--auto-approve", "--allow-exec").code == 0
    assert findings(front("plan", "--preflight", "--format", "json")) == []
    asked = front("plan", "--preflight", "--rotate", "ci/c", "--format", "json")
    assert findings(asked) == [("allow-exec", "note", "ci/c", 11)]


# --- --check-destinations ---------------------------------------------------------------------------------------------


def check(front: Front, monkeypatch: pytest.MonkeyPatch, local: FakeDestination, *words: str) -> Ended:
    monkeypatch.setattr(Registry, "open", lambda _, target: FakeRegistry(local=local).open(target))
    return front("plan", "--check-destinations", "--format", "json", *words)


def test_a_secret_that_is_missing_or_of_another_key_is_reported_and_rotating_is_the_way_out(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abcd":
        front.state.create_key(f"ci/{key}", Decimal(1))
    front.declare("{a: {credit_limit: 1}, b: {credit_limit: 1}, c: {credit_limit: 1}, d: {credit_limit: 1}}")
    teller = Teller({"KEY_A": Held(1, None), "KEY_B": Held(99, None), "KEY_D": Held(None, None)})
    ended = check(front, monkeypatch, teller)
    assert ended.code == 0
    assert findings(ended) == [("undelivered", "warning", "ci/b", 6), ("undelivered", "warning", "ci/c", 6)]
    assert "pass --rotate ci/c to deliver" in ended.out
    assert teller.described == [["KEY_A", "KEY_B", "KEY_C", "KEY_D"]]
    assert findings(check(front, monkeypatch, teller, "--rotate", "ci/b", "--rotate", "ci/c")) == []
    assert findings(check(front, monkeypatch, teller, "--only", "ci/a")) == []


def test_a_destination_that_fails_to_tell_does_not_fail_the_plan(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    front.state.create_key("ci/a", Decimal(1))
    ended = check(front.declare(ONE), monkeypatch, Teller("permission denied"))
    assert (ended.code, findings(ended)) == (0, [("not-checked", "warning", None, 6)])


def test_destinations_that_cannot_tell_are_said_so_once(front: Front) -> None:
    for key in "ab":
        front.state.create_key(f"ci/{key}", Decimal(1))
    ended = front.declare(TWO)("plan", "--check-destinations", "--format", "json")
    assert findings(ended) == [("not-checked", "note", None, None)]
    assert "destinations local" in ended.out


def test_where_no_key_is_live_nobody_is_asked(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    teller = Teller({})
    assert findings(check(front.declare(TWO), monkeypatch, teller)) == []
    assert teller.described == []


# --- the destinations that can tell -----------------------------------------------------------------------------------

TELLING: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Place], bool]] = {
    "aws-secrets-manager": (AwsPlace, True),
    "github-actions": (GitHubPlace, False),
    "vault": (VaultPlace, True),
}
"""The real systems, and whether they know of which key a secret is."""


@pytest.mark.parametrize("kind", TELLING)
def test_the_real_destinations_tell_what_they_hold(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, knows_keys = TELLING[kind]
    target = make(tmp_path, monkeypatch).target
    deliveries = [
        Due(address("ci/a"), live(7, "ci/a", created_at=NOW.replace(year=2020)), Delivery(target, name, SOMEWHERE))
        for name in ("NAGA_HELD", "NAGA_MISSING")
    ]

    async def deliver_and_ask() -> Mapping[Target, Answer]:
        registry = Registry()
        destination = registry.open(target)
        await destination.preflight(["NAGA_HELD"])
        await destination.deliver(secret_delivery("NAGA_HELD"))
        answers = await ask_destinations(deliveries, registry)
        await registry.aclose()
        return answers

    answers = asyncio.run(deliver_and_ask())
    held = answers[target].held
    assert held is not None
    assert set(held) == {"NAGA_HELD"}
    assert held["NAGA_HELD"].key_id == (7 if knows_keys else None)
    (finding,) = undelivered(deliveries, answers)
    assert "does not hold the secret of key 7 (ci/a) (NAGA_MISSING)" in finding.message


def secret_delivery(name: str) -> SecretDelivery:
    from reconciler.destinations.base import SecretDelivery
    from reconciler.secret import Secret

    return SecretDelivery(address("ci/a"), 7, name, Secret("ng-0123456789abcdefghij0123456789ab"))


def test_each_destination_is_asked_once_and_one_that_cannot_be_opened_is_an_answer() -> None:
    teller = Teller({"KEY_A": Held(1, NOW)})

    class Half(FakeRegistry):
        def open(self, target: Target) -> Any:
            if target.destination == "broken":
                msg = "no installed package offers it"
                raise DestinationError(msg)
            return super().open(target)

    from reconciler.model import Target as Place

    targets = [Place("vault", "vault", ()), Place("broken", "x", ()), Place("local", "dotenv", ())]
    due = [
        Due(address(f"ci/{key}"), live(1, f"ci/{key}"), Delivery(target, f"KEY_{key.upper()}", SOMEWHERE))
        for key in "ab"
        for target in targets
    ]
    registry: Any = Half(vault=teller, local=FakeDestination())
    answers = asyncio.run(ask_destinations(due, registry))
    assert teller.described == [["KEY_A", "KEY_B"]]
    assert [answers[target] for target in targets] == [
        Answer({"KEY_A": Holding(1, NOW)}),
        Answer(failure="no installed package offers it"),
        Answer(),
    ]


@pytest.mark.parametrize("told", [ZeroDivisionError("ng-secret"), SystemExit(3), {"KEY_A": "no Held"}, None])
def test_a_destination_that_breaks_while_it_tells_is_an_answer(told: object) -> None:
    from reconciler.model import Target as Place

    class Broken(FakeDestination):
        async def describe(self, _: Sequence[str]) -> Any:
            if isinstance(told, BaseException):
                raise told
            return told

    target = Place("broken", "acme.box", ())
    due = [Due(address("ci/a"), live(1, "ci/a"), Delivery(target, "KEY_A", SOMEWHERE))]
    registry: Any = FakeRegistry(broken=Broken())
    kind = type(told).__name__ if isinstance(told, BaseException) else "AttributeError"
    assert asyncio.run(ask_destinations(due, registry))[target] == Answer(
        failure=f"unexpected {kind}, a bug of the destination"
    )


ACME = """
import asyncio
from pathlib import Path

class Box:
    def __init__(self, target):
        self.drawer = Path(dict(target.settings)["drawer"])
    async def preflight(self, names):
        pass
    async def deliver(self, secret_delivery):
        self.drawer.write_text(f"{secret_delivery.name} {secret_delivery.secret.reveal()}")
"""


def test_a_type_of_another_package_takes_the_secrets_of_a_file_that_names_it(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = """{a: {credit_limit: 1, deliver: [{to: box, as: some thing}]}}
destinations: {box: {type: acme.box, drawer: "{environment}.txt"}}"""
    Path("keys.yaml").write_text(f"version: 1\nenvironments:\n  ci:\n    keys: {keys}\n", encoding="utf-8")
    missing = front("apply", "--auto-approve")
    assert missing.code == 1
    assert "box: no installed package offers the destination type 'acme.box' (there are: age, " in missing.err

    (tmp_path / "acme_box.py").write_text(ACME, encoding="utf-8")
    described = tmp_path / "acme_box-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-box\nVersion: 1.0\n", encoding="utf-8")
    (described / "entry_points.txt").write_text(
        "[reconciler.destinations]\nacme.box = acme_box:Box\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert front("apply", "--auto-approve").code == 0
    assert Path("ci.txt").read_text("utf-8").startswith("some thing ng-")
