"""Plans and results to render: one that shows everything, ones for a given hostile text, and arbitrary ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from reconciler.diagnostic import Diagnostic, Location, Severity
from reconciler.model import (
    Activity,
    Address,
    DeclaredKey,
    Delivery,
    KeyState,
    LiveKey,
    Raise,
    Setting,
    Snapshot,
    Target,
    Usage,
)
from reconciler.planning.actions import (
    AccountPlan,
    ApplyResult,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Finish,
    Options,
    Outcome,
    Plan,
    PlanInputs,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    RotateReason,
    Status,
    Update,
)
from reconciler.planning.planner import make_plan
from support.builders import NOW, address, declaration, declared, dotenv, live

if TYPE_CHECKING:
    from reconciler.planning.actions import Action

NO_CREDIT = Credit(Decimal(0), Decimal(0), 0, 0)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def at(line: int, file: str = "keys.yaml") -> Location:
    return Location(file, line, 5)


def plan(*actions: Action, **fields: object) -> Plan:
    values: dict[str, object] = {
        "created_at": NOW,
        "actions": actions,
        "findings": (),
        "credit": NO_CREDIT,
        "unchanged": 0,
        "unmanaged": (),
        **fields,
    }
    account = AccountPlan(**values)  # type: ignore[arg-type]  # the fields are named by the caller
    return Plan((account,), account.findings)


def update(wanted: DeclaredKey, key: LiveKey, *fields: Field) -> Update:
    return Update(wanted, key, wanted.state, fields)


def renew(wanted: DeclaredKey, key: LiveKey, name: str, limit: str) -> Renew:
    after = replace(wanted.state, name=name, credit_limit=Decimal(limit))
    return Renew(wanted, key, after, (Field.NAME, Field.CREDIT_LIMIT))


def rename(wanted: DeclaredKey, key: LiveKey, *fields: Field) -> Rename:
    return Rename(wanted, key, wanted.state, (Field.NAME, *fields))


def rotate(wanted: DeclaredKey, key: LiveKey, *fields: Field, overlap: timedelta | None = WEEK) -> Rotate:
    return Rotate(wanted, key, fields, overlap, RotateReason.DUE)


def finish(wanted: DeclaredKey, key: LiveKey, old: LiveKey | None, overlap: timedelta | None = WEEK) -> Finish:
    return Finish(wanted, key, old, wanted.state, (Field.NAME,), overlap)


def restore(wanted: DeclaredKey, key: LiveKey, *fields: Field) -> Restore:
    return Restore(wanted, key, wanted.state, (Field.NAME, *fields))


def retire(text: str, key: LiveKey, source: Location) -> Retire:
    after = KeyState(f"{text}~gone.20261129T120000Z", False, key.credit_limit, key.expires_at)  # noqa: FBT003  # is_enabled, as the fields stand
    return Retire(address(text), key, after, (Field.NAME, Field.IS_ENABLED), WEEK, source)


def full_plan() -> Plan:
    """Every kind of action, finding and count at once, as a reviewer might meet them."""
    settings: tuple[tuple[str, Setting], ...] = (("environment", "ci"), ("repository", "acme/api"))
    github = Delivery(Target("github", "github-actions", settings), "NAGA_TESTS", at(30), new=True)
    tests = declared("ci/tests", "25", expires_at=NEW_YEAR, deliver=(dotenv(name="NAGA_TESTS"), github), source=at(34))
    sandbox = declared("ci/sandbox", None, is_enabled=False, source=at(35))
    api = declared("production/api", "500", source=at(23))
    nightly = declared("production/nightly-batch", "100", expires_at=NEW_YEAR, is_enabled=False, source=at(26))
    search = declared("production/search", "75", source=at(28))
    created = datetime(2026, 3, 31, 10, tzinfo=UTC)
    return plan(
        Create(sandbox),
        Create(tests),
        update(api, live(12, "production/api", "400"), Field.CREDIT_LIMIT),
        Delete(
            address("production/legacy"),
            live(7, "production/legacy", "50", created_at=created),
            DeleteReason.UNDECLARED,
            at(18),
        ),
        update(
            nightly,
            live(9, "production/nightly-batch", None),
            Field.IS_ENABLED,
            Field.CREDIT_LIMIT,
            Field.EXPIRES_AT,
        ),
        renew(
            declared("production/reports", "50", renew="month", source=at(27)),
            live(16, "production/reports~per.20261001.120.5", "170.5"),
            "production/reports~per.20261101.163.25",
            "213.25",
        ),
        rename(search, live(15, "search key (old)", "75")),
        Delete(
            address("production/worker"),
            live(21, "production/worker~new.k3v9x2", "5", created_at=created, expires_at=NOW),
            DeleteReason.LEASE_EXPIRED,
            at(18),
        ),
        finish(
            declared("staging/api", "50", source=at(41)),
            live(31, "staging/api~next", "50"),
            live(30, "staging/api", "50"),
        ),
        restore(
            declared("staging/batch", "20", source=at(42)),
            live(32, "staging/batch~gone.20261128T120000Z", "10", is_enabled=False),
            Field.IS_ENABLED,
            Field.CREDIT_LIMIT,
        ),
        retire("staging/demo", live(33, "staging/demo"), at(38)),
        rotate(declared("staging/search", "75", source=at(44)), live(34, "staging/search", "50"), Field.CREDIT_LIMIT),
        Delete(None, live(4, "someone's laptop", None, created_at=created), DeleteReason.UNMANAGED, None),
        findings=(
            Finding(
                "not-delivered",
                Severity.WARNING,
                "the key keeps its secret, but a secret cannot be read again: its destinations do not receive it",
                address("production/search"),
                at(28),
            ),
            Finding("unmanaged", Severity.NOTE, "1 key is not declared", None, at(1)),
            Finding(
                "protected",
                Severity.NOTE,
                "the key is protected, and this plan would delete it (allowed for this run)",
                address("production/legacy"),
                at(18),
                lifts=("production/legacy",),
            ),
            Finding("credit-budget", Severity.ERROR, "$675 is over the budget of $600", Address("production", "api")),
        ),
        credit=Credit(Decimal(525), Decimal("1700.5"), 1, 1, Decimal("125.50")),
        unchanged=4,
        unmanaged=(live(4, "someone's laptop", None), live(3, "demo")),
        usage={
            4: Usage(30, Decimal(0), 0),
            7: Usage(30, Decimal("28.34"), 892),
            12: Usage(30, Decimal("3150.000125"), 1_204_311),
            33: Usage(30, Decimal("0.5"), 1),
            34: Usage(30, Decimal(0), 0),
        },
    )


def full_result() -> ApplyResult:
    """Some done, one failed, some not attempted: an apply that was interrupted."""
    actions = full_plan().actions
    outcomes = (
        Outcome(actions[0], Status.FAILED, ".secrets/ci.env: no space left on device; the key was deleted again"),
        Outcome(actions[1], Status.DONE, key_id=57),
        Outcome(actions[2], Status.DONE),
        Outcome(actions[3], Status.NOT_ATTEMPTED, "interrupted"),
        Outcome(actions[5], Status.DONE, "was renamed already", 15),
        Outcome(actions[7], Status.DONE, key_id=31),
        Outcome(
            actions[8], Status.FAILED, "PATCH /account/keys/32: 503 after 5 tries; the next apply goes on from here"
        ),
        Outcome(actions[9], Status.DONE, key_id=33),
        Outcome(actions[10], Status.NOT_ATTEMPTED, "interrupted"),
        Outcome(actions[11], Status.NOT_ATTEMPTED),
    )
    remaining = plan(actions[0], actions[3], actions[8], actions[10], actions[11])
    return ApplyResult(outcomes, interrupted=True, remaining=remaining, note="read again at 12:00:05")


def plan_with(text: str) -> Plan:
    """A plan that carries a text wherever a plan can carry one from outside."""
    odd = Address(text, text)
    place = at(3, text)
    odd_settings: tuple[tuple[str, Setting], ...] = ((text, text), ("command", (text, "-c")))
    wanted = replace(
        declared("a/b", source=place, name=text),
        address=odd,
        deliver=(Delivery(Target(text, text, odd_settings), text, place, file=text, linked=True, new=True),),
    )
    return plan(
        Create(wanted),
        update(wanted, live(1, text), *Field),
        rename(wanted, live(1, text)),
        rotate(wanted, live(1, text), *Field),
        finish(wanted, live(1, text), live(4, text)),
        replace(retire("a/b", live(1, text), place), address=odd),
        restore(wanted, live(1, text)),
        Delete(odd, live(2, text), DeleteReason.UNDECLARED, place),
        Delete(None, live(3, text), DeleteReason.UNMANAGED, place),
        findings=(
            Finding(text, Severity.ERROR, text, odd, place),
            Finding("rule", Severity.NOTE, text),
            Finding(text, Severity.NOTE, text, odd, place, lifts=(text, text)),
        ),
        unmanaged=(live(3, text),),
    )


def result_with(text: str) -> ApplyResult:
    """A result that carries a text wherever a result can carry one from outside."""
    actions = plan_with(text).actions
    outcomes = tuple(Outcome(action, status, text) for action in actions for status in Status)
    return ApplyResult(outcomes, note=text)


def diagnostics_with(text: str) -> list[Diagnostic]:
    """Diagnostics that carry a text wherever one can carry it from outside."""
    return [Diagnostic(at(3, text), text, severity) for severity in Severity]


# --- arbitrary ones ---------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec=None), min_size=1, max_size=12)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
addresses = st.builds(Address, names, names)
moneys = st.decimals(0, 10**12, places=6, allow_nan=False, allow_infinity=False)
instants = st.datetimes(timezones=st.just(UTC))
durations = st.timedeltas(timedelta(0), timedelta(days=3_650))
locations = st.builds(Location, texts, st.integers(1, 10**6), st.integers(1, 200))
states = st.builds(KeyState, texts, st.booleans(), st.none() | moneys, st.none() | instants)
lives = st.builds(
    LiveKey,
    st.integers(1, 9) | st.integers(1, 10**9),
    texts,
    instants,
    st.none() | instants,
    st.booleans(),
    st.none() | moneys,
)
settings = st.lists(st.tuples(names, texts | st.booleans() | st.integers() | st.tuples(texts, texts)), max_size=2)
deliveries = st.builds(
    Delivery,
    st.builds(Target, texts, texts, settings.map(tuple)),
    texts,
    locations,
    st.none() | texts,
    st.booleans(),
    st.booleans(),
)
declareds = st.builds(
    DeclaredKey,
    addresses,
    texts,
    st.none() | moneys,
    st.booleans(),
    st.none() | instants,
    locations,
    st.lists(deliveries, max_size=2).map(tuple),
)
fields = st.sets(st.sampled_from(Field), min_size=1).map(lambda chosen: tuple(each for each in Field if each in chosen))
actions = st.one_of(
    st.builds(Create, declareds),
    st.builds(Update, declareds, lives, states, fields),
    st.builds(Rename, declareds, lives, states, fields),
    st.builds(Rotate, declareds, lives, fields, st.none() | durations, st.sampled_from(RotateReason)),
    st.builds(Finish, declareds, lives, st.none() | lives, states, fields, st.none() | durations),
    st.builds(Retire, addresses, lives, states, fields, durations, locations),
    st.builds(Restore, declareds, lives, states, fields),
    st.builds(Delete, st.none() | addresses, lives, st.sampled_from(DeleteReason), st.none() | locations),
)
findings = st.builds(
    Finding,
    names,
    st.sampled_from(Severity),
    texts,
    st.none() | addresses,
    st.none() | locations,
    lifts=st.lists(texts, max_size=2).map(tuple),
)
counts = st.integers(0, 10**6)
# Ids are drawn from few, so that some are those of keys that change.
usages = st.dictionaries(st.integers(1, 9), st.builds(Usage, st.integers(1, 30), moneys, counts), max_size=3)
plans = st.builds(
    AccountPlan,
    instants,
    st.lists(actions, max_size=5).map(tuple),
    st.lists(findings, max_size=3).map(tuple),
    st.builds(Credit, moneys, moneys, counts, counts, st.none() | moneys),
    counts,
    st.lists(lives, max_size=3).map(tuple),
    st.lists(lives, max_size=2).map(tuple),
    usages,
).map(lambda each: Plan((each,), each.findings))
outcomes = st.builds(Outcome, actions, st.sampled_from(Status), st.none() | texts, st.none() | st.integers(1, 10**9))
results = st.builds(
    ApplyResult, st.lists(outcomes, max_size=5).map(tuple), st.booleans(), st.none() | plans, st.none() | texts
)


def clock_plan(options: Options) -> Plan:
    """Give what time does: raises that begin and end, renewals, rotations that stopped, and what no clock asks for."""
    day = timedelta(days=1)
    ahead, past = Raise(Decimal(70), NOW + 3 * day), Raise(Decimal(70), NOW - day)
    keys = [
        declared("ci/begins", "50", raised=ahead),
        declared("ci/born", "50", raised=ahead),
        declared("ci/ends", "50", raised=past),
        declared("ci/renews", "50", renew="week", raised=past),
        declared("ci/stopped", "5"),
        declared("ci/waits", "5"),
        declared("ci/lost", "5"),
    ]
    account = Snapshot(
        (
            live(1, "ci/begins", "50", created_at=NOW - 9 * day),
            live(2, "ci/ends", "70", created_at=NOW - 9 * day),
            live(3, "ci/renews~per.20261109.12.5", "82.5", created_at=NOW - 20 * day),
            live(4, "ci/stopped", created_at=NOW - day),
            live(5, "ci/stopped~sent.00ff", expires_at=NOW + day / 2),
            live(6, "ci/waits", created_at=NOW - day),
            live(7, "ci/waits~next"),
            live(8, "ci/lost~new.00ff", expires_at=NOW + day / 2),
            live(9, "ci/over~old.20261121T000000Z", expires_at=NOW - day / 2),
        ),
        NOW,
    )
    usage = PlanInputs(activity=tuple(Activity(days, {}) for days in (1, 7, 8, 14, 30)))
    planned = make_plan(declaration(keys, ["ci"]), account, options, usage)
    return Plan((planned,), planned.findings)
