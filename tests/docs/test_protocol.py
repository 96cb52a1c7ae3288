"""What docs/protocol.md says of each point at which a run can die is what the planner does there."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model import Environment, Snapshot
from reconciler.planning.matching import LEASE
from reconciler.planning.planner import make_plan
from support.builders import NOW, SOMEWHERE, declaration, declared, dotenv, live
from support.packages import ROOT

if TYPE_CHECKING:
    from reconciler.model import LiveKey


def described() -> Any:
    spec = importlib.util.spec_from_file_location("protocol", ROOT / "docs/generator/protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for the names in annotations
    spec.loader.exec_module(module)
    return module


PROTOCOLS = described().ALL
POINTS = [pytest.param(each, crash, id=crash.mark) for each in PROTOCOLS for crash in each.crashes]


def the_key(number: int, shown: str) -> LiveKey:
    """Make the key that the page shows: the first of an address is old, what came after it is an hour old."""
    name, _, remark = shown.partition(" ")
    name = name.replace("<nonce>", "0a").replace("<until>", "20300101T000000Z").replace("<past>", "20200101T000000Z")
    fresh = number > 0 or "~new" in name
    created = NOW - (timedelta(hours=1) if fresh else timedelta(days=100))
    key = live(number + 1, name, created_at=created, is_enabled="~gone" not in name)
    if "~new" in name or "~sent" in name:
        end = NOW if remark == "(lease over)" else created + LEASE
        return replace(key, expires_at=end)
    return replace(key, credit_limit=Decimal(400)) if remark == "(limit 400)" else key


@pytest.mark.parametrize(("protocol", "crash"), POINTS)
def test_the_next_plan_is_the_one_that_the_page_says(protocol: Any, crash: Any) -> None:
    delivering = any("~sent" in name for name in crash.live)
    every = timedelta(days=90) if protocol.rotate_every and not delivering else None
    wanted = [declared("production/api", "5", rotate_every=every, deliver=(dotenv(),))] if protocol.declared else []
    grace = timedelta(days=7) if protocol.grace else None
    file = declaration(wanted, environments=[Environment("production", SOMEWHERE, grace)])
    account = Snapshot(tuple(itertools.starmap(the_key, enumerate(crash.live))), NOW)
    plan = make_plan(file, account)
    assert [f"{action.kind} {action.address}" for action in plan.actions] == (
        [] if crash.next_plan == "nothing" else [f"{crash.next_plan} production/api"]
    )
    assert plan.errors == ()


def test_every_kind_of_change_has_its_crash_points_and_every_point_its_own_mark() -> None:
    marks = [crash.mark for each in PROTOCOLS for crash in each.crashes]
    assert len(set(marks)) == len(marks)
    said = {crash.next_plan for each in PROTOCOLS for crash in each.crashes}
    assert said == {"nothing", "create", "rotate", "finish", "update", "retire", "restore", "delete"}


def test_the_numbers_of_the_page_are_those_of_the_program() -> None:
    from reconciler.account import lock
    from reconciler.execution import executor, issue

    page = " ".join((ROOT / "docs/protocol.md").read_text("utf-8").split())
    assert timedelta(hours=24) == LEASE
    assert timedelta(minutes=2) == lock.LEASE
    assert issue.ATTEMPTS == 3
    for number in (
        f"renews the lease every {lock.RENEW_EVERY:.0f} seconds",
        f"tried every {lock.RETRY_RENEWAL_EVERY:.0f} seconds",
        f"From {lock.MARGIN.total_seconds():.0f} seconds before",
        f"({lock.SHORTEST_PAUSE} to {lock.SHORTEST_PAUSE + lock.LONGEST_PAUSE} seconds)",
        f"has {executor.GRACE_SECONDS:.0f} seconds",
        f"{issue.ATTEMPTS} times within {sum(issue.PAUSES):.0f} seconds".replace(
            "3 times within 4", "three times within four"
        ),
    ):
        assert re.search(re.escape(number), page), number
