"""What of GitHub takes the secrets of a target: a repository, an environment of one, or an organisation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler.errors import DestinationError
from reconciler.github.address import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.model import Setting, Target

LONGEST_NAME: Final = 255
VISIBILITIES: Final = ("all", "private", "selected")

_OWNER: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_ENVIRONMENT: Final = re.compile(r"(?!\.{1,2}\Z)[^\x00-\x1f\x7f]{1,255}")
_ID: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_NAME: Final = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """One holder of secrets, with what GitHub wants to know and be allowed for it.

    `home` is the path of the repository or organisation, `secrets` that of its secrets. `permission` is what a GitHub
    App calls the right to write them, `needs` what people call it, `scope` what a classic token calls it. `capacity` is
    how many secrets it holds, `fields` what a secret is stored with besides its value.
    """

    label: str
    home: str
    secrets: str
    permission: str
    needs: str
    scope: str
    capacity: int
    fields: tuple[tuple[str, str | tuple[int, ...]], ...] = ()
    environment: str | None = None
    repository: str | None = None


def read_place(target: Target) -> Place:
    """Read the settings of a target.

    Raises:
        DestinationError: they name no place, or one that cannot be.
    """
    settings = dict(target.settings)
    where = f"the github-actions destination {target.destination!r}"
    if ("repository" in settings) == ("organization" in settings):
        msg = f"{where} needs either a repository or an organization"
        raise DestinationError(msg)
    try:
        return _repository(settings) if "repository" in settings else _organization(settings)
    except ValueError as error:
        msg = f"{where} needs {error}"
        raise DestinationError(msg) from None


def is_name(name: str) -> bool:
    """Tell whether GitHub takes a secret of this name; it would turn small letters into capitals."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def _repository(settings: Mapping[str, Setting]) -> Place:
    repository = _text(settings["repository"], REPOSITORY, "a repository like acme/api")
    home = f"repos/{repository}"
    if "environment" not in settings:
        needs = "the repository permission 'Secrets: write'"
        name = repository.partition("/")[2]
        return Place(
            repository, home, f"{home}/actions/secrets", "secrets", needs, scope="repo", capacity=100, repository=name
        )
    environment = _text(settings["environment"], _ENVIRONMENT, "the name of an environment")
    path = f"{home}/environments/{quote(environment, safe='')}"
    return Place(
        label=f"the environment {environment} of {repository}",
        home=home,
        secrets=f"{path}/secrets",
        permission="environments",
        needs="the repository permission 'Environments: write'",
        scope="repo",
        capacity=100,
        environment=path,
        repository=repository.partition("/")[2],
    )


def _organization(settings: Mapping[str, Setting]) -> Place:
    organization = _text(settings["organization"], _OWNER, "the name of an organization")
    visibility = settings.get("visibility")
    if visibility not in VISIBILITIES:
        msg = f"visibility to be one of {', '.join(VISIBILITIES)}"
        raise ValueError(msg)
    fields: tuple[tuple[str, str | tuple[int, ...]], ...] = (("visibility", str(visibility)),)
    if visibility == "selected":
        fields = (*fields, ("selected_repository_ids", _ids(settings.get("selected_repositories"))))
    return Place(
        label=f"the organization {organization}",
        home=f"orgs/{organization}",
        secrets=f"orgs/{organization}/actions/secrets",
        permission="organization_secrets",
        needs="the organization permission 'Secrets: write'",
        scope="admin:org",
        capacity=1000,
        fields=fields,
    )


def _text(value: Setting, pattern: re.Pattern[str], words: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(words)
    return value


def _ids(value: Setting | None) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(_ID.fullmatch(each) for each in value):
        msg = "selected_repositories to be ids of repositories"
        raise ValueError(msg)
    return tuple(int(each) for each in value)
