from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import offline
from support.packages import build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that `make` installed for these tests, or one built from the checkout when somebody runs pytest."""
    return offline.wheel()


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of the checkout."""
    return build("sdist", tmp_path_factory.mktemp("sdist"))
