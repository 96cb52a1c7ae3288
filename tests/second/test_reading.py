"""However a service spells its answers, every command that reads says the same of the same account."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from support.second_server import Silence
from support.second_world import LENIENT, STRICT, Here

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

COMMANDS: Final = [
    ["plan", "--format", "json"],
    ["list", "--format", "json"],
    ["show", "ci/a", "--format", "json"],
    ["balance", "--format", "json"],
    ["activity", "--format", "json"],
    ["check", "--format", "json"],
    ["metrics"],
    ["import", "--file", "-", "--keep-names"],
]
SPELLINGS: Final = {
    "newest first": Silence(newest_first=True),
    "total": Silence(hint="total"),
    "no zone": Silence(zone=False),
    "no expires_at": Silence(omits_no_expiry=True),
    "amounts as text": Silence(amounts="text"),
    "sixteen decimals": Silence(amounts="sixteen"),
    "float noise": Silence(amounts="noise"),
    "more fields": Silence(more_fields=True),
    "slow and lenient": LENIENT,
    "quick and strict": replace(STRICT, date=True, fine_one=False),
}


def test_every_spelling_of_an_account_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Here(tmp_path, monkeypatch, Silence())
    world.declare(
        a="credit_limit: 5",
        b="credit_limit: 80.25",
        c="credit_limit: null",
        d="credit_limit: 0, expires_at: 2027-12-01T10:00:00.25Z",
    )
    assert world.apply().code == 0
    world.server.add("somebody's own", credit_limit=Decimal("0.1"))
    world.server.spend = {2: Decimal("1.25"), 3: Decimal(0)}

    def read(silence: Silence) -> list[tuple[int, str]]:
        world.server.silence = silence
        world.server._activity.clear()
        said = []
        for words in COMMANDS:
            world.at(86400)
            done = world.run(*words)
            said.append((done.code, done.out))
        return said

    expected = read(Silence())
    assert [code for code, _ in expected] == [0] * len(COMMANDS), expected
    for name, silence in SPELLINGS.items():
        for words, said, said_before in zip(COMMANDS, read(silence), expected, strict=True):
            assert (name, words, said) == (name, words, said_before)
