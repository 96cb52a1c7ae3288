"""What the contract of destinations does not say of GitLab, and that its fake answers to others as well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import gitlab
import httpx
import pytest
import requests

from reconciler.destinations.base import Held, SecretDelivery, fingerprint
from reconciler.destinations.gitlab import GitLabCI
from reconciler.errors import DestinationError
from reconciler.forge import gitlab as forge
from reconciler.http.retry import Timing
from reconciler.model import Address, Target
from reconciler.secret import Secret
from reconciler.units import parse_instant
from support.places.gitlab import TOKEN, URL, Driven, FakeGitLab, Grant, lead_to

if TYPE_CHECKING:
    from collections.abc import Coroutine

SECRET = "ng-THISMUSTNEVERBESHOWN0000000000000"
NOW = "2026-11-28T11:00:00Z"
SCOPED = {"project": "acme/api", "environment_scope": "production"}


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


TIMING = Timing(sleep=at_once, random=lambda: 0.0, machine=lambda: parse_instant(NOW))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeGitLab:
    fake = FakeGitLab()
    lead_to(fake, monkeypatch)
    return fake


@pytest.fixture
def client(fake: FakeGitLab) -> gitlab.Gitlab:
    """GitLab as python-gitlab sees it."""
    session = requests.Session()
    session.mount("https://", Driven(fake))
    return gitlab.Gitlab(URL, private_token=TOKEN, session=session)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def opened(**settings: Any) -> GitLabCI:
    return GitLabCI(Target("gitlab", "gitlab-ci", tuple(sorted((settings or SCOPED).items()))), TIMING)


def delivered(name: str = "NAGA_API", secret: str = SECRET, **settings: Any) -> None:
    async def deliver() -> None:
        destination = opened(**settings)
        await destination.deliver(SecretDelivery(Address("production", "api"), 7, name, Secret(secret)))
        await destination.aclose()
        await destination.aclose()

    run(deliver())


def failure(**arguments: Any) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        delivered(**arguments)
    assert SECRET not in str(caught.value)
    return caught.value


def refusal(*names: str, **settings: Any) -> str:
    with pytest.raises(DestinationError) as caught:
        run(opened(**settings).preflight(names or ["NAGA_API"]))
    return str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"environment_scope": "x"},
        {"project": "a/b", "group": "a"},
        {"project": "a/../b"},
        {"group": "../users"},
        {"group": "a", "environment_scope": "a?b"},
    ],
)
def test_settings_that_lead_elsewhere_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(DestinationError, match="gitlab"):
        opened(**settings)


def test_others_see_a_variable_as_it_was_asked_for_and_nobody_its_value(
    fake: FakeGitLab, client: gitlab.Gitlab
) -> None:
    delivered()
    project = client.projects.get("acme/api")
    (variable,) = project.variables.list(get_all=True)
    note = f"key_id=7 since={NOW} sha256={fingerprint(Secret(SECRET))} address=production/api"
    assert variable.attributes | {"project_id": 0} == {
        "project_id": 0,
        "key": "NAGA_API",
        "value": None,
        "masked": True,
        "hidden": True,
        "protected": True,
        "raw": True,
        "variable_type": "env_var",
        "environment_scope": "production",
        "description": note,
    }
    assert run(opened().describe(["NAGA_API", "NAGA_NONE"])) == {"NAGA_API": Held(7, parse_instant(NOW))}
    delivered(secret=SECRET[::-1])
    assert fake.changed == ["POST NAGA_API production", "PUT NAGA_API production"]


def test_what_others_have_written_is_of_no_known_key_and_found_by_its_value(client: gitlab.Gitlab) -> None:
    settings: dict[str, Any] = {**SCOPED, "hidden": False, "protected": False}
    delivered(**settings)
    variables = client.projects.get("acme/api").variables
    scope: dict[str, Any] = {"filter": {"environment_scope": "production"}}
    assert variables.get("NAGA_API", **scope).value == SECRET
    variables.update("NAGA_API", {"value": SECRET[::-1], "environment_scope": "production"}, **scope)
    variables.create({"key": "THEIRS", "value": SECRET, "environment_scope": "production"})
    names = ["NAGA_API", "THEIRS", "NAGA_NONE"]
    assert run(opened(**settings).describe(names)) == dict.fromkeys(["NAGA_API", "THEIRS"], Held(None, None))
    assert run(opened(**settings).holds(Secret(SECRET), names)) == ["THEIRS"]
    with pytest.raises(gitlab.exceptions.GitlabUpdateError, match="invalid"):
        variables.update("THEIRS", {"value": "a b", "masked": True, "environment_scope": "production"}, **scope)


def test_a_hidden_variable_without_a_note_tells_nothing(fake: FakeGitLab) -> None:
    delivered()
    fake.variables()["NAGA_API", "production"]["description"] = "ours"
    assert run(opened().describe(["NAGA_API"])) == {"NAGA_API": Held(None, None)}
    assert run(opened().holds(Secret(SECRET), ["NAGA_API"])) == []


def test_every_page_is_read(fake: FakeGitLab, client: gitlab.Gitlab) -> None:
    names = [f"V{number}" for number in range(250)]
    variables = client.groups.get("acme").variables
    for name in names:
        variables.create({"key": name, "value": SECRET, "masked": False})
    assert len(client.groups.get("acme").variables.list(get_all=True)) == 250
    assert len(run(opened(group="acme").describe(names))) == 250
    assert len(fake.variables("groups/acme")) == 250


def test_a_list_without_an_end_is_not_read_for_ever(fake: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge, "MOST_PAGES", 0)
    with pytest.raises(DestinationError, match="too many"):
        run(opened().describe(["NAGA_API"]))
    assert fake.changed == []


def test_variables_of_other_scopes_stay(fake: FakeGitLab) -> None:
    delivered(project="acme/api")
    delivered()
    fake.variables()["NAGA_API", "*"]["description"] = "x"
    assert run(opened().describe(["NAGA_API"])) == {"NAGA_API": Held(7, parse_instant(NOW))}
    assert sorted(fake.variables()) == [("NAGA_API", "*"), ("NAGA_API", "production")]


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (Grant(role=30), "Maintainer"),
        (Grant(scopes=("read_api",)), "scope api"),
        (Grant(scopes=("read_user",)), "403"),
        (None, "wrong, expired or revoked"),
    ],
)
def test_preflight_says_what_the_token_lacks(fake: FakeGitLab, grant: Grant | None, said: str) -> None:
    fake.grants = {} if grant is None else {TOKEN: grant}
    assert said in refusal()


def test_preflight_says_what_is_in_the_way(fake: FakeGitLab) -> None:
    assert "404" in refusal(project="acme/other")
    delivered(**SCOPED, hidden=False)
    assert "NAGA_API is there and not hidden" in refusal("NAGA_API", "NAGA_JOBS")
    assert not failure().uncertain
    run(opened(**SCOPED, hidden=False).preflight(["NAGA_API"]))
    fake.homes["projects/acme/api"].archived = True
    assert "archived" in refusal(**SCOPED, hidden=False)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GITLAB_TOKEN", " ", "GITLAB_TOKEN is not set"),
        ("GITLAB_TOKEN", "a b", "no token has"),
        ("GITLAB_URL", "http://gitlab.example.com", "GITLAB_URL must be an https address"),
        ("GITLAB_URL", "https://user@gitlab.example.com", "GITLAB_URL must be"),
        ("HTTPS_PROXY", "nonsense://x", "proxy"),
    ],
)
@pytest.mark.usefixtures("fake")
def test_without_a_way_or_a_login_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    if variable == "HTTPS_PROXY":
        monkeypatch.undo()
        monkeypatch.setenv("GITLAB_URL", URL)
        monkeypatch.setenv("GITLAB_TOKEN", TOKEN)
    monkeypatch.setenv(variable, value)
    assert said in refusal()
    assert not failure().uncertain


def test_in_a_job_gitlab_is_where_the_job_came_from(fake: FakeGitLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITLAB_URL")
    assert "at gitlab.com:" in refusal("CI_X")
    monkeypatch.setenv("CI_SERVER_URL", "https://gitlab.acme.example/git/")
    assert "at gitlab.acme.example/git:" in refusal("CI_X")
    assert fake.changed == []


@pytest.mark.parametrize("home", [{"group": "acme"}, {"project": "acme/api"}])
def test_what_gitlab_stores_otherwise_is_taken_away_again(fake: FakeGitLab, home: dict[str, str]) -> None:
    fake.scopes, fake.hides = "project" in home, "group" in home
    settings = {**home, "environment_scope": "production"}
    error = failure(**settings)
    assert not error.uncertain
    assert ("environment_scope is '*'" if "group" in home else "hidden is None") in str(error)
    assert all(not each.variables for each in fake.homes.values())
    fake.mishap = lambda method, _: 403 if method == "DELETE" else None
    assert failure(**settings).uncertain
    if "project" in home:
        delivered(name="NAGA_JOBS", **settings, hidden=False)


def test_what_was_there_and_is_kept_otherwise_is_told(fake: FakeGitLab) -> None:
    delivered()
    fake.variables()["NAGA_API", "production"].pop("raw")
    assert failure().uncertain


@pytest.mark.parametrize("mishap", [503, httpx.ReadTimeout("")])
def test_a_lost_answer_is_found_out(fake: FakeGitLab, mishap: int | Exception) -> None:
    lost = [mishap]
    fake.mishap = lambda method, _: lost.pop() if method == "POST" and lost else None
    delivered()
    assert fake.variables()["NAGA_API", "production"]["value"] == SECRET


@pytest.mark.parametrize(
    ("method", "mishap", "may_be_there"),
    [("GET", 503, 0), ("POST", 403, 0), ("POST", 503, 1), ("POST", httpx.ReadTimeout(""), 1)],
)
def test_a_failure_says_whether_the_secret_may_be_there(
    fake: FakeGitLab, method: str, mishap: int | Exception, may_be_there: int
) -> None:
    fake.mishap = lambda asked, _: mishap if asked == method else 403 if asked == "PUT" else None
    assert failure().uncertain == bool(may_be_there)


def test_a_list_that_cannot_be_read_is_an_error(fake: FakeGitLab) -> None:
    fake.mishap = lambda _, path: 500 if path.endswith("variables") else None
    with pytest.raises(DestinationError, match="cannot be read"):
        run(opened().describe(["NAGA_API"]))


@pytest.mark.parametrize("secret", ["ng-1", "ng-with space", "ng-\udcff-lone-surrogate"])
def test_a_secret_that_cannot_be_masked_goes_nowhere(fake: FakeGitLab, secret: str) -> None:
    assert not failure(secret=secret).uncertain
    assert fake.changed == []
