from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import pytest
import yaml

from reconciler.declaration import loader as source_module
from reconciler.declaration.loader import collector_paused, read
from reconciler.declaration.parser import Fields, Items, Place, Report, location
from reconciler.diagnostic import Severity
from support.declarations import errors, source


@pytest.fixture(params=["libyaml", "pure"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.delattr(yaml, "CSafeLoader")


def read_one(content: str | bytes) -> tuple[Fields | None, list[str]]:
    report = Report()
    document = read(source(content), report)
    return document, [str(found).removeprefix("keys.yaml:") for found in report.in_reading_order()]


def value_of(text: str) -> Any:
    document, found = read_one(f"a: {text}")
    assert not found
    assert document is not None
    return document["a"]


@pytest.mark.usefixtures("_parser")
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("+0", 0),
        ("5.25", Decimal("5.25")),
        ("0.1", Decimal("0.1")),
        (".5", Decimal("0.5")),
        ("5.", 5),
        ("5.0", 5),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("null", None),
        ("~", None),
        ("NULL", None),
        ("nUll", "nUll"),
        ("'no'", "no"),
        ('"012"', "012"),
        ('""', ""),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2027-01-01", "2027-01-01"),
        ("7d", "7d"),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("0xZZ", "0xZZ"),
        ("|\n  5\n", "5\n"),
        ("[1, [2], {b: c}]", [1, [2], {"b": "c"}]),
        ("{}", {}),
        ("é", "é"),
    ],
)
def test_a_value_is_read_as_it_is_meant(written: str, value: object) -> None:
    if written == "-":
        written = "[b, c-, -d]"
        value = ["b", "c-", "-d"]
    read_value = value_of(written)
    assert read_value == value
    assert type(read_value) is type(value) or isinstance(read_value, Fields | Items)


@pytest.mark.usefixtures("_parser")
@pytest.mark.parametrize("name", ["no", "on", "123", "0x1F", "null", "1.5", "true", "é", "y"])
def test_a_name_is_always_text(name: str) -> None:
    document, found = read_one(f"{name}: 1")
    assert not found
    assert document == {name: 1}


@pytest.mark.usefixtures("_parser")
def test_every_name_and_value_knows_its_place() -> None:
    document, _ = read_one("version: 1\nä:\n  - b\n  - {c:  d}\n")
    assert document is not None
    items = document["ä"]
    assert isinstance(items, Items)
    inner = items[1]
    assert isinstance(inner, Fields)
    places = [
        document.mark,
        document.key_marks["version"],
        document.value_marks["version"],
        document.key_marks["ä"],
        items.marks[0],
        items.marks[1],
        inner.key_marks["c"],
        inner.value_marks["c"],
    ]
    seen = [str(location(mark)).removeprefix("keys.yaml:") for mark in places]
    assert seen == ["1:1", "1:1", "1:10", "2:1", "3:5", "4:5", "4:6", "4:10"]


@pytest.mark.usefixtures("_parser")
def test_aliases_and_merges_give_what_they_name() -> None:
    document, found = read_one("""\
        a: &a {x: 1, y: &y [1, 2]}
        b: *a
        c: {<<: *a, x: 2}
        d: {x: 3, <<: [{x: 4, z: 5}, *a]}
        &e e: *y
        f: *e
        g: &g 7
        h: *g
        i: &i no
        j: *i
        """)
    assert found == ["9:4: error: i must not be written as 'no': write true or false, or quote it if it is text"]
    assert document is not None
    assert {name: document[name] for name in "bcdefgh" if name in document} == {
        "b": {"x": 1, "y": [1, 2]},
        "c": {"x": 2, "y": [1, 2]},
        "d": {"x": 3, "z": 5, "y": [1, 2]},
        "e": [1, 2],
        "f": "e",
        "g": 7,
        "h": 7,
    }
    assert document.broken == {"i", "j"}


@pytest.mark.usefixtures("_parser")
def test_an_anchor_may_be_given_again() -> None:
    document, found = read_one("a: &x 1\nb: *x\nc: &x 2\nd: *x\n")
    assert not found
    assert document == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_a_merged_value_that_is_broken_stays_broken() -> None:
    document, found = read_one("a: &a {x: 0x1}\nb: {<<: *a}\n")
    assert len(found) == 1
    assert document is not None
    inner = document["b"]
    assert isinstance(inner, Fields)
    assert inner.broken == {"x"}


def test_a_scalar_may_stand_as_deep_as_the_deepest_list() -> None:
    document, found = read_one("a: &a 1\nb: " + "[" * 31 + "*a" + "]" * 31)
    assert not found
    assert document is not None


def test_repeating_a_lot_is_no_bomb() -> None:
    lines = "\n".join(f"k{index}: {{<<: *d}}" for index in range(5_000))
    _, found = read_one(f"d: &d {{a: 1, b: 2, c: 3}}\n{lines}\n")
    assert not found


@pytest.mark.usefixtures("_parser")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfa: 0x1", "1:4: error: a must not be written as '0x1'"),
        (b"a: b\r\nc: \xff", "2:4: error: the file is not UTF-8: byte 0xff here"),
        (b"a: b\n# \xc2\x85c\n\xe2\x80\xa8\x07", "5:1: error: the character U+0007 is not allowed"),
        (b'a: "\\ud800"', "error: a"),
        (b'a: "\\UFFFFFFFF"', "error: a"),
        (b'"\\udfff": 1', "error: a"),
        (b"a: \xef\xbf\xbf", "1:4: error: the character U+FFFF is not allowed"),
        (b"%YAML 2.0\n---\na: 1", "a %YAML directive for another version"),
        (b"a: !x!y z", "1:4: error: tags like !name can't be used; remove it"),
        (b"a: &\n", "a name must follow the & of an anchor at once"),
        (b"a: * b\n", "a name must follow the * of an alias at once"),
        (b"a: b\n- c", "2:1: error: this line is indented otherwise"),
        (b"a: - b", "1:4: error: a '- ' can't start a list here"),
        (b"a: |x\n", "1:5: error: this is not YAML: while scanning a block scalar"),
        (b"a: b\n...\nc: d\n", "3:1: error: this can't stand beside the rest of the file"),
        (b"a: 'x\n---\n'", "1:4: error: a quoted text is opened here and never closed"),
        (b"a:\n - b\n  - c\n - d\n: e", "error: "),
        (
            b"--- text",
            "1:5: error: the file must hold fields such as version and environments, and it does not start so",
        ),
        (
            b"--- 0x1",
            "1:5: error: the file must hold fields such as version and environments, and it does not start so",
        ),
        (b"a: " + b"[" * 100, "1:35: error: lists and mappings are nested more than 32 deep here"),
    ],
)
def test_what_is_no_good_text_is_refused_at_its_place(content: bytes, expected: str) -> None:
    _, found = read_one(content)
    assert expected in found[0]


def test_a_tab_in_a_block_of_text_is_explained() -> None:
    _, found = read_one(b"a: >\n b\n\tc: d\n")
    assert found == ["3:1: error: a tab can't indent; use spaces"]


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "LARGEST_FILE", 3 * 1024 * 1024)
    _, found = read_one(b"a" * (3 * 1024 * 1024 + 1))
    assert found == ["1:1: error: the file is larger than 3 MiB; split it into a folder of files"]


def test_the_longest_number_is_read_and_one_digit_more_is_not() -> None:
    assert read_one("a: " + "9" * 40)[1] == []
    assert len(read_one("a: " + "9" * 41)[1]) == 1


def test_a_number_of_any_length_takes_no_time() -> None:
    _, found = read_one("a: " + "9" * 1_000_000)
    assert found == ["1:4: error: a is a number of 1000000 digits, where 40 are the most; quote it if it is text"]


def test_names_in_messages_are_harmless() -> None:
    _, found = read_one('"a\\e[31m\\n::error::": 0x1')
    (message,) = found
    assert message.startswith("1:23: error: a\\x1b[31m\\n::error:: must not be written as '0x1': ")


def test_the_first_errors_are_shown_and_the_others_counted() -> None:
    found = errors("a: {" + "".join(f"k{number}: 0x1, " for number in range(2_000)) + "}")
    assert len(found) == 201
    assert "these are the first 200 errors, and 180" in found[-1]


def test_a_report_says_the_same_thing_about_one_place_once() -> None:
    report = Report()
    report.error(Place("f"), "a")
    report.error(Place("f"), "a")
    report.error(Place("f", 1), "a")
    assert [str(found) for found in report.in_reading_order()] == ["f:1:1: error: a", "f:2:1: error: a"]


def test_a_report_that_is_full_counts_what_comes_after() -> None:
    report = Report()
    for line in range(250):
        report.error(Place("f", line), "a")
    report.error(Place("f"), "a")
    found = report.in_reading_order()
    assert (len(found), report.is_full, report.more) == (201, True, 50)
    assert found[-1].severity is Severity.NOTE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x: [" + "{}, " * 1_001 + "]", "x has more than 1000 items"),
        ("x: &x [" + "1, " * 900 + "]\ny: [" + "*x, " * 700 + "]", "more than 500000 values"),
        (
            "x: &x {"
            + "".join(f"a{n}: 1, " for n in range(900))
            + "}\n"
            + "".join(f"b{n}: {{<<: *x}}\n" for n in range(700)),
            "more",
        ),
    ],
)
def test_a_file_holds_no_more_than_an_account_has_use_for(content: str, words: str) -> None:
    (found,) = errors(content)
    assert words in found


def test_all_files_of_a_declaration_have_one_limit() -> None:
    many = "x: &x [" + "1, " * 900 + "]\ny: [" + "*x, " * 300 + "]"
    found = errors(many, many)
    assert [each for each in found if "more than 500000 values" in each] == found[-1:]


@pytest.mark.parametrize(
    "content", ["ghp_0123456789", "0123456789", "- a", "*ghp_0123", "!ghp_0123 {}", "'ghp'", "off", "[a]"]
)
def test_what_is_no_declaration_is_not_repeated(content: str) -> None:
    (found,) = errors(content)
    assert "must hold fields such as version and environments" in found
    assert content not in found


TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "content",
    [
        f"{TOKEN}:",
        f"? {TOKEN}",
        f"{{{TOKEN}}}",
        f"{TOKEN}: 1",
        f"a: *{TOKEN}",
        f"a: !{TOKEN} 1",
        f"{TOKEN}: 1\n{TOKEN}: 2",
        f"{TOKEN}: 0x1",
    ],
)
def test_a_token_in_the_place_of_a_name_is_not_repeated(content: str) -> None:
    for found in errors(content):
        assert TOKEN[:30] not in found


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_is_left_as_it_was_found(*, was_enabled: bool) -> None:
    if not was_enabled:
        gc.disable()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is was_enabled
    finally:
        gc.enable()
