"""A repository of a GitHub that can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model import Target
from support.github.fake import TOKEN, FakeGitHub
from support.github.transport import Mishap, lead_to

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PLACE = "repos/acme/api"


class GitHubPlace:
    unusable_names = ("naga_key", "GITHUB_KEY")

    def __init__(self, _folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._fake = FakeGitHub()
        self._way = lead_to(self._fake, monkeypatch)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.delenv("GITHUB_APP_ID", raising=False)
        monkeypatch.delenv("GITHUB_API_URL", raising=False)
        self.target = Target("github", "github-actions", (("repository", "acme/api"),))

    def held(self) -> dict[str, str]:
        assert self._way.violations == []
        return self._fake.held(PLACE)

    def traces(self) -> object:
        return [line for line in self._fake.asked if not line.startswith("GET")]

    def break_down(self) -> None:
        self._way.broken = Mishap(403, content='{"message": "Resource not accessible by personal access token"}')
