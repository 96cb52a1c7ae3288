"""Tables: aligned, with bars where there is room, never cut off."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.render.columns import Ansi, Column, Pen, Row, Styled, bar, columns, left_out, markdown_table, text_table

HEADS = (Column("Key"), Column("Cost", right=True), Column("Note"), Column("Tokens", right=True, optional=True))
ROWS = (Row(("ci/tests", "$1", "fine", "1,000"), bar=Decimal(1)), Row(("漢/b", "$0.50", "", "7"), bar=Decimal("0.5")))
PLAIN = Pen(color=False)


def test_columns_are_aligned_by_what_they_take_on_the_screen() -> None:
    assert text_table(HEADS, ROWS, PLAIN, None) == [
        "Key        Cost  Note  Tokens",
        "ci/tests     $1  fine   1,000",
        "漢/b      $0.50             7",
    ]


def test_bars_take_the_room_that_a_terminal_has_left() -> None:
    shown = text_table(HEADS, ROWS, PLAIN, 40)
    assert shown[1].endswith("  █████████")
    assert shown[2].endswith("  ████▌")
    assert max(columns(line) for line in shown) == 40
    assert columns(text_table(HEADS, ROWS, PLAIN, 500)[1]) == 29 + 2 + 30


def test_there_are_no_bars_where_there_is_no_room_for_them() -> None:
    assert text_table(HEADS, ROWS, PLAIN, 36) == text_table(HEADS, ROWS, PLAIN, None)


def test_optional_columns_go_first() -> None:
    assert text_table(HEADS, ROWS, PLAIN, 22) == ["Key        Cost  Note", "ci/tests     $1  fine", "漢/b      $0.50"]


def test_on_a_narrow_terminal_names_stand_above_their_numbers() -> None:
    assert text_table(HEADS, ROWS, PLAIN, 16) == [
        "Key",
        "   Cost  Note",
        "ci/tests",
        "     $1  fine",
        "漢/b",
        "  $0.50",
    ]


def test_one_long_name_does_not_break_every_row() -> None:
    rows = [Row((name, "$1", "fine", "7")) for name in (*(f"ci/{at}" for at in range(9)), "n" * 30)]
    shown = text_table(HEADS, rows, PLAIN, 30)
    assert shown[0].split() == ["Key", "Cost", "Note", "Tokens"]
    assert [line.split() for line in shown[-3:]] == [["ci/8", "$1", "fine", "7"], ["n" * 30], ["$1", "fine", "7"]]


def test_optional_columns_go_by_their_number_and_only_as_many_as_have_to() -> None:
    heads = (Column("Key"), Column("State", optional=1), Column("Id", optional=3), Column("Age", optional=2))
    rows = [Row(("ci/a", "fine", "1", "2d"))]
    left = {width: left_out(heads, rows, width) for width in (None, 20, 19, 16, 15, 11, 10, 2)}
    assert left == {
        None: (),
        20: (),
        19: ("Id",),
        16: ("Id",),
        15: ("Id", "Age"),
        11: ("Id", "Age"),
        10: ("State", "Id", "Age"),
        2: ("State", "Id", "Age"),
    }


def test_a_long_name_has_a_line_of_its_own_and_is_never_cut() -> None:
    name = "n" * 60
    assert text_table(HEADS[:2], [Row((name, "$1"))], PLAIN, None) == [f"{'Key':48}  Cost", name, f"{'':48}    $1"]


def test_a_long_name_without_numbers_leaves_no_empty_line() -> None:
    name = "n" * 60
    assert text_table(HEADS[:1], [Row((name,))], PLAIN, None) == ["Key", name]


def test_rows_and_cells_have_their_ink() -> None:
    rows = [Row(("a", Styled("$1", Ansi.RED)), Ansi.DIM, Decimal(1))]
    shown = text_table(HEADS[:2], rows, Pen(color=True), 20)
    assert shown == [
        "\x1b[1mKey\x1b[0m  \x1b[1mCost\x1b[0m",
        f"\x1b[2ma\x1b[0m      \x1b[31m$1\x1b[0m  \x1b[36m{'█' * 9}\x1b[0m",
    ]


def test_markdown_has_the_same_cells_and_no_bars() -> None:
    assert markdown_table(HEADS[:2], [Row(("`a`", Styled("$1", Ansi.RED)), bar=Decimal(1))]) == (
        "| Key | Cost |\n| --- | ---: |\n| `a` | $1 |"
    )


@pytest.mark.parametrize(
    ("share", "drawn"),
    [("0", ""), ("0.0001", "▏"), ("0.5", "██"), ("0.54", "██▏"), ("1", "████")],
)
def test_a_bar_shows_eighths_and_whatever_is_more_than_nothing(share: str, drawn: str) -> None:
    assert bar(Decimal(share), 4) == drawn
