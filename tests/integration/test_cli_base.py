"""`--base`: the declaration before the change, and a plan without an account."""

from __future__ import annotations

import json
import socket
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.files import shipped_schema
from support.annotations import commands
from support.command import COMMAND, Ended, Front, call, environment, on_a_file
from support.repository import commit

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = """\
version: 1
destinations:
  local: {{type: dotenv, path: secrets.env}}
  other: {{type: dotenv, path: other.env}}
environments:
  ci:
    {rails}
    deliver: {deliver}
    keys: {keys}
{more}
"""
SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 1}}"
LOCAL = '[{to: local, as: "KEY_{KEY}"}]'
BOTH = '[{to: local, as: "KEY_{KEY}"}, {to: other, as: "KEY_{KEY}"}]'


def text(keys: str = TWO, rails: str = "", deliver: str = LOCAL, more: str = "") -> str:
    return FILE.format(keys=keys, rails=rails, deliver=deliver, more=more)


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def was(old: str, how: str) -> str:
    """Put an earlier declaration where --base can find it."""
    if how == "a path":
        Path("old.yaml").write_text(old)
        return "old.yaml"
    if how == "a folder":
        Path("old").mkdir()
        Path("old/any.yaml").write_text(old)
        return "old"
    Path("keys.yaml").write_text(old)
    Path(".gitignore").write_text("*.env\n")
    commit()
    return "git:HEAD"


ways = pytest.mark.parametrize("how", ["a path", "a folder", "a revision"])


def findings(ended: Ended) -> list[tuple[str, str, str | None]]:
    return [(each["rule"], each["severity"], each["address"]) for each in ended.document["findings"]]


@ways
def test_what_a_change_removes_is_told_from_what_no_file_ever_declared(front: Front, how: str) -> None:
    base = was(text(), how)
    for key in ("a", "b", "clicked"):
        front.state.create_key(f"ci/{key}", Decimal(1))
    shown = front.write(text("{a: {credit_limit: 1}}"))("plan", "--base", base).out
    assert "removed by this change" in shown
    assert "not declared, and not in the base file either: live only" in shown


@ways
def test_an_environment_that_is_dropped_leaves_its_keys_and_says_so(front: Front, how: str) -> None:
    base = was(text(more="  old: {keys: {x: {credit_limit: 1}}}"), how)
    front.state.create_key("old/x", Decimal(1))
    ended = front.write(text())("plan", "--base", base, "--format", "json")
    assert ("environment-dropped", "warning", None) in findings(ended)
    assert front("apply", "--auto-approve", "--base", base).code == 0
    assert "old/x" in front.names()


@ways
def test_protections_that_the_same_change_removes_still_hold(front: Front, how: str) -> None:
    base = was(text(rails="protected: true"), how)
    for key in "ab":
        front.state.create_key(f"ci/{key}", Decimal(1))
    front.write(text("{a: {credit_limit: 1}}"))
    assert front("plan").code == 0
    ended = front("plan", "--base", base, "--format", "json")
    assert ended.code == 3
    assert ("protected", "error", "ci/b") in findings(ended)
    assert ("guardrail-loosened", "warning", None) in findings(ended)
    refused = front("apply", "--auto-approve", "--base", base)
    assert refused.code == 3
    assert front.names() == ["ci/a", "ci/b"]
    assert front("apply", "--auto-approve", "--base", base, "--allow", "ci/b").code == 0
    assert front.names() == ["ci/a"]


@ways
def test_a_destination_that_is_added_to_a_key_stays_empty_until_it_is_rotated(front: Front, how: str) -> None:
    base = was(text(), how)
    for key in "ab":
        front.state.create_key(f"ci/{key}", Decimal(1))
    ended = front.write(text(deliver=BOTH))("plan", "--base", base, "--format", "json")
    both = [(rule, "warning", address) for address in ("ci/a", "ci/b") for rule in ("new-place", "not-delivered")]
    assert findings(ended) == both
    assert "pass --rotate ci/a to deliver" in ended.out
    again = front("plan", "--base", base, "--format", "json", "--rotate", "ci/a")
    assert findings(again) == [both[0], *both[2:]]


def test_an_environment_of_the_base_can_be_selected(front: Front) -> None:
    base = was(text(more="  old: {keys: {}}"), "a path")
    front.write(text())
    assert front("plan", "-e", "old").code == 1
    assert front("plan", "-e", "old", "--base", base).code == 0


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            "nowhere.yaml",
            "error: --base nowhere.yaml is no file or folder; give a path, or a revision as in git:origin/main",
        ),
        ("git:nowhere", "error: --base git:nowhere cannot be read: there is no such revision (in CI, check out"),
        ("git:", "error: --base git: cannot be read: "),
        ("git:--output=x", "error: --base git:--output=x cannot be read: "),
    ],
)
def test_a_base_that_cannot_be_had_is_an_error(front: Front, base: str, said: str) -> None:
    front.write(text())
    commit()
    ended = front("plan", "--base", base)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(said)


def test_mistakes_in_the_base_are_those_of_its_revision(front: Front) -> None:
    Path("keys.yaml").write_text("{version: 2, environments: {}}")
    commit()
    ended = front.write(text())("plan", "--base", "git:HEAD", "--format", "github")
    assert ended.code == 1
    assert ended.err.startswith("git:HEAD:keys.yaml:1:11: error: version must be 1")
    assert [command.name for command in commands(ended.out)] == ["error"]


@pytest.mark.parametrize("base", ["git:HEAD", "git:HEAD:keys.yaml", "old.yaml"])
def test_a_folder_in_place_of_a_file_moves_the_places_of_its_secrets(front: Front, base: str) -> None:
    front.write(text())
    commit()
    Path("keys").mkdir()
    Path("old.yaml").write_bytes(Path("keys.yaml").read_bytes())
    Path("keys.yaml").rename("keys/settings.yaml")
    ended = front("plan", "--base", base, "--format", "json")  # without -f, the folder is found
    assert ended.code == 0
    assert "new-place" in {finding["rule"] for finding in ended.document["findings"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [("local", "loc2"), ("path: secrets.env", "path: x/../secrets.env"), ("path: secrets.env", "path: ../secrets.env")],
)
def test_a_place_that_is_only_written_otherwise_has_not_moved(front: Front, old: str, new: str) -> None:
    base = was(text(), "a revision")
    for key in "ab":
        front.state.create_key(f"ci/{key}", Decimal(1))
    front.write(text().replace(old, new))
    if "path: ../" in new:
        Path("keys").mkdir()
        Path("keys.yaml").rename("keys/settings.yaml")
    ended = front("plan", "--base", base, "--format", "json")
    assert (ended.code, findings(ended)) == (0, [])


@pytest.mark.parametrize("command", ["plan", "validate", "fmt"])
def test_a_folder_keys_is_the_declaration_where_there_is_no_file_and_it_holds_one(front: Front, command: str) -> None:
    call_it = front if command == "plan" else Front(front.state)
    Path("keys").mkdir()
    assert "there is no file keys.yaml" in call_it(command).err
    Path("keys/ci.yaml").write_text(text(), "utf-8")
    assert call_it(command).code == 0
    Path("keys.yaml").write_text("version: 3\n", "utf-8")
    assert call_it(command).code == 1


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_mistakes_are_annotations_at_their_place(front: Front, command: str) -> None:
    front.declare("{a: {}, b: {credit_limit: x}}")
    ended = Front(front.state)(command, "--format", "github")
    assert ended.code == 1
    assert [each.properties["line"] for each in commands(ended.out)] == ["7", "7"]
    assert ended.err.splitlines()[-1].startswith("2 errors")


def test_in_another_format_mistakes_are_no_annotations(front: Front) -> None:
    front.declare("{a: {}}")
    assert Front(front.state)("validate").out == ""


# --- without an account -----------------------------------------------------------------------------------------------


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the network and every credential away."""

    def refuse(*_: Any, **__: Any) -> None:
        msg = "this must not use the network"
        raise AssertionError(msg)

    for name in ("NAGA_PROVISIONING_KEY", "NAGA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("cut_off")
@ways
@pytest.mark.parametrize("output_format", ["text", "json", "markdown", "github"])
def test_a_change_can_be_planned_without_any_credential(front: Front, how: str, output_format: str) -> None:
    base = was(text(), how)
    front.write(text("{a: {credit_limit: 5}, c: {credit_limit: 1}}"))
    words = ("plan", "--base", base, "--offline", "--format", output_format, "--detailed-exitcode")
    ended = call(*words)
    assert ended.code == 2
    if output_format == "json":
        assert list(SCHEMA.iter_errors(ended.document)) == []
        done = {change["address"]: (change["action"], change["key_id"]) for change in ended.document["changes"]}
        assert done == {"ci/a": ("update", None), "ci/b": ("delete", None), "ci/c": ("create", None)}
    else:
        assert all(f"{verb}" in ended.out for verb in ("create", "update", "delete"))


@pytest.mark.usefixtures("cut_off")
def test_what_the_base_protects_is_protected_without_an_account_too(front: Front) -> None:
    base = was(text(rails="protected: true"), "a revision")
    front.write(text("{}"))
    assert call("plan", "--base", base, "--offline").code == 3
    assert call("plan", "--base", base, "--offline", "--allow", "ci/*").code == 0


def test_offline_imports_nothing_that_could_talk_to_anybody(front: Front) -> None:
    was(text(), "a path")
    front.write(text("{}"))
    words = ["plan", "--base", "old.yaml", "--offline"]
    program = [COMMAND[0], "-X", "importtime", *COMMAND[1:], *words]
    done = subprocess.run(program, env=environment(), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "2 to delete" in done.stdout
    assert imported & {"httpx", "ssl", "asyncio"} == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--offline",), "--offline needs --base, which then stands for the account: add --base git:origin/main"),
        (
            ("--offline", "--base", "old.yaml", "--out", "plan.json"),
            "--offline makes no plan that can be applied, so --out does not go with it",
        ),
        (
            ("--offline", "--base", "old.yaml", "--preflight"),
            "--offline asks nobody, so --preflight and --check-destinations do not go with it",
        ),
        (
            ("--offline", "--base", "old.yaml", "--check-destinations"),
            "--offline asks nobody, so --preflight and --check-destinations do not go with it",
        ),
    ],
)
def test_what_does_not_go_with_offline_is_refused(front: Front, words: tuple[str, ...], said: str) -> None:
    was(text(), "a path")
    ended = front.write(text())("plan", *words)
    assert (ended.code, ended.out, ended.err) == (1, "", f"error: {said}\n")
    assert not Path("plan.json").exists()
