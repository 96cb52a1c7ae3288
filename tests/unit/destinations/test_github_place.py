from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.declaration import SourceFile, load_sources
from reconciler.destinations.github import GitHubActions
from reconciler.destinations.github_server import read_place
from reconciler.errors import DestinationError
from reconciler.model import Target

if TYPE_CHECKING:
    from reconciler.model import Setting

ORG: dict[str, Setting] = {"organization": "acme"}


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({}, "either a repository or an organization"),
        ({"repository": "acme/api", **ORG}, "either a repository or an organization"),
        *[
            ({"repository": repository}, "a repository like acme/api")
            for repository in ("acme", "acme/", "/api", "acme/api/x", "acme/..", "acme/.", "ac me/api", "acme/api?x", 1)
        ],
        *[
            ({"repository": "acme/api", "environment": environment}, "the name of an environment")
            for environment in ("", ".", "..", "a\nb", "x" * 256, True)
        ],
        ({"organization": "../repos/acme"}, "the name of an organization"),
        (ORG, "visibility to be one of all, private, selected"),
        ({**ORG, "visibility": "public"}, "visibility to be one of all, private, selected"),
        ({**ORG, "visibility": "selected"}, "selected_repositories to be ids of repositories"),
        ({**ORG, "visibility": "selected", "selected_repositories": ("api",)}, "selected_repositories to be ids"),
    ],
)
def test_settings_that_name_no_place_are_refused(settings: dict[str, Any], needs: str) -> None:
    with pytest.raises(DestinationError) as caught:
        GitHubActions(Target("github", "github-actions", tuple(settings.items())))
    assert str(caught.value).startswith(f"the github-actions destination 'github' needs {needs}")


@pytest.mark.parametrize("repository", ["acme/api", "Acme-Corp/.github", "octo_corp/a.b-c_d", "a/..."])
def test_a_repository_may_have_any_name_that_github_gives(repository: str) -> None:
    GitHubActions(Target("github", "github-actions", (("repository", repository),)))


def test_what_a_file_declares_can_be_opened() -> None:
    file = Path(__file__).parents[2] / "examples" / "valid" / "destinations-github.yaml"
    keys = load_sources([SourceFile(file.name, file.parent, file.read_bytes())]).keys
    targets = {delivery.target for key in keys for delivery in key.deliver}
    places = {read_place(target).secrets: read_place(target).fields for target in targets}
    assert places == {
        "repos/acme/.github/actions/secrets": (),
        "repos/acme-production/api/actions/secrets": (),
        "repos/acme-production/worker/actions/secrets": (),
        "repos/acme/api/environments/production/secrets": (),
        "orgs/acme/actions/secrets": (("visibility", "all"),),
        "orgs/acme-production/actions/secrets": (("visibility", "selected"), ("selected_repository_ids", (12, 7))),
    }
