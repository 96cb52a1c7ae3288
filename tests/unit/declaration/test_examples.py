from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.declaration import SourceFile, load_sources
from reconciler.errors import DeclarationError

EXAMPLES = Path(__file__).parents[2] / "examples"
VALID = sorted(path for path in (EXAMPLES / "valid").iterdir())
INVALID = sorted(path for path in (EXAMPLES / "invalid").iterdir() if path.suffix != ".txt")
READ_BY_LIBYAML_ONLY = {"syntax-no-space"}  # the pure parser takes `keys:{}` for text inside of braces


def sources(path: Path) -> list[SourceFile]:
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [SourceFile(file.name, Path("folder"), file.read_bytes()) for file in files]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_example_is_valid(path: Path) -> None:
    load_sources(sources(path))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_example_gives_exactly_its_diagnostics(path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        load_sources(sources(path))
    assert str(caught.value).split("\n") == path.with_suffix(".txt").read_text().splitlines()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_without_libyaml_a_valid_example_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_sources(sources(path))
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert load_sources(sources(path)) == expected


@pytest.mark.parametrize(
    "path", [path for path in INVALID if path.stem not in READ_BY_LIBYAML_ONLY], ids=lambda path: path.stem
)
def test_without_libyaml_the_diagnostics_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    test_an_invalid_example_gives_exactly_its_diagnostics(path)


def test_every_list_of_diagnostics_belongs_to_an_example() -> None:
    assert {path.stem for path in (EXAMPLES / "invalid").glob("*.txt")} == {path.stem for path in INVALID}
