"""What stands below the options in every `--help`, as in a page of a manual: exit codes, environment, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import click

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done",
    1: "error: usage, configuration, network, refused by the service",
    2: "changes are pending (only plan --detailed-exitcode)",
    3: "refused by a guardrail; too little for balance --min; an alert of check",
    4: "the plan is stale: make it anew, and review again",
    5: "applied in part: the next apply completes it",
    130: "interrupted",
}

VARIABLES: Final[Mapping[str, str]] = {
    "NAGA_PROVISIONING_KEY": "the account's provisioning key",
    "NAGA_BASE_URL": "where the service is (https://api.naga.ac/v1)",
    "HTTPS_PROXY, NO_PROXY": "the proxy to go through, and for which hosts not",
    "SSL_CERT_FILE": "authorities to trust instead of the public ones",
    "GITHUB_ACTIONS": "true masks each new secret in the log of the build",
    "GITHUB_TOKEN": "the login for what a command does on GitHub",
    "RECONCILER_NOTIFY_URLS": "where --notify sends to, as Apprise URLs",
    "NO_COLOR, FORCE_COLOR": "never colour the output, or always",
}

FILES: Final[Mapping[str, str]] = {
    "keys.yaml": "the declaration, where -f names no other",
    "sim.db": "a simulated account, by the name that --simulator gives it",
    "plan.json": "a saved plan, by the name that plan --out gives it",
}

_ORDINARY: Final = (0, 1, 130)
_SPECIAL: Final[Mapping[str, Mapping[int, str]]] = {
    "plan": {2: "changes are pending, with --detailed-exitcode", 3: "a finding would make apply refuse"},
    "apply": {3: "refused by a guardrail"} | {code: EXIT_CODES[code] for code in (4, 5)},
    "fmt": {1: "error, or with --check: a file would change"},
    "balance": {3: "an account has less than --min"},
    "check": {3: "an alert fires"},
}
_ACCOUNT: Final = ("NAGA_PROVISIONING_KEY", "NAGA_BASE_URL", "HTTPS_PROXY, NO_PROXY", "SSL_CERT_FILE")
_READ_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "simulator": _ACCOUNT,
    "auto_approve": ("GITHUB_ACTIONS",),
    "comment": ("GITHUB_TOKEN",),
    "reviewed": ("GITHUB_TOKEN",),
    "notify": ("RECONCILER_NOTIFY_URLS",),
}
_USED_FOR: Final = {"file": "keys.yaml", "simulator": "sim.db"}
_SAVED_BY: Final = frozenset({"plan", "apply"})


def of_all() -> str:
    """Give what holds for the program as a whole."""
    return "\n\n".join([_exit_codes(EXIT_CODES), _variables(VARIABLES), _files(FILES), _MORE])


def of_command(name: str, command: click.Command) -> str:
    """Give what holds for one command, after what it says there itself; what it reads follows from its options."""
    options = {parameter.name for parameter in command.params}
    variables = [variable for option, each in _READ_FOR.items() if option in options for variable in each]
    files = [file for option, file in _USED_FOR.items() if option in options]
    files += ["plan.json"] if name in _SAVED_BY else []
    parts = [
        command.epilog,
        _exit_codes({code: EXIT_CODES[code] for code in _ORDINARY} | {**_SPECIAL.get(name, {})}),
        _variables([*variables, "NO_COLOR, FORCE_COLOR"]),
        _files(files) if files else None,
    ]
    return "\n\n".join(part for part in parts if part)


def _exit_codes(meanings: Mapping[int, str]) -> str:
    return _section("Exit codes", {str(code): meanings[code] for code in sorted(meanings)}, 4)


def _variables(names: Iterable[str]) -> str:
    return _section("Environment", {name: VARIABLES[name] for name in names}, 23)


def _files(names: Iterable[str]) -> str:
    return _section("Files", {name: FILES[name] for name in names}, 10)


def _section(title: str, meanings: Mapping[str, str], width: int) -> str:
    # The mark is click's own: what follows up to a blank line is shown line by line.
    return "\n".join(["\b", f"{title}:", *(f"  {term:<{width}} {meaning}" for term, meaning in meanings.items())])


_MORE: Final = """\
\b
Destinations log in with what each system has in its usual place, such as
VAULT_TOKEN, GITHUB_TOKEN or AWS_PROFILE: docs/destinations.md lists it all."""
