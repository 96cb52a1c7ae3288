"""What a run that is killed was doing, and every step of it: the requests and the system calls of the whole run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from support.spending import spend

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.crash_world import CrashWorld

QUARTER: Final = timedelta(days=91)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of change.

    `prepare` makes the account and the file; `requests` and `calls` are the steps of a run that nobody kills, when one
    change is made at a time; `engine` are the kinds of the engine's own keys that a recovery may leave to their time.
    `arguments` are those of the run that is killed: the one after it is an ordinary apply.
    """

    name: str
    prepare: Callable[[CrashWorld], None]
    requests: tuple[str, ...]
    calls: tuple[str, ...] = ()
    engine: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    bare: bool = False


def key(name: str, variable: str, settings: str = "credit_limit: 5") -> str:
    """Declare a key of one environment, its secret going to both files."""
    deliveries = ", ".join(f"{{to: {place}, as: {variable}}}" for place in ("one", "two"))
    return f"      {name}: {{{settings}, deliver: [{deliveries}]}}\n"


def environment(name: str, keys: str, settings: str = "") -> str:
    head = f"  {name}:\n{settings}    keys:"
    return f"{head}\n{keys}" if keys else f"{head} {{}}\n"


GRACE: Final = "    deletion_grace: 7d\n"
STEADY: Final = key("steady", "STEADY")


def _steady(world: CrashWorld) -> None:
    """Have a declared key that nothing has to be done about."""
    world.live("ci/steady", "STEADY")
    world.wanted["ci/steady"] = "STEADY"


def _create(world: CrashWorld) -> None:
    world.declare(environment("ci", key("api", "API")))
    world.wanted["ci/api"] = "API"


def _update(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API")
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API", "credit_limit: 9") + STEADY))


def _rename(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/once", "API")
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API", "credit_limit: 5, renamed_from: [ci/once]") + STEADY))


def _rotate(world: CrashWorld) -> None:
    world.live("ci/api", "API")
    world.state.travel(QUARTER)
    _steady(world)
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API", "credit_limit: 5, rotate_every: 90d") + STEADY))


def _leak(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API")
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API") + STEADY))


def _finish(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API")
    world.live("ci/api~next", "API")
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API") + STEADY))


def _retire(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API")
    world.declare(environment("ci", STEADY, GRACE))


def _restore(world: CrashWorld) -> None:
    _steady(world)
    world.live(f"ci/api~gone.{world.until(WEEK)}", "API", is_enabled=False)
    world.wanted["ci/api"] = "API"
    world.declare(environment("ci", key("api", "API") + STEADY, GRACE))


def _delete(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API")
    world.declare(environment("ci", STEADY))


def _renew(world: CrashWorld) -> None:
    """Have a budget whose second day begins, after 2 USD were spent on the first."""
    _steady(world)
    live = world.live(f"ci/api{world.period(0)}", "API")
    spend(world.state, live.id, 2)
    world.state.travel(DAY)
    world.wanted["ci/api"] = "API"
    world.spent["ci/api"] = Decimal(2)
    world.declare(environment("ci", key("api", "API", "credit_limit: 5, renew: day") + STEADY))


def _raise_over(world: CrashWorld) -> None:
    _steady(world)
    world.live("ci/api", "API", credit_limit=Decimal(9))
    world.wanted["ci/api"] = "API"
    until = world.state.now().replace(microsecond=0)
    settings = f"credit_limit: 5, raise: {{to: 9, until: {until:%Y-%m-%dT%H:%M:%SZ}}}"
    world.declare(environment("ci", key("api", "API", settings) + STEADY))


def _lease(world: CrashWorld) -> None:
    _steady(world)
    world.declare(environment("ci", STEADY) + "    leases:\n      agent: {credit_limit: 2, ttl: 15m}\n")


def _crowd(world: CrashWorld) -> None:
    """Have sixteen changes of all kinds to make at once, all their secrets in the same two files."""
    due = "credit_limit: 5, rotate_every: 90d"
    ci, prod = STEADY, ""
    for number in (1, 2):
        world.live(f"ci/due-{number}", f"DUE_{number}")
    world.state.travel(QUARTER)
    _steady(world)
    for number in (1, 2):
        ci += key(f"new-{number}", f"NEW_{number}") + key(f"due-{number}", f"DUE_{number}", due)
        prod += key(f"new-{number}", f"PROD_NEW_{number}")
        world.live(f"prod/half-{number}", f"HALF_{number}")
        world.live(f"prod/half-{number}~next", f"HALF_{number}")
        prod += key(f"half-{number}", f"HALF_{number}")
        world.live(f"prod/back-{number}~gone.{world.until(DAY)}", f"BACK_{number}", is_enabled=False)
        prod += key(f"back-{number}", f"BACK_{number}")
        world.live(f"prod/leaves-{number}", f"LEAVES_{number}")
        world.live(f"ci/ends-{number}", f"ENDS_{number}")
        world.wanted |= {f"ci/new-{number}": f"NEW_{number}", f"ci/due-{number}": f"DUE_{number}"}
        world.wanted |= {f"prod/new-{number}": f"PROD_NEW_{number}", f"prod/half-{number}": f"HALF_{number}"}
        world.wanted |= {f"prod/back-{number}": f"BACK_{number}"}
    world.live("ci/more", "MORE", credit_limit=Decimal(1))
    world.live("ci/once", "NOW")
    world.wanted |= {"ci/more": "MORE", "ci/now": "NOW"}
    ci += key("more", "MORE") + key("now", "NOW", "credit_limit: 5, renamed_from: [ci/once]")
    world.declare(environment("ci", ci) + environment("prod", prod, GRACE))


def _two_files(world: CrashWorld) -> None:
    """Have two teams with a file each, who deliver to files of the same names."""
    _steady(world)
    others = ""
    ci = STEADY
    for number in range(4):
        ci += key(f"new-{number}", f"NEW_{number}")
        others += key(f"new-{number}", f"OTHER_{number}")
        world.wanted |= {f"ci/new-{number}": f"NEW_{number}", f"others/new-{number}": f"OTHER_{number}"}
    world.declare(environment("ci", ci))
    world.declare(environment("others", others), file="others.yaml")


PLAN: Final = ("GET activity", "GET balance", "GET keys")
"""What the plan that is shown is made from: all read at once, so these three come in any order."""
LOCK: Final = ("GET keys", "POST keys", "GET keys")
CHECK: Final = "GET keys"
DELIVERY: Final = ("open", "chmod", "write", "fsync", "rename", "fsync folder")

CREATE: Final = Scenario(
    "create",
    _create,
    requests=(*PLAN, *LOCK, "POST keys", "PATCH keys/4", CHECK, "DELETE keys/3"),
    calls=("mkdir", "fsync folder", *DELIVERY) * 2,
    engine=("new",),
    bare=True,
)
UPDATE: Final = Scenario("update", _update, requests=(*PLAN, *LOCK, "PATCH keys/4", CHECK, "DELETE keys/5"))
RENAME: Final = Scenario("rename", _rename, requests=(*PLAN, *LOCK, "PATCH keys/4", CHECK, "DELETE keys/5"))
ROTATE: Final = Scenario(
    "rotate",
    _rotate,
    requests=(
        *(*PLAN, *LOCK),
        *("POST keys", "GET models", "GET models", "PATCH keys/6", "PATCH keys/6", "PATCH keys/3", "PATCH keys/6"),
        *(CHECK, "DELETE keys/5"),
    ),
    calls=DELIVERY * 2,
    engine=("new", "sent", "old"),
)
LEAK: Final = Scenario(
    "leak",
    _leak,
    requests=(
        *(*PLAN, *LOCK),
        *("POST keys", "GET models", "GET models", "PATCH keys/6", "PATCH keys/6", "PATCH keys/4", "PATCH keys/6"),
        *(CHECK, "DELETE keys/5"),
    ),
    calls=DELIVERY * 2,
    engine=("new", "sent", "old"),
    arguments=("--rotate", "ci/api", "--no-overlap"),
)
FINISH: Final = Scenario(
    "finish",
    _finish,
    requests=(*PLAN, *LOCK, "PATCH keys/4", "PATCH keys/5", CHECK, "DELETE keys/6"),
    engine=("old",),
)
RETIRE: Final = Scenario(
    "retire", _retire, requests=(*PLAN, *LOCK, "PATCH keys/4", CHECK, "DELETE keys/5"), engine=("gone",)
)
RESTORE: Final = Scenario(
    "restore", _restore, requests=(*PLAN, *LOCK, "GET keys/4", "PATCH keys/4", CHECK, "DELETE keys/5")
)
DELETE: Final = Scenario(
    "delete", _delete, requests=(*PLAN, *LOCK, "GET keys/4", "DELETE keys/4", CHECK, "DELETE keys/5")
)
RENEW: Final = Scenario(
    "renew",
    _renew,
    requests=(*PLAN, "GET activity", "GET activity", *LOCK, "PATCH keys/4", CHECK, "DELETE keys/5"),
    arguments=("--due",),
)
RAISE_OVER: Final = Scenario(
    "raise-over",
    _raise_over,
    requests=(*PLAN, *LOCK, "PATCH keys/4", CHECK, "DELETE keys/5"),
    arguments=("--due",),
)
RUN: Final = Scenario(
    "run",
    _lease,
    requests=("POST keys", "GET keys", "DELETE keys/4"),
    engine=("run",),
    arguments=("run", "ci/agent", "--", "true"),
)
ONE_BY_ONE: Final = (CREATE, UPDATE, RENAME, ROTATE, LEAK, FINISH, RETIRE, RESTORE, DELETE, RENEW, RAISE_OVER)

# In which order sixteen changes send their requests is up to the moment, so only how many there are of each is told.
# Secrets that are ready at the same time are written together, so a file is written once at least.
CROWD: Final = Scenario(
    "crowd",
    _crowd,
    requests=("GET",) * 13 + ("POST",) * 7 + ("PATCH",) * 22 + ("DELETE",) * 3,
    calls=DELIVERY * 2,
    engine=("new", "sent", "old", "gone"),
)

TWO_FILES: Final = Scenario("two-files", _two_files, requests=())
