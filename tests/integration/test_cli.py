"""The command line as a whole: its help, what it refuses, validate, plan and demo."""

from __future__ import annotations

import json
import logging
import runpy
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from jsonschema import Draft202012Validator

from reconciler import __version__
from reconciler.cli import demo, main
from reconciler.cli import help as help_pages
from reconciler.files import shipped_schema
from support.command import COMMAND, Front, call, environment, on_a_file, on_a_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

TWO = "{a: {credit_limit: 1}, b: {credit_limit: 2}}"
PLAN_SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))


@pytest.fixture(params=["file", "socket"])
def front(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    opened = on_a_file if request.param == "file" else on_a_socket
    with opened(tmp_path, monkeypatch) as front:
        yield front


# --- what it says about itself ----------------------------------------------------------------------------------------


def test_it_tells_its_version() -> None:
    assert call("--version").out == f"reconciler {__version__}\n"


def test_its_help_names_every_command_and_every_exit_code() -> None:
    shown = call("--help").out
    assert all(f"\n  {name} " in shown for name in main.COMMANDS)
    assert all(f"\n    {code} " in shown for code in ("0", "1", "2", "3", "4", "5", "130"))


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    shown = call(name, "-h")
    assert shown.code == 0
    assert f"\n    reconciler {name}" in shown.out
    assert "Example" in shown.out


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_overview_says_what_the_command_says(name: str) -> None:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None
    stated, _, _ = (command.help or "").partition("\n\n")
    assert main.COMMANDS[name] == stated


@pytest.mark.parametrize(("name", "codes"), [("plan", "32"), ("apply", "345")])
def test_the_help_names_the_exit_codes_that_are_special(name: str, codes: str) -> None:
    shown = " ".join(call(name, "--help").out.split())
    assert all(f" {code} " in shown for code in codes)


@pytest.mark.parametrize("word", help_pages.HABITS)
def test_what_is_typed_from_habit_is_no_command_and_names_one(word: str) -> None:
    assert word not in main.COMMANDS
    assert f"Did you mean '{help_pages.HABITS[word]}'?" in call(word).err
    assert help_pages.HABITS[word] in main.COMMANDS


@pytest.mark.parametrize("word", help_pages.TASKS)
def test_what_is_no_command_is_told_what_does_it(word: str) -> None:
    assert word not in main.COMMANDS
    said = call(word)
    assert (said.code, said.out) == (1, "")
    assert help_pages.TASKS[word] in said.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["apply", "--yes"], "--auto-approve"),
        (["apply", "-y"], "--auto-approve"),
        (["apply", "--force"], "--allow ADDRESS"),
        (["revoke", "ci/a", "--auto-approve"], "--yes"),
        (["revoke", "ci/a", "-y"], "--yes"),
        (["apply", "--dry-run"], "reconciler plan"),
        (["plan", "--dry-run"], "leave it out"),
        (["plan", "--target", "ci/a"], "Did you mean --only?"),
        (["apply", "-target=ci/a"], "Did you mean --only?"),
        (["apply", "-auto-approve"], "Did you mean --auto-approve?"),
        (["plan", "--check"], "Did you mean --detailed-exitcode?"),
        (["plan", "--json"], "--format json"),
        (["--json", "list"], "--format json"),
        (["list", "--output", "json"], "--format"),
    ],
    ids=" ".join,
)
def test_options_of_other_tools_are_told_what_does_that_here(words: list[str], hint: str) -> None:
    said = call(*words)
    assert (said.code, said.out) == (1, "")
    assert hint in said.err


@pytest.mark.parametrize("words", [["plan", "--yes"], ["fmt", "--json"], ["--yes"]], ids=" ".join)
def test_where_nothing_does_that_no_option_is_proposed(words: list[str]) -> None:
    said = call(*words)
    assert (said.code, said.out) == (1, "")
    assert "Did you mean --" not in said.err


def test_it_is_a_module_that_python_runs_under_the_same_name() -> None:
    words = [sys.executable, "-m", "reconciler"]
    shown = subprocess.run([*words, "plan", "--help"], env=environment(), capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("Usage: reconciler plan [OPTIONS]\n")
    failed = subprocess.run([*words, "quux"], env=environment(), capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == call("quux").err


def test_importing_what_python_runs_does_nothing() -> None:
    assert runpy.run_module("reconciler.__main__")["main"] is main.main


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    shown = call()
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("Usage: reconciler [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pln"], "error: No such command 'pln'. Did you mean 'plan'? (reconciler --help tells more)"),
        (["quux"], "error: No such command 'quux'. (reconciler --help tells more)"),
        (["status"], "error: No such command 'status'. Did you mean 'plan'? (reconciler --help tells more)"),
        (["login"], "error: No such command 'login'. There is nothing to log in to: NAGA_PROVISIONING_KEY holds"),
        (
            ["--simulator", "x", "plan"],
            "error: --simulator belongs after the command: reconciler plan --simulator (reconciler plan --help tells",
        ),
        (["--simulator=plan", "apply"], "error: --simulator belongs after the command: reconciler apply --simulator ("),
        (["-v", "-e", "plan", "list"], "error: -e belongs after the command: reconciler list -e ("),
        (["--offline", "plan"], "error: --offline belongs after the command: reconciler plan --offline ("),
        (
            ["--simulator", "x"],
            "error: --simulator belongs after the command, as in reconciler import --simulator (reconciler --help",
        ),
        (["--simulator", "x", "fmt"], "error: No such option '--simulator'. (reconciler fmt --help tells more)"),
        (["--smulator", "x", "plan"], "error: No such option '--smulator'. (reconciler --help tells more)"),
        (["--verbos", "plan"], "error: No such option '--verbos'. (Did you mean one of: '--verbose',"),
        (["plan", "-v"], "error: -v belongs before the command: reconciler -v plan (reconciler --help tells more)"),
        (["plan", "-e"], "error: Option '-e' requires an argument. (reconciler plan --help tells more)"),
        (
            ["plan", "--offline=yes"],
            "error: Option '--offline' does not take a value. (reconciler plan --help tells more)",
        ),
        (["plan", "--formt", "json"], "error: No such option '--formt'."),
        (["plan", "--format", "xml"], "error: Invalid value for '--format': 'xml' is not one of"),
        (["plan", "x\x1by"], "error: Got unexpected extra argument (x\\x1by)"),
        (
            ["plan", "a.yaml"],
            "error: Got unexpected extra argument (a.yaml) (a file or folder is named with -f; reconciler",
        ),
        (["demo", "a.yaml"], "error: Got unexpected extra argument (a.yaml) (reconciler demo --help tells more)"),
        (["apply", "--parallelism", "0"], "error: Invalid value for '--parallelism': 0 is not in the range"),
        (
            ["apply", "--lock-timeout", "5"],
            "error: Invalid value for '--lock-timeout': '5' is not a duration",
        ),
        (["apply", "--no-overlap"], "error: --no-overlap is for the keys that --rotate names; add --rotate"),
        (["validate", "-f", "nowhere.yaml"], "error: there is no file nowhere.yaml; write one with `reconciler init`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(words: list[str], said: str) -> None:
    ended = call(*words)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(said)
    assert ended.err.count("\n") == 1


def completed(words: str, **variables: str) -> str:
    variables = {"_RECONCILER_COMPLETE": "bash_complete", "COMP_LINE": words, "COMP_WORDBREAKS": "=:", **variables}
    return subprocess.run(COMMAND, env=environment(**variables), capture_output=True, text=True, check=True).stdout


def test_a_shell_completes_commands_and_options() -> None:
    assert completed("reconciler pl").startswith("plain\x1fplan\x1f")
    assert "\nplain\x1f--detailed-exitcode\x1f" in completed("reconciler plan --")
    offered = [line.split("\x1f")[1] for line in completed("reconciler nothing --").splitlines()]
    assert offered == ["--verbose", "--version", "--help"]
    assert "_RECONCILER_COMPLETE=bash_complete" in completed("", _RECONCILER_COMPLETE="bash_source")


# --- validate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("{a: {credit_limit: 1}}", "keys.yaml is valid: 1 key in 1 environment.\n"),
        (TWO, "keys.yaml is valid: 2 keys in 1 environment.\n"),
        ("{}", "keys.yaml is valid: 0 keys in 1 environment.\n"),
    ],
)
def test_a_valid_file_is_said_to_be_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str, said: str
) -> None:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare(keys)
    ended = call("validate")
    assert (ended.code, ended.out, ended.err) == (0, said, "")


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare("{a: {}, b: {credit_limit: x}}")
    ended = call("validate")
    assert (ended.code, ended.out) == (1, "")
    *lines, count = ended.err.splitlines()
    mistakes = [line for line in lines if " | " not in line]
    assert [line.split(": ")[:2] for line in mistakes] == [["keys.yaml:7:12", "error"], ["keys.yaml:7:37", "error"]]
    assert count.startswith("2 errors")


# --- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_shows_what_has_to_change_and_changes_nothing(front: Front) -> None:
    ended = front.declare(TWO)("plan")
    assert (ended.code, ended.err) == (0, "")
    assert "+ create  a  credit_limit $1" in ended.out
    assert ended.out.endswith("Plan: 2 to create.\nLimits: $0 → $3 (+$3); balance: $100\n")
    assert front.names() == []
    assert not Path("secrets.env").exists()


def test_pending_changes_have_an_exit_code_for_those_who_ask_for_it(front: Front) -> None:
    assert front.declare(TWO)("plan", "--detailed-exitcode").code == 2
    assert front.declare("{}")("plan", "--detailed-exitcode").code == 0


def test_a_finding_that_forbids_the_plan_has_the_last_word_on_the_exit_code(front: Front) -> None:
    for _ in range(2):
        front.state.create_key("ci/a")
    ended = front.declare(TWO)("plan", "--detailed-exitcode")
    assert ended.code == 3
    assert "This plan cannot be applied: 1 error." in ended.out


def test_as_json_a_plan_is_one_document(front: Front) -> None:
    ended = front.declare(TWO)("plan", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert list(PLAN_SCHEMA.iter_errors(ended.document)) == []
    assert ended.document["summary"]["create"] == 2


def test_v_shows_unmanaged_keys_and_each_request_and_lets_go_of_the_log(front: Front) -> None:
    before = [*logging.getLogger("reconciler").handlers]
    front.state.create_key("stranger\x1b[2J")
    ended = front.declare("{}")("-v", "plan")
    assert "stranger\\x1b[2J" in ended.out
    asked = {line.partition(": 200 in ")[0] for line in ended.err.splitlines()}
    assert asked == {"GET /v1/account/keys", "GET /v1/account/balance", "GET /v1/account/activity"}
    assert logging.getLogger("reconciler").handlers == before
    assert front("plan").err == ""


def test_a_key_can_be_rotated_that_is_declared(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    ended = front.declare("{a: {credit_limit: 1}}")("plan", "--rotate", "ci/a")
    assert "± rotate  a  asked for" in ended.out


@pytest.mark.parametrize(
    ("words", "code", "rotated"),
    [
        (("ci/*",), 0, ["ci/a", "ci/b"]),
        (("*", "--only", "*/b"), 0, ["ci/b"]),
        (("*/a", "--only", "*/b"), 1, []),
        (("qa/*",), 1, []),
    ],
)
def test_a_glob_rotates_what_the_run_is_about(
    front: Front, words: tuple[str, ...], code: int, rotated: list[str]
) -> None:
    for key in ("ci/a", "ci/b"):
        front.state.create_key(key, Decimal(1))
    front.declare("{a: {credit_limit: 1}, b: {credit_limit: 1}}")
    ended = front("plan", "--format", "json", "--rotate", *words)
    assert ended.code == code
    assert [each["address"] for each in (ended.document["changes"] if code == 0 else [])] == rotated


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ci/aa", "error: ci/aa is not declared, an address is environment/key; did you mean ci/a?\n"),
        ("production", "error: production is not declared, an address is environment/key; known here: ci/a\n"),
        ("ci", "error: ci is not declared, an address is environment/key; did you mean ci/a?\n"),
    ],
)
def test_a_key_that_is_not_declared_cannot_be_rotated(front: Front, address: str, said: str) -> None:
    ended = front.declare("{a: {credit_limit: 1}}")("plan", "--rotate", address)
    assert (ended.code, ended.out, ended.err) == (1, "", said)


def test_names_that_do_not_fit_into_a_line_are_not_listed(front: Front) -> None:
    many = ", ".join(f"k{number}: {{credit_limit: 1}}" for number in range(9))
    ended = front.declare(f"{{{many}}}")("plan", "--rotate", "zz/zz")
    assert ended.err == "error: zz/zz is not declared, an address is environment/key\n"


def test_a_clock_that_is_off_is_a_warning_beside_the_plan(front: Front) -> None:
    front.state.travel(timedelta(hours=2))
    ended = front.declare("{}")("plan", "--format", "json")
    assert ended.document["changes"] == []
    assert ended.err.startswith("warning: this machine's clock and the service's differ by ")


def test_a_key_that_the_service_does_not_know_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=401") as front:
        ended = front.declare(TWO)("plan")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: GET /v1/account/keys: 401 authentication_error: a simulated fault")
    assert "must hold a provisioning key" in ended.err


# --- streams ----------------------------------------------------------------------------------------------------------


def plan_in_a_shell(script: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = " ".join(f"'{word}'" for word in [*COMMAND, "plan", "--simulator", "sim.db"])
    shell = ["bash", "-c", script.replace("PLAN", command)]
    return subprocess.run(shell, env=environment(**variables), capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare(TWO)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("variables", "arrow"),
    [
        ({"LC_ALL": "C"}, "→".encode()),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "→".encode()),
        ({"PYTHONIOENCODING": "utf-8"}, "→".encode()),
        ({"PYTHONIOENCODING": "latin-1"}, b"\\u2192"),
    ],
)
def test_no_locale_breaks_the_output(variables: dict[str, str], arrow: bytes) -> None:
    done = plan_in_a_shell("PLAN", **variables)
    assert (done.returncode, done.stderr) == (0, b"")
    assert arrow in done.stdout


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("PLAN > /dev/full", 1, b"error: No space left on device\n"),
        ("PLAN >&-", 0, b""),
        ("PLAN <&- 2>&- | tail -1; exit ${PIPESTATUS[0]}", 0, b""),
        ("exec 3> >(exec 0<&-; exec sleep 0); wait $!; PLAN >&3", 1, b""),
    ],
    ids=["full", "closed", "nothing but stdout", "nobody reads"],
)
def test_a_stream_that_takes_nothing_is_no_reason_for_a_traceback(script: str, code: int, said: bytes) -> None:
    done = plan_in_a_shell(script)
    assert (done.returncode, done.stderr) == (code, said)


# --- demo -------------------------------------------------------------------------------------------------------------


@pytest.mark.proof
def test_the_demo_tells_its_story_to_the_end_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = call("demo", "--fast")
    assert ended.code == 0
    told = ended.out.splitlines()
    assert [line[:3] for line in told if line[1:3] == "/5"] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert [line for line in told if line.startswith("(the service")] == [
        "(the service accepts it)",  # the worker's, that came back
        "(the service accepts it)",  # before the rotation
        "(the service accepts it)",  # the new one
        "(the service accepts it)",  # the old one, in its overlap
        "(the service refuses it)",  # the old one, after it
    ]
    assert "Killed" in told
    assert "over-balance" not in ended.out
    assert list(tmp_path.iterdir()) == []


def _short_story() -> list[tuple[str, list[demo.Step]]]:
    return [("One", [("does this", lambda: 0)]), ("Two", [("and that", lambda: 0)])]


def test_the_demo_keeps_its_folder_for_those_who_want_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "_chapters", _short_story)
    ended = call("demo", "--keep")
    (folder,) = tmp_path.iterdir()
    assert ended.out.endswith(f"go on with  cd {folder}\n")


@pytest.mark.parametrize(
    ("words", "terminal", "pauses"), [((), True, 1), (("--fast",), True, 0), ((), False, 0)], ids=["", "fast", "a log"]
)
def test_the_demo_waits_between_chapters_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], *, terminal: bool, pauses: int
) -> None:
    monkeypatch.setattr(demo, "_chapters", _short_story)
    ended = call("demo", *words, terminal=terminal, answer="\n")
    assert ended.code == 0
    assert ended.out.count("(Enter") == pauses


@pytest.mark.parametrize(("code", "ends_with"), [(130, 130), (0, 1)])
def test_the_demo_stops_where_a_command_does_not_end_as_the_story_says(
    monkeypatch: pytest.MonkeyPatch, code: int, ends_with: int
) -> None:
    asked: list[str] = []

    def run(words: list[str]) -> int:
        asked.append(words[0])
        return code

    monkeypatch.setattr(main, "run", run)
    for step in ("_show_secrets", "_kill", "_meddle"):
        monkeypatch.setattr(demo, step, lambda: 0)
    ended_with = demo.command.callback
    assert ended_with is not None
    assert ended_with(fast=True, keep=False) == ends_with
    assert asked[-1] == "plan"


def test_the_demo_would_notice_a_secret_that_works_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_file(tmp_path, monkeypatch):
        (tmp_path / ".secrets").mkdir()
        (tmp_path / ".secrets" / "production.env").write_text("NAGA_API_KEY_WORKER='ng-never'\n")
        assert demo._try("WORKER") == 1


def test_the_demo_would_notice_a_run_that_ends_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # there is no keys.yaml
    assert demo._kill() == 1
