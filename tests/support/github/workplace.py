"""A job of a workflow on the fake, with a folder, a simulated account and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.github.job import GitHubJob, job_environment, pull_request_event

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from support.command import Front


class Workplace(GitHubJob):
    """A job on the fake, with a folder to work in and a simulated account."""

    def __init__(self, folder: Path, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.folder = folder
        self.front = front
        self.monkeypatch = monkeypatch
        self.enter(job_environment(pull_request_event(folder)))

    def enter(self, environment: dict[str, str]) -> None:
        """Be a job from now on, with files of its own for this step."""
        files = {"GITHUB_OUTPUT": self.folder / "output", "GITHUB_STEP_SUMMARY": self.folder / "summary"}
        for file in files.values():
            file.write_bytes(b"")
        workspace = {"GITHUB_WORKSPACE": str(self.folder)}
        for name, value in {**environment, **workspace, **{name: str(file) for name, file in files.items()}}.items():
            self.monkeypatch.setenv(name, value)

    @property
    def summary(self) -> str:
        return (self.folder / "summary").read_text("utf-8")

    @property
    def outputs(self) -> dict[str, str]:
        """Read the outputs as the runner does; those of a later line win."""
        lines = iter((self.folder / "output").read_text("utf-8").split("\n"))
        found = {}
        for line in lines:
            name, sign, end = line.partition("<<")
            if not line:
                continue
            assert sign, line
            value = []
            for part in lines:
                if part == end:
                    break
                value.append(part)
            found[name] = "\n".join(value)
        return found
