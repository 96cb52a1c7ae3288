"""Short ways to make what alerts are judged by; every field has a default that does not matter."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reconciler.diagnostic import Location
from reconciler.insight.alerts import Evidence, Standing
from reconciler.insight.balance import Pace, Runway
from reconciler.insight.inventory import take_inventory
from reconciler.model import KEY_VARIABLE, Alerts, Rule
from reconciler.planning.actions import Options, PlanInputs
from reconciler.planning.planner import make_plan
from support.builders import declaration, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model import Activity, Declaration, LiveKey

DAY = timedelta(days=1)
EVERYTHING = Options(by_age=False)


def alerts(line: int = 3, **values: Any) -> Alerts:
    """Alerts of these values, all declared at a line."""
    return Alerts(**{name: Rule(value, Location("keys.yaml", line, 3)) for name, value in values.items()})


def runway(days: str | None, cost: str = "7") -> Runway:
    return Runway(Pace(7, 7, Decimal(cost)), None if days is None else Decimal(days))


def standing(
    keys: Iterable[LiveKey] = (), wanted: Declaration | None = None, activities: Iterable[Activity] = ()
) -> Standing:
    """An account with these keys as it stands to a declaration."""
    account, wanted, activities = snapshot(*keys), wanted or declaration(), tuple(activities)
    inventory = take_inventory(KEY_VARIABLE, account, activities, wanted)
    return Standing(inventory, make_plan(wanted, account, EVERYTHING, PlanInputs(activity=activities)))


def evidence(**fields: Any) -> Evidence:
    values: dict[str, Any] = {
        "account": KEY_VARIABLE,
        "balance": Decimal(100),
        "runway": runway("100"),
        "standing": standing(),
        **fields,
    }
    return Evidence(**values)
