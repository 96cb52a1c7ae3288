from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.insight.balance import Balance, BalanceReport
from reconciler.render import activity, balance
from reconciler.render.activity import activity_csv, activity_document
from reconciler.render.escape import to_json
from support import insights
from support.builders import NOW

FOLDER = Path(__file__).parent
UPDATE = "UPDATE_GOLDEN" in os.environ
HOSTILE = '=1+1 \x1b[2J\x07\r::error::a\nb\u202e\u200b##[group]|<b>`é漢 @a #1 %0A,"'

KEYS = insights.report("key")
DAILY = insights.report("key", 3, daily=True)
ODD = insights.report("key", 2, HOSTILE, daily=True)
TWO = insights.two_accounts()
LOW = insights.balance("125.5", "200")
SEVERAL = BalanceReport(
    NOW, (*insights.balance().accounts, *insights.balance(None, variable="NAGA_OTHER_KEY").accounts)
)
BARE = BalanceReport(NOW, (Balance("NAGA_PROVISIONING_KEY", (), Decimal("0.5")),), Decimal("0.5"))

GOLDEN = {
    "activity-key.txt": activity.render_text(KEYS, color=False, width=None, top=30),
    "activity-key.ansi": activity.render_text(KEYS, color=True, width=120, top=30),
    "activity-80-columns.txt": activity.render_text(KEYS, color=False, width=80, top=30),
    "activity-40-columns.txt": activity.render_text(KEYS, color=False, width=40, top=3),
    "activity-day.txt": activity.render_text(insights.report("day"), color=False, width=100, top=30),
    "activity-model.txt": activity.render_text(insights.report("model"), color=False, width=100, top=30),
    "activity-team.txt": activity.render_text(insights.report("team"), color=False, width=None, top=30),
    "activity-without-file.txt": activity.render_text(
        insights.report("environment", with_file=False), color=False, width=None, top=30
    ),
    "activity-accounts.txt": activity.render_text(TWO, color=False, width=None, top=30),
    "activity-empty.txt": activity.render_text(insights.empty(), color=False, width=None, top=30),
    "activity-daily.txt": activity.render_text(DAILY, color=False, width=100, top=30),
    "activity-hostile.txt": activity.render_text(ODD, color=False, width=None, top=30),
    "activity-key.md": activity.render_markdown(KEYS, top=30),
    "activity-accounts.md": activity.render_markdown(TWO, top=1),
    "activity-hostile.md": activity.render_markdown(ODD, top=30),
    "activity-empty.md": activity.render_markdown(insights.empty(), top=30),
    "activity-key.json": to_json(activity_document(KEYS)),
    "activity-accounts.json": to_json(activity_document(TWO)),
    "activity-daily.json": to_json(activity_document(DAILY)),
    "activity-hostile.json": to_json(activity_document(ODD)),
    "activity-empty.json": to_json(activity_document(insights.empty())),
    "activity-key.csv": activity_csv(KEYS),
    "activity-daily.csv": activity_csv(DAILY),
    "activity-day.csv": activity_csv(insights.report("day")),
    "activity-hostile.csv": activity_csv(ODD),
    "activity-empty.csv": activity_csv(insights.empty()),
    "balance.txt": balance.render_text(insights.balance(), color=False),
    "balance-low.ansi": balance.render_text(LOW, color=True, width=60),
    "balance-idle.txt": balance.render_text(insights.balance(spent=False), color=False),
    "balance-bare.txt": balance.render_text(BARE, color=False),
    "balance-accounts.txt": balance.render_text(SEVERAL, color=False),
    "balance.md": balance.render_markdown(LOW),
    "balance-accounts.md": balance.render_markdown(SEVERAL),
    "balance.json": to_json(balance.balance_document(LOW)),
    "balance-accounts.json": to_json(balance.balance_document(SEVERAL)),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_rendering_is_the_one_that_was_reviewed(name: str) -> None:
    path = FOLDER / name
    if UPDATE:
        path.write_bytes(GOLDEN[name].encode())
    assert path.read_bytes().decode() == GOLDEN[name], "if this is intended: UPDATE_GOLDEN=1 pytest tests/golden"


def test_no_golden_file_is_left_over() -> None:
    present = {path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"}
    assert present == set(GOLDEN)
