"""Goal: let a job that only validates or plans run out of memory, or until its time is up."""

from __future__ import annotations

import asyncio
import gzip
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.command import environment
from support.raw_server import http, raw_server, say_and_close

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Front

HEAD = "version: 1\nenvironments: {}\n"
IN_KEYS = "version: 1\nenvironments:\n  e:\n    keys:\n"
MANY = range(30_000)

ATTACKS = {
    "empty mappings in a list": HEAD + "x: [" + "{}, " * 1_300_000 + "]\n",
    "unknown fields": HEAD + "".join(f"wrong{n}: 1\n" for n in MANY),
    "wrong fields of keys": IN_KEYS + "".join(f"      k{n}: {{credit_limt: 1}}\n" for n in MANY),
    "wrong values of keys": IN_KEYS + "".join(f"      k{n}: {{credit_limit: x}}\n" for n in MANY),
    "broken values": HEAD + "x: {" + "".join(f"a{n}: 0x1, " for n in MANY) + "}\n",
    "a name again and again": HEAD + "x: 1\n" * 50_000,
    "destinations that are not there": IN_KEYS
    + "".join(f"      k{n}: {{credit_limit: 1, deliver: [{{to: d{n}, as: X}}]}}\n" for n in range(10_000)),
    "aliases that name nothing": HEAD + "x: {" + "".join(f"a{n}: &a{n} *b{n}, " for n in range(10_000)) + "}\n",
    "anchors, and aliases that name none of them": HEAD
    + "x: {"
    + "".join(f"a{n}: &a{n} 1, " for n in range(10_000))
    + "".join(f"b{n}: *b{n}, " for n in range(10_000))
    + "}\n",
    "merges": HEAD
    + "x: &x {"
    + "".join(f"a{n}: 1, " for n in range(5_000))
    + "}\ny: {"
    + "".join(f"b{n}: {{<<: *x}}, " for n in range(5_000))
    + "}\n",
}


def limited(seconds: int = 60) -> None:
    """Let a process have no more memory than this, and no more time of a processor: it would end by a signal."""
    resource.setrlimit(resource.RLIMIT_AS, (800 * 1024**2,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", *words]
    return subprocess.run(
        command,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_declaration_ends_in_errors_that_somebody_can_read(front: Front, attack: str) -> None:
    front.write(ATTACKS[attack])
    ended = run("validate")
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if ": error: " in line]
    assert 1 <= len(errors) <= 201
    assert len(ended.stderr.splitlines()) <= 3 * len(errors) + 4, "each comes with its line and a mark"
    assert "keys.yaml:" in ended.stderr


@pytest.mark.proof
@pytest.mark.parametrize("line", ["#\n", "\n", "# a comment of some length\n"])
def test_the_comments_of_a_file_are_kept_within_a_limit(front: Front, tmp_path: Path, line: str) -> None:
    front.write("")
    (tmp_path / "keys.yaml").write_text(HEAD + line * (20_000_000 // len(line)))
    ended = run("fmt", "--check")
    assert (ended.returncode, "lines" in ended.stderr) == (1, True)
    assert run("validate").returncode == 0


@pytest.mark.parametrize("field", ["rotate_every", "rotation_overlap", "deletion_grace"])
def test_no_duration_is_too_long_to_be_an_error(front: Front, field: str) -> None:
    place = "e: {keys: {}, %s}" if field == "deletion_grace" else "e: {keys: {a: {credit_limit: 1, %s}}}"
    front.write("version: 1\nenvironments:\n  " + place % f"{field}: 999999999w" + "\n")
    ended = front("plan")
    assert ended.code == 1
    assert "keys.yaml:3:" in ended.err
    assert "bug" not in ended.err


SPACES = b" " * 100_000_000
ANSWERS = {
    "more than it says": http(200, b"", "X: y") + SPACES,
    "without an end": b"HTTP/1.1 200 X\r\n\r\n" + SPACES,
    "of a length beyond all bounds": b"HTTP/1.1 200 X\r\nContent-Length: 99999999999999\r\n\r\n" + SPACES,
    "in one endless piece": b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n" + SPACES,
    "with headers without an end": b"HTTP/1.1 200 X\r\n" + b"X: y\r\n" * 1_000_000,
    "that unpacks to more": http(200, gzip.compress(SPACES), "Content-Encoding: gzip"),
    "that unpacks twice": http(200, gzip.compress(gzip.compress(SPACES)), "Content-Encoding: gzip, gzip"),
    "that is deep": http(200, b'{"keys": ' + b"[" * 3_000_000 + b"]" * 3_000_000 + b"}"),
    "of three million digits": http(200, b'{"balance": "' + b"9" * 3_000_000 + b'"}'),
    "of a number of three million digits": http(200, b'{"keys": [{"id": ' + b"9" * 3_000_000 + b"}]}"),
    "of an exponent": http(200, b'{"balance": "1e999999999", "keys": [{"id": 1, "credit_limit": 1e999999999}]}'),
    "of a million keys": http(200, b'{"keys": [' + b"{}," * 1_000_000 + b"{}]}"),
    "of an error without an end": b"HTTP/1.1 400 X\r\n\r\n" + b"<html>" * 10_000_000,
}


@pytest.mark.proof
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_ends_in_an_error_after_seconds(front: Front, answer: str) -> None:
    """Ten seconds of a processor are the bound, and each request of the command gets this answer."""
    front.write(HEAD)

    async def asked() -> tuple[int | None, str]:
        async with raw_server(*[say_and_close(ANSWERS[answer])] * 100) as service:
            url = f"http://127.0.0.1:{service.port}/v1"
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "reconciler", "balance"),
                env=environment(NAGA_BASE_URL=url, NAGA_PROVISIONING_KEY="ng-x"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=lambda: limited(10),
            )
            _, errors = await command.communicate()
            return command.returncode, errors.decode()

    code, errors = asyncio.run(asked())
    assert code == 1, errors
    assert "error: " in errors.splitlines()[-1][:7]  # before it, a slow machine is told of each attempt
    assert len(errors) < 5_000
