"""A secret of a real OpenBao server, for the destinations' contract."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from reconciler.model import Target
from support.meddler import Say, shared_meddler
from support.servers import ROOT, openbao

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from support.meddler import Seen, Verdict


class VaultPlace:
    unusable_names = ("NAGA API", "NAGA/KEY")

    def __init__(self, _folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bao = openbao()
        self._front = shared_meddler()
        self._front.reset(self._bao.url)
        self._path = f"contract/{secrets.token_hex(8)}"
        monkeypatch.setenv("VAULT_ADDR", self._front.url)
        monkeypatch.setenv("VAULT_TOKEN", ROOT)
        monkeypatch.delenv("VAULT_NAMESPACE", raising=False)
        self.target = Target("vault", "vault", (("path", self._path),))

    def held(self) -> dict[str, str]:
        return self._bao.secret(self._path)

    def traces(self) -> object:
        return self._bao.metadata(self._path)

    def break_down(self) -> None:
        def rule(seen: Seen) -> Verdict:
            return Say(403, b'{"errors": ["permission denied"]}') if seen.method in {"POST", "PATCH"} else None

        self._front.rule = rule
