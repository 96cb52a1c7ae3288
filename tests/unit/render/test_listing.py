from __future__ import annotations

import pytest

from reconciler.render.columns import Ansi, Entry, Listing, Pen, columns, pad, wrapped


def _lines(*entries: Entry, width: int | None = None, color: bool = False) -> list[str]:
    listing = Listing(entries, Pen(color=color), width)
    return [line for entry in entries for line in listing.lines(entry)]


def _entry(name: str, *lines: str, place: str = "") -> Entry:
    return Entry("+", "create", name, Ansi.GREEN, lines, place)


def test_columns_line_up_whatever_the_script() -> None:
    lines = _lines(
        _entry("a", "one", place="f:1"), _entry("漢字", "three", place="f:2"), _entry("e\u0301", "二", place="f:3")
    )

    assert lines == [
        "  + create  a     one    f:1",
        "  + create  漢字  three  f:2",
        "  + create  e\u0301     二     f:3",
    ]


def test_further_lines_stand_under_the_first() -> None:
    assert _lines(_entry("a", "one", "two")) == ["  + create  a  one", "               two"]


def test_a_name_too_long_for_its_column_has_a_line_of_its_own() -> None:
    assert _lines(_entry("n" * 33, "one")) == ["  + create  " + "n" * 33, " " * 46 + "one"]


def test_a_long_first_line_pushes_the_place_below() -> None:
    assert _lines(_entry("a", "d" * 57, place="f:1")) == ["  + create  a  " + "d" * 57, " " * 15 + "f:1"]


def test_a_narrow_terminal_wraps_between_words_only() -> None:
    lines = _lines(_entry("a", "several words and averyveryveryverylongword-of ours", place="f:1"), width=40)

    assert lines == [
        "  + create  a  several words and     f:1",
        "               averyveryveryverylongword-of",
        "               ours",
    ]


def test_places_line_up_on_a_narrow_terminal_too() -> None:
    lines = _lines(_entry("a", "one", place="f:1"), _entry("b", "three", place="f:22"), width=40)

    assert lines == ["  + create  a  one    f:1", "  + create  b  three  f:22"]


@pytest.mark.parametrize("width", [0, 1, 16])
def test_a_terminal_of_hardly_any_width_still_shows_everything(width: int) -> None:
    lines = _lines(_entry("a", "one two three four five six", place="keys.yaml:1"), width=width)

    assert lines == [
        "  + create  a  one two three four five",
        "               six",
        "               keys.yaml:1",
    ]


@pytest.mark.parametrize("lines", [(), ("",)])
def test_an_entry_without_details_ends_after_its_name_or_place(lines: tuple[str, ...]) -> None:
    assert _lines(_entry("a", *lines)) == ["  + create  a"]
    assert _lines(_entry("a", *lines, place="f:1")) == ["  + create  a  f:1"]


def test_no_entries_make_no_lines() -> None:
    assert _lines() == []


def test_ink_sets_the_mark_apart_and_a_loud_entry_altogether() -> None:
    quiet = Entry("+", "create", "a", Ansi.GREEN, ("one",), "f:1")
    loud = Entry("-", "DELETE", "b", Ansi.ALARM, ("two",), loud=True)

    assert _lines(quiet, loud, color=True) == [
        "  \x1b[32m+ create\x1b[0m  a  one  \x1b[2mf:1\x1b[0m",
        "  \x1b[1;31m- DELETE\x1b[0m  \x1b[1;31mb\x1b[0m  \x1b[1;31mtwo\x1b[0m",
    ]


def test_nothing_is_coloured_that_is_empty_or_plain() -> None:
    pen = Pen(color=True)

    assert pen(Ansi.RED, "") == ""
    assert pen(Ansi.PLAIN, "a") == "a"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("漢字", 4), ("é", 1), ("e\u0301", 1), ("→", 1), ("", 0)])
def test_columns_are_what_a_terminal_uses(text: str, width: int) -> None:
    assert columns(text) == width
    assert columns(pad(text, 6)) == 6


def test_text_that_fits_is_not_wrapped() -> None:
    assert wrapped("a  b", 4) == ["a  b"]
    assert wrapped("a" * 500, None) == ["a" * 500]
