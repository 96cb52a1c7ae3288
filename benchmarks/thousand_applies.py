"""A thousand applies that are disturbed and killed at random, on one account: what became of the secrets?

Between two applies the declaration is edited, keys are used, commands with a lease are killed and time passes. During
them answers get lost, the service fails, slows down, lags, shows a part or talks nonsense, destinations refuse, and
the process dies at a random request or delivery. Nobody ever cleans up: whatever a run leaves is the next one's to put
right. The service is the embedded simulator, the secrets go to real dotenv files and to a place in memory, time is
virtual.

    .venv/bin/python benchmarks/thousand_applies.py
    .venv/bin/python benchmarks/thousand_applies.py --applies 200 --seed 7 --machine "my laptop"

Writes a page of Markdown, and ends with 1 when a secret was lost or a key was forgotten.
"""

from __future__ import annotations

import argparse
import logging
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the world to apply in is the tests'

from reconciler.model import Delivery, Environment, Raise, Target  # noqa: E402  # after the path is set
from reconciler.planning.actions import Options  # noqa: E402  # the same
from reconciler.planning.names import without_period  # noqa: E402  # the same
from support.builders import SOMEWHERE, address, declaration, declared  # noqa: E402  # the same
from support.chaos import ChaosWorld, End, Moment, Mood, Order, Trouble, what_it_does  # noqa: E402  # the same
from support.spending import spend  # noqa: E402  # the same

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.model import Declaration, DeclaredKey

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GRACES: Final = (None, 2 * DAY, 7 * DAY)
ADDRESSES: Final = [f"{environment}/{key}" for environment in ("ci", "production") for key in "abcdefgh"]
TARGETS: Final = (
    Target("first file", "dotenv", (("path", "first.env"),)),
    Target("second file", "dotenv", (("path", "second.env"),)),
    Target("vault", "fake", ()),
)
DISTURBANCES: Final = {
    "answers lost before the request was carried out": ("* * lose=before",),
    "answers lost afterwards": ("* * lose=after", "POST * lose=after", "PATCH * lose=after"),
    "5xx answers, nothing carried out": ("* * status=500", "* * status=503", "POST * status=502"),
    "5xx answers, carried out all the same": ("* * status=503 when=after", "POST * status=504 when=after"),
    "429 answers": ("* * status=429 retry-after=2", "* * status=429"),
    "4xx answers without a reason": ("* * status=403", "PATCH * status=400"),
    "unreadable bodies": ("* * body=html", "POST * body=cut", "* * body=empty", "* * body=shape"),
    "slow answers": ("* * latency=5s", "POST * latency=40s"),
    "answers that lag": ("lag=2s", "* /v1/account/keys* lag=500ms"),
    "lists in pages": ("pages=9", "pages=9,oldest", "pages=9,has_more"),
    "keys that come late": ("late=5s", "late=1800s"),
    "odd answers to a PATCH": ("odd-patch", "odd-patch=old", "odd-patch=junk", "odd-patch=204"),
    "odd answers to a DELETE": ("odd-delete", "odd-delete=202", "odd-delete=error"),
    "trials that tell nothing": ("blind-models", "trial=402", "trial=503"),
    "keys that are shown otherwise": ("micros", "micros=list", "noise", "zoneless", "expired-disabled"),
}
DELIVERIES: Final = {
    f"delivery {Mood.REFUSES}": "deliveries refused",
    f"delivery {Mood.BREAKS}": "deliveries that ended in an unforeseen error",
    f"delivery {Mood.LOST_BEFORE}": "deliveries without an answer, not arrived",
    f"delivery {Mood.LOST_AFTER}": "deliveries without an answer, arrived",
    f"delivery {Mood.SLOW}": "slow deliveries",
}
# What a fault is called by those of its words that say what it does.
KINDS: Final = {what_it_does(spec): kind for kind, specs in DISTURBANCES.items() for spec in specs}


@dataclass
class History:
    """A declaration that somebody keeps editing."""

    chance: random.Random
    keys: dict[str, DeclaredKey] = field(default_factory=dict)
    removed: dict[str, DeclaredKey] = field(default_factory=dict)
    grace: dict[str, timedelta | None] = field(default_factory=lambda: {"ci": None, "production": 2 * DAY})
    edits: Counter[str] = field(default_factory=Counter)

    def declaration(self) -> Declaration:
        """Give the file as it stands."""
        environments = [Environment(name, SOMEWHERE, grace) for name, grace in self.grace.items()]
        return declaration(self.keys.values(), environments)

    def edit(self, now: datetime) -> None:
        """Make a random change that a person could make."""
        free = [each for each in ADDRESSES if each not in self.keys]
        kinds = ["change a limit", "set a rotation", "deliver elsewhere", "change a grace period"]
        kinds += ["let a budget renew", "raise a limit"]
        kinds += ["add a key"] * (3 if len(self.keys) < len(ADDRESSES) * 3 // 4 else bool(free))
        kinds += ["remove a key"] * (2 if self.keys else 0)
        kinds += ["rename a key"] if self.keys and free else []
        kind = self.chance.choice(kinds)
        if kind == "change a grace period":
            self.grace[self.chance.choice(list(self.grace))] = self.chance.choice(GRACES)
        elif kind == "add a key":
            kind = self.add(self.chance.choice(free))
        elif self.keys:
            self._edit(kind, self.chance.choice(sorted(self.keys)), free, now)
        self.edits[kind] += 1

    def _edit(self, kind: str, name: str, free: Sequence[str], now: datetime) -> None:
        key = self.keys.pop(name)
        match kind:
            case "remove a key":
                self.removed[name] = key
                return
            case "rename a key":
                new = self.chance.choice(free)
                # It keeps its places: the consumers go on reading what they read.
                key = replace(key, address=address(new), name=new, renamed_from=(name,))
            case "set a rotation":
                key = replace(key, rotate_every=self.chance.choice([None, 2 * DAY, 10 * DAY]))
            case "deliver elsewhere":
                key = replace(key, deliver=self._deliveries(name))
            case "let a budget renew":
                key = replace(key, credit_limit=Decimal(4), renew=self.chance.choice(["day", "week", "month", None]))
            case "raise a limit":
                until = now.replace(microsecond=0) + self.chance.choice([HOUR, 2 * DAY])
                key = replace(key, credit_limit=Decimal(4), raised=Raise(Decimal(6), until))
            case _:
                limit = self.chance.choice([None, Decimal(1), Decimal("2.5")])
                key = replace(key, credit_limit=limit, raised=None, renew=key.renew if limit else None)
        self.keys[key.name] = key

    def add(self, name: str) -> str:
        """Declare a key, as it was before if it can be; say which of the two it was."""
        before = self.removed.get(name)
        used = {(to.target, to.name) for key in self.keys.values() for to in key.deliver}
        if before and used.isdisjoint((to.target, to.name) for to in before.deliver):
            self.keys[name] = before
            return "revert a removal"
        self.keys[name] = declared(name, deliver=self._deliveries(name))
        return "add a key"

    def _deliveries(self, name: str) -> tuple[Delivery, ...]:
        """Deliver to one to three places, under a name that no other key has there."""
        used = {to.name for key in self.keys.values() for to in key.deliver}
        variable = name.upper().replace("/", "_")
        while variable in used:
            variable += "_"
        targets = self.chance.sample(TARGETS, self.chance.randint(1, len(TARGETS)))
        return tuple(Delivery(target, variable, SOMEWHERE) for target in targets)


@dataclass
class Tally:
    """What happened, and what came of it."""

    applies: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    travelled: timedelta = timedelta(0)
    lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    seconds: float = 0.0


def random_trouble(chance: random.Random) -> Trouble:
    """Let an apply be killed, or its deliveries fail, or both."""
    moods = tuple(chance.choice(list(Mood)) if chance.random() < 0.25 else Mood.FINE for _ in range(12))  # noqa: PLR2004  # a quarter
    killed_at = chance.choice([None, chance.randint(1, 20), chance.randint(1, 60)])
    return Trouble(killed_at, chance.choice(list(Moment)), moods, chance.choice([None, None, None, 3]))


def random_faults(chance: random.Random) -> list[str]:
    """Let the service do up to three things that nobody hopes for, each now and then."""
    kinds = chance.sample(sorted(DISTURBANCES), chance.choice([0, 1, 1, 2, 3]))
    return [
        f"{chance.choice(DISTURBANCES[kind])} probability=0.{chance.choice(['05', '1', '2', '3'])}" for kind in kinds
    ]


def how(end: End) -> str:
    """Say how an apply ended."""
    if end.killed:
        return "killed"
    if end.result is None:
        return "given up before its end, with an error"
    if end.result.interrupted:
        return "stopped, as by Ctrl-C"
    if end.result.outcomes and not end.result.in_sync:
        return "applied in part"
    return "done" if end.result.outcomes else "nothing to do"


def disturb(world: ChaosWorld, history: History, applies: int, chance: random.Random) -> Tally:
    """Apply that many times, and then once in peace when all leases have run out."""
    tally, begun = Tally(), time.perf_counter()
    while tally.applies < applies:
        for _ in range(chance.choice([0, 1, 1, 2, 4])):
            history.edit(world.clock.now())
        live_on(world, chance, tally)
        passing = chance.choice([0, 0, 1, 5, 20, 30, 200]) * HOUR
        world.travel(passing)
        tally.travelled += passing
        wanted = history.declaration()
        asked = chance.sample(wanted.keys, 1) if wanted.keys and chance.random() < 0.2 else []  # noqa: PLR2004  # a fifth
        options = Options(frozenset(key.address for key in asked), overlap=chance.random() < 0.5)  # noqa: PLR2004  # a half
        if not asked and chance.random() < 0.3:  # noqa: PLR2004  # a night
            options = Options(due=True)
            tally.asked["applies of what is due alone"] += 1
        orders = [Order(wanted, options, random_trouble(chance), chance.choice([1, 4, 16]))]
        if chance.random() < 0.1:  # noqa: PLR2004  # a tenth: two at the same time
            orders.append(Order(wanted, trouble=random_trouble(chance)))
        ends = world.apply(*orders, faults=random_faults(chance))
        tally.applies += len(ends)
        tally.ends.update(map(how, ends))
        progress(tally.applies, applies)
    finish(world, history, tally)
    tally.seconds = time.perf_counter() - begun
    return tally


def live_on(world: ChaosWorld, chance: random.Random, tally: Tally) -> None:
    """Have keys used, and commands with a lease killed: their keys are nobody's any more."""
    for key in world.ledger.live():
        if chance.random() < 0.2:  # noqa: PLR2004  # a fifth
            spend(world.ledger, key.id, chance.choice([1, 2]))
    if chance.random() < 0.3:  # noqa: PLR2004  # now and then
        with world.ledger.hand():
            end = world.clock.now() + timedelta(minutes=15)
            world.ledger.create_key(f"ci/agent~run.{world.nonce()}", Decimal(2), end)
        tally.asked["commands with a lease that were killed"] += 1


def finish(world: ChaosWorld, history: History, tally: Tally) -> None:
    """Apply what the file says, let everything run out, apply once more, and look for what is lost and what is left."""
    tally.lost += world.promises.broken
    world.promises.broken.clear()
    if not history.keys:
        history.add(ADDRESSES[0])
    world.apply(Order(history.declaration()))
    world.travel(60 * DAY)
    # A change of each key's limit, so that there certainly is something to apply, and no rotation on top.
    for name, key in history.keys.items():
        history.keys[name] = replace(key, credit_limit=Decimal(9), rotate_every=None, raised=None)
    wanted = history.declaration()
    (end,) = world.apply(Order(wanted))
    if end.result is None or not end.result.in_sync:
        tally.lost.append(f"the last apply, which nothing disturbed, ended with: {end}")
    world.promises.check_quiet(wanted)
    tally.lost += world.promises.broken
    names = {key.name for key in wanted.keys}
    left = [key for key in world.ledger.live() if without_period(key.name) not in names]
    tally.orphans += [f"key {key.id} ({key.name})" for key in left]


def progress(done: int, whole: int) -> None:
    """Show on a terminal how far it is."""
    if sys.stderr.isatty():
        print(f"\r{done}/{whole}", end="" if done < whole else "\n", file=sys.stderr, flush=True)


def disturbances(world: ChaosWorld) -> Counter[str]:
    """Count what befell the applies, by kind."""
    counted: Counter[str] = Counter()
    for kind, count in world.troubles.items():
        counted[KINDS.get(kind) or DELIVERIES[kind]] += count
    counted.update({f"kills {moment} a request or a delivery": count for moment, count in world.kills.items()})
    return counted


def table(head: str, counts: Counter[str]) -> list[str]:
    """Write counts as a table."""
    return [f"| {head} | |", "|---|---:|", *(f"| {kind} | {count:,} |" for kind, count in sorted(counts.items())), ""]


def page(world: ChaosWorld, history: History, tally: Tally, chosen: argparse.Namespace) -> str:
    """Write the result."""
    created = world.promises.settled_once
    troubles = disturbances(world)
    python = f"{platform.python_implementation()} {platform.python_version().rpartition('.')[0]}"
    inputs = [
        ("**secrets lost**", f"**{len(tally.lost)}**"),
        ("**orphans left**", f"**{len(tally.orphans)}**"),
        ("applies", f"{tally.applies:,}"),
        ("disturbances, kills among them", f"{troubles.total():,}"),
        ("kills", f"{world.kills.total():,}"),
        ("keys declared at the end", f"{len(history.keys):,}"),
        ("keys created, from the first POST to their declared name", f"{created:,}"),
        ("POSTs of keys", f"{world.posts['key']:,}"),
        ("POSTs per key created", f"{world.posts['key'] / max(created, 1):.2f}"),
        ("POSTs of locks", f"{world.posts['lock']:,}"),
        *((what, f"{count:,}") for what, count in sorted(tally.asked.items())),
        ("days that passed", f"{tally.travelled.days:,}"),
        ("duration", f"{tally.seconds:.0f} s"),
    ]
    lines = [
        "# A thousand applies" if chosen.applies == DEFAULT_APPLIES else f"# {chosen.applies:,} applies",
        "",
        f"`python benchmarks/thousand_applies.py --applies {chosen.applies} --seed {chosen.seed}`,",
        f"{chosen.machine}, {python}.",
        "",
        "A secret is lost when a working key of the engine stands under its declared name and one of its destinations",
        "holds anything but its secret, with no sign by which the next apply would rotate it; it is looked for after",
        "every write to the account and every delivery. So is a budget whose live name counts more than its key had",
        "spent before the period: that key could spend more than its allowance. An orphan is a key that nobody has",
        "declared, still there after everything has run out and one apply without disturbance.",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {value} |" for name, value in inputs),
        "",
        *table("What befell them", troubles),
        *table("How the applies ended", tally.ends),
        *table("Edits of the file", history.edits),
    ]
    return "\n".join(lines).rstrip() + "\n"


DEFAULT_APPLIES: Final = 1000


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--applies", type=int, default=DEFAULT_APPLIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--machine", default="2 shared cores", help="named in the result")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "thousand_applies.md")
    return parser.parse_args()


def main() -> int:
    """Run, write the page, and say with the exit code whether what must be 0 is."""
    chosen = read_options()
    chance = random.Random(chosen.seed)  # noqa: S311  # the same seed, the same histories
    history = History(chance)
    with tempfile.TemporaryDirectory() as folder:
        world = ChaosWorld(Path(folder))
        tally = disturb(world, history, chosen.applies, chance)
        result = page(world, history, tally, chosen)
        world.close()
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(result)
    print(result, end="")
    for loss in (*tally.lost, *(f"orphan: {orphan}" for orphan in tally.orphans)):
        print(loss, file=sys.stderr)
    return 1 if tally.lost or tally.orphans else 0


if __name__ == "__main__":
    logging.getLogger("reconciler").setLevel(logging.CRITICAL)  # it would tell of every disturbance
    sys.exit(main())
