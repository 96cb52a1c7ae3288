"""Goal: have the job's log show a file that is not in the repository, in place of the declaration."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from support.command import call

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Front

TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"

FILES = [
    TOKEN,
    f"{TOKEN}\n{TOKEN}\n",
    f"{TOKEN}:\n",
    f"? {TOKEN}",
    f"{{{TOKEN}}}",
    f"*{TOKEN}",
    f"!{TOKEN} x",
    f"a: *{TOKEN}",
    f"[{TOKEN}]",
    f"- {TOKEN}",
    f"'{TOKEN}'",
    f"|\n {TOKEN}",
    f"https://user:{TOKEN}@github.com\n",
    f"machine github.com login x password {TOKEN}\n",
    f"github.com:\n  oauth_token: {TOKEN}\n",
    f"//registry.example/:_authToken={TOKEN}\n",
    f"[core]\n\textraheader = AUTHORIZATION: basic {TOKEN}\n",
    f'{{"auths": {{"ghcr.io": {{"auth": "{TOKEN}"}}}}}}',
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{TOKEN}\n-----END OPENSSH PRIVATE KEY-----\n",
    "0123456789012345678901234567890123456789",
    "012345670123456701234567",
]

COMMANDS = [("validate",), ("validate", "--format", "github"), ("plan",), ("plan", "--format", "json"), ("fmt",)]


def shown(front: Front, *words: str) -> str:
    ended = (call if words[0] in {"validate", "fmt"} else front)(*words)
    assert ended.code == 1
    return ended.out + ended.err


@pytest.mark.parametrize("content", FILES)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_no_declaration_is_not_shown(front: Front, content: str, command: tuple[str, ...]) -> None:
    front.write(content)
    said = shown(front, *command)
    for start in range(0, len(content.strip()) - 24, 8):
        assert content.strip()[start : start + 24] not in said


@pytest.mark.parametrize("way", ["keys.yaml", "keys", "keys/team.yaml", ".git"])
def test_a_link_in_place_of_the_declaration_is_not_followed(front: Front, tmp_path: Path, way: str) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path / "tree"], check=True)  # noqa: S607  # the git of the machine
    outside = tmp_path / "home"
    outside.mkdir()
    for name in ("token", "team.yaml"):
        (outside / name).write_text(f"version: {TOKEN}\n")
    tree = tmp_path / "tree"
    file = tree / "keys.yaml"
    match way:
        case "keys.yaml":
            file.symlink_to("../home/token")
        case "keys":
            file = tree / "keys"
            file.symlink_to("../home")
        case "keys/team.yaml":
            file = tree / "keys"
            file.mkdir()
            (file / "team.yaml").symlink_to("../../home/team.yaml")
        case _:
            (tree / ".git" / "config").write_text(f"version: {TOKEN}\n")
            file.symlink_to(".git/config")
    for words in (("validate",), ("validate", "--format", "github"), ("plan",), ("plan", "--base", str(file))):
        said = shown(front, *words, "-f", str(file))
        assert "symbolic link" in said
        assert TOKEN not in said
