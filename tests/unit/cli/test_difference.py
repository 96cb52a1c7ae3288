"""Unified diffs of files, also of long ones."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.cli.fmt import difference
from reconciler.declaration import SourceFile
from support.search import examples


def compared(old: str, new: str) -> str:
    return difference([SourceFile("a", Path(), old.encode())], [SourceFile("a", Path(), new.encode())])


def patched(old: str, diff: str) -> str:
    """Do what a diff says, as the program patch does it."""
    lines, result, at = old.splitlines(), list[str](), 0
    for line in diff.splitlines()[2:]:
        hunk = re.match(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@", line)
        if hunk:
            start = int(hunk[1]) - (hunk[2] != ",0")
            result += lines[at:start]
            at = start
            assert len(result) == int(hunk[3]) - (hunk[4] != ",0")
        elif line[0] == "+":
            result.append(line[1:])
        else:
            assert lines[at] == line[1:]
            result += [line[1:]] if line[0] == " " else []
            at += 1
    return "".join(f"{line}\n" for line in [*result, *lines[at:]])


texts = st.lists(st.sampled_from([*"abcdefgh", "  a", "b  "]), max_size=40).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@settings(max_examples=examples(100))
@given(old=texts, new=texts, filler=st.integers(0, 900))
def test_a_diff_leads_from_the_one_to_the_other(old: str, new: str, filler: int) -> None:
    between = "".join(f"line {number}\n" for number in range(filler))
    before, after = old + between + old, new + between.replace("line ", "  line ") + new
    assert patched(before, compared(before, after)) == after


def test_lines_that_differ_in_their_ends_only_do_not_look_alike() -> None:
    assert compared("a: 1\r\nb\r\n", "a: 1\nb\n") == "--- a\n+++ a\n@@ -1,2 +1,2 @@\n-a: 1\\r\n-b\\r\n+a: 1\n+b\n"
    assert compared("a", "a\n") == "--- a\n+++ a\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"


def test_equal_files_have_no_diff() -> None:
    assert not compared("a\n" * 1000, "a\n" * 1000)


def test_a_long_file_is_compared_piece_by_piece() -> None:
    before = "".join(f"key-{number}:\n    credit_limit: 5\n    is_enabled: true\n" for number in range(5_000))
    after = before.replace("    ", "  ")
    assert patched(before, compared(before, after)) == after
