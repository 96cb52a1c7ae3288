"""What an apply shows: the plan, how it moves on, and at the end its result, once and in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from reconciler.cli.console import show, use_color
from reconciler.cli.progress import Progress
from reconciler.errors import ReconcilerError
from reconciler.plan.outcome import ApplyResult, Outcome, Status

if TYPE_CHECKING:
    from types import TracebackType

    from reconciler.plan.actions import Plan


class Output:
    """Shows one apply in a format: `text`, `json` or `markdown`.

    As a context manager it sees to it that an apply that ends early still says what was done: in JSON always, so that
    stdout is one document; else when anything was attempted, since the error says the rest.
    """

    def __init__(self, output_format: str, *, verbose: bool) -> None:
        """Take the format of the result; `verbose` lists in it also what went as planned."""
        self._format = output_format
        self._verbose = verbose
        self._plan: Plan | None = None
        self._outcomes: list[Outcome] = []
        self._finished = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what is known when an error or Ctrl-C ends the apply before its result."""
        if error is not None and not self._finished and (self._format == "json" or self._outcomes):
            interrupted = isinstance(error, KeyboardInterrupt)
            self.show_result(self.so_far(interrupted=interrupted, reason=None if interrupted else _reason(error)))

    def show_plan(self, plan: Plan) -> None:
        """Show a plan, for approval or because it is carried out."""
        from reconciler.cli.console import width
        from reconciler.render.text import render_plan

        self._plan = plan
        text = render_plan(plan, color=use_color(), verbose=self._verbose, width=width())
        show(text, err=self._format != "text")

    def progress(self, plan: Plan) -> Progress:
        """Begin to show how a plan is carried out."""
        progress = Progress(len(plan.actions))
        self._plan, self._outcomes = plan, progress.outcomes
        return progress

    def so_far(self, *, interrupted: bool, reason: str | None = None) -> ApplyResult:
        """Give the result of an apply that ended early: an outcome for each action of the plan, in its order."""
        if self._plan is None:
            return ApplyResult((), interrupted=interrupted, note=reason)
        known = {id(outcome.action): outcome for outcome in self._outcomes}
        outcomes = tuple(
            known.get(id(action)) or Outcome(action, Status.NOT_ATTEMPTED) for action in self._plan.actions
        )
        remaining = None if known or self._plan.errors else self._plan
        return ApplyResult(outcomes, interrupted=interrupted, remaining=remaining, note=reason)

    def show_result(self, result: ApplyResult) -> None:
        """Show the result."""
        self._finished = True
        if self._format == "json":
            from reconciler.render.document import findings_document, result_document, to_json

            findings = self._plan.findings if self._plan else ()
            show(to_json({**result_document(result), "findings": findings_document(findings)}))
        elif self._format == "markdown":
            from reconciler.render import markdown

            show(markdown.render_result(result))
        elif result.outcomes:
            from reconciler.render.text import render_result

            show("\n" + render_result(result, color=use_color(), verbose=self._verbose))


def _reason(error: BaseException) -> str:
    # The message of a foreign exception might hold a secret, so only its type is told.
    return str(error) if isinstance(error, ReconcilerError) else f"unexpected {type(error).__name__}"
