from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from reconciler import files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = (tmp_path / "repository").resolve()
    top.mkdir()
    git(top, "init", "--quiet")
    return top


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)  # noqa: S607  # the machine's git


def unfit(path: Path | str, root: Path, *, outside: bool = False) -> str | None:
    return files.why_unfit(str(path), str(root), outside=outside)


def test_the_nearest_git_says_whose_a_path_is(tree: Path, tmp_path: Path) -> None:
    inner = tree / "a" / "submodule"
    inner.mkdir(parents=True)
    (inner / ".git").write_text("gitdir: elsewhere")
    (tmp_path / "link").symlink_to(inner)
    assert [files.repository_of(each) for each in (tree, tree / "b" / "c", inner / "x", tmp_path / "link")] == [
        str(tree),
        str(tree),
        str(inner),
        str(inner),
    ]
    assert files.repository_of("/") is None


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".git",
        "a/.git/hooks/pre-commit",
        ".github/workflows/x.yml",
        "a/.GitHub/x",
        ".GIT/x",
        ".g\u200cit/x",  # HFS+ leaves the invisible character out
        ".\uff47it/x",
        ".git./x",
        ".git ::$INDEX_ALLOCATION/x",
        "GIT~1/x",
        "a/../.git/x",
        "link/hooks/x",
    ],
)
def test_nothing_is_written_below_git_and_github(path: str, tree: Path) -> None:
    (tree / "link").symlink_to(".git")
    for outside in (False, True):
        assert "below .git or .github" in (unfit(tree / path, tree, outside=outside) or "")


@pytest.mark.parametrize("path", ["a/b.env", ".gitignored/x", "git/x", "x.git", ".gitea/x", "link/x.env", "\u00e9/x"])
def test_other_names_are_ordinary(path: str, tree: Path) -> None:
    (tree / "link").symlink_to("a")
    assert unfit(tree / path, tree) is None


def test_a_repository_may_itself_lie_in_a_folder_of_that_name(tmp_path: Path) -> None:
    tree = (tmp_path / ".github").resolve()
    tree.mkdir()
    git(tree, "init", "--quiet")
    assert unfit(tree / "x.env", tree) is None
    assert unfit(tree / "x.env", tmp_path.resolve()) is not None
    assert unfit(tree / "x.env", tmp_path.resolve() / "elsewhere", outside=True) is None


def test_outside_of_the_repository_takes_a_word(tree: Path, tmp_path: Path) -> None:
    (tree / "link").symlink_to(tmp_path)
    for path, words in ((tmp_path / "x.env", "is outside of"), (tree / "link" / "x.env", "leads out of")):
        assert words in (unfit(path, tree) or "")
        assert unfit(path, tree, outside=True) is None
        assert files.why_unfit(str(path), "", outside=False) is None
    assert "is outside of" in (unfit(f"{tree}-too/x.env", tree) or "")


@pytest.mark.parametrize(
    "path", ["/dev/stdout", "/dev/null", "/proc/self/environ", "/sys/x", "/dev/fd/1", "/dev/x.env"]
)
def test_a_device_is_no_place_by_any_way(path: str, tree: Path) -> None:
    (tree / "link").symlink_to(path)
    (tree / "second").symlink_to("link")
    for each in (path, tree / "link", tree / "second"):
        assert "device" in (unfit(each, tree, outside=True) or "")
    assert unfit("/dev/shm/x.env", tree, outside=True) is None  # noqa: S108  # the place that is meant


def test_a_circle_of_links_is_left_to_whoever_opens_it(tree: Path) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    (tree / "c").symlink_to("a")
    assert [unfit(tree / each, tree) for each in ("a", "b", "c")] == [None] * 3


@pytest.mark.parametrize(
    ("link", "target", "path", "leads_out"),
    [
        ("keys.yaml", "../token", "keys.yaml", True),
        ("keys.yaml", "config/keys.yaml", "keys.yaml", False),
        ("keys.yaml", ".git/config", "keys.yaml", True),
        ("keys", "..", "keys/token", True),
        ("keys", "config", "keys/keys.yaml", False),
        ("keys", "config", "keys/../../token", False),  # no link leads there
        ("a", "b", "a", False),  # which leads nowhere
    ],
)
def test_a_link_out_of_the_repository_is_found(
    link: str,
    target: str,
    path: str,
    leads_out: bool,  # noqa: FBT001  # a column of the table
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tree / "config").mkdir()
    (tree / link).symlink_to(target)
    expected = str(tree / link) if leads_out else None
    assert files.link_out(tree / path) == expected
    monkeypatch.chdir(tree)
    assert files.link_out(Path(path)) == expected


def test_without_a_repository_the_working_directory_stands_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "keys").mkdir(parents=True)
    (tmp_path / "work" / "keys" / "a.yaml").symlink_to("../b.yaml")
    (tmp_path / "work" / "keys" / "c.yaml").symlink_to("../../d.yaml")
    (tmp_path / "way").symlink_to("work")
    work = (tmp_path / "work").resolve()
    monkeypatch.chdir(tmp_path / "work")
    assert files.link_out("keys/a.yaml") is None
    assert files.link_out("keys/c.yaml") == str(work / "keys" / "c.yaml")
    (work / "b.yaml").touch()
    (work / "keys" / "e.yaml").symlink_to("f.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert files.link_out(tmp_path / "way" / "keys" / "e.yaml") is None
    assert files.link_out(work / "keys" / "a.yaml") == str(work / "keys" / "a.yaml")


def test_what_git_would_take_is_told_with_the_line_that_helps(tree: Path, tmp_path: Path) -> None:
    (tree / ".gitignore").write_text("/ignored/\n!/ignored/no\n*.secret\n")
    (tree / "config").mkdir()
    (tree / "config" / "app.toml").touch()
    (tree / "forced.secret").touch()
    git(tree, "add", "--force", "config/app.toml", "forced.secret")
    paths = {
        "ignored/x.env": None,
        "a.secret": None,
        "x.env": "line /x.env to",
        ".secrets/ci.env": "line /.secrets/ to",
        "config/ci.env": "line /config/ci.env to",
        "a [b]/*.env": "line /a\\ \\[b]/ to",
        "forced.secret": "git rm --cached forced.secret",
    }
    found = files.not_ignored([*(str(tree / path) for path in paths), str(tmp_path / "in-no-repository.env")])
    assert {path for path, words in paths.items() if words} == {os.path.relpath(each, tree) for each in found}
    for path, words in paths.items():
        assert words is None or words in found[str(tree / path)]


def test_variables_do_not_lead_git_elsewhere(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    (other / ".git" / "info" / "exclude").write_text("*\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tree))
    assert list(files.not_ignored([str(tree / "x.env")])) == [str(tree / "x.env")]


def test_a_configuration_that_was_checked_in_runs_nothing(tree: Path, tmp_path: Path) -> None:
    git(tree, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    (tree / "tracked").touch()
    git(tree, "-c", "core.fsmonitor=false", "add", "tracked")
    files.not_ignored([str(tree / "x.env")])
    assert not (tmp_path / "ran").exists()


def never_ends(command: object, *, timeout: float, **_: object) -> None:
    raise subprocess.TimeoutExpired(str(command), timeout)


def test_where_git_cannot_be_asked_that_is_the_reason(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tree / "x.env")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert "can't be asked" in files.not_ignored([path])[path]
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", never_ends)
        assert "no answer within 60 s" in files.not_ignored([path])[path]
    (tree / ".git" / "HEAD").unlink()
    assert "not a git repository" in files.not_ignored([path])[path]
