from __future__ import annotations

import pytest

from reconciler.errors import UsageError
from reconciler.simulator import parse_fault
from reconciler.simulator.faults import Fault, Moment, Rate, Spoilt
from reconciler.simulator.grammar import GRAMMAR

KEYS = "/v1/account/keys"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("* * latency=50ms", Fault("*", "*", latency=0.05)),
        ("get * latency=2s", Fault("GET", "*", latency=2.0)),
        (f"POST {KEYS} status=503 times=2", Fault("POST", KEYS, status=503, times=2)),
        (f"POST {KEYS} status=500 when=after", Fault("POST", KEYS, status=500, when=Moment.AFTER)),
        ("* * status=429 retry-after=7", Fault("*", "*", status=429, retry_after=7)),
        ("* * rate=20/s", Fault("*", "*", rate=Rate(20, 1.0))),
        ("* * rate=3/m retry-after=no", Fault("*", "*", rate=Rate(3, 60.0), retry_after="no")),
        ("* * rate=3/h retry-after=0", Fault("*", "*", rate=Rate(3, 3600.0), retry_after=0)),
        (f"PATCH {KEYS}/* lose=after times=1", Fault("PATCH", f"{KEYS}/*", lose=Moment.AFTER, times=1)),
        (f"DELETE {KEYS}/* lose=before skip=3", Fault("DELETE", f"{KEYS}/*", lose=Moment.BEFORE, skip=3)),
        (f"GET {KEYS} body=html", Fault("GET", KEYS, body=Spoilt.HTML)),
        (f"GET {KEYS} status=502 body=empty", Fault("GET", KEYS, status=502, body=Spoilt.EMPTY)),
        (f"POST {KEYS} ignore=credit_limit", Fault("POST", KEYS, ignore=frozenset({"credit_limit"}))),
        (f"POST {KEYS} ignore=name,expires_at", Fault("POST", KEYS, ignore=frozenset({"name", "expires_at"}))),
        ("* * status=500 probability=0.1", Fault("*", "*", status=500, probability=0.1)),
        ("* * latency=1s status=500 probability=1", Fault("*", "*", latency=1.0, status=500)),
    ],
)
def test_a_fault_is_read_as_it_is_written(spec: str, fault: Fault) -> None:
    assert parse_fault(spec) == fault


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "it must start with one of *, GET, POST, PATCH, DELETE"),
        ("PUT * status=500", "it must start with one of *, GET, POST, PATCH, DELETE"),
        ("GET", "after the method comes a path that starts with /v1/, or *"),
        ("GET /account/keys status=500", "after the method comes a path that starts with /v1/, or *"),
        ("GET status=500", "after the method comes a path that starts with /v1/, or *"),
        ("GET *", "it does nothing yet, add one of latency=, status=, rate=, lose=, body=, ignore="),
        ("GET * times=1", "it does nothing yet, add one of latency=, status=, rate=, lose=, body=, ignore="),
        (
            "GET * wait=1",
            (
                "wait=1 is not one of latency=, status=, when=, rate=, retry-after=, lose=, body=, ignore=, times=,"
                " skip=, probability="
            ),
        ),
        ("GET * status=500 status=501", "status= is given twice"),
        ("GET * status", "status= must be from 400 to 599"),
        ("GET * status=200", "status= must be from 400 to 599"),
        ("GET * status=0503", "status= must be from 400 to 599"),
        ("GET * latency=50", "latency= must be like 50ms or 2s"),
        ("GET * rate=0/s", "rate= must be like 20/s or 100/m"),
        ("GET * rate=20", "rate= must be like 20/s or 100/m"),
        ("GET * lose=never", "lose= must be one of before, after"),
        ("GET * body=xml", "body= must be one of html, empty, shape, cut"),
        ("GET * status=500 when=then", "when= must be one of before, after"),
        ("GET * ignore=id", "ignore= takes name, credit_limit, expires_at, is_enabled"),
        ("GET * status=500 times=-1", "times= must be a whole number"),
        ("GET * status=500 skip=x", "skip= must be a whole number"),
        ("GET * status=500 retry-after=soon", "retry-after= must be whole seconds, or no"),
        ("GET * status=500 probability=2", "probability= must be from 0 to 1"),
        ("GET * status=500 lose=after", "lose= and status= exclude each other"),
        ("GET * rate=1/s lose=after", "lose= and rate= exclude each other"),
        ("GET * body=html lose=after", "body= and lose= exclude each other"),
        ("GET * latency=1s when=after", "when= needs status="),
        ("GET * latency=1s retry-after=1", "retry-after= needs status= or rate="),
    ],
)
def test_a_wrong_fault_says_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault(spec)
    assert str(caught.value) == f'fault "{spec}": {message}'


def test_the_examples_of_the_help_are_faults() -> None:
    examples = [line.strip().strip('"') for line in GRAMMAR.partition("Examples:")[2].splitlines() if line.strip()]
    assert len(examples) == 4
    for example in examples:
        parse_fault(example)
