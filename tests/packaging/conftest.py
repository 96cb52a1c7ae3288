from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.packages import build


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `make` installed for these tests, or one built from the checkout when somebody runs pytest."""
    installed = os.environ.get("RECONCILER_WHEEL")
    return Path(installed).resolve(strict=True) if installed else build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of the checkout."""
    return build("sdist", tmp_path_factory.mktemp("sdist"))
