"""What git tells about a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli.git import find_repository
from reconciler.errors import UsageError
from support.repository import commit, git


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:acme/api.git", "acme/api"),
        ("git@github.com:acme/api", "acme/api"),
        ("https://github.com/acme/api.git", "acme/api"),
        ("https://github.com/acme/my.keys/", "acme/my.keys"),
        ("https://someone@github.example.com/acme/api", "acme/api"),
        ("ssh://git@github.com:22/acme/api.git", "acme/api"),
        ("/srv/git/acme/api.git", None),
        ("https://gitlab.com/acme/group/api.git", None),
        ("https://github.com/acme/$(reboot).git", None),
    ],
)
def test_the_remote_tells_the_repository_on_the_server(url: str, name: str | None) -> None:
    git("init", "--quiet")
    git("remote", "add", "origin", url)
    assert find_repository(Path()).name == name


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("git@gitlab.com:acme/api.git", "gitlab.com"),
        ("https://someone:else@gitlab.example.com/acme/api.git", "gitlab.example.com"),
        ("ssh://git@code.gitlab.example.com:22/acme/api.git", "code.gitlab.example.com"),
        ("https://bitbucket.org/acme/api", "bitbucket.org"),
        ("https://github.com/acme/gitlab.com", None),
        ("https://git.example.com/acme/bitbucket.org", None),
    ],
)
def test_a_server_that_is_no_github_is_known_by_its_name(url: str, host: str | None) -> None:
    git("init", "--quiet")
    git("remote", "add", "origin", url)
    found = find_repository(Path())
    assert (found.elsewhere, found.name is None) == (host, host is not None)


def test_without_a_remote_there_is_no_name(folder: Path) -> None:
    git("init", "--quiet")
    assert find_repository(folder).name is None


def test_the_top_of_the_repository_is_found_from_a_folder_in_it(folder: Path) -> None:
    git("init", "--quiet")
    (folder / "infrastructure").mkdir()
    assert find_repository(Path("infrastructure")).root == folder.resolve()


def test_the_branch_that_the_server_calls_the_default_one_wins() -> None:
    revision = commit()
    git("update-ref", "refs/remotes/origin/main", revision)
    git("update-ref", "refs/remotes/origin/trunk/v2", revision)
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk/v2")
    assert find_repository(Path()).branch == "trunk/v2"


@pytest.mark.parametrize(
    ("references", "branch"),
    [
        (["heads/main", "heads/topic"], "main"),
        (["heads/master", "heads/topic"], "master"),
        (["heads/main", "remotes/origin/master", "heads/topic"], "master"),
        (["heads/topic"], "topic"),
        (["heads/trunk"], "trunk"),
        (["remotes/origin/trunk", "heads/topic"], "trunk"),
        (["remotes/origin/trunk", "remotes/origin/next", "heads/topic"], "topic"),
    ],
)
def test_else_a_usual_name_does_and_else_the_branch_that_is_checked_out(references: list[str], branch: str) -> None:
    revision = commit()
    git("checkout", "--quiet", "--detach")
    git("branch", "--delete", "--force", "main")
    for reference in references:
        git("update-ref", f"refs/{reference}", revision)
    git("symbolic-ref", "HEAD", "refs/heads/topic")
    assert find_repository(Path()).branch == branch


def test_a_repository_without_a_commit_has_the_branch_of_its_first_one() -> None:
    git("init", "--quiet", "--initial-branch=trunk")
    assert find_repository(Path()).branch == "trunk"


def test_where_no_branch_is_known_it_is_called_main() -> None:
    commit()
    git("checkout", "--quiet", "--detach")
    git("branch", "--delete", "--force", "main")
    assert find_repository(Path()).branch == "main"


def test_a_folder_outside_of_any_repository_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="is in no git repository, where the workflows would belong; run `git init`"):
        find_repository(folder)


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^nowhere is no folder$"):
        find_repository(Path("nowhere"))


def test_without_the_git_program_nothing_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(UsageError, match="the git program was not found"):
        find_repository(folder)
