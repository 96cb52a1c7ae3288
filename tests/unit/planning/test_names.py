from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.planning.names import LONGEST_SUFFIX, Naming, ParsedName, Role, is_lock, pending_name, under
from support.builders import address

UNTIL = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
NAMING = Naming("{environment}/{key}", ["production", "ci"])


@pytest.mark.parametrize(
    ("name", "role", "until"),
    [
        ("production/api", Role.SETTLED, None),
        ("production/api~new.0a1b2c3d4e5f6789", Role.PENDING, None),
        ("production/api~sent.0a1b2c3d4e5f6789", Role.DELIVERING, None),
        ("production/api~next", Role.SUCCESSOR, None),
        ("production/api~old.20270102T030405Z", Role.SUPERSEDED, UNTIL),
        ("production/api~gone.20270102T030405Z", Role.RETIRED, UNTIL),
    ],
)
def test_a_live_name_of_a_declared_environment_tells_where_the_key_stands(
    name: str, role: Role, until: datetime | None
) -> None:
    assert NAMING.parse(name) == ParsedName(address("production/api"), role, until)


@pytest.mark.parametrize(
    "name",
    [
        "staging/api",
        "production",
        "production/",
        "production/Api",
        "production/-api",
        "production/api/extra",
        "xproduction/api",
        "production/api ",
        "production/api\n",
        "production/" + "a" * 64,
        "production/api~",
        "production/api~NEW.0a",
        "production/api~new.",
        "production/api~new.0A",
        "production/api~next~next",
        "production/api~old.20271302T030405Z",
        "production/api~old.2027-01-02",
        "production/api~gone",
        "production/api~mine",
        "reconciler~lock.0a1b",
        "",
        "production/٣",
    ],
)
def test_any_other_name_belongs_to_nobody(name: str) -> None:
    assert NAMING.parse(name) is None


def test_naming_decides_how_an_address_becomes_a_live_name() -> None:
    naming = Naming("acme.{key}@{environment}!", ["production", "production.eu"])
    name = naming.format(address("production.eu/api"))
    assert name == "acme.api@production.eu!"
    assert naming.parse(name) == ParsedName(address("production.eu/api"), Role.SETTLED)
    assert naming.parse(name + "~next") == ParsedName(address("production.eu/api"), Role.SUCCESSOR)


def test_without_environments_nothing_is_owned() -> None:
    assert Naming("{environment}/{key}", []).parse("production/api") is None


def test_a_pending_name_is_found_again_by_its_nonce() -> None:
    name = pending_name("production/api", "00ff00ff00ff00ff")
    assert name == "production/api~new.00ff00ff00ff00ff"
    assert NAMING.parse(name) == ParsedName(address("production/api"), Role.PENDING)
    assert len(name) - len("production/api") <= LONGEST_SUFFIX


@pytest.mark.parametrize(
    ("name", "expected"),
    [("reconciler~lock.00ff", True), ("reconciler~lock.", False), ("x/reconciler~lock.00ff", False), ("lock", False)],
)
def test_a_lock_is_known_by_its_name(name: str, *, expected: bool) -> None:
    assert is_lock(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ci/old", "ci/a"),
        ("legacy", "ci/a"),
        ("legacy~mine", "ci/a"),
        ("ci/old~gone.20270102T030405Z", "ci/a~gone.20270102T030405Z"),
    ],
)
def test_a_key_that_moves_to_another_address_keeps_what_the_engine_wrote_into_its_name(
    name: str, expected: str
) -> None:
    assert under("ci/a", name) == expected
