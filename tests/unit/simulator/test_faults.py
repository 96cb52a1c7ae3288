from __future__ import annotations

import pytest

from reconciler.simulator import Faults, parse_fault
from reconciler.simulator.faults import ErrorAnswer, LostAnswer, Spoilt, SpoiltAnswer, Verdict
from support.simulation import faults

KEYS = "/v1/account/keys"


@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        ("* * latency=50ms", Verdict(latency=0.05)),
        ("* * status=503", Verdict(instead=ErrorAnswer(503, None, None))),
        ("* * status=503 retry-after=2 body=html", Verdict(instead=ErrorAnswer(503, 2, Spoilt.HTML))),
        ("* * status=503 retry-after=no", Verdict(instead=ErrorAnswer(503, None, None))),
        ("* * status=503 when=after", Verdict(afterwards=ErrorAnswer(503, None, None))),
        ("* * lose=before", Verdict(instead=LostAnswer())),
        ("* * lose=after", Verdict(afterwards=LostAnswer())),
        ("* * body=cut", Verdict(afterwards=SpoiltAnswer(Spoilt.CUT))),
        ("* * ignore=name latency=1s", Verdict(latency=1.0, ignored=frozenset({"name"}))),
    ],
)
def test_what_each_fault_does(spec: str, verdict: Verdict) -> None:
    assert faults(spec).strike("POST", KEYS) == verdict


@pytest.mark.parametrize(
    ("target", "method", "path", "strikes"),
    [
        ("* *", "GET", "/v1/models", True),
        ("GET *", "POST", KEYS, False),
        (f"POST {KEYS}", "POST", KEYS, True),
        (f"POST {KEYS}", "POST", f"{KEYS}/1", False),
        (f"* {KEYS}/*", "PATCH", f"{KEYS}/1", True),
        (f"* {KEYS}/*", "GET", KEYS, False),
    ],
)
def test_a_fault_strikes_what_it_is_about(target: str, method: str, path: str, *, strikes: bool) -> None:
    assert (faults(f"{target} status=500").strike(method, path) != Verdict()) == strikes


def outcomes(active: Faults, number: int = 6) -> str:
    return "".join("x" if active.strike("GET", KEYS).instead else "." for _ in range(number))


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("", "xxxxxx"),
        ("times=2", "xx...."),
        ("skip=2", "..xxxx"),
        ("skip=2 times=1", "..x..."),
        ("times=0", "......"),
        ("probability=0", "......"),
        ("probability=1", "xxxxxx"),
    ],
)
def test_how_often_a_fault_strikes(conditions: str, expected: str) -> None:
    assert outcomes(faults(f"* * status=500 {conditions}")) == expected


def test_chance_is_decided_by_the_seed() -> None:
    one, same, other = (outcomes(faults("* * status=500 probability=0.5", seed=seed), 40) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert {"x", "."} == set(one)


def test_requests_that_another_fault_is_about_are_not_counted() -> None:
    active = faults("POST * status=500 skip=1")
    assert outcomes(active) == "......"
    assert [bool(active.strike("POST", KEYS).instead) for _ in range(2)] == [False, True]


def test_faults_add_up_until_one_answers() -> None:
    active = faults(
        "* * latency=1s ignore=name", "* * latency=2s ignore=expires_at", "* * lose=after times=1", "* * body=html"
    )
    assert active.strike("GET", KEYS) == Verdict(3.0, frozenset({"name", "expires_at"}), None, LostAnswer())
    assert active.strike("GET", KEYS) == Verdict(
        3.0, frozenset({"name", "expires_at"}), None, SpoiltAnswer(Spoilt.HTML)
    )


def test_an_answer_in_place_of_the_request_ends_the_matter() -> None:
    active = faults("* * lose=after", "* * status=503 times=1", "* * status=500 times=1")
    assert active.strike("GET", KEYS) == Verdict(instead=ErrorAnswer(503, None, None))
    assert active.strike("GET", KEYS) == Verdict(instead=ErrorAnswer(500, None, None))
    assert active.strike("GET", KEYS) == Verdict(afterwards=LostAnswer())


def test_a_rate_lets_so_many_through_in_any_window() -> None:
    now = 0.0
    active = Faults([parse_fault("* * rate=2/m")], clock=lambda: now)
    too_many = Verdict(instead=ErrorAnswer(429, 60, None))
    assert [active.strike("GET", KEYS) for _ in range(3)] == [Verdict(), Verdict(), too_many]
    now = 59.5
    assert active.strike("GET", KEYS) == Verdict(instead=ErrorAnswer(429, 1, None))
    now = 60.0
    assert active.strike("GET", KEYS) == Verdict()


@pytest.mark.parametrize(("word", "seconds"), [("", 1), ("retry-after=no", None), ("retry-after=9", 9)])
def test_a_rate_says_when_to_come_back_unless_told_otherwise(word: str, seconds: int | None) -> None:
    active = faults(f"* * rate=1/s {word}", clock=lambda: 0.0)
    active.strike("GET", KEYS)
    assert active.strike("GET", KEYS) == Verdict(instead=ErrorAnswer(429, seconds, None))


def test_faults_can_be_added_and_cleared() -> None:
    active = faults("* * status=500")
    active.clear()
    assert outcomes(active) == "......"
    active.add([parse_fault("* * status=500 times=1")])
    assert outcomes(active) == "x....."
