"""The files of a history: what is written is read back, whatever names there are, and to the last digit."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from reconciler.formatting.history import read_history, write_history
from reconciler.insight.history import History, KeyDay, KnownKey, ModelDay, Span
from reconciler.model import Tally

ACCOUNTS: Final = st.sampled_from(["NAGA_PROVISIONING_KEY", "NAGA_B"])
TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(["a\rb", '"', "=1,\r\n"])
DAYS: Final = st.dates(date(2026, 9, 29), date(2026, 11, 2))
AMOUNTS: Final = st.decimals(0, 10**9, places=16) | st.just(Decimal("0E-10")) | st.just(Decimal("1E+3"))
TALLIES: Final = st.builds(Tally, st.integers(0, 99), AMOUNTS, st.integers(0, 10**15), st.integers(0, 10**15))
PLACES: Final = st.sampled_from([("", ""), ("ci/tests", "ci"), ("ci/a-b", "ci")])
KEY_DAYS: Final = st.builds(
    lambda day, account, place, *rest: KeyDay(day, account, place[0], place[1], *rest),
    *(DAYS, ACCOUNTS, PLACES, TEXTS, st.none() | st.integers(0, 12), TEXTS, TALLIES),
)
KNOWN: Final = st.builds(
    lambda account, key_id, name, team: KnownKey(account, key_id, "2026-01-01T00:00:00Z", name, "", "", team),
    *(ACCOUNTS, st.integers(1, 200), TEXTS, TEXTS),
)
HISTORIES: Final = st.builds(
    lambda since, days, keys, usage, models: History(
        {"NAGA_B": (Span(since, since + timedelta(days=days)),)}, tuple(keys), tuple(usage), tuple(models)
    ),
    DAYS,
    st.integers(0, 40),
    st.lists(KNOWN, max_size=4, unique_by=lambda key: (key.account, key.key_id)),
    st.lists(KEY_DAYS, max_size=6, unique_by=lambda line: (line.day, line.account, line.subject)),
    st.lists(
        st.builds(ModelDay, DAYS, ACCOUNTS, TEXTS, TALLIES),
        max_size=3,
        unique_by=lambda line: (line.day, line.account, line.model),
    ),
)


@given(HISTORIES)
def test_what_is_written_is_read_back(history: History) -> None:
    with TemporaryDirectory() as folder:
        write_history(Path(folder), history, {})
        found, before = read_history(Path(folder))
        assert {**found.spans} == {**history.spans}
        for one, other in ((found.keys, history.keys), (found.usage, history.usage), (found.models, history.models)):
            assert sorted(map(repr, one)) == sorted(map(repr, map(plain, other)))
        assert write_history(Path(folder), found, before) == ()


def plain(line: object) -> object:
    """Write the amount as it is read: without an exponent or zeros at its end."""
    if isinstance(line, KnownKey):
        return line
    assert isinstance(line, KeyDay | ModelDay)
    tally, cost = line.tally, line.tally.cost
    text = f"{cost:f}".rstrip("0").rstrip(".") if "." in f"{cost:f}" else f"{cost:f}"
    amount = Decimal(text) if cost else Decimal(0)
    return line._replace(tally=Tally(tally.requests, amount, tally.input_tokens, tally.output_tokens))
