from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.forge.threads import (
    DriftMarker,
    PlanMarker,
    drift_prefix,
    plan_prefix,
    read_drift_marker,
    read_plan_marker,
    selection,
)
from support.github.job import DIGEST, HEAD, MARKER, SELECTION
from support.search import examples

DRIFT = DriftMarker(SELECTION, "5e" * 32)
hexadecimal = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(max_examples=examples(50))
@given(head=hexadecimal | hexadecimal.map(lambda text: text[:40]), digest=st.none() | hexadecimal, end=st.text())
def test_a_marker_is_read_back_whatever_follows_on_other_lines(head: str, digest: str | None, end: str) -> None:
    marker = PlanMarker(SELECTION, head, digest and f"sha256:{digest}")
    assert read_plan_marker(SELECTION, f"{marker}\r\n{end}") == marker
    drift = DriftMarker(SELECTION, digest)
    assert read_drift_marker(SELECTION, f"{drift}\n{end}") == drift
    assert str(marker).startswith(plan_prefix(SELECTION))
    assert str(drift).startswith(drift_prefix(SELECTION))


@pytest.mark.parametrize(
    "body",
    [
        "",
        f"\n{MARKER}",
        f" {MARKER}",
        f"{MARKER} and more",
        f"{MARKER}-->",
        str(MARKER).upper(),
        str(MARKER).replace(SELECTION, "0" * 32),
        str(MARKER).replace("digest=", "digest=none digest="),
        str(MARKER).replace(" seal=none", ""),
        str(MARKER).replace("seal=none", "seal=1"),
        str(MARKER).replace(DIGEST, "sha256:1"),
        str(MARKER).replace(HEAD, "main"),
        str(DRIFT),
        str(MARKER)[:-1],
    ],
)
def test_anything_else_is_no_marker(body: str) -> None:
    assert read_plan_marker(SELECTION, str(MARKER)) == MARKER
    assert read_plan_marker(SELECTION, body) is None
    assert read_drift_marker(SELECTION, body.replace(str(DRIFT), str(MARKER))) is None


def test_a_selection_does_not_depend_on_the_order_or_repetition_of_names() -> None:
    assert selection("k", ["a", "b"], ["x"]) == selection("k", ["b", "a", "b"], ["x"])


def test_selections_that_differ_have_different_names() -> None:
    different = [
        selection("k", []),
        selection("other", []),
        selection("k", ["a"]),
        selection("k", ["a", "b"]),
        selection("k", ["ab"]),
        selection("k", [], ["a"]),
        selection("k", ["a"], ["b"]),
        selection("-->\n", []),
    ]
    assert len({*different}) == len(different)
    assert all(each.isalnum() for each in different)
