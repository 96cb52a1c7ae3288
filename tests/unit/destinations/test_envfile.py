from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.destinations.dotenv import Unreadable, is_name, parse, quote, render, with_values
from support.search import examples

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]
HARD = "'\"\\$`{}:-A #=!~*&;|<>()[]?%^@\t\u00e4\u0081\u2028\ufeff\U0001f511\x01\x7f\x85\r\n\0\ud800"
values = st.text(st.sampled_from(HARD) | st.characters(), min_size=1, max_size=12)


def read_by_shell(shell: str, file: Path) -> dict[str, str]:
    """Give the variables N_… as a shell has them that sources the file with everything exported."""
    answer = subprocess.run(
        [shell, "-c", 'set -a; . "$1"; exec env -0', shell, str(file)], capture_output=True, check=True
    )
    assert answer.stderr == b""
    pairs = (entry.split("=", 1) for entry in answer.stdout.decode().split("\0") if entry.startswith("N_"))
    return {name: value for name, value in pairs}  # noqa: C416  # pairs are lists, dict() wants tuples


def changed(text: str, **wanted: str) -> str:
    return render(with_values(parse(text.encode()), wanted)).decode()


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("ng-1234567890abcdefghijklmnopqrstuv", "ng-1234567890abcdefghijklmnopqrstuv"),
        ("naga_sk_A/b+c==", "naga_sk_A/b+c=="),
        ("two words", "'two words'"),
        ("#no-comment", "'#no-comment'"),
        ('$HOME `id` \\n "x"', "'$HOME `id` \\n \"x\"'"),
        ("it's", '"it\'s"'),
        ('it\'s "so"', '"it\'s \\"so\\""'),
        ("a\\\\b", '"a\\\\\\\\b"'),
        ("~", "'~'"),
        ("${unfinished", "'${unfinished'"),
    ],
)
def test_a_value_is_quoted_no_more_than_it_needs(value: str, written: str) -> None:
    assert quote(value) == written


@pytest.mark.parametrize(
    "value",
    ["a\nb", "a\rb", "a\0b", "\ud800", "${HOME}", "${HOME:-x}", "a\\", "it's $5", "it's `5`", "$\\\\"],
    ids=["LF", "CR", "NUL", "surrogate", "variable", "default", "last backslash", "' and $", "' and `", "$ and \\\\"],
)
def test_a_value_that_the_two_would_read_differently_is_refused(value: str) -> None:
    assert quote(value) is None


@given(wanted=st.lists(values, max_size=40))
@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_sh_and_python_dotenv_read_back_exactly_what_was_written(wanted: list[str], tmp_path: Path) -> None:
    quoted = {f"N_{number}": quote(value) for number, value in enumerate(wanted)}
    expected = {name: wanted[int(name[2:])] for name, text in quoted.items() if text is not None}
    file = tmp_path / "values.env"
    file.write_bytes(render(with_values((), {name: text for name, text in quoted.items() if text is not None})))
    assert dotenv_values(file) == expected
    for shell in SHELLS:
        assert read_by_shell(shell, file) == expected


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n$`\\'"), min_size=1))
def test_a_value_without_special_characters_is_never_refused(value: str) -> None:
    assert quote(value) is not None


def test_a_variable_has_a_name_that_sh_allows() -> None:
    assert [name for name in ("A", "_a9", "9A", "A-B", "", "\u00c4", "A\n", "A B") if is_name(name)] == ["A", "_a9"]


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "N=new\n"),
        ("A=1\n", "A=1\nN=new\n"),
        ("A=1", "A=1\nN=new\n"),
        ("N=old", "N=new\n"),
        ("N=old\nA=1", "N=new\nA=1"),
        ("A=1\r\nN=old\r\nB=2\r\n", "A=1\r\nN=new\nB=2\r\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\nN=new\n"),
        ("export N='old'\n", "export N=new\n"),
        ("N=\n", "N=new\n"),
        ("# N=1\n\n\n  # x\nN=old\n\nB=2\n", "# N=1\n\n\n  # x\nN=new\n\nB=2\n"),
        ("N=old\nA=1\n\nN=older\nN=oldest\nB=2\n", "N=new\nA=1\n\nB=2\n"),
        ('A="1\nN=inside\n"\nN=old\n', 'A="1\nN=inside\n"\nN=new\n'),
        ('N="old\nA=inside\n" # why\nB=2\n', "N=new # why\nB=2\n"),
        ("export\tN=old\nN=older\nA=$N\n", "export N=new\nA=$N\n"),
        ("N='it\\'s'\nA=1\n", "N=new\nA=1\n"),
        ("exported=1\nexport=2\nN=  \nA=x y\n", "exported=1\nexport=2\nN=new\nA=x y\n"),
        ("N=old # the API's\n", "N=new # the API's\n"),
        ("N='o#d' # a # b\r\n", "N=new # a # b\n"),
        ("N=o#d\n", "N=new\n"),
        ("\ufeffA=1\n", "\ufeffA=1\nN=new\n"),
        ("\ufeffN=old\nA=1\n", "\ufeff\nN=new\nA=1\n"),
        ("\ufeff", "\ufeff\nN=new\n"),
        ("NN=1\nN_=2\nn=3\n", "NN=1\nN_=2\nn=3\nN=new\n"),
    ],
)
def test_only_our_line_changes_and_both_read_it(before: str, after: str) -> None:
    assert changed(before, N="new") == after
    assert dotenv_values(stream=io.StringIO(after, newline=None))["N"] == "new"
    assert changed(after, N="new") == after


def test_new_names_are_added_in_order() -> None:
    assert changed("X=1\n", C="3", A="1", B="2", X="9") == "X=9\nA=1\nB=2\nC=3\n"


NEITHER = "line {} is neither NAME=value nor a comment"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nB=\xff\xfe\n", "it is not UTF-8 text"),
        (b"A=1\0\n", "it is not UTF-8 text"),
        (b"A=1\n\n \nif true; then\nB=2\n", NEITHER.format(4)),
        (b"A=1\r\nB='2\r\n", NEITHER.format(2)),
        (b"A='1\n2'\r\n=5", NEITHER.format(3)),
    ],
)
def test_a_file_that_is_no_dotenv_file_says_where(content: bytes, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(content)
    assert str(caught.value) == message
    assert caught.value.__context__ is None, "a decoding error would carry the whole file"


@pytest.mark.parametrize(
    "content",
    [
        "N",  # a word alone, which python-dotenv takes for a variable without a value
        "export N",
        "[core]",
        " A=1",  # indented, as the lines of a Makefile and of an INI file
        "A =1",
        "A= 1",
        "A=\u00a0'1",
        "'A'=1",
        "a.b=1",
        "A-B=1",
        "//registry.example.com/:_authToken=1",
        "A: 1",
        "A:=1",
        "A+=1",
        "A='1' 2",
        "A='1'2",
        "A='1'# c",
        'A="1',
        "A=C:\\tmp\\",  # sh reads on in the next line
        "A=1\rB=2",  # two lines for python-dotenv, one for sh
        "# c\rB=2",
        "A=1\n\x0c\nB=2",
        "export A=1 && B=2\nC",
        "A=1\n\ufeffB=2",
    ],
)
def test_what_the_two_would_not_read_alike_is_no_dotenv_file(content: str) -> None:
    with pytest.raises(Unreadable):
        parse(content.encode())


@pytest.mark.parametrize(
    "text",
    [
        f"X='{'#' * 200_000}",
        f"X=1{' #' * 100_000}\nN=old {'#' * 100_000}\n",
        "X='" * 100_000,
        "X=\\" + "\\'" * 100_000,
        "!" + "X='\\\n" * 50_000,
        "\t \t" * 100_000 + "x",
        "export " * 100_000,
        "A" * 400_000,
    ],
)
def test_no_text_takes_more_time_than_its_size(text: str) -> None:
    # A step too many a character would take minutes here, and the suite its time limit.
    try:
        with_values(parse(text.encode()), {"N": "new"})
    except Unreadable:
        assert not text.startswith("X=1")


def test_a_binding_does_not_show_its_text() -> None:
    assert "ng-1" not in repr(parse(b"NAGA_API=ng-1\n"))


lines = st.sampled_from(
    [
        "A=1",
        "B='x y'",
        'C="1\n2 N1=x"',
        "N1=old",
        "export N2='o'",
        "# note",
        "",
        "  ",
        "N2=",
        "N2=a b # c",
    ]
)
files = st.lists(st.tuples(lines, st.sampled_from(["\n", "\r\n", "\n\n"])), max_size=8).map(
    lambda parts: "".join(line + end for line, end in parts)
)
assignments = st.dictionaries(st.sampled_from(["N1", "N2", "N3"]), st.sampled_from(["1", "'a b'", '"it\'s"']))


@given(text=files, wanted=assignments)
def test_other_variables_keep_their_values_and_ours_get_theirs(text: str, wanted: dict[str, str]) -> None:
    def read(content: str) -> dict[str, str | None]:
        stream = io.StringIO(content.replace("\ufeff", ""), newline=None)
        return dict(dotenv_values(stream=stream, interpolate=False))

    assert render(parse(text.encode())) == text.encode()
    expected = read(text) | {name: value.strip("'\"") for name, value in wanted.items()}
    assert read(changed(text, **wanted)) == expected
