from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.cli.check import check_state, read_state, write_state
from reconciler.errors import NotificationError, UsageError
from support.search import examples

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.insight.alerts import Identity


def test_a_state_whose_name_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be kept: File name too long"):
        check_state(tmp_path / ("n" * 300))


def test_a_folder_is_no_place_for_a_state(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be kept: it is a folder"):
        check_state(tmp_path)


def test_a_state_that_turns_into_a_folder_meanwhile_is_said_not_to_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_state(tmp_path) is None
    assert "cannot be used (it is a folder" in capsys.readouterr().err
    with pytest.raises(NotificationError, match="could not be written, so the same may be told again: it is a folder"):
        write_state(tmp_path, frozenset())


@settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.frozensets(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=8)] * 4), max_size=5))
def test_what_was_told_is_read_back_as_it_was(tmp_path: Path, told: frozenset[Identity]) -> None:
    state = tmp_path / "told.json"
    write_state(state, told)
    assert read_state(state) == told


def test_where_there_is_no_state_nothing_was_told(tmp_path: Path) -> None:
    assert read_state(tmp_path / "told.json") == frozenset()
    assert read_state(tmp_path / "no folder" / "told.json") == frozenset()


def test_a_link_to_a_state_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "told.json")
    write_state(link, frozenset())
    assert link.is_symlink()
    assert (tmp_path / "told.json").is_file()
