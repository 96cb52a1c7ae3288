"""Reading files as they were at a revision."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.git import last_change, sources_at
from reconciler.errors import UsageError
from support.repository import commit, git

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = Path("keys.yaml")
ADDED = b"version: 1\n# as it was\nenvironments: {}\n"
NOTHING = b"version: 1\nenvironments: {}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    FILE.write_bytes(ADDED)
    return tmp_path


def contents(revision: str, file: Path = FILE) -> dict[str, bytes]:
    return {source.name: source.content for source in sources_at(revision, file)}


def refusal(revision: str, file: Path = FILE) -> str:
    with pytest.raises(UsageError) as caught:
        sources_at(revision, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [lambda full: full, lambda full: full[:10], lambda _: "HEAD", lambda _: "main"])
def test_a_file_is_read_as_it_was_and_its_paths_start_where_it_is(name: Callable[[str], str], folder: Path) -> None:
    revision = name(commit())
    FILE.write_text("version: 2")
    (source,) = sources_at(revision, folder / FILE)
    assert (source.name, source.folder, source.content) == (f"git:{revision}:keys.yaml", folder, ADDED)


def test_a_folder_is_read_as_it_was_without_what_no_declaration_is_made_of() -> None:
    teams = Path("some where/teams")
    (teams / "below.yaml").mkdir(parents=True)
    for name in ("a.yaml", "b.yaml", ".hidden.yaml", "notes.txt", "below.yaml/c.yaml"):
        (teams / name).write_bytes(name.encode())
    commit()
    (teams / "b.yaml").unlink()
    assert contents("HEAD", teams) == {"git:HEAD:a.yaml": b"a.yaml", "git:HEAD:b.yaml": b"b.yaml"}


def test_what_a_folder_replaced_is_found_and_its_paths_start_beside_it(folder: Path) -> None:
    commit()
    Path("keys").mkdir()
    FILE.rename("keys/settings.yaml")
    (source,) = sources_at("HEAD", folder / "keys")
    assert (source.name, source.folder, source.content) == ("git:HEAD:keys.yaml", folder, ADDED)


def test_what_a_file_replaced_is_found_too(folder: Path) -> None:
    Path("keys").mkdir()
    FILE.rename("keys/settings.yaml")
    commit()
    Path("keys/settings.yaml").rename(FILE)
    Path("keys").rmdir()
    (source,) = sources_at("HEAD", folder / FILE)
    assert (source.name, source.folder, source.content) == ("git:HEAD:settings.yaml", folder / "keys", ADDED)


@pytest.mark.parametrize("path", ["keys.yaml", "./keys.yaml", "teams", "./teams"])
def test_any_file_of_a_revision_can_be_named(folder: Path, path: str) -> None:
    Path("teams").mkdir()
    Path("teams/a.yaml").write_bytes(ADDED)
    commit()
    Path("teams/a.yaml").unlink()
    Path("teams").rmdir()
    FILE.rename("other.yaml")
    (source,) = sources_at(f"HEAD:{path}", Path("other.yaml"))
    assert (source.folder.resolve(), source.content) == (folder / "teams" if "teams" in path else folder, ADDED)


def test_a_path_that_a_revision_lacks_is_no_empty_declaration() -> None:
    commit()
    assert "there is no such file" in refusal("HEAD:other.yaml")


def test_the_folder_in_place_has_no_name_to_have_replaced_a_file_by() -> None:
    FILE.unlink()
    commit()
    (source,) = sources_at("HEAD", Path())
    assert (source.folder, source.content) == (Path(), NOTHING)


@pytest.mark.parametrize("file", ["other.yaml", "teams"])
def test_where_nothing_was_nothing_was_declared_and_that_is_said(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    commit()
    Path("teams").mkdir()
    assert contents("HEAD", Path(file)) == {f"git:HEAD:{file}": NOTHING}
    assert capsys.readouterr().err == f"There is no {file} at git:HEAD, so nothing was declared there.\n"


def link() -> None:
    FILE.rename("elsewhere.yaml")
    FILE.symlink_to("elsewhere.yaml")


def submodule() -> None:
    FILE.unlink()
    FILE.mkdir()
    first = commit("something to point to")
    git("update-index", "--add", "--cacheinfo", f"160000,{first},keys.yaml")


def subfolder() -> None:
    FILE.unlink()
    FILE.mkdir()
    (FILE / "keys.yaml").write_bytes(ADDED)


@pytest.mark.parametrize("make", [link, submodule, subfolder])
def test_what_is_no_file_is_not_taken_for_nothing(make: Callable[[], None]) -> None:
    make()
    if make is submodule:
        git("commit", "--quiet", "--message", "a submodule")
    else:
        commit()
    git("rm", "-r", "--quiet", "--cached", "keys.yaml")
    if FILE.is_dir():
        for file in FILE.iterdir():
            file.unlink()
        FILE.rmdir()
    assert refusal("HEAD").startswith("keys.yaml is not a file at git:HEAD but a link, a folder or a submodule; give")


def test_a_link_in_a_folder_of_files_is_not_passed_over() -> None:
    Path("teams").mkdir()
    Path("teams/a.yaml").symlink_to("../keys.yaml")
    commit()
    assert refusal("HEAD", Path("teams")).startswith("a.yaml is not a file at git:HEAD")


@pytest.mark.parametrize(
    "revision", ["nowhere", "", "-x", "--output=evil", "--help", "HEAD^{tree}", "HEAD HEAD", "HEAD~9"]
)
def test_what_is_no_revision_is_refused_and_runs_nothing(revision: str) -> None:
    commit()
    before = sorted(Path().iterdir())
    assert refusal(revision).startswith(f"--base git:{revision} cannot be read: ")
    assert sorted(Path().iterdir()) == before


def test_a_nul_in_a_revision_is_refused() -> None:
    commit()
    assert refusal("HEAD\0") == "--base git:REV holds a character that no revision has"


def test_a_folder_without_a_repository_is_named_by_git(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    assert "not a git repository" in refusal("HEAD")


def test_without_the_git_program_a_path_is_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal("HEAD") == "--base git:HEAD needs the git program, which was not found; give a path instead"


def test_a_folder_that_looks_like_a_repository_is_not_taken_for_one(tmp_path: Path) -> None:
    """A pull request can hold such a folder, with a configuration and a history of its own."""
    keys = Path("keys")
    git("init", "--quiet", "--bare", str(keys))
    (keys / "refs/heads/kept").write_text("")
    (keys / "keys.yaml").write_bytes(ADDED)
    outside = tmp_path / "ran"
    git("-C", str(keys), "config", "core.fsmonitor", f"touch {outside}")
    git("init", "--quiet")
    assert "cannot use bare repository" in refusal("HEAD", keys / "keys.yaml")
    assert not outside.exists()


# --- the last change --------------------------------------------------------------------------------------------------


def test_the_last_change_is_that_of_the_file_and_not_of_what_is_beside_it() -> None:
    changed = commit("Declare keys")
    Path("README.md").write_text("hello")
    assert last_change(FILE, commit("Say hello")) == changed


def test_the_last_change_of_a_folder_is_that_of_its_files() -> None:
    keys = Path("keys")
    (keys / "below").mkdir(parents=True)
    (keys / "a.yaml").write_bytes(ADDED)
    changed = commit("Declare keys")
    (keys / "README.md").write_text("hello")
    (keys / "below" / "b.yaml").write_bytes(ADDED)
    assert last_change(keys, commit("Say hello")) == changed


def test_what_a_merge_brought_has_the_merge_as_its_change() -> None:
    git("checkout", "--quiet", "-b", "topic", commit("main"))
    FILE.write_text("version: 1\nenvironments: {ci: {keys: {}}}\n")
    commit("Declare keys")
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--no-ff", "--message", "Merge", "topic")
    assert last_change(FILE, "HEAD") == git("rev-parse", "HEAD")


def test_of_a_file_that_was_never_there_and_of_no_commit_no_change_is_known() -> None:
    assert last_change(FILE, commit()) is not None
    assert last_change(Path("other.yaml"), "HEAD") is None
    assert last_change(FILE, "f" * 40) is None


def test_what_files_held_is_known_of_those_that_git_knows(folder: Path) -> None:
    for name in ("kept.txt", "untracked.txt"):
        Path(name).write_text("now")
    Path("changed.txt").write_text("then")
    Path("keys.yaml").write_text("version: 1\nenvironments: {}\n")
    Path(".gitignore").write_text("untracked.txt\n")
    commit()
    Path("changed.txt").write_text("now")
    Path("added.txt").write_text("now")
    commit()
    (source,) = sources_at("HEAD~1", Path("keys.yaml"))
    assert source.earlier is not None
    outside = folder.parent / f"{folder.name}.txt"
    outside.write_text("now")
    held = {name: source.earlier.fingerprint(str(folder / name)) for name in ("kept.txt", "changed.txt", "added.txt")}
    now, then = (hashlib.sha256(word).hexdigest() for word in (b"now", b"then"))
    assert held == {"kept.txt": now, "changed.txt": then, "added.txt": ""}
    assert [source.earlier.fingerprint(str(path)) for path in (folder / "untracked.txt", outside)] == [now, now]
