"""What an apply shows: its progress while it runs, and its result in the format asked for."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli.console import mask, note, show, use_color, width
from reconciler.errors import ReconcilerError
from reconciler.planning.actions import ApplyResult, Status, cut_short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from reconciler.planning.actions import AccountPlan, Finding, Outcome, Plan
    from reconciler.secret import Secret


# How an apply shows that it moves on: a bar for a person, plain lines for a log.


class Progress:
    """Keeps each outcome as it comes and shows it on stderr; never fails, even when nobody reads that any more."""

    def __init__(self, total: int) -> None:
        """Take the number of outcomes to come."""
        self.outcomes: list[Outcome] = []
        self.total = total
        # What tells a runner to mask a secret has to begin a line, and a bar leaves one unfinished.
        log = os.environ.get("TERM") == "dumb" or os.environ.get("GITHUB_ACTIONS") == "true"
        watched = total and sys.stderr.isatty() and not log
        self._bar = (
            click.progressbar(length=total, label="Applying", show_pos=True, file=sys.stderr) if watched else None
        )

    def __enter__(self) -> Self:
        """Show the empty bar."""
        if self._bar:
            with suppress(OSError):
                self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            with suppress(OSError):
                self._bar.__exit__(kind, error, trace)

    def expect(self, total: int) -> None:
        """Take another number of outcomes to come: an account has changed meanwhile."""
        self.total = total
        if self._bar:
            self._bar.length = total

    def report(self, outcome: Outcome) -> None:
        """Keep and show one outcome."""
        self.outcomes.append(outcome)
        if self._bar:
            with suppress(OSError):
                self._bar.update(1)
        else:
            note(f"[{len(self.outcomes)}/{self.total}] {_in_words(outcome)}")

    def say(self, message: str) -> None:
        """Say something in between."""
        note(message, start="\n" if self._bar else "")


def _in_words(outcome: Outcome) -> str:
    action = outcome.action
    what = action.live.name if action.address is None else action.address
    made = f" (id {outcome.key_id})" if outcome.status is Status.DONE and outcome.key_id is not None else ""
    ending = f": {outcome.message}" if outcome.message else ""
    return f"{action.kind} {what} {outcome.status.replace('_', ' ')}{made}{ending}"


# What an apply shows: the plan, how it moves on, and at the end its result, once and in any case.


class Output:
    """Shows one apply in a format: `text`, `json` or `markdown`; it is the listener of the apply.

    As a context manager it sees to it that an apply that ends early still says what was done: in JSON always, so that
    stdout is one document; else when anything was attempted, since the error says the rest. `plan` and `result` are
    what was shown last.
    """

    def __init__(self, output_format: str, *, verbose: bool, full: bool = False) -> None:
        """Take the format of the result; `verbose` lists in it also what went as planned, `full` each change before."""
        self._format = output_format
        self._verbose = verbose
        self._full = full
        self.result: ApplyResult | None = None
        self._shown: Plan | None = None
        self._current: dict[str, AccountPlan] = {}
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what is known when an error or Ctrl-C ends the apply before its result."""
        attempted = self._progress is not None and self._progress.outcomes
        if error is not None and self.result is None and (self._format == "json" or attempted):
            interrupted = isinstance(error, KeyboardInterrupt)
            self.finished(self._so_far(interrupted=interrupted, reason=None if interrupted else _reason(error)))

    @property
    def plan(self) -> Plan | None:
        """The plan that was shown, with what of it is carried out by now as it was read under the lock."""
        if self._shown is None:
            return None
        from reconciler.planning.accounts import replaced

        return replaced(self._shown, self._current.values())

    @property
    def _lifted(self) -> tuple[Finding, ...]:
        return self.plan.lifted if self.plan else ()

    def show_plan(self, plan: Plan) -> None:
        """Show a plan, for approval or because it is carried out."""
        self._shown = plan
        self._show(plan)

    def replanned(self, variable: str, plan: AccountPlan) -> None:
        """Show the plan that one account has now, which is carried out instead of the one that was shown."""
        from reconciler.planning.accounts import whole

        of = "" if plan.account is None else f" of {variable}"
        self.say(f"The account{of} has changed meanwhile; this is the plan now:")
        self._show(whole([plan]))

    def begin(self, variable: str, plan: AccountPlan) -> None:
        """Begin to show how the plan of an account is carried out."""
        assert self._shown is not None  # noqa: S101  # nothing is carried out that was not shown
        shown = next(each for each in self._shown.accounts if each.account == plan.account)
        self._current[variable] = plan
        if self._progress is None:
            self._progress = Progress(len(self._shown.actions))
            self._progress.__enter__()
        self._progress.expect(self._progress.total + len(plan.actions) - len(shown.actions))

    def report(self, outcome: Outcome) -> None:
        """Show one outcome."""
        assert self._progress is not None  # noqa: S101  # nothing has an outcome before it is begun
        self._progress.report(outcome)

    def say(self, message: str) -> None:
        """Say something in between."""
        if self._progress and self.result is None:
            self._progress.say(message)
        else:
            note(message)

    def mask(self, secret: Secret) -> None:
        """Have GitHub Actions hide a secret from its logs."""
        mask(secret)

    def finished(self, result: ApplyResult) -> None:
        """Show the result."""
        self.result = result
        if self._progress:
            self._progress.__exit__(None, None, None)
        if self._format == "json":
            from reconciler.planning.planfile import findings_document, lifted_document, result_document
            from reconciler.render.escape import to_json

            plan = self.plan
            findings = findings_document(plan.findings if plan else ())
            show(to_json({**result_document(result), "lifted": lifted_document(self._lifted), "findings": findings}))
        elif self._format == "markdown":
            from reconciler.render import markdown

            show(markdown.render_result(result, lifted=self._lifted))
        elif result.outcomes or result.unreached:
            from reconciler.render.text import render_result

            show("\n" + render_result(result, color=use_color(), verbose=self._verbose, lifted=self._lifted))

    def _show(self, plan: Plan) -> None:
        from reconciler.render.text import render_plan

        text = render_plan(plan, color=use_color(), verbose=self._verbose, width=width(), full=self._full)
        show(text, err=self._format != "text")

    def _so_far(self, *, interrupted: bool, reason: str | None = None) -> ApplyResult:
        """Give the result of an apply that ended early: an outcome for each action of the plan, in its order."""
        plan = self.plan
        if plan is None:
            return ApplyResult((), interrupted=interrupted, note=reason)
        known = self._progress.outcomes if self._progress else ()
        return cut_short(plan, known, interrupted=interrupted, note=reason)


def _reason(error: BaseException) -> str:
    # The message of a foreign exception might hold a secret, so only its type is told.
    return str(error) if isinstance(error, ReconcilerError) else f"unexpected {type(error).__name__}"


# What a job of a workflow is told of an apply.


class ApplyRecord:
    """What is known of an apply for the summary of its step."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.output: Output | None = None
        self.code: int | None = None

    def end(self, code: int) -> int:
        """Take the exit code of an apply that ran to its end, and give it."""
        self.code = code
        return code


@contextmanager
def recorded() -> Iterator[ApplyRecord]:
    """In a job of a workflow, write what an apply did, or why it did not, as summary and output of the step."""
    record = ApplyRecord()
    try:
        yield record
    except BaseException as error:
        _write_record(record, error)
        raise
    _write_record(record, None)


def _write_record(record: ApplyRecord, error: BaseException | None) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from reconciler.cli.github import write_record

        write_record(record, error)
