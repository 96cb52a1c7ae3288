"""When another attempt is made, and after which delay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.http.exchange import Answer, NoAnswer
from reconciler.http.retry import Attempts, RetryPolicy, Setback, Timing, judge
from support.account import DATE, FakeTime
from support.builders import NOW

POLICY = RetryPolicy()
LOST = NoAnswer("the connection broke off", sent=True)
REFUSED = NoAnswer("connection refused", sent=False)
UNTRUSTED = NoAnswer("its certificate is not trusted", sent=False, lasting=True)


def delays(*outcomes: Answer | NoAnswer, repeatable: bool = True, policy: RetryPolicy = POLICY) -> list[float | None]:
    time = FakeTime(chance=1.0)
    attempts = Attempts(policy, time.timing, repeatable=repeatable)
    return [attempts.delay(judge(outcome, NOW), time.seconds) for outcome in outcomes]


def met(outcome: Answer | NoAnswer, wait: float = 0.0) -> Setback | None:
    setback = judge(outcome, NOW)
    return setback and replace(setback, wait=wait)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_passing_troubles_are_tried_six_times_with_growing_delays(status: int) -> None:
    assert delays(*[Answer(status)] * 6) == [0.5, 1.0, 2.0, 4.0, 8.0, None]


def test_the_delay_stops_growing() -> None:
    assert POLICY.backoff(7) == 20.0
    assert POLICY.backoff(10**9) == 20.0


@pytest.mark.parametrize("outcome", [LOST, REFUSED])
def test_broken_connections_are_tried_again(outcome: NoAnswer) -> None:
    assert delays(outcome) == [0.5]


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 402, 403, 404, 409, 422, 501])
def test_every_other_answer_is_final(status: int) -> None:
    assert delays(Answer(status)) == [None]


def test_a_certificate_does_not_get_better() -> None:
    assert delays(UNTRUSTED) == [None]


@pytest.mark.parametrize("outcome", [LOST, Answer(500), Answer(503)])
def test_what_must_not_be_repeated_is_not_when_it_may_be_done(outcome: Answer | NoAnswer) -> None:
    assert delays(outcome, repeatable=False) == [None]


@pytest.mark.parametrize("outcome", [REFUSED, Answer(429)])
def test_what_must_not_be_repeated_is_when_it_certainly_is_not_done(outcome: Answer | NoAnswer) -> None:
    assert delays(outcome, repeatable=False) != [None]


def test_rate_limits_have_a_count_of_their_own() -> None:
    many = [Answer(429)] * 12
    assert delays(*many) == [0.0] * 11 + [None]
    assert delays(*[Answer(500)] * 5, Answer(429)) == [0.5, 1.0, 2.0, 4.0, 8.0, 0.0]


def test_no_attempt_starts_when_patience_is_at_its_end() -> None:
    time = FakeTime(chance=1.0)
    attempts = Attempts(POLICY, time.timing, repeatable=True)
    assert attempts.delay(met(Answer(429)), time.seconds) == 0.0
    time.seconds += POLICY.patience
    assert attempts.delay(met(Answer(429)), time.seconds) == 0.0
    assert attempts.delay(met(Answer(500)), time.seconds) is None


def test_no_attempt_is_waited_for_that_would_start_after_the_end_of_patience() -> None:
    time = FakeTime(chance=1.0)
    attempts = Attempts(replace(POLICY, patience=90.0), time.timing, repeatable=True)
    assert attempts.delay(met(Answer(429), 60.0), time.seconds) == 0.0
    time.seconds += 60.0
    assert attempts.delay(met(Answer(429), 60.0), time.seconds) is None


def test_no_attempt_starts_later_than_the_downtime_after_the_first_failure() -> None:
    time = FakeTime(chance=1.0)
    attempts = Attempts(replace(POLICY, downtime=20.0), time.timing, repeatable=True)
    assert attempts.delay(met(Answer(429)), time.seconds) == 0.0
    time.seconds += 60.0
    first_failure = time.seconds
    assert attempts.delay(met(Answer(503)), first_failure) == 0.5
    time.seconds = first_failure + 19.0
    assert attempts.delay(met(Answer(503)), time.seconds) == 1.0
    assert attempts.delay(met(LOST), time.seconds) is None


def test_who_never_answers_is_asked_once_where_the_downtime_is_shorter_than_the_wait() -> None:
    time = FakeTime()
    attempts = Attempts(replace(POLICY, downtime=20.0), time.timing, repeatable=True)
    time.seconds += 30.0
    assert attempts.delay(met(LOST), time.seconds - 30.0) is None


def test_retry_after_is_honoured_up_to_a_minute_and_never_shortens_the_backoff() -> None:
    time = FakeTime(chance=1.0)
    attempts = Attempts(POLICY, time.timing, repeatable=True)
    asked = [attempts.delay(met(Answer(503), seconds), time.seconds) for seconds in (7.0, 3600.0, 0.1)]
    assert asked == [7.0, 60.0, 2.0]


def test_the_delay_has_full_jitter() -> None:
    timing = replace(FakeTime().timing, random=lambda: 0.0)
    assert Attempts(POLICY, timing, repeatable=True).delay(met(LOST), 1000.0) == 0.0


@pytest.mark.parametrize(
    ("earlier", "maybe"), [([LOST], True), ([Answer(502)], True), ([REFUSED], False), ([Answer(429)], False)]
)
def test_it_remembers_whether_an_earlier_attempt_may_have_been_carried_out(
    earlier: list[Answer | NoAnswer],
    maybe: bool,  # noqa: FBT001  # given by the table
) -> None:
    attempts = Attempts(POLICY, FakeTime().timing, repeatable=True)
    for outcome in [*earlier, REFUSED, Answer(404)]:
        attempts.delay(met(outcome), 1000.0)
    assert attempts.maybe_done is maybe


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        (None, NOW, None),
        ("", NOW, None),
        ("5", NOW, 5.0),
        (" 120 ", NOW, 120.0),
        ("999999999999999999", NOW, 1e18),
        ("9" * 5000, NOW, None),
        ("-5", NOW, None),
        ("1.5", NOW, None),
        ("²", NOW, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", NOW, 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", NOW, 0.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", None, 30.0),
        ("tomorrow", NOW, None),
    ],
)
def test_both_forms_of_retry_after_are_read(header: str | None, date: object, seconds: float | None) -> None:
    headers = {"date": DATE if date else None, "retry-after": header}
    answer = Answer(429, headers={name: value for name, value in headers.items() if value is not None})
    assert answer.retry_after(NOW) == seconds


def test_this_machines_clock_is_in_utc() -> None:
    assert Timing().machine().tzinfo is not None
