from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from reconciler.declaration import SourceFile, load_sources
from reconciler.errors import DeclarationError
from reconciler.model import Delivery, Place

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

FILE = """version: 1
destinations:
  one: {{type: {one}}}
  two: {{type: {two}}}
environments:
  e:
    keys:
      a: {{credit_limit: 1, deliver: [{{to: one, as: E}}]}}
      b: {{credit_limit: 1, deliver: [{{to: two, as: E}}]}}
"""


def deliveries(folder: Path, one: str, two: str = "exec, command: [x]") -> list[Delivery]:
    content = FILE.format(one=one, two=two).encode()
    declaration = load_sources([SourceFile("keys.yaml", folder, content)])
    return [delivery for key in declaration.keys for delivery in key.deliver]


def collide(folder: Path, one: str, two: str) -> bool:
    try:
        deliveries(folder, one, two)
    except DeclarationError as error:
        (found,) = error.diagnostics
        assert found.location.line == 9
        return True
    return False


def test_a_place_is_the_same_on_every_machine_and_has_no_links(tmp_path: Path) -> None:
    places = []
    for name in ("here", "there"):
        folder = tmp_path / name / "config"
        (tmp_path / name / "real").mkdir(parents=True)
        folder.mkdir()
        subprocess.run(["git", "init", "-q", tmp_path / name], check=True)  # noqa: S607  # the git of the machine
        (folder / "link").symlink_to("../real")
        (tmp_path / name / "real" / "r.txt").write_text(RECIPIENT)
        one, two = deliveries(
            folder, "dotenv, path: link/x.env", "age, path: 'link/{name}', recipients_file: link/r.txt"
        )
        assert one.file == str((tmp_path / name / "real" / "x.env").resolve())
        assert one.target.root == str((tmp_path / name).resolve())
        places.append((one.place, two.place))
    digest = hashlib.sha256(RECIPIENT.encode()).hexdigest()
    settings = (("path", "real/{name}"), ("recipients_file", "real/r.txt"), ("recipients_file sha256", digest))
    assert places == 2 * [
        (Place("dotenv", (("path", "real/x.env"),), "E", "real/x.env"), Place("age", settings, "E", "real/E"))
    ]


def test_a_place_outside_of_the_repository_keeps_its_whole_path(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    one, two = deliveries(
        folder, "dotenv, path: /nowhere/x.env, outside: true", "dotenv, path: ../y.env, outside: true"
    )
    assert one.place.file == "/nowhere/x.env"
    assert two.place.file == str((tmp_path / "y.env").resolve())


def test_what_has_no_paths_is_what_its_settings_say(tmp_path: Path) -> None:
    one, _ = deliveries(tmp_path, "github-actions, repository: acme/api")
    assert one.place == Place("github-actions", (("repository", "acme/api"),), "E", None)
    assert one.target.root == ""


@pytest.mark.parametrize("content", [None, b"", b"x" * (1024 * 1024 + 1)])
def test_what_a_destination_reads_is_part_of_its_place(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "r.txt").write_bytes(content)
    one, _ = deliveries(tmp_path, "age, path: x, recipients_file: r.txt")
    expected = "" if content is None else hashlib.sha256(content).hexdigest()
    assert dict(one.place.settings)["recipients_file sha256"] == expected


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.txt")
    (one, _) = deliveries(tmp_path, "age, path: x, recipients_file: r.txt")
    assert dict(one.place.settings)["recipients_file sha256"] == ""


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("dotenv, path: x.env", "dotenv, path: file-link.env"),
        ("dotenv, path: real/x.env", "dotenv, path: folder-link/x.env"),
        ("dotenv, path: real/x.env", "dotenv, path: folder-link/../real/x.env"),
        ("dotenv, path: x.env", "dotenv, path: X.ENV"),
        ("dotenv, path: é.env", "dotenv, path: É.env"),
        (f"age, path: real/E, recipients: [{RECIPIENT}]", "age, path: 'folder-link/{name}', recipients_file: r"),
        (f"age, path: x.env, recipients: [{RECIPIENT}]", "dotenv, path: x.env"),
        ("dotenv, path: x.env", f"age, path: file-link.env, recipients: [{RECIPIENT}]"),
    ],
)
def test_one_file_by_two_ways_is_one_place(one: str, two: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder-link").symlink_to("real")
    (tmp_path / "file-link.env").symlink_to("x.env")
    assert collide(tmp_path, one, two)


AWS = ("aws-secrets-manager", "aws-secrets-manager, region: eu-west-1")
VAULT = ("vault, path: a", "vault, path: a, namespace: team/x")


@pytest.mark.parametrize(
    ("variables", "pair", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, AWS, True),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, AWS, True),
        ({"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "eu-west-1"}, AWS, False),
        ({"AWS_CONFIG_FILE": "config"}, AWS, True),
        ({"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "there"}, AWS, True),
        ({"AWS_CONFIG_FILE": "config", "AWS_PROFILE": "elsewhere"}, AWS, False),
        ({"AWS_CONFIG_FILE": "broken"}, AWS, False),
        ({"AWS_CONFIG_FILE": "missing"}, AWS, False),
        ({"VAULT_NAMESPACE": "/team/x/"}, VAULT, True),
        ({"VAULT_NAMESPACE": "team"}, VAULT, False),
        ({"VAULT_NAMESPACE": "team"}, ("vault, path: a, mount: x/secret", VAULT[1]), True),
        ({}, VAULT, False),
        ({}, ("vault, path: a, namespace: team, mount: x/secret", VAULT[1]), True),
    ],
)
def test_what_the_environment_would_say_may_be_said_aloud(
    variables: dict[str, str],
    pair: tuple[str, str],
    expected: bool,  # noqa: FBT001  # a column of the table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "VAULT_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "missing")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("config").write_text("[default]\nregion = eu-west-1\n[profile there]\nregion = eu-west-1\n")
    Path("broken").write_text("region = eu-west-1\n")
    assert collide(tmp_path, *pair) is expected


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ("dotenv, path: .git/config", "below .git or .github"),
        ("dotenv, path: .github/workflows/x.yml, outside: true", "below .git or .github"),
        ("dotenv, path: ../x.env", "is outside of"),
        ("dotenv, path: link/x.env", "leads out of"),
        ("dotenv, path: /dev/stdout, outside: true", "device"),
        ("age, path: '.git/{name}', recipients_file: r", "below .git or .github"),
        ("age, path: '../{name}', recipients_file: r", "is outside of"),
    ],
)
def test_a_file_that_no_secret_may_be_written_to_is_an_error_where_its_path_stands(
    one: str, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "link").symlink_to("..")
    with pytest.raises(DeclarationError) as caught:
        deliveries(folder, one)
    (found,) = caught.value.diagnostics
    assert (found.location.line, words in found.message) == (3, True)
    # What a change is compared with is not asked: the change may be the one that mends it.
    content = FILE.format(one=one, two="exec, command: [x]").encode()
    assert load_sources([SourceFile("keys.yaml", folder, content)], is_base=True).keys


def test_a_variable_that_programs_act_on_is_an_error_at_the_delivery(tmp_path: Path) -> None:
    content = FILE.replace("as: E", "as: PATH").format(one="dotenv, path: x.env", two="vault, path: x").encode()
    with pytest.raises(DeclarationError) as caught:
        load_sources([SourceFile("keys.yaml", tmp_path, content)])
    (found,) = caught.value.diagnostics
    assert (found.location.line, "PATH" in found.message) == (8, True)


@pytest.mark.parametrize(
    ("command", "hashed"),
    [
        pytest.param("[./x.sh]", [True], id="a program of the repository"),
        pytest.param("[sh, x.sh]", [False, True], id="what a program of the machine is given"),
        pytest.param("[x.sh]", [], id="a name that is looked for in PATH"),
        pytest.param("[./x.sh, -x, /etc/hosts, none, ../outside]", [True, False, False, False, False], id="others"),
        pytest.param("['./{name}']", [], id="a name that is filled in later"),
    ],
)
def test_what_a_command_runs_of_the_repository_is_part_of_its_place(
    command: str, hashed: list[bool], tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "x.sh").write_text("cat\n")
    (tmp_path / "outside").write_text("cat\n")
    one, _ = deliveries(folder, f"exec, command: {command}", "vault, path: x")
    prints = dict(one.place.settings).get("command sha256", ())
    assert isinstance(prints, tuple)
    assert [bool(each) for each in prints] == hashed


def test_settings_are_kept_as_they_are_written_too(tmp_path: Path) -> None:
    one, two = deliveries(
        tmp_path / "config",
        "dotenv, path: '../x/{environment}.env', outside: true",
        "exec, command: ['{live_name}', '{KEY}'], timeout: 30s",
    )
    assert dict(one.target.written) == {"outside": True, "path": f"{tmp_path}/x/{{environment}}.env"}
    assert dict(two.target.written)["command"] == ("{environment}/{key}", "{KEY}")
