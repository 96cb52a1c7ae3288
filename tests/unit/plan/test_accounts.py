from __future__ import annotations

from reconciler.plan.accounts import account_variables, part_of
from support.declarations import loaded

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


def test_the_only_account_gets_the_declaration_as_it_is() -> None:
    only = loaded("version: 1\nenvironments: {ci: {keys: {}}}\n")
    assert part_of(only, "NAGA_PROVISIONING_KEY") is only
