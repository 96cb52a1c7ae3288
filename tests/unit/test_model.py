from __future__ import annotations

import pytest

from reconciler.model import is_acted_on


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "ENV", "IFS", "PYTHONSTARTUP", "NODE_OPTIONS"),
        *("GIT_SSH_COMMAND", "PERL5LIB", "RUBYOPT", "PROMPT_COMMAND", "PS1", "PS4", "ZDOTDIR", "SHELLOPTS", "BASHOPTS"),
        *("CDPATH", "path", "https_proxy", "HOME", "NAGA_BASE_URL", "NAGA_PROVISIONING_KEY", "GITHUB_TOKEN"),
    ],
)
def test_a_variable_that_programs_act_on_is_known(name: str) -> None:
    assert is_acted_on(name)


@pytest.mark.parametrize(
    "name", ["NAGA_API_KEY", "OPENAI_API_KEY", "API_KEY", "E", "KEY_PATH", "ENVIRONMENT", "MY_ENV", "LD", "PS", "PS10"]
)
def test_a_variable_that_nothing_acts_on_may_hold_a_secret(name: str) -> None:
    assert not is_acted_on(name)
