"""Which live keys are declared, under which address, and which are not, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.planning.actions import matcher
from reconciler.planning.importing import Adoption, adopt, glob_of
from support.builders import declaration, declared, live, snapshot

if TYPE_CHECKING:
    from reconciler.model import DeclaredKey, LiveKey


def adopted(*keys: LiveKey | str, there: Any = None, into: str = "imported", **options: Any) -> Adoption:
    """Adopt keys, of which those given as names get the ids 1, 2, 3 and so on."""
    lives = [live(number, key) if isinstance(key, str) else key for number, key in enumerate(keys, start=1)]
    return adopt(there or declaration(), snapshot(*lives), into, **options)


def addresses(adoption: Adoption) -> dict[int, str]:
    return {key.live.id: f"{key.address}{' renamed' * key.renamed}" for key in adoption.keys}


def reasons(adoption: Adoption) -> dict[int, str]:
    return {left.live.id: left.reason for left in adoption.left_out}


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("production/api", "production/api"),
        ("no/on", "no/on"),
        ("Production API (old)", "imported/production-api-old renamed"),
        ("a/b/c", "imported/a-b-c renamed"),
        ("   ", "imported/key-1 renamed"),
        ("鍵", "imported/key-1 renamed"),
        ("x" * 255, f"imported/{'x' * 63} renamed"),
        ("production/Api", "imported/production-api renamed"),
        ("--x..y__z--", "imported/x-y-z renamed"),
        ("Müllers Schlüssel", "imported/mullers-schlussel renamed"),
        ("Straße №5", "imported/strasse-no5 renamed"),
        ("İstanbul cafe\u0301", "imported/istanbul-cafe renamed"),
    ],
)
def test_a_name_leads_to_an_address(name: str, address: str) -> None:
    assert addresses(adopted(name)) == {1: address}


def test_proposed_names_are_unique() -> None:
    found = addresses(
        adopted("imported/api", "API", "api", "imported/api-3", "Api!", "imported/a~gone.20270101T000000Z", "A")
    )
    assert found == {
        1: "imported/api",
        2: "imported/api-2 renamed",
        3: "imported/api-3-2 renamed",
        4: "imported/api-3",
        5: "imported/api-5 renamed",
        7: "imported/a-7 renamed",
    }


def test_an_id_that_no_file_can_declare_leaves_its_key_out() -> None:
    found = adopted(*(live(each, f"e{at}/k") for at, each in enumerate((0, 1, 2**63 - 1, 2**63))))
    assert (sorted(addresses(found)), sorted(reasons(found))) == ([1, 2**63 - 1], [0, 2**63])


def test_namesakes_are_told_apart_by_their_ids() -> None:
    found = adopted("ci/api", "ci/api")
    assert addresses(found) == {1: "ci/api-1 renamed", 2: "ci/api-2 renamed"}
    assert [key.live.id for key in found.renames] == [1, 2]


def test_with_names_kept_an_environment_of_namesakes_is_not_declared() -> None:
    found = adopted("ci/api", "ci/api", "ci/x", "dev/y", "odd", keep_names=True)
    assert addresses(found) == {4: "dev/y"}
    assert [key.id for key in found.ignored] == [1, 2, 3, 5]
    assert reasons(found)[1] == "2 live keys are called ci/api"
    assert reasons(found)[3] == "its environment would own key 1 (ci/api) too, and 2 live keys are called ci/api"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (live(2, "ci/b", "0.0000001"), "no file can declare the limit of key 2 (ci/b)"),
        (live(2, "ci/b", "1000000000000"), "no file can declare the limit of key 2 (ci/b)"),
        (live(2, "ci/b", "-1"), "no file can declare the limit of key 2 (ci/b)"),
        (live(0, "ci/b"), "no file can declare the id of key 0 (ci/b)"),
    ],
)
def test_an_environment_that_would_own_what_no_file_can_declare_is_left_alone(key: LiveKey, reason: str) -> None:
    found = adopted("ci/a", key, "dev/c")
    assert addresses(found) == {3: "dev/c"}
    assert reasons(found)[key.id].startswith(reason)
    assert reasons(found)[1].startswith(f"its environment would own {key} too, and {reason}")
    assert reasons(adopted(live(5, "odd", "-1")))[5].startswith("no file can declare the limit of key 5 (odd)")


def test_the_environment_for_the_others_may_be_one_that_cannot_be_declared() -> None:
    found = adopted(live(1, "imported/a", "-1"), "odd")
    assert reasons(found)[2].startswith("its environment would own key 1 (imported/a) too, and no file can declare")
    assert addresses(adopted(live(1, "imported/a", "-1"), "odd", into="other")) == {2: "other/odd renamed"}


def test_a_name_without_room_for_what_is_added_to_it_is_left_alone() -> None:
    there = declaration(naming="n" * 230 + "{environment}/{key}")
    found = adopted("n" * 230 + "ci/a", there=there)
    assert reasons(found)[1].endswith("leaves no room for what reconciler adds to names")


def test_what_is_declared_claimed_or_ignored_is_not_adopted() -> None:
    there = declaration(
        [declared("ci/a"), declared("ci/b", id=3), declared("ci/c", id=4), declared("ci/d", renamed_from=("old",))],
        ignore=("skip*",),
    )
    found = adopted("ci/a", "ci/owned", "by-id", "ci-c", "skip", "old", "new/x", "ci/c", there=there)
    assert addresses(found) == {2: "ci/owned", 7: "new/x"}
    assert [key.live.id for key in found.keys if key.owned] == [2]
    assert reasons(found) == {4: "ci/c has its id"}


def test_what_a_declared_environment_owns_is_adopted_whatever_ignore_says() -> None:
    there = declaration([declared("ci/a")], ignore=("ci/*",))
    assert addresses(adopted("ci/a", "ci/b", "ci/b", there=there)) == {2: "ci/b-2 renamed", 3: "ci/b-3 renamed"}


def test_what_a_declared_environment_owns_and_no_file_can_declare_is_said_to_be_removed() -> None:
    found = adopted("ci/a", live(2, "ci/b", "-1"), there=declaration([declared("ci/a")]))
    assert addresses(found) == {}
    assert reasons(found)[2].endswith("; its environment is declared, so a plan removes it")


def test_an_owned_key_whose_id_another_address_has_is_left_alone() -> None:
    there = declaration([declared("ci/a", id=2)])
    assert reasons(adopted("ci/a", "ci/b", there=there)) == {2: "ci/a has its id"}


@pytest.mark.parametrize(
    "claimant",
    [declared("ci/a", id=3), declared("dev/x", id=3)],
    ids=["whose name another has", "that is free to be it"],
)
def test_a_name_that_a_claimed_key_has_too_is_not_declared_twice(claimant: DeclaredKey) -> None:
    there = declaration([claimant, declared("ci/z")])
    assert addresses(adopted("ci/a", "ci/b", "ci/b", there=there))[2] == "ci/b-2 renamed"


def test_an_environment_that_would_take_a_key_from_another_is_not_declared() -> None:
    there = declaration([declared("ci/a", id=2)])
    found = adopted("dev/a", "dev/b~next", "odd", there=there, into="dev")
    why = "its environment would own key 2 (dev/b~next) too, and that one is ci/a by its id or renamed_from"
    assert addresses(found) == {}
    assert reasons(found) == {1: why, 3: why}


def test_an_environment_that_would_own_what_is_ignored_is_left_alone() -> None:
    found = adopted("ci/a", "ci/legacy", there=declaration(ignore=("*/legacy",)))
    assert addresses(found) == {}
    assert reasons(found) == {1: "its environment would own key 2 (ci/legacy) too, and that one is not to be declared"}


def test_new_names_in_an_environment_avoid_all_that_it_has_or_had() -> None:
    there = declaration([declared("ci/a", renamed_from=("ci/b",))])
    found = adopted("A", "B", "C", "ci/c", "ci/d~old.20270101T000000Z", "D", there=there, into="ci")
    assert addresses(found) == {
        1: "ci/a-1 renamed",
        2: "ci/b-2 renamed",
        3: "ci/c-3 renamed",
        4: "ci/c",
        6: "ci/d-6 renamed",
    }


def test_names_fit_what_naming_puts_around_them() -> None:
    there = declaration(naming="n" * 190 + "{environment}/{key}")
    assert addresses(adopted("x" * 80, there=there)) == {1: f"imported/{'x' * 34} renamed"}


def test_an_environment_of_another_account_is_not_declared_again() -> None:
    found = adopted("ci/a", "x", into="ci", taken=["ci"])
    assert set(reasons(found).values()) == {"its environment is declared for another account"}
    assert set(reasons(found)) == {1, 2}


@pytest.mark.parametrize(
    ("naming", "name", "address"),
    [
        ("acme-{environment}/{key}", "acme-ci/a", "ci/a"),
        ("{key}@{environment}", "a@ci", "ci/a"),
        ("{environment}-{key}", "ci-a", "imported/ci-a renamed"),
        ("{environment}{key}", "cia", "imported/cia renamed"),
    ],
)
def test_environments_are_read_from_names_only_where_naming_keeps_the_two_apart(
    naming: str, name: str, address: str
) -> None:
    assert addresses(adopted(name, there=declaration(naming=naming))) == {1: address}


@pytest.mark.parametrize("suffix", ["new.abc", "next", "old.20270101T000000Z", "gone.20270101T000000Z"])
def test_what_the_engine_has_named_is_not_adopted(suffix: str) -> None:
    found = adopted(f"ci/a~{suffix}", "reconciler~lock.abc", "ci/a")
    assert addresses(found) == {3: "ci/a"}
    assert [key.id for key in found.engine] == [1, 2]


@pytest.mark.parametrize("name", ["a*", "a?c", "[abc]", "[!a]", "a]b", "a\nb", "\x1b[31m", "-", "\\*", "*" * 255])
def test_a_glob_of_a_name_matches_it_and_nothing_like_it(name: str) -> None:
    matches = matcher([glob_of(name)])
    assert matches(name)
    assert not matches(name + "x")
    assert not matches(name.replace("*", "x").replace("?", "x").replace("[", "x") + "\n")


def test_half_a_character_matches_any() -> None:
    assert glob_of("a\ud800b") == "a?b"
    assert matcher([glob_of("a\ud800b")])("a\ud800b")
