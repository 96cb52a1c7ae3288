from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.diagnostic import Severity
from reconciler.model import Environment, account_variables, part_of
from reconciler.planning.accounts import base_of, same_account, selected_variables, unread_account
from reconciler.planning.actions import Options
from support.builders import SOMEWHERE, address, declaration, declared, live, snapshot
from support.declarations import loaded
from support.search import examples

SEVERAL = loaded(
    """
version: 1
defaults: {credit_limit: 1}
guardrails: {max_deletions: 1}
environments:
  ci: {keys: {tests: {}}}
  production: {provisioning_key_env: NAGA_PRODUCTION, keys: {api: {}}}
  staging: {provisioning_key_env: NAGA_PRODUCTION, keys: {api: {}}}
"""
)


def test_environments_that_share_a_variable_form_an_account() -> None:
    assert account_variables(SEVERAL) == ("NAGA_PRODUCTION", "NAGA_PROVISIONING_KEY")
    assert account_variables(SEVERAL, {"ci"}) == ("NAGA_PROVISIONING_KEY",)
    assert account_variables(SEVERAL, {"production", "staging"}) == ("NAGA_PRODUCTION",)


def test_a_declaration_without_environments_is_about_the_usual_account() -> None:
    assert account_variables(loaded("version: 1\nenvironments: {}\n")) == ("NAGA_PROVISIONING_KEY",)


def test_an_account_gets_its_environments_and_the_rules_for_all() -> None:
    part = part_of(SEVERAL, "NAGA_PRODUCTION")
    assert set(part.environments) == {"production", "staging"}
    assert [str(key.address) for key in part.keys] == ["production/api", "staging/api"]
    assert part.guardrails == SEVERAL.guardrails
    assert set(part_of(SEVERAL, "NAGA_PROVISIONING_KEY").environments) == {"ci"}


def test_the_only_account_gets_the_declaration_as_it_is() -> None:
    only = loaded("version: 1\nenvironments: {ci: {keys: {}}}\n")
    assert part_of(only, "NAGA_PROVISIONING_KEY") is only


# --- which accounts a run is about ------------------------------------------------------------------------------------

NAGA_B = Environment("b", SOMEWHERE, provisioning_key_env="NAGA_B")
NAGA_C = Environment("c-team", SOMEWHERE, provisioning_key_env="NAGA_C")
THREE = declaration([declared("b/x"), declared("c-team/x"), declared("usual/x")], [NAGA_B, NAGA_C, "usual"])
ALL = ("NAGA_B", "NAGA_C", "NAGA_PROVISIONING_KEY")


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (Options(), ALL),
        (Options(environments=frozenset({"b"})), ("NAGA_B",)),
        (Options(environments=frozenset({"b", "usual"})), ("NAGA_B", "NAGA_PROVISIONING_KEY")),
        (Options(only=("b/*",)), ("NAGA_B",)),
        (Options(only=("b/x", "c-team/x")), ("NAGA_B", "NAGA_C")),
        (Options(only=("c-*/x",)), ("NAGA_C",)),
        (Options(only=("?/x",)), ("NAGA_B",)),
        (Options(only=("[bc]/x",)), ALL),
        (Options(only=("*/x",)), ALL),
        (Options(only=("*x",)), ALL),
        (Options(only=("u*",)), ("NAGA_PROVISIONING_KEY",)),
        (Options(only=("nothing/*",)), ALL),
        (Options(environments=frozenset({"b", "c-team"}), only=("c*",)), ("NAGA_C",)),
    ],
)
def test_what_is_selected_decides_which_accounts_are_read(options: Options, variables: tuple[str, ...]) -> None:
    assert selected_variables(THREE, options=options) == variables


@given(
    glob=st.text("bcx-*?[]/", max_size=8),
    name=st.sampled_from(["b/x", "b/c", "c-team/x", "usual/bc", "usual/x"]),
)
@settings(max_examples=examples(100))
def test_no_account_is_left_out_that_a_glob_selects_a_key_of(glob: str, name: str) -> None:
    options = Options(only=(glob,))
    variable = THREE.environments[address(name).environment].provisioning_key_env
    assert not options.selector()(address(name)) or variable in selected_variables(THREE, options=options)


def test_an_environment_that_only_the_base_has_is_selected_by_name_only() -> None:
    now = declaration([declared("usual/x")])
    assert selected_variables(now, THREE) == ("NAGA_PROVISIONING_KEY",)
    assert selected_variables(now, THREE, Options(environments=frozenset({"b"}))) == ("NAGA_B",)


def test_what_the_base_says_follows_an_environment_into_another_account() -> None:
    moved = declaration(THREE.keys, [replace(NAGA_B, provisioning_key_env="NAGA_C"), NAGA_C, "usual"])
    assert list(base_of(THREE, moved, "NAGA_C").environments) == ["b", "c-team"]
    assert list(base_of(THREE, moved, "NAGA_B").environments) == ["b"], "it protects the keys that stay behind"
    assert base_of(THREE, THREE, "NAGA_B").keys == (THREE.keys[0],)


def test_the_base_of_the_only_account_is_used_as_it_is() -> None:
    only = declaration([declared("usual/x")])
    assert base_of(only, only, "NAGA_PROVISIONING_KEY") is only


def test_an_account_that_is_not_planned_is_an_error_at_its_first_environment() -> None:
    finding = unread_account(THREE, "NAGA_B", "it is down")
    assert (finding.severity, finding.rule, finding.account) == (Severity.ERROR, "account-unread", "NAGA_B")
    assert finding.message == "the account (b) is not planned: it is down"
    assert unread_account(THREE, "NAGA_OLD", "it is down").message == "the account is not planned: it is down"


def test_one_account_under_two_variables_is_found_by_its_keys() -> None:
    same, other = snapshot(live(1, "b/x"), live(2, "y")), snapshot(live(1, "b/x"), live(3, "y"))
    (finding,) = same_account(THREE, {"NAGA_B": same, "NAGA_C": replace(same, keys=same.keys[::-1])})
    assert finding.message.startswith("NAGA_B and NAGA_C open the same account;")
    assert not [*same_account(THREE, {"NAGA_B": same, "NAGA_C": other})]
    assert not [*same_account(THREE, {"NAGA_B": snapshot(), "NAGA_C": snapshot()})]
