"""A program that keeps secrets in its memory, and may not be able to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import DestinationError
from reconciler.model import Target

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from reconciler.destinations.base import SecretDelivery


class PythonPlace:
    unusable_names = (" NAGA", "NAGA_2 ")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        del folder, monkeypatch
        self.target = Target("app", "python", (("receiver", "app"),))
        self.receivers = {"app": self.receive, "other": self.receive}
        self._kept: dict[str, str] = {}
        self._broken = False

    def receive(self, secret_delivery: SecretDelivery) -> None:
        if self._broken:
            msg = f"no room for {secret_delivery.secret.reveal()}"
            raise DestinationError(msg)
        self._kept[secret_delivery.name] = secret_delivery.secret.reveal()

    def held(self) -> dict[str, str]:
        return dict(self._kept)

    def traces(self) -> object:
        return self.held()

    def break_down(self) -> None:
        self._broken = True
