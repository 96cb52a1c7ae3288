"""Goal: use what a job runs anyway to write over a file, or to read what other destinations log in with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.command import Front


@pytest.mark.parametrize(("command", "out"), [("plan", "k.json"), ("metrics", "k.prom")])
def test_an_output_that_is_a_link_to_the_declaration_leaves_it(front: Front, command: str, out: str) -> None:
    front.declare("{a: {credit_limit: 1}}")
    before = Path("keys.yaml").read_bytes()
    Path(out).symlink_to("keys.yaml")
    assert front(command, "--out", out).code == 1
    assert Path("keys.yaml").read_bytes() == before


def test_an_output_does_not_leave_the_repository_by_a_link(front: Front, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    subprocess.run(["git", "init", "--quiet", tree], check=True)  # noqa: S607  # the git of the machine
    (tmp_path / "profile").write_text("theirs")
    (tree / "k.json").symlink_to("../profile")
    front.declare("{a: {credit_limit: 1}}")
    assert front("plan", "--out", str(tree / "k.json")).code == 1
    assert (tmp_path / "profile").read_text() == "theirs"


@pytest.mark.parametrize("state", ["keys.yaml", "state.json", "out.json"])
def test_what_was_told_is_not_remembered_in_a_declaration_or_outside(
    front: Front, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setenv("RECONCILER_NOTIFY_URLS", "json://localhost")
    front.declare("{a: {credit_limit: 1}}")
    before = Path("keys.yaml").read_bytes()
    Path("state.json").symlink_to("keys.yaml")
    Path(".git").mkdir()
    Path("out.json").symlink_to("../profile.json")
    assert front("check", "--notify", "--state", state).code == 1
    assert Path("keys.yaml").read_bytes() == before
    assert not Path("../profile.json").exists()


@pytest.mark.parametrize("link", ["keys.yaml", ".github"])
def test_a_new_repository_is_not_set_up_in_another_place(front: Front, tmp_path: Path, link: str) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    for folder in (tree / ".git", outside):
        folder.mkdir(parents=True)
    (tree / link).symlink_to(f"../outside/{link if link == 'keys.yaml' else ''}")
    assert front("init", str(tree)).code == 1
    assert [*outside.iterdir()] == []


@pytest.mark.parametrize("name", ["new.yaml", "new"])
def test_an_import_writes_to_no_other_place(front: Front, tmp_path: Path, name: str) -> None:
    front.declare("{a: {credit_limit: 1}}")
    front.state.create_key("production/api")
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    (tree / name).symlink_to(f"../{name}")
    assert front("import", "--file", str(tree / name)).code == 1
    assert not (tmp_path / name).exists()


def test_a_command_of_the_file_sees_no_login_of_another_destination(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "hvs.of-another-destination")
    front.write("""\
        version: 1
        destinations: {x: {type: exec, command: [sh, -c, "env > seen; rev; exit 1"]}}
        environments: {ci: {deliver: [{to: x, as: A}], keys: {a: {credit_limit: 1}}}}
        """)
    ended = front("apply", "--auto-approve", "--allow-exec")
    assert ended.code == 1  # nothing was done
    assert "hvs." not in Path("seen").read_text()
    assert "-gn" not in ended.err
