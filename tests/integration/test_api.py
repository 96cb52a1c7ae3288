"""The Python API: what programs get from `from reconciler import load, plan, apply`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
import re
import runpy
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_type_hints

import pytest
from dotenv import dotenv_values
from jsonschema import Draft202012Validator

import reconciler
from reconciler import Address, Options, api, apply, digest, load, plan, revoke, to_dict
from reconciler.errors import (
    AccountError,
    DeclarationError,
    DestinationError,
    GuardrailRefused,
    RefusedByService,
    StalePlan,
    UsageError,
)
from reconciler.files import shipped_schema
from reconciler.planning.actions import Status
from support.command import Front, environment, on_a_file
from support.several import A, B, at_a_service, bearer_of, beside_each_other

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.planning.actions import Outcome

SIMULATOR = "sim.db"
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 1}}"
EXAMPLE = Path(__file__).parents[2] / "docs/examples/python/nightly_apply.py"


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


# --- what is imported -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "from reconciler import load, plan, apply",
        "import reconciler.planning.actions; from reconciler import apply, plan, load",
        "from reconciler.api import load, plan, apply",
        "import reconciler; load, plan, apply = reconciler.load, reconciler.plan, reconciler.apply",
    ],
    ids=["first", "after the parts", "from the module", "by attribute"],
)
def test_it_is_found_under_its_names_whatever_was_imported_before(front: Front, lines: str) -> None:
    front.declare(TWO)
    use = "d = load()\nprint(len(plan(d, simulator='sim.db').actions), apply(d, simulator='sim.db').in_sync)"
    program = [sys.executable, "-c", f"{lines}\n{use}"]
    done = subprocess.run(program, check=True, capture_output=True, text=True, env=environment())
    assert (done.stdout, done.stderr) == ("2 True\n", "")


def test_the_names_are_listed_before_they_are_used() -> None:
    program = "import reconciler; print(dir(reconciler) == sorted(reconciler.__all__))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_every_name_is_documented_and_says_what_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs/python-api.md").read_text("utf-8")
    assert set(reconciler.__all__) == {*api.__all__, "__version__"}
    for name in reconciler.__all__:
        assert re.search(rf"\b{name}\b", page), name
    for name in api.__all__:
        assert inspect.getdoc(getattr(reconciler, name)), name


def test_the_types_of_arguments_and_results_can_be_asked_for() -> None:
    """As frameworks do that check arguments, or make an endpoint from a function."""
    for name in filter(lambda name: inspect.isfunction(getattr(api, name)), api.__all__):
        hints = get_type_hints(getattr(api, name))
        assert set(hints) == {*inspect.signature(getattr(api, name)).parameters, "return"}


def test_importing_the_package_loads_nothing_else() -> None:
    program = "import sys, reconciler; print([name for name in sys.modules if name.startswith('reconciler.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_it_offers_is_functions_and_no_package_has_their_names() -> None:
    assert reconciler.plan is api.plan
    assert reconciler.apply is api.apply
    assert find_spec("reconciler.plan") is None
    assert find_spec("reconciler.apply") is None


def sent(value: Any) -> Any:
    """Give what arrives in another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # it is our own


def test_another_process_can_be_told_to_plan(front: Front) -> None:
    front.declare(TWO)
    function, argument = sent((plan, load()))
    actions = sent(function(argument, simulator=SIMULATOR).actions)
    assert [str(action.address) for action in actions] == ["ci/a", "ci/b"]


def test_another_process_can_tell_what_went_wrong(front: Front) -> None:
    """Else a pool of processes breaks, or waits for ever, as soon as one of them is refused."""
    front.declare("{a: {}}")
    with pytest.raises(DeclarationError) as invalid:
        load()
    refused = RefusedByService("402 insufficient_quota", status=402)
    refused.add_note("of the account of NAGA_A")
    errors = (invalid.value, refused, DestinationError("no answer", uncertain=True), StalePlan("it has moved"))
    assert [(type(error), error.args, vars(error)) for error in sent(errors)] == [
        (type(error), error.args, vars(error)) for error in errors
    ]
    assert (str(sent(refused)), sent(refused).status) == ("402 insufficient_quota", 402)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'reconciler' has no attribute 'plans'$"):
        _ = getattr(reconciler, "plans")  # noqa: B009  # the type checker knows better


# --- plan -------------------------------------------------------------------------------------------------------------


def test_planning_changes_nothing_and_says_nothing(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    front.state.create_key("ci/a", Decimal(5))
    front.declare(TWO)
    found = plan(load(), simulator=SIMULATOR)
    assert [(action.kind, str(action.address)) for action in found.actions] == [("update", "ci/a"), ("create", "ci/b")]
    document = to_dict(found)
    assert list(Draft202012Validator(json.loads(shipped_schema("plan.schema.json"))).iter_errors(document)) == []
    assert document["digest"] == digest(found)
    assert front.names() == ["ci/a"]
    assert capsys.readouterr() == ("", "")


def test_options_select_and_rotate(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    front.declare(TWO)
    options = Options(rotate=frozenset({Address("ci", "a")}), only=("ci/a",))
    assert [action.kind for action in plan(load(), options=options, simulator=SIMULATOR).actions] == ["rotate"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(rotate=frozenset({Address("ci", "aa")})), r"^ci/aa is not declared; rotate takes Address\("),
        (Options(environments=frozenset({"cii"})), "^environment cii is not declared$"),
        (
            Options(rotate=frozenset({Address("ci", "a")}), only=("ci/b",)),
            "^ci/a is to be rotated and left out by environments or only",
        ),
        (Options(allow=cast("Any", "ci/*")), "^allow is a tuple of texts, not one text: 'ci/\\*'$"),
        (Options(only=cast("Any", "ci/a")), "^only is a tuple of texts"),
        (Options(environments=cast("Any", "ci")), "^environments is a frozenset of texts"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(front: Front, options: Options, message: str) -> None:
    """Else a leaked key with a misspelt name would not be rotated, and all would be well."""
    front.declare(TWO)
    for function in (api.plan, api.apply):
        with pytest.raises(UsageError, match=message):
            function(load(), options=options, simulator=SIMULATOR)
    assert front.names() == []


@pytest.mark.parametrize("options", [Options(only=("ci/x",)), Options(allow=("ci/x",))])
def test_a_glob_that_matches_nothing_is_an_error(front: Front, options: Options) -> None:
    front.declare("{a: {credit_limit: 1}}")
    with pytest.raises(UsageError, match="ci/x matches no key"):
        plan(load(), options=options, simulator=SIMULATOR)


def test_an_environment_that_only_the_base_has_can_be_selected(front: Front) -> None:
    Path("old.yaml").write_text("{version: 1, environments: {gone: {keys: {a: {credit_limit: 1}}}}}")
    front.declare(TWO)
    options = Options(environments=frozenset({"gone"}))
    assert plan(load(), base=load("old.yaml"), options=options, simulator=SIMULATOR).actions == ()


def test_what_the_base_protects_stays_protected(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    Path("old.yaml").write_text("{version: 1, environments: {ci: {protected: true, keys: {a: {credit_limit: 1}}}}}")
    front.declare("{}")
    found = plan(load(), base=load("old.yaml"), simulator=SIMULATOR)
    assert [finding.rule for finding in found.errors] == ["protected"]
    with pytest.raises(GuardrailRefused):
        apply(load(), base=load("old.yaml"), simulator=SIMULATOR)
    with pytest.raises(GuardrailRefused):
        apply(load(), reviewed=found, simulator=SIMULATOR)
    assert front.names() == ["ci/a"]


def test_an_invalid_file_is_an_error_with_everything_that_is_wrong(front: Front) -> None:
    front.declare("{a: {}, b: {}}")
    with pytest.raises(DeclarationError) as caught:
        load()
    assert len(caught.value.diagnostics) == 2


# --- apply ------------------------------------------------------------------------------------------------------------


def test_applying_delivers_secrets_and_tells_each_outcome(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    front.declare(TWO)
    heard: list[Outcome] = []
    result = apply(load(), simulator=SIMULATOR, on_outcome=heard.append)
    assert (result.in_sync, result.count(Status.DONE), len(heard)) == (True, 2, 2)
    assert [change["status"] for change in to_dict(result)["changes"]] == ["done", "done"]
    secrets = dotenv_values("secrets.env")
    assert all(front.state.opens(secrets[f"KEY_{key}"] or "") for key in "AB")
    assert capsys.readouterr() == ("", "")
    assert apply(load(), simulator=SIMULATOR).in_sync


def test_what_was_reviewed_is_done_or_nothing_is(front: Front) -> None:
    front.declare(TWO)
    options = Options(only=("ci/a",))
    reviewed = plan(load(), options=options, simulator=SIMULATOR)
    assert apply(load(), reviewed=reviewed, simulator=SIMULATOR).count(Status.DONE) == 1
    with pytest.raises(StalePlan):
        apply(load(), reviewed=reviewed, simulator=SIMULATOR)
    with pytest.raises(UsageError, match="options belong to the plan"):
        apply(load(), reviewed=reviewed, options=options, simulator=SIMULATOR)
    assert front.names() == ["ci/a"]


def test_no_change_at_a_time_is_refused(front: Front) -> None:
    front.declare(TWO)
    with pytest.raises(UsageError, match=r"^parallelism is 1 or more, not 0$"):
        apply(load(), simulator=SIMULATOR, parallelism=0)


def test_a_listener_that_raises_ends_the_apply_and_the_next_one_completes_it(front: Front) -> None:
    front.declare(TWO)

    def listen(_: Outcome) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        apply(load(), simulator=SIMULATOR, parallelism=1, on_outcome=listen)
    assert front.names() == ["ci/a"]
    assert apply(load(), simulator=SIMULATOR).count(Status.DONE) == 1


def test_it_can_go_without_a_lock(front: Front) -> None:
    front.declare(TWO)
    front.state.create_key("reconciler~lock.rival", Decimal(0))
    assert apply(load(), simulator=SIMULATOR, lock_timeout=None).count(Status.DONE) == 2


def test_a_running_loop_is_refused(front: Front) -> None:
    front.declare(TWO)
    declaration = load()

    async def inside() -> None:
        plan(declaration, simulator=SIMULATOR)

    with pytest.raises(UsageError, match="an event loop is running"):
        asyncio.run(inside())
    found = asyncio.run(asyncio.to_thread(plan, declaration, simulator=SIMULATOR))
    assert len(found.actions) == 2


# --- several accounts, credentials ------------------------------------------------------------------------------------


def test_an_error_stands_for_itself(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its traceback would begin with how we have found out that no event loop is running."""
    monkeypatch.delenv("NAGA_PROVISIONING_KEY", raising=False)
    front.declare(TWO)
    with pytest.raises(UsageError, match=r"^NAGA_PROVISIONING_KEY ") as caught:
        plan(load())
    assert caught.value.__context__ is None


def test_credentials_are_taken_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_a_service(tmp_path, monkeypatch) as accounts:
        accounts.declare_both("{x: {}}", "{x: {}}")
        keys = {variable: bearer_of(variable) for variable in (A, B)}
        monkeypatch.delenv(A)
        monkeypatch.delenv(B)
        with pytest.raises(AccountError, match="NAGA_A "):
            plan(load())
        found = plan(load(), credentials={A: keys[A]})
        assert [finding.rule for finding in found.errors] == ["account-unread"]
        partly = apply(load(), credentials={A: keys[A]})
        assert (partly.unreached, partly.in_sync, accounts.names_of(A)) == ((B,), None, ["a/x"])
        assert apply(load(), credentials=keys).in_sync
        with pytest.raises(UsageError, match="hold the same provisioning key"):
            plan(load(), credentials={A: keys[A], B: keys[A]})
        assert keys[A] not in repr(found)


def test_what_happens_meanwhile_goes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from reconciler.account import lock

    acquire = lock.Lock._acquire
    with beside_each_other(tmp_path, monkeypatch) as accounts:

        async def meddle(self: lock.Lock, *how: Any) -> Any:
            if not accounts.names_of(B):
                accounts.states[B].create_key("b/stranger")
            return await acquire(self, *how)

        monkeypatch.setattr(lock.Lock, "_acquire", meddle)
        accounts.declare_both("{x: {}}", "{x: {}}")
        with caplog.at_level(logging.DEBUG, "reconciler.api"):
            assert apply(load(), simulator=SIMULATOR).in_sync
    assert "The account of NAGA_B has changed since it was planned: 2 actions now." in caplog.messages


def test_a_program_without_a_log_is_told_nothing() -> None:
    """Python prints warnings that no handler takes, and that requests are tried again is one."""
    program = "from reconciler import load; import logging; logging.getLogger('reconciler.account').warning('again')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_what_cannot_be_applied_is_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with beside_each_other(tmp_path, monkeypatch) as accounts, caplog.at_level(logging.INFO, "reconciler.api"):
        accounts.declare_both("{x: {}}", "{x: {}}")
        Path("secrets.env").mkdir()
        result = apply(load(), simulator=SIMULATOR)
    assert result.unreached == (A, B)
    assert [message.partition(":")[0] for message in caplog.messages] == ["error", "error"]


# --- the example ------------------------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_runs(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), SIMULATOR])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        assert isinstance(ended.value.code, int)
        return ended.value.code

    front.declare(TWO)
    assert run() == 0
    assert json.loads(capsys.readouterr().out) == {"done": 2, "failed": 0, "not_attempted": 0}
    front.declare("{a: {credit_limit: 1}}")
    assert run() == 3
    assert "not at night: this would delete ci/b" in capsys.readouterr().err
    front.state.create_key("somebody's own", Decimal(1))
    front.write("version: 1\nunmanaged: delete\nenvironments: {}\n")
    assert run() == 3
    assert "this would delete ci/a, ci/b, somebody's own\n" in capsys.readouterr().err
    Path("keys.yaml").unlink()
    assert run() == 1


# --- receivers, and a declaration that is no file ---------------------------------------------------------------------

HANDED_ON = """
version: 1
destinations: {app: {type: python}, audit: {type: python}}
environments:
  customers:
    deliver: [{to: app, as: "{key}"}, {to: audit, as: "{key}"}]
    keys:
      acme: {credit_limit: 5}
"""


def test_a_program_takes_the_secret_of_a_key_that_no_file_declares(front: Front) -> None:
    app: dict[str, str] = {}
    audit: list[str] = []
    declaration = load(text=HANDED_ON)
    receivers = {
        "app": lambda delivery: app.update({delivery.name: delivery.secret.reveal()}),
        "audit": lambda delivery: audit.append(f"{delivery.address} {delivery.secret}"),
    }
    result = apply(declaration, receivers=receivers, simulator=SIMULATOR)
    assert result.in_sync
    assert [*app] == ["acme"]
    assert app["acme"].startswith("ng-")
    assert audit == ["customers/acme <secret>"]
    assert not list(Path().glob("*.yaml"))
    again = apply(declaration, receivers=receivers, simulator=SIMULATOR)
    assert (again.in_sync, again.outcomes, len(audit)) == (True, (), 1)
    del front


def test_without_a_receiver_nothing_is_changed(front: Front) -> None:
    with pytest.raises(DestinationError, match="audit"):
        apply(load(text=HANDED_ON), receivers={"app": print}, simulator=SIMULATOR)
    assert len(plan(load(text=HANDED_ON), simulator=SIMULATOR).actions) == 1
    del front


def test_the_command_line_refuses_receivers_before_the_first_write(front: Front) -> None:
    Path("keys.yaml").write_text(HANDED_ON, "utf-8")
    program = [sys.executable, "-m", "reconciler", "apply", "--auto-approve", "--simulator", SIMULATOR]
    done = subprocess.run(program, check=False, capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert "receivers" in done.stderr
    assert len(plan(load(), simulator=SIMULATOR).actions) == 1
    del front


def test_what_is_wrong_in_a_text_has_its_place() -> None:
    with pytest.raises(DeclarationError) as caught:
        load(text="version: 1\nenvironments:\n  ci: {keys: {a: {}}}\n")
    assert [str(each.location) for each in caught.value.diagnostics] == ["<text>:3:15"]


def test_a_path_and_a_text_or_a_receiver_that_cannot_be_called_is_a_mistake_of_the_program() -> None:
    with pytest.raises(UsageError, match="not both"):
        load("keys.yaml", text=HANDED_ON)
    receivers: Any = {"app": "print"}
    with pytest.raises(UsageError, match="app"):
        apply(load(text=HANDED_ON), receivers=receivers, simulator=SIMULATOR)


# --- revoke -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "more"), [(("ci/a",), {}), ((Address("ci", "a"),), {}), ((1,), {}), ((), {"secret": "KEY_A"})]
)
def test_a_leaked_key_is_killed_and_replaced(front: Front, targets: tuple[Any, ...], more: dict[str, str]) -> None:
    front.declare(TWO)
    declaration = load()
    apply(declaration, simulator=SIMULATOR)
    leaked = str(dotenv_values("secrets.env")["KEY_A"])
    more = dict.fromkeys(more, leaked)
    ids = [key.id for key in front.state.keys() if key.name == "ci/a"]  # noqa: SIM118  # a method
    told: list[Any] = []
    options: Any = {"declaration": declaration, "simulator": SIMULATOR, "on_death": told.append, **more}
    result = revoke(
        *(ids[0] if target == 1 else target for target in targets),
        **options,
    )
    assert (result.exit_code, [*result.deaths], [str(death.address) for death in told]) == (0, told, ["ci/a"])
    assert to_dict(result)["replacements"][0]["status"] == "replaced"
    assert not front.state.opens(leaked)
    assert front.state.opens(str(dotenv_values("secrets.env")["KEY_A"]))
    assert plan(declaration, simulator=SIMULATOR).actions == ()


def test_without_a_declaration_it_is_only_killed_and_the_log_hears_of_a_lock(
    front: Front, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    front.declare(TWO)
    apply(load(), simulator=SIMULATOR)
    assert revoke("ci/a", simulator=SIMULATOR).replacements == ()
    monkeypatch.setattr("reconciler.engine.revoking.LOCK_TIMEOUT", timedelta(seconds=1))
    front.state.create_key("reconciler~lock.0", expires_at=front.state.now() + timedelta(minutes=2))
    with caplog.at_level("INFO", "reconciler.api"):
        result = revoke("ci/b", declaration=load(), simulator=SIMULATOR)
    assert [each.failure for each in result.replacements] == [None]
    assert "reconciler~lock.0" in caplog.text


def test_a_program_may_take_the_new_secret_and_what_means_nothing_is_refused(front: Front) -> None:
    declaration, taken = load(text=HANDED_ON), []
    receivers: Any = {"app": lambda delivery: taken.append(delivery.secret.reveal()), "audit": lambda _: None}
    apply(declaration, receivers=receivers, simulator=SIMULATOR)
    assert revoke("*", declaration=declaration, receivers=receivers, simulator=SIMULATOR).exit_code == 0
    assert [front.state.opens(secret) for secret in taken] == [False, True]
    for targets, options in (((), {}), ((), {"secret": "ng-x"}), (("ci/x",), {})):
        given: Any = options
        with pytest.raises(UsageError):
            revoke(*targets, simulator=SIMULATOR, **given)


def test_without_a_path_the_folder_is_loaded_where_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ci.yaml").write_text("version: 1\nenvironments: {ci: {keys: {folder: {credit_limit: 1}}}}\n")
    assert [str(key.address) for key in reconciler.load().keys] == ["ci/folder"]
    (tmp_path / "keys.yaml").write_text("version: 1\nenvironments: {ci: {keys: {file: {credit_limit: 1}}}}\n")
    assert [str(key.address) for key in reconciler.load().keys] == ["ci/file"]
