"""A service that repeats the credential: in each field of each kind of answer, in each spelling, to each command."""

from __future__ import annotations

import base64
import html
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.simulator.fields import generate
from reconciler.simulator.quirks import SPELLINGS
from support.command import Ended, Front, on_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator

CREDENTIAL = b"simulator-provisioning-key"  # what --simulator logs in with
COMMANDS = [
    ["plan", "--format", "json"],
    ["plan", "--format", "markdown"],
    ["apply", "--auto-approve"],
    ["apply", "--auto-approve", "--rotate", "ci/a", "--format", "json"],
    ["import", "-f", "other.yaml"],
    ["list"],
    ["show", "1"],
    ["balance"],
    ["activity", "--by", "key"],
    ["activity", "--by", "model", "--format", "json"],
    ["check"],
    ["report", "--out", "report.html"],
    ["metrics"],
]
ANSWERS = [
    *("echo=%s,name", "echo=%s,api_key_name", "echo=%s,model_name", "echo=%s,id", "echo=%s,created_at"),
    *("echo=%s,expires_at", "echo=%s,is_enabled", "echo=%s,credit_limit", "echo=%s,key", "echo=%s,message"),
    *("echo=%s,balance", "echo=%s,total_cost", "echo=%s,date", "echo=%s,period_days", "echo=%s,body"),
    *("echo=%s,retry-after", "echo=%s,location"),
]
ERRORS = [
    *(
        f"{method} * status={status} echo=%s,{member}"
        for method, status, member in [
            ("*", 400, "message"),
            ("*", 401, "type"),
            ("*", 403, "body"),
            ("*", 404, "message"),
            ("POST", 422, "message"),
            ("PATCH", 409, "type"),
            ("DELETE", 418, "body"),
        ]
    ),
    "trial=402 echo=%s,message",
    "odd-delete=error echo=%s,message",
    "odd-patch=other echo=%s,message",
]


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        front.declare("{a: {credit_limit: 5}, b: {credit_limit: 2}, c: {credit_limit: 1}}")
        assert front("apply", "--auto-approve").code == 0
        front.declare("{a: {credit_limit: 6}, b: {credit_limit: 2}, d: {credit_limit: 1}}")
        front.state.create_key("unmanaged", Decimal(1))
        generate(front.state)
        yield front


def said(ended: Ended) -> str:
    written = [path for path in Path.cwd().iterdir() if path.suffix not in (".db", ".env") and path.is_file()]
    return "\n".join([ended.out, ended.err, *(path.read_text() for path in written)])


def check(text: str) -> None:
    """See that no encoding of the credential is in a text: undone here in ways that the program does not use."""
    plain = html.unescape(re.sub(r"%([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})", _character, text))
    for shown in (text, plain):
        for spelling in SPELLINGS.values():
            assert spelling(CREDENTIAL) not in shown
        assert CREDENTIAL.decode() not in shown
        assert CREDENTIAL.decode()[::-1] not in shown
        assert CREDENTIAL.hex() not in shown.lower()
    for run in re.findall(r"[A-Za-z0-9+/_-]{12,}", plain):
        for skipped in range(4):
            part = run[skipped:]
            assert CREDENTIAL not in base64.b64decode(part[: len(part) // 4 * 4], altchars=b"-_")


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def faults(number: int) -> tuple[str, ...]:
    """Give every kind of answer once, each in another spelling than its neighbours."""
    names = list(SPELLINGS)
    return tuple(kind % names[(at + number) % len(names)] for at, kind in enumerate([*ANSWERS, *ERRORS]))


@pytest.mark.parametrize("fault", [kind % spelling for kind in (ANSWERS[0], ERRORS[0]) for spelling in SPELLINGS])
def test_no_spelling_of_the_credential_is_repeated(front: Front, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", fault)
    check(said(front("-v", "list")))


@pytest.mark.proof
@pytest.mark.parametrize(
    ("words", "fault"),
    [(words, fault) for number, words in enumerate(COMMANDS) for fault in faults(number)],
    ids=lambda part: " ".join(part) if isinstance(part, list) else part,
)
def test_no_command_repeats_the_credential_from_any_field(
    front: Front, monkeypatch: pytest.MonkeyPatch, words: list[str], fault: str
) -> None:
    monkeypatch.setenv("RECONCILER_SIMULATOR_FAULTS", fault)
    monkeypatch.setattr("reconciler.http.retry.RetryPolicy.backoff", lambda *_: 0.0)
    ended = front("-v", *words)
    check(said(ended))
    assert CREDENTIAL.decode() not in Path("secrets.env").read_text()
