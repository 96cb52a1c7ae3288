from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from reconciler.declaration import load
from reconciler.errors import DeclarationError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ONE = "version: 1\nenvironments: {a: {keys: {x: {credit_limit: 1}}}}\n"
TWO = "version: 1\nenvironments: {a: {keys: {y: {credit_limit: 1}}}}\n"


def test_a_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(ONE)
    declaration = load(path)
    assert [str(key.address) for key in declaration.keys] == ["a/x"]
    assert declaration.source.file == str(path)


def test_a_folder_is_all_its_yaml_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(TWO)
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / ".hidden.yaml").write_text("no: [")
    (tmp_path / "notes.txt").write_text("no: [")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder.yaml" / "c.yaml").write_text("no: [")
    declaration = load(tmp_path)
    assert [str(key.address) for key in declaration.keys] == ["a/x", "a/y"]
    assert declaration.source.file == str(tmp_path / "a.yaml")


def test_a_file_of_a_folder_that_is_named_yml_is_not_passed_over(tmp_path: Path) -> None:
    """Its keys would be taken for keys that left the file, and be deleted."""
    (tmp_path / "a.yaml").write_text("version: 1\nenvironments: {}\n")
    (tmp_path / ".b.yml").write_text("no: [")
    assert load(tmp_path).environments == {}
    (tmp_path / "b.yml").write_text("version: 1\nenvironments: {}\n")
    with pytest.raises(UsageError, match=r"b\.yml would not be read, .* folder is; name it b\.yaml$"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["b.YAML", "b.Yaml", "b.YML"])
def test_a_file_of_a_folder_whose_name_ends_in_capitals_is_not_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nenvironments: {}\n")
    (tmp_path / name).write_text(ONE)
    with pytest.raises(UsageError, match=rf"{name} would not be read, .* folder is; name it b\.yaml$"):
        load(tmp_path)


def test_a_folder_without_files_is_no_empty_declaration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \*\.yaml file"):
        load(tmp_path)


def test_a_missing_file_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*keys\.yaml; write one with `reconciler init`.* -f"):
        load(tmp_path / "keys.yaml")


@pytest.mark.parametrize("name", ["loop.yaml", "a\0b.yaml", "keys.yaml/below"])
def test_a_file_that_cannot_be_read_says_why(name: str, tmp_path: Path) -> None:
    os.symlink("loop.yaml", tmp_path / "loop.yaml")  # noqa: PTH211  # one call for a link to itself
    (tmp_path / "keys.yaml").write_text(ONE)
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / name)


def test_a_broken_link_in_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE)
    (tmp_path / "b.yaml").symlink_to("nowhere.yaml")
    with pytest.raises(UsageError, match=r"b\.yaml is no regular file"):
        load(tmp_path)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b.yaml")
    with pytest.raises(UsageError, match=r"b\.yaml is no regular file"):
        load(tmp_path)


def test_of_too_many_errors_the_same_ones_are_listed_each_time(tmp_path: Path) -> None:
    keys = "".join(f"      key-{number}: {{credit_limt: 1}}\n" for number in range(1_200))
    (tmp_path / "a.yaml").write_text(f"version: 1\nenvironments:\n  ci:\n    keys:\n{keys}")
    listed = []
    for _ in range(2):
        with pytest.raises(DeclarationError) as caught:
            load(tmp_path)
        listed.append(caught.value.diagnostics)
    assert listed[0] == listed[1]


@pytest.mark.parametrize("value", ["! 5", "! '5'", "!!int 5"])
def test_no_tag_is_taken_not_even_the_shortest(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.yaml").write_text(f"version: 1\nenvironments: {{ci: {{keys: {{a: {{credit_limit: {value}}}}}}}}}\n")
    with pytest.raises(DeclarationError, match="tag"):
        load(tmp_path)


def test_all_errors_of_all_files_come_in_reading_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 2\nnaming: 5\nenvironments: {}\n")
    (tmp_path / "b.yaml").write_text("version: 3\n")
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path)
    places = [(found.location.file[-6:], found.location.line) for found in caught.value.diagnostics]
    assert places == [("a.yaml", 1), ("a.yaml", 2), ("b.yaml", 1)]
