"""`reconciler apply`."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli.console import mask, note, show, use_color, width
from reconciler.cli.options import format_option, full_option, read_duration, request_options
from reconciler.errors import ReconcilerError
from reconciler.planning.actions import ApplyResult, Status, cut_short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from types import TracebackType

    from reconciler.cli.options import SharedOptions
    from reconciler.engine.applying import ApplyRequest
    from reconciler.errors import StalePlan
    from reconciler.planning.actions import AccountPlan, Finding, Outcome, Plan
    from reconciler.planning.planfile import SavedPlan
    from reconciler.secret import Secret


@click.command("apply")
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@request_options
@format_option("text", "json", "markdown")
@full_option
@click.option("--auto-approve", is_flag=True, help="Do not ask; needed where nobody can answer.")
@click.option(
    "--parallelism",
    type=click.IntRange(1, 128),
    default=16,
    show_default=True,
    help="How many changes to make at the same time.",
)
@click.option(
    "--expect-digest",
    metavar="DIGEST",
    help="Do what the plan of this digest does, as plan showed it, or nothing.",
)
@click.option(
    "--lock-timeout",
    callback=read_duration,
    default="5m",
    show_default=True,
    metavar="DURATION",
    help="How long to wait for another apply on the same account.",
)
@click.option("--allow-exec", is_flag=True, help="Let destinations of type exec run the commands of the file.")
@click.option("--no-lock", is_flag=True, help="Do not lock the account: for those who serialise elsewhere.")
@click.option(
    "--reviewed",
    is_flag=True,
    help="On GitHub and GitLab: do what the comment on the merged pull or merge request shows.",
)
@click.option(
    "--only-tip", is_flag=True, help="On GitHub and GitLab: do nothing for a commit that is not the newest any more."
)
@click.option("--issue", is_flag=True, help="On GitHub: tell in the issue about drift what was done.")
@click.pass_obj
def command(
    verbose: bool,  # noqa: FBT001  # click hands its object over by position
    shared_options: SharedOptions,
    plan_file: Path | None,
    output_format: str,
    expect_digest: str | None,
    *,
    full: bool,
    auto_approve: bool,
    parallelism: int,
    lock_timeout: timedelta,
    allow_exec: bool,
    no_lock: bool,
    reviewed: bool,
    only_tip: bool,
    issue: bool,
) -> int:
    """Change the account until it matches the file.

    Shows the plan and asks before the first change. With a PLAN that `plan --out` saved, or with --expect-digest, what
    was reviewed is what runs, or nothing runs. Secrets of new keys go to their destinations and nowhere else. A run
    that was interrupted, at whatever point, is completed by the next one.

    Exits with 3 when a finding forbids the plan, 4 when the plan is not the one that was shown or reviewed, 5 when only
    a part was done, 130 when interrupted: nothing new starts then, and what is under way has seven seconds.

    With --due only what the file asks for by the clock is done: rotations and their finishing, renewals, ends of
    raises, and keys whose overlap, grace period or lease is over. What a person has changed since the last full apply,
    in the file or on the dashboard, stays as it is.

    In a job of a GitHub workflow, the step gets a summary and the output exitcode. There, --reviewed looks for the
    comment by `plan --comment` on the pull request that the commit came from, or else the last one that changed the
    file, unless there is nothing to do; --expect-digest goes before it. --only-tip looks for the head of the default
    branch, at first and right before the first write. --issue adds what was done, if anything, to the issue that
    `plan --issue` keeps about the same selection. All of them need GITHUB_TOKEN. In a job of GitLab, --reviewed and
    --only-tip look there in the same way, and need GITLAB_TOKEN.

    \b
    Examples:
      reconciler apply
      reconciler apply --auto-approve --format json
      reconciler apply plan.json --auto-approve
      reconciler apply --rotate production/api --no-overlap
      reconciler apply --due --auto-approve
      reconciler apply --reviewed --only-tip --auto-approve
    """
    from reconciler.cli.github import only_at_the_tip, read_github_job, reviewed_digest, tell_issue
    from reconciler.cli.options import make_request
    from reconciler.engine.applying import ApplyRequest
    from reconciler.errors import UsageError

    with recorded() as record, Output(output_format, verbose=verbose, full=full) as output:
        record.output = output
        job = read_github_job("--issue") if issue else None
        guard = only_at_the_tip() if only_tip else None
        if plan_file is not None and reviewed:
            msg = "--reviewed finds out what was reviewed itself, so a saved plan does not go with it"
            raise UsageError(msg)
        if reviewed and shared_options.due:
            msg = "--due does what needs no review, so --reviewed does not go with it; leave one of them out"
            raise UsageError(msg)
        saved = None if plan_file is None else _read_plan_file(plan_file, shared_options, expect_digest)
        request = make_request(shared_options)
        review = reviewed_digest(shared_options, request) if reviewed and not expect_digest else None
        apply_request = ApplyRequest(
            request if saved is None else replace(request, options=saved.options, reviewed=True),
            parallelism,
            None if no_lock else lock_timeout,
            auto_approve,
            allow_exec,
            expected=expect_digest if saved is None else saved.digest,
            reviewed=() if saved is None else saved.changes,
            guard=guard,
        )
        code = exit_code(_plan_and_apply(apply_request, output, review))
        return record.end(code if job is None else tell_issue(job, shared_options, output, code))


def _read_plan_file(file: Path, shared_options: SharedOptions, expected: str | None) -> SavedPlan:
    from reconciler.errors import GuardrailRefused, StalePlan, UsageError
    from reconciler.planning.planfile import read_saved_plan

    wishes = ("rotate", "no_overlap", "due", "allow", "environment", "only")
    given = [f"--{name.replace('_', '-')}" for name in wishes if getattr(shared_options, name)]
    if given:
        msg = f"{given[0]} belongs to the plan: give it to `reconciler plan --out {file}`, and apply what that wrote"
        raise UsageError(msg)
    if file.suffix in {".yaml", ".yml"} or file.is_dir():
        msg = f"{file} is no plan that `reconciler plan --out plan.json` has saved; to name a declaration: -f {file}"
        raise UsageError(msg)
    try:
        saved = read_saved_plan(file.read_bytes(), str(file))
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}; `reconciler plan --out {file}` writes a plan"
        raise UsageError(msg) from None
    if expected not in (None, saved.digest):
        msg = f"{file} is not the plan that was reviewed: its digest is {saved.digest}, and {expected} was expected"
        raise StalePlan(msg)
    if saved.errors:
        # What forbade it may have been known only then, as what --base protects is.
        count = f"{saved.errors} finding{'s' * (saved.errors > 1)}"
        how = f"resolve what it shows, and make it anew with `reconciler plan --out {file}`"
        msg = f"refused: {count} of {file} forbid{'s' * (saved.errors == 1)} it; nothing was changed; {how}"
        raise GuardrailRefused(msg)
    return saved


def _plan_and_apply(apply_request: ApplyRequest, output: Output, review: str | StalePlan | None = None) -> ApplyResult:
    """Show the plan, have it approved, and carry it out; an account without changes is not locked.

    `review` is what a review said that is needed for changes only: the digest, or why there is none.
    """
    from reconciler.cli import console
    from reconciler.engine.applying import check_outset, execute_plans
    from reconciler.engine.planning import read_plan
    from reconciler.errors import StalePlan

    # Where something else than a reviewed plan would be refused, nothing is swept before that.
    readings = console.run(read_plan(apply_request.request, sweeps=apply_request.expected is None and review is None))
    console.warn(readings.warnings)
    output.show_plan(readings.plan)
    if isinstance(review, str) and (readings.plan.actions or readings.unread):
        apply_request = replace(apply_request, expected=review)
    check_outset(readings, apply_request)
    if isinstance(review, StalePlan) and readings.plan.actions:
        raise review
    for text in readings.errors:
        console.note(f"error: {text}")
    if readings.plan.actions and not apply_request.auto_approve:
        ask(len(readings.plan.actions))
    return console.run(execute_plans(readings, apply_request, output, console.signals_call))


def ask(count: int) -> None:
    """Ask the person at the terminal; raises UsageError where there is none, or when the answer is not yes."""
    from reconciler.cli.console import note
    from reconciler.errors import UsageError

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = "there is nobody to ask, so nothing was changed; pass --auto-approve to apply without asking"
        raise UsageError(msg)
    note(f"Make {'this change' if count == 1 else f'these {count} changes'}? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        msg = "not approved; nothing was changed"
        raise UsageError(msg)


def exit_code(result: ApplyResult) -> int:
    """Return the code of an apply that ran to its end: 0, 130, 5 for a part, 1 for nothing or an unchecked result."""
    from reconciler.errors import Interrupted, PartlyApplied, ReconcilerError
    from reconciler.planning.actions import Status

    done = result.count(Status.DONE)
    if result.interrupted:
        return Interrupted.exit_code
    if done < len(result.outcomes) or result.unreached:
        return PartlyApplied.exit_code if done else ReconcilerError.exit_code
    if result.in_sync:
        return 0
    return ReconcilerError.exit_code if result.in_sync is None else PartlyApplied.exit_code


# Shows an apply: its plan, how it goes on, and its result; what a job of a workflow is told of it.

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
        """Return the result of an apply that ended early: an outcome for each action of the plan, in its order."""
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
