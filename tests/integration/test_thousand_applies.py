"""The benchmark of a thousand applies, with a few: it ends well, and it can fail."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.execution import issue

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.proof

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "thousand_applies.py"


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as it is called with a dozen applies and a page of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["thousand_applies.py", "--applies", "12", "--output", str(tmp_path / "page.md")])
    spec = spec_from_file_location("thousand_applies", SCRIPT)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "thousand_applies", module)
    spec.loader.exec_module(module)
    return module


def test_it_writes_a_page_and_ends_well(benchmark: ModuleType, tmp_path: Path) -> None:
    assert benchmark.main() == 0
    page = (tmp_path / "page.md").read_text()
    assert "| **secrets lost** | **0** |" in page
    assert "| **orphans left** | **0** |" in page
    assert "2 shared cores, CPython" in page


def test_it_fails_when_secrets_are_lost(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nowhere(*_: Any) -> None:
        """Deliver nothing."""

    monkeypatch.setattr(issue, "_deliver", nowhere)
    assert benchmark.main() == 1
    assert "nobody has the secret of key" in capsys.readouterr().err


def test_it_fails_when_keys_are_forgotten(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reconciler.planning import planner

    monkeypatch.setattr(planner, "removals", lambda *_: ())
    assert benchmark.main() == 1
    assert "orphan: key" in capsys.readouterr().err
