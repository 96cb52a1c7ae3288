from __future__ import annotations

import re

import pytest

from reconciler.errors import UsageError
from reconciler.simulator import parse_fault, quirks
from reconciler.simulator.faults import GRAMMAR, Fault, Moment, Rate, Spoilt, parse_faults
from reconciler.simulator.quirks import Echo, Pages, Quirks

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


QUIRKS = [
    ("pages", Fault("GET", KEYS, quirks=Quirks(pages=Pages()))),
    ("pages=2,has_more,next", Fault("GET", KEYS, quirks=Quirks(pages=Pages(2, frozenset({"has_more", "next"}))))),
    ("lag=300ms times=2", Fault("GET", KEYS, quirks=Quirks(lag=0.3), times=2)),
    (f"GET {KEYS}* lag=2s", Fault("GET", f"{KEYS}*", quirks=Quirks(lag=2.0))),
    ("late=3s skip=1", Fault("POST", KEYS, quirks=Quirks(late=3.0), skip=1)),
    ("blind-models", Fault("GET", "/v1/models", quirks=Quirks(blind_models=True))),
    ("trial=402", Fault("*", "/v1/[!a]*", status=402)),
    ("odd-patch", Fault("PATCH", f"{KEYS}/*", quirks=Quirks(odd_patch="other"))),
    ("odd-patch=204", Fault("PATCH", f"{KEYS}/*", quirks=Quirks(odd_patch="204"))),
    ("odd-delete=error", Fault("DELETE", f"{KEYS}/*", quirks=Quirks(odd_delete="error"))),
    ("strict-lock", Fault("*", f"{KEYS}*", quirks=Quirks(strict_lock=frozenset({"limit", "expiry", "tilde"})))),
    ("strict-lock=dash", Fault("*", f"{KEYS}*", quirks=Quirks(strict_lock=frozenset({"dash"})))),
    ("echo", Fault("*", "*", quirks=Quirks(echo=Echo()))),
    ("echo=HEX,name", Fault("*", "*", quirks=Quirks(echo=Echo("HEX", "name")))),
    (
        "noise zoneless status=503 name=*~new.*",
        Fault("*", f"{KEYS}*", status=503, quirks=Quirks(noise=True, zoneless=True), name="*~new.*"),
    ),
]


@pytest.mark.parametrize(("spec", "fault"), QUIRKS)
def test_a_quirk_is_a_word_that_knows_where_it_is_seen(spec: str, fault: Fault) -> None:
    assert parse_fault(spec) == fault


WRONG = [
    "",
    "PUT * status=500",
    "GET",
    "GET /account/keys status=500",
    "GET status=500",
    "GET *",
    "GET * times=1",
    "GET * name=*",
    "GET * wait=1",
    "GET * status=500 status=501",
    "GET * status",
    "GET * status=200",
    "GET * status=0503",
    "GET * latency=50",
    "GET * rate=0/s",
    "GET * rate=20",
    "GET * lose=never",
    "GET * body=xml",
    "GET * status=500 when=then",
    "GET * ignore=id",
    "GET * status=500 times=-1",
    "GET * status=500 skip=x",
    "GET * status=500 retry-after=soon",
    "GET * status=500 probability=2",
    "GET * status=500 name=",
    "GET * status=500 lose=after",
    "GET * rate=1/s lose=after",
    "GET * body=html lose=after",
    "GET * latency=1s when=after",
    "GET * latency=1s retry-after=1",
    "lag",
    "lag=0s",
    "lag=3601s",
    "lag=2s lag=3s",
    "pages=0",
    "pages=20,offset",
    "late=3s lose=after",
    "late=3s body=html",
    "late=3s status=503",
    "trial",
    "trial=200",
    "trial=404 status=503",
    "blind-models=yes",
    "odd-patch=500",
    "micros=all",
    "strict-lock=name",
    "echo=rot13",
]


@pytest.mark.parametrize("spec", WRONG)
def test_a_wrong_fault_is_refused(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fault(spec)
    message = str(caught.value)
    assert message.startswith(f'fault "{spec}": ')
    assert "\n" not in message


def test_faults_of_a_variable_stand_on_lines_or_between_semicolons() -> None:
    assert parse_faults("lag=2s; noise\n* * latency=1s;\n") == (
        parse_fault("lag=2s"),
        parse_fault("noise"),
        parse_fault("* * latency=1s"),
    )
    assert parse_faults("") == ()


def test_the_examples_of_the_help_are_faults() -> None:
    examples = [line.strip().strip('"') for line in GRAMMAR.partition("Examples:")[2].splitlines() if line.strip()]
    assert len(examples) == 8
    for example in examples:
        parse_fault(example)


def test_the_help_names_every_word() -> None:
    for word in quirks.WORDS:
        assert re.search(rf"^  {word}\b", GRAMMAR, re.MULTILINE), word
