"""`renew` and `raise` in the file: what they mean, and what makes no sense."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler import load
from reconciler.errors import DeclarationError
from reconciler.planning.names import Naming

FILE = """\
version: 1
environments:
  dev:
    defaults: {{credit_limit: 5, renew: month, raise: {{to: 9, until: 2026-12-04T18:00:00Z}}}}
    keys:
      anna: {{deliver: [], {fields}}}
"""


def test_null_takes_away_what_a_key_would_inherit() -> None:
    (anna,) = load(text=FILE.format(fields="team: a")).keys
    assert anna.renew == "month"
    assert anna.raised is not None
    assert anna.raised.to == Decimal(9)
    (anna,) = load(text=FILE.format(fields="renew: null, raise: null")).keys
    assert (anna.renew, anna.raised) == (None, None)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ("credit_limit: null", 2),
        ("credit_limit: null, raise: null", 1),
        ("raise: {to: 1.1234567, until: 2026-12-04T18:00:00Z}", 1),
        ("raise: {to: 1, until: friday}", 1),
        ("raise: {to: lots, until: 2026-12-04T18:00:00Z}", 1),
        ("raise: {to: 1}", 1),
        ("renew: 31d", 1),
    ],
)
def test_what_makes_no_sense_is_said_at_its_place(fields: str, count: int) -> None:
    with pytest.raises(DeclarationError) as caught:
        load(text=FILE.format(fields=fields))
    assert [each.location.line for each in caught.value.diagnostics] == [6] * count


def test_a_day_that_does_not_exist_makes_no_name_of_ours() -> None:
    naming = Naming("{environment}/{key}", ["dev"])
    assert naming.parse("dev/anna~per.20261301.5") is None
    assert naming.parse("dev/anna~per.20261201.5") is not None
