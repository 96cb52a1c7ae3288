from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from reconciler.destinations.base import Describing, SecretDelivery
from reconciler.destinations.exec import Exec
from reconciler.errors import DestinationError
from reconciler.model import Address, Setting, Target
from reconciler.secret import Secret
from support.leaks import everything_shown

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAK = "ng-THISMUSTNEVERBESHOWN0000000000000"


def command(folder: Path, *argv: str, **more: Setting) -> Exec:
    settings: dict[str, Setting] = {"command": argv, "folder": str(folder), **more}
    return Exec(Target("script", "exec", tuple(settings.items())))


def shell(folder: Path, script: str, *arguments: str, **more: Setting) -> Exec:
    return command(folder, "sh", "-c", script, *arguments, **more)


def secret_delivery(name: str = "NAGA_API", secret: str = LEAK) -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


def deliver(destination: Exec, *consignments: SecretDelivery) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(destination.deliver(each) for each in consignments or (secret_delivery(),)))

    asyncio.run(all_at_once())


def failure(destination: Exec, what: SecretDelivery | None = None) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        deliver(destination, what or secret_delivery())
    shown = everything_shown(caught.value)
    assert (what or secret_delivery()).secret.reveal() not in shown
    return caught.value


def refusal(destination: Exec, names: Sequence[str] = ("NAGA_API",)) -> str:
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.preflight(names))
    return str(caught.value)


def program(file: Path, content: str, mode: int = 0o755) -> Path:
    file.write_text(content)
    file.chmod(mode)
    return file


def test_the_program_reads_the_secret_and_nothing_else(tmp_path: Path) -> None:
    deliver(shell(tmp_path, "cat > stored"))
    assert (tmp_path / "stored").read_bytes() == LEAK.encode()


def test_the_program_is_told_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", "ng-provisioning")
    monkeypatch.setenv("NAGA_STAGING", "ng-provisioning")
    monkeypatch.setenv("CLOUD_TOKEN", "needed")
    monkeypatch.setenv("RECONCILER_KEY_ID", "another")
    monkeypatch.setenv("OTHER_TOKEN", "of another destination")
    deliver(shell(tmp_path, "env > variables", environment=("CLOUD_TOKEN", "NOT_SET")))
    variables = (tmp_path / "variables").read_text().splitlines()
    assert {line for line in variables if line.startswith(("RECONCILER_", "CLOUD_", "NAGA_"))} >= {
        "CLOUD_TOKEN=needed",
        "RECONCILER_NAME=NAGA_API",
        "RECONCILER_ADDRESS=production/api",
        "RECONCILER_ENVIRONMENT=production",
        "RECONCILER_KEY=api",
        "RECONCILER_KEY_ID=7",
    }
    assert [line for line in variables if line.startswith("NAGA_")] == []
    assert LEAK not in "\n".join(variables)


def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    arguments = ["a b", "$HOME `id` $(id)", "*", "", "'\"\\", "--name={name}", "{name}{name}", "{other}"]
    script = "import json, sys; json.dump(sys.argv[1:], open('arguments', 'w'))"
    deliver(command(tmp_path, sys.executable, "-c", script, *arguments), secret_delivery("N"))
    found = json.loads((tmp_path / "arguments").read_text())
    assert found == [*arguments[:5], "--name=N", "NN", "{other}"]


def test_no_terminal_and_no_signal_of_ours_reaches_the_program(tmp_path: Path) -> None:
    script = "import os; open('session', 'w').write(f'{os.getsid(0)} {os.getpgid(0)} {os.getpid()}')"
    deliver(command(tmp_path, sys.executable, "-c", script))
    session, group, process = (tmp_path / "session").read_text().split()
    assert session == group == process
    assert int(session) != os.getsid(0)


def test_what_a_program_prints_is_nobodys_business_when_it_ends_well(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deliver(shell(tmp_path, "cat; cat /dev/zero | head -c 1000000; echo oh >&2"))
    assert capfd.readouterr() == ("", "")


def test_a_program_that_does_not_read_decides_itself_whether_that_is_right(tmp_path: Path) -> None:
    deliver(shell(tmp_path, "exit 0"))
    assert failure(shell(tmp_path, "exit 1")).uncertain


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo one; echo two >&2; exit 3", "sh ended with status 3: one two"),
        ("exit 127", "sh ended with status 127, and said nothing"),
        ("kill -9 $$", "sh was ended by signal 9 (Killed), and said nothing"),
        ("cat; exit 1", "sh ended with status 1: <secret>"),
        ("printf 'a\\033[31m\\0b\\377'; exit 1", "sh ended with status 1: ab\ufffd"),
        ("echo $0; exit 1", "sh ended with status 1: NAGA_API"),
    ],
)
def test_after_a_bad_end_nobody_can_know(script: str, words: str, tmp_path: Path) -> None:
    error = failure(shell(tmp_path, script, "{name}"))
    assert str(error) == f"NAGA_API may not be stored: {words}"
    assert error.uncertain


def test_a_long_output_is_cut_to_its_end(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; cat; echo; echo the end; exit 1"
    message = str(failure(shell(tmp_path, script)))
    assert message.endswith(" line 19999 <secret> the end")
    assert len(message) < 400
    assert ": …" in message


SPECIAL = 'ng-"quoted"\\/+=&%é'


@pytest.mark.parametrize(
    "spelling",
    [
        SPECIAL,
        json.dumps(SPECIAL),
        quote(SPECIAL, safe=""),
        base64.b64encode(SPECIAL.encode()).decode(),
        base64.urlsafe_b64encode(SPECIAL.encode()).decode().rstrip("="),
    ],
    ids=["plain", "json", "url", "base64", "base64url"],
)
def test_a_secret_that_comes_back_in_another_spelling_is_hidden(spelling: str, tmp_path: Path) -> None:
    (tmp_path / "output").write_text(f"key: {spelling};\n")
    message = str(failure(shell(tmp_path, "cat output; exit 1"), secret_delivery(secret=SPECIAL)))
    assert spelling.strip('"') not in message
    assert "key: " in message
    assert "<secret>" in message


def test_a_program_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    error = failure(shell(tmp_path, "exec sleep 60", timeout="1s"))
    assert str(error) == "NAGA_API may not be stored: sh did not end within 1s and was stopped, and said nothing"
    assert error.uncertain


def test_preflight_starts_nothing(tmp_path: Path) -> None:
    asyncio.run(shell(tmp_path, "touch started").preflight(["NAGA_API", "NAGA_JOBS"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("started_in", "folder", "called"),
    [
        (".", "repository", "./bin/store"),
        (".", "repository", "bin/store"),
        (".", "repository/bin", "./store"),
        (".", "repository/other/..", "./bin/store"),
        ("repository", ".", "./bin/store"),
        ("repository/bin", ".", "./store"),
        ("repository/other", "..", "bin/store"),
    ],
)
def test_a_program_with_a_slash_is_relative_to_its_folder(
    started_in: str, folder: str, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repository" / "bin").mkdir(parents=True)
    (tmp_path / "repository" / "other").mkdir()
    program(tmp_path / "repository" / "bin" / "store", "#!/bin/sh\ntouch stored\n")
    monkeypatch.chdir(tmp_path / started_in)
    for each in (Path(folder), Path(folder).absolute()):
        asyncio.run(command(each, called).preflight(["NAGA_API"]))
        deliver(command(each, called))
        (each / "stored").unlink()


def test_a_bare_name_is_looked_for_on_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "store", "#!/bin/sh\ntouch stored\n")
    monkeypatch.chdir(tmp_path)
    assert "no program of this name" in refusal(command(tmp_path / "bin", "store"))
    monkeypatch.setenv("PATH", f"bin{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "folder").mkdir()
    asyncio.run(command(tmp_path / "folder", "store").preflight(["NAGA_API"]))
    deliver(command(tmp_path / "folder", "store"))
    assert (tmp_path / "folder" / "stored").exists()


def test_the_program_sees_the_name_that_it_was_called_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").symlink_to(shutil.which("sh") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    deliver(command(tmp_path, "tool", "-c", 'echo "$0" > called'))
    assert (tmp_path / "called").read_text() == "tool\n"


@pytest.mark.parametrize("mode", [0o644, None], ids=["not executable", "missing"])
def test_a_program_that_cannot_be_executed_is_found_before_the_first_key(mode: int | None, tmp_path: Path) -> None:
    if mode is not None:
        program(tmp_path / "store", "#!/bin/sh\n", mode)
    destination = command(tmp_path, "./store")
    assert refusal(destination) == "./store: there is no program of this name that can be executed"
    error = failure(destination)
    assert str(error) == "NAGA_API was not stored: ./store is no program that can be executed"
    assert not error.uncertain


def test_a_folder_that_is_missing_is_found_before_the_first_key(tmp_path: Path) -> None:
    destination = shell(tmp_path / "nowhere", "exit 0")
    assert refusal(destination) == f"sh: there is no folder {tmp_path}/nowhere to run it in"
    error = failure(destination)
    assert str(error) == "NAGA_API was not stored: sh could not be started: No such file or directory"
    assert not error.uncertain


def test_a_file_that_is_no_program_stores_nothing(tmp_path: Path) -> None:
    program(tmp_path / "store", "not a program\n")
    error = failure(command(tmp_path, "./store"))
    assert str(error) == "NAGA_API was not stored: ./store could not be started: Exec format error"
    assert not error.uncertain


@pytest.mark.parametrize("name", ["", "-rf", "--help", "two\nlines", "nul\0"])
def test_a_name_that_a_program_could_misunderstand_is_refused(name: str, tmp_path: Path) -> None:
    destination = shell(tmp_path, "touch started")
    message = refusal(destination, [name, "NAGA_API"])
    assert message == f"sh: {name!r} is no name that a program can be given (it must not begin with '-')"
    error = failure(destination, secret_delivery(name))
    assert "was not stored: sh cannot be given this name" in str(error)
    assert not error.uncertain
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_no_program_could_read_is_not_shown(tmp_path: Path) -> None:
    error = failure(shell(tmp_path, "exit 0"), secret_delivery(secret="ng-\ud800"))
    assert str(error) == "NAGA_API was not stored: sh cannot be given a secret that UTF-8 cannot hold"
    assert not error.uncertain


ALONE = "mkdir running && cat > /dev/null && rmdir running"


def test_commands_of_one_destination_run_one_at_a_time_even_where_they_differ(tmp_path: Path) -> None:
    async def both() -> None:
        one, other = shell(tmp_path, ALONE, "one"), shell(tmp_path, ALONE, "other")
        names = [f"NAGA_{number}" for number in range(8)]
        await asyncio.gather(*(each.deliver(secret_delivery(name)) for name in names for each in (one, other)))

    asyncio.run(both())


def test_commands_that_may_run_together_do(tmp_path: Path) -> None:
    together = 'touch "$RECONCILER_NAME"; while test "$(ls | wc -l)" -lt 3; do sleep 0.01; done'
    destination = shell(tmp_path, together, parallelism=3)
    deliver(destination, *(secret_delivery(f"NAGA_{number}") for number in range(3)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), "needs a command: a program and its arguments"),
        ((("command", ()),), "needs a command"),
        ((("command", ("",)),), "needs a command"),
        ((("command", ("sh", "a\0b")),), "needs a command"),
        ((("command", "sh"),), "needs a command"),
        ((("command", ("sh",)), ("folder", 5)), "needs a folder and a parallelism of 1 or more"),
        ((("command", ("sh",)), ("parallelism", 0)), "needs a folder and a parallelism of 1 or more"),
        ((("command", ("sh",)), ("parallelism", "2")), "needs a folder and a parallelism of 1 or more"),
        ((("command", ("sh",)), ("timeout", 5)), "the timeout of the exec destination 'script' is not a duration"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: tuple[tuple[str, Setting], ...], words: str) -> None:
    with pytest.raises(DestinationError, match=words):
        Exec(Target("script", "exec", settings))


def test_a_command_cannot_say_what_was_stored_before(tmp_path: Path) -> None:
    assert not isinstance(shell(tmp_path, "exit 0"), Describing)


SPELLINGS = [
    LEAK,
    LEAK[::-1],
    LEAK.upper(),
    LEAK.lower(),
    LEAK.encode().hex(),
    LEAK.encode().hex().upper(),
    base64.b64encode(LEAK.encode()).decode(),
    base64.b64encode(b"x" + LEAK.encode()).decode(),
    "".join(f"%{byte:02x}" for byte in LEAK.encode()),
    "\x1b[1m".join(LEAK),
    "\x1b]0;x\x07".join((LEAK[:9], LEAK[9:])),
    "\x08".join((LEAK[:9], LEAK[9:])),
    " ".join(LEAK),
]


@pytest.mark.parametrize("said", SPELLINGS)
def test_what_a_failing_program_says_does_not_show_the_secret_in_any_spelling(said: str, tmp_path: Path) -> None:
    (tmp_path / "said").write_text(f"before {said} after")
    error = failure(shell(tmp_path, "cat said; exit 1"))
    assert said not in str(error)
    assert LEAK[-12:].lower() not in str(error).lower()
    assert "before" in str(error)
    assert "after" in str(error)


@pytest.mark.parametrize("environment", [("NAGA_PROVISIONING_KEY",), ("naga_x",), "PATH"])
def test_no_credential_of_an_account_is_handed_on(environment: Setting, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="needs an environment of names"):
        shell(tmp_path, "true", environment=environment)
