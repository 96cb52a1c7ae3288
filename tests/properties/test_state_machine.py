"""The first promise, hunted: whatever people, the network, the disk and the clock do, no secret is lost or forgotten.

A random history of one account: edits of the file, work on the dashboard, time that passes, and applies that meet
faults, refusing destinations, kills and each other. What must hold is written in support/promises.py; it is checked
after every write to the account and every delivery, so that each moment counts as one at which everything could end.

The suite runs the same histories every time. To hunt for new ones, say how many:

    RECONCILER_HUNT=20000 pytest --hypothesis-profile=proof tests/properties/test_state_machine.py
"""

from __future__ import annotations

import operator
import os
import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.model import Delivery, Environment, Raise, Target
from reconciler.planning.actions import Delete, Finish, Options, Retire, Rotate, Status
from reconciler.planning.planner import make_plan
from support.builders import SOMEWHERE, address, declaration, declared, rails
from support.chaos import ChaosWorld, Moment, Mood, Order, Trouble
from support.promises import place
from support.search import examples
from support.spending import spend

if TYPE_CHECKING:
    from reconciler.model import Declaration, DeclaredKey
    from reconciler.simulator.state import Key
    from support.chaos import End

HUNT: Final = int(os.environ.get("RECONCILER_HUNT", "0"))

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ENVIRONMENTS: Final = ("ci", "production")
ADDRESSES: Final = [f"{environment}/{key}" for environment in ENVIRONMENTS for key in ("a", "b")]
STRANGERS: Final = ["stranger", "staging/a", "ci", "ci/~", "ci/a~mine", "x~new.00ff"]
LOCAL = Target("local", "dotenv", (("path", "local.env"),))
SHARED = Target("shared", "dotenv", (("path", "shared.env"),))
VAULT = Target("vault", "fake", ())
ROUTES: Final = {
    "file": (LOCAL,),
    "vault": (VAULT,),
    "file, vault": (LOCAL, VAULT),
    "vault, file": (VAULT, LOCAL),
    "file, file": (LOCAL, SHARED),
    "file, vault, file": (SHARED, VAULT, LOCAL),
}

# --- what befalls an apply --------------------------------------------------------------------------------------------

# Not among them: an answer to a PATCH or DELETE that is later than the client's patience. Nothing in the API could keep
# such a request from being carried out when everybody has forgotten it.
EFFECTS: Final = [
    *((method, effect) for method in ("POST", "GET") for effect in ("latency=5s", "latency=40s")),
    *((method, "latency=5s") for method in ("PATCH", "DELETE", "*")),
    *(
        (method, effect)
        for method in ("POST", "PATCH", "GET", "DELETE", "*")
        for effect in (
            "lose=before",
            "lose=after",
            "status=500",
            "status=503 when=after",
            "status=429 retry-after=2",
            "status=400",
            "status=403",
            "status=403 when=after",
            "rate=4/s",
            "body=html",
            "body=empty",
            "body=shape",
            "body=cut",
        )
    ),
    *(("POST", f"ignore={field}") for field in ("name", "credit_limit", "expires_at")),
    *(("PATCH", f"ignore={field}") for field in ("name", "credit_limit", "expires_at", "is_enabled")),
]
# What the service may do where its documentation is silent. Not among them: names that it alters, since a run that is
# killed then leaves a key that nobody can know for one of the engine's; it has a lease.
QUIRKS: Final = [
    *(
        "lag=300ms",
        "lag=8s",
        "* /v1/account/keys* lag=2s",
        "late=3s",
        "late=600s",
        "pages=3",
        "pages=3,oldest",
        "pages=4,total",
    ),
    *("odd-patch", "odd-patch=old", "odd-patch=junk", "odd-patch=204"),
    *("odd-delete", "odd-delete=202", "odd-delete=error"),
    *("blind-models", "trial=402", "trial=503", "strict-lock"),
    *("micros", "micros=list", "expired-disabled", "noise", "zoneless"),
]
HOW_OFTEN: Final = ["times=1", "times=1", "times=2", "times=7", "", "probability=0.3"]


@st.composite
def fault_specs(draw: st.DrawFn) -> str:
    method, effect = draw(st.sampled_from(EFFECTS))
    path = "/v1/models" if method == "GET" and draw(st.integers(0, 3)) == 0 else "*"
    return f"{method} {path} {effect} skip={draw(st.integers(0, 6))} {draw(st.sampled_from(HOW_OFTEN))}".strip()


quirk_specs = st.builds("{} {}".format, st.sampled_from(QUIRKS), st.sampled_from(["", "", "probability=0.3"]))
FAULTS = st.builds(operator.add, st.lists(fault_specs(), max_size=2), st.lists(quirk_specs, max_size=2))
MOODS = st.lists(st.sampled_from(Mood), max_size=4).map(tuple)
KILLS = st.builds(Trouble, st.integers(2, 24), st.sampled_from(Moment), MOODS)
TROUBLES = st.one_of(
    KILLS,
    st.builds(Trouble, st.none(), st.just(Moment.AFTER), MOODS, st.sampled_from([None, None, 1, 2])),
)
PARALLEL = st.sampled_from([1, 4, 16])
WHICH = st.integers(0, 11)
CHANGES: Final[dict[str, dict[str, Any]]] = {
    "lower limit": {"credit_limit": Decimal("0.5")},
    "no limit": {"credit_limit": None, "renew": None, "raised": None},
    "renews daily": {"credit_limit": Decimal(6), "renew": "day"},
    "renews weekly": {"credit_limit": Decimal(6), "renew": "week"},
    "renews no more": {"renew": None},
    "disabled": {"is_enabled": False},
    "enabled": {"is_enabled": True},
    "no expiry": {"expires_at": None},
    "rotated": {"rotate_every": 3 * DAY},
    "not rotated": {"rotate_every": None},
    "short overlap": {"rotation_overlap": HOUR},
    "long overlap": {"rotation_overlap": 7 * DAY},
    "not verified": {"verify": False},
}


class Histories(RuleBasedStateMachine):
    """A history of one account."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world = ChaosWorld(Path(self.folder.name))
        self.keys: dict[str, DeclaredKey] = {}
        self.removed: dict[str, DeclaredKey] = {}
        self.grace: dict[str, timedelta | None] = {}
        self.dropped: set[str] = set()
        self.before_last_edit: Declaration | None = None

    @initialize(
        days_ahead=st.sampled_from([0, 1, -1]),
        graces=st.tuples(st.sampled_from([None, 2]), st.sampled_from([2, None])),
        first=st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(list(ROUTES)), min_size=1),
    )
    def begin(self, days_ahead: int, graces: tuple[int | None, int | None], first: dict[str, str]) -> None:
        """Start with some keys in place, and a machine whose clock may be wrong."""
        self.world.ahead = days_ahead * DAY
        self.grace = {
            name: None if days is None else days * DAY for name, days in zip(ENVIRONMENTS, graces, strict=True)
        }
        for each, route in first.items():
            self._put(declared(each, deliver=self._deliveries(each, route)))
        self.apply_in_peace(4)

    # --- the file ---

    def declaration(self) -> Declaration:
        kept = [name for name in ENVIRONMENTS if name not in self.dropped]
        environments = [Environment(name, SOMEWHERE, self.grace[name]) for name in kept]
        keys = [key for key in self.keys.values() if key.address.environment in kept]
        return declaration(keys, environments, guardrails=rails(max_deletions=None))

    def _edit(self) -> None:
        self.before_last_edit = self.declaration()

    def _put(self, key: DeclaredKey) -> None:
        self.keys[key.name] = key

    def _some(self, which: int) -> DeclaredKey:
        names = sorted(self.keys)
        return self.keys[names[which % len(names)]]

    def _deliveries(self, each: str, route: str) -> tuple[Delivery, ...]:
        """Deliver under the key's own name, or another where a renamed key still has that."""
        others = {place(delivery) for key in self.keys.values() if key.name != each for delivery in key.deliver}
        name = each.upper().replace("/", "_")
        while any((target, name) in others for target in ROUTES[route]):
            name += "_"
        return tuple(Delivery(target, name, SOMEWHERE) for target in ROUTES[route])

    @rule(each=st.sampled_from(ADDRESSES), route=st.sampled_from(list(ROUTES)), revert=st.booleans())
    def declare_or_remove(self, each: str, route: str, *, revert: bool) -> None:
        """Take a key out of the file, or put one in: as it was before, or afresh."""
        self._edit()
        before = self.removed.get(each)
        if each in self.keys:
            self.removed[each] = self.keys.pop(each)
        elif before and revert and self._free(before.deliver):
            self._put(before)
        else:
            self._put(declared(each, deliver=self._deliveries(each, route)))
        note(f"{each} is {'declared' if each in self.keys else 'removed'}")

    def _free(self, deliveries: tuple[Delivery, ...]) -> bool:
        used = {place(delivery) for key in self.keys.values() for delivery in key.deliver}
        return used.isdisjoint(place(delivery) for delivery in deliveries)

    @rule(which=WHICH, to=st.sampled_from([*CHANGES, *ROUTES, "1 day", "3 days", "raised"]))
    @precondition(lambda self: self.keys)
    def change(self, which: int, to: str) -> None:
        self._edit()
        key = self._some(which)
        if to in CHANGES:
            self._put(replace(key, **CHANGES[to]))
        elif to in ROUTES:
            self._put(replace(key, deliver=self._deliveries(key.name, to)))
        elif to == "raised":
            until = self.world.clock.now().replace(microsecond=0) + 2 * DAY
            self._put(replace(key, credit_limit=Decimal(5), raised=Raise(Decimal(8), until)))
        else:
            self._put(replace(key, expires_at=self.world.clock.now().replace(microsecond=0) + int(to[0]) * DAY))
        note(f"{key.name}: {to}")

    @rule(which=WHICH, to=WHICH, keeps_its_places=st.booleans())
    @precondition(lambda self: 0 < len(self.keys) < len(ADDRESSES))
    def rename(self, which: int, to: int, *, keeps_its_places: bool) -> None:
        free = [each for each in ADDRESSES if each not in self.keys]
        new = free[to % len(free)]
        self._edit()
        old = self.keys.pop(self._some(which).name)
        deliver = old.deliver
        if not keeps_its_places:
            route = next(name for name, targets in ROUTES.items() if targets == tuple(to.target for to in deliver))
            deliver = self._deliveries(new, route)
        earlier = tuple(name for name in dict.fromkeys((*old.renamed_from, old.name)) if name != new)
        self._put(replace(old, address=address(new), name=new, deliver=deliver, renamed_from=earlier))
        note(f"{old.name} is called {new}")

    @rule(environment=st.sampled_from(ENVIRONMENTS), to=st.sampled_from(["no grace", "1 day", "7 days", "dropped"]))
    def change_an_environment(self, environment: str, to: str) -> None:
        """Change its grace, or drop it from the file or take it up again."""
        self._edit()
        if to == "dropped":
            self.dropped ^= {environment}
        else:
            self.grace[environment] = None if to == "no grace" else int(to[0]) * DAY

    # --- the dashboard ---

    @rule(name=st.sampled_from([*STRANGERS, *ADDRESSES]), expires=st.booleans())
    def somebody_makes_a_key(self, name: str, *, expires: bool) -> None:
        with self.world.ledger.hand():
            self.world.ledger.create_key(name, Decimal(3), self.world.clock.now() + DAY if expires else None)

    @rule(
        which=WHICH,
        what=st.sampled_from(["disable", "enable", "limit", "expire", "delete", "rename"]),
        name=st.sampled_from([*STRANGERS, *ADDRESSES]),
    )
    @precondition(lambda self: self._touchable())
    def somebody_changes_a_key(self, which: int, what: str, name: str) -> None:
        keys = self._touchable()
        key = keys[which % len(keys)]
        note(f"{what} {key.id} {key.name}")
        ledger = self.world.ledger
        with ledger.hand():
            match what:
                case "delete":
                    ledger.delete_key(key.id)
                case "rename":
                    ledger.update_key(key.id, name=name)
                case "limit":
                    ledger.update_key(key.id, credit_limit=Decimal(1))
                case "expire":
                    ledger.update_key(key.id, expires_at=self.world.clock.now().replace(microsecond=0) + HOUR)
                case _:
                    ledger.update_key(key.id, is_enabled=what == "enable")

    def _touchable(self) -> list[Key]:
        return [key for key in self.world.ledger.live() if not key.name.startswith("reconciler~lock.")]

    # --- use ---

    @rule(which=WHICH, cost=st.sampled_from([1, 3]))
    @precondition(lambda self: self._touchable())
    def somebody_uses_a_key(self, which: int, cost: int) -> None:
        keys = self._touchable()
        spend(self.world.ledger, keys[which % len(keys)].id, cost)

    @rule(environment=st.sampled_from(ENVIRONMENTS))
    def a_command_with_a_lease_is_killed(self, environment: str) -> None:
        """Its key is there until its lease ends, and nobody comes back for it."""
        with self.world.ledger.hand():
            end = self.world.clock.now() + timedelta(minutes=15)
            self.world.ledger.create_key(f"{environment}/agent~run.{self.world.nonce()}", Decimal(2), end)

    # --- time ---

    @rule(hours=st.sampled_from([1, 7, 25, 25, 49, 24 * 8, 24 * 30]))
    def time_passes(self, hours: int) -> None:
        self.world.travel(hours * HOUR)

    # --- applies ---

    def _rotation(self, which: int) -> Options:
        """Ask for the rotation of one of the keys, without overlap for the odd ones."""
        keys = self.declaration().keys
        if not keys:
            return Options()
        return Options(frozenset({keys[which // 2 % len(keys)].address}), overlap=which % 2 == 0)

    @rule(trouble=TROUBLES, faults=FAULTS, parallelism=PARALLEL)
    def apply_in_trouble(self, trouble: Trouble, faults: list[str], parallelism: int) -> None:
        order = Order(self.declaration(), trouble=trouble, parallelism=parallelism)
        self._told(self.world.apply(order, faults=faults))

    @rule(trouble=TROUBLES, faults=FAULTS, which=WHICH)
    def rotate_in_trouble(self, trouble: Trouble, faults: list[str], which: int) -> None:
        self._told(self.world.apply(Order(self.declaration(), self._rotation(which), trouble), faults=faults))

    @rule(trouble=TROUBLES, faults=FAULTS)
    def do_what_is_due_in_trouble(self, trouble: Trouble, faults: list[str]) -> None:
        self._told(self.world.apply(Order(self.declaration(), Options(due=True), trouble), faults=faults))

    @rule()
    def do_what_is_due_in_peace(self) -> None:
        wanted, options = self.declaration(), Options(due=True)
        (end,) = self.world.apply(Order(wanted, options))
        self._told([end])
        if end.error is None:
            left = make_plan(wanted, self.world.snapshot(), options, self.world.inputs(wanted))
            assert left.actions == (), "nothing else is due"

    @rule(trouble=KILLS, which=WHICH)
    def rotate_and_be_killed(self, trouble: Trouble, which: int) -> None:
        self._told(self.world.apply(Order(self.declaration(), self._rotation(which), trouble, 1)))

    @rule(trouble=KILLS, each=st.sampled_from(ADDRESSES), parallelism=PARALLEL)
    def remove_or_revert_and_be_killed(self, trouble: Trouble, each: str, parallelism: int) -> None:
        self.declare_or_remove(each, "file, vault", revert=True)
        self._told(self.world.apply(Order(self.declaration(), trouble=trouble, parallelism=parallelism)))

    @rule(troubles=st.tuples(TROUBLES, KILLS), of_yesterday=st.booleans(), faults=FAULTS, which=WHICH)
    def two_apply_at_once(
        self, troubles: tuple[Trouble, Trouble], faults: list[str], which: int, *, of_yesterday: bool
    ) -> None:
        wanted = other = self.declaration()
        if of_yesterday and self.before_last_edit:
            other = self.before_last_edit
        first, second = Order(wanted, self._rotation(which), troubles[0]), Order(other, trouble=troubles[1])
        self._told(self.world.apply(first, second, faults=faults))

    def _told(self, ends: list[End]) -> None:
        for end in ends:
            note(f"  {end}")
        for key in self.world.ledger.live():
            note(f"    {key.id} {key.name} {'on' if key.is_enabled else 'off'} {key.expires_at or ''}")

    @rule(parallelism=PARALLEL)
    def apply_in_peace(self, parallelism: int) -> None:
        self._settle_what_only_people_can()
        wanted = self.declaration()
        (end,) = self.world.apply(Order(wanted, parallelism=parallelism))
        self._told([end])
        assert end.result is not None, f"{end.error}"
        assert [outcome for outcome in end.result.outcomes if outcome.status is not Status.DONE] == []
        assert end.result.in_sync, end.result.remaining
        inputs = self.world.inputs(wanted)
        assert make_plan(wanted, self.world.snapshot(), Options(by_age=False), inputs).actions == ()
        self.world.promises.check_quiet(wanted)

    def _settle_what_only_people_can(self) -> None:
        """Do what the findings of the plan ask for; each must come from something that was done by hand."""
        for _ in range(4):
            for finding in make_plan(self.declaration(), self.world.snapshot()).errors:
                self._settle(finding.rule, self.keys[str(finding.address)])

    def _settle(self, rule: str, key: DeclaredKey) -> None:
        namesakes = [live for live in self.world.ledger.live() if live.name == key.name]
        by_hand = [live.id for live in namesakes if live.id in self.world.ledger.by_hand]
        if rule == "expiry-passed":
            self._put(replace(key, expires_at=None))
        elif len(namesakes) > 1:
            assert len(namesakes) - len(by_hand) <= 1, f"the engine made two keys of one name: {namesakes}"
            with self.world.ledger.hand():
                for key_id in by_hand[len(by_hand) == len(namesakes) :]:
                    self.world.ledger.delete_key(key_id)
        else:
            assert rule in ("duplicate-name", "ambiguous-key"), rule
            assert key.renamed_from, rule
            self._put(replace(key, renamed_from=()))

    # --- what must hold ---

    @invariant()
    def no_promise_is_broken(self) -> None:
        self.world.promises.check()
        assert self.world.promises.broken == [], "; ".join(self.world.promises.broken)
        assert self.world.ledger.strange == [], "no steps of the protocol"
        plan = make_plan(self.declaration(), self.world.snapshot())
        made_good = {action.live.name for action in plan.actions if isinstance(action, Rotate | Retire | Delete)}
        made_good |= {action.old.name for action in plan.actions if isinstance(action, Finish) and action.old}
        half = {name for name in self.world.promises.half_delivered() if name.partition("/")[0] not in self.dropped}
        assert plan.errors or half <= made_good, f"{half - made_good} would stay half delivered"

    def teardown(self) -> None:
        """After all leases, overlaps and graces nothing is left but what is declared and what people made."""
        try:
            if self.grace:
                self.dropped = set()
                self.apply_in_peace(4)
                self.world.travel(60 * DAY)
                self.apply_in_peace(4)
                self.no_promise_is_broken()
        finally:
            self.world.close()
            self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=HUNT or examples(100, gate=4), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
