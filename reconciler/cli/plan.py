"""`reconciler plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.options import format_option, full_option, request_options

if TYPE_CHECKING:
    from reconciler.cli.options import SharedOptions
    from reconciler.engine.accounts import PlanRequest
    from reconciler.planning.actions import Plan

CHANGES_PENDING: Final = 2


@click.command("plan")
@request_options
@format_option("text", "json", "markdown", "github", "gitlab")
@full_option
@click.option("--offline", is_flag=True, help="Let --base stand for the account: needs no credential.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the plan for `apply FILE`, which then does just this or nothing.",
)
@click.option("--preflight", is_flag=True, help="Ask each destination whether it would take the new secrets.")
@click.option(
    "--check-destinations",
    is_flag=True,
    help="Ask each destination that can tell whether it holds the secrets of the live keys.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option(
    "--comment", is_flag=True, help="On GitHub and GitLab: keep one comment on the pull or merge request up to date."
)
@click.option("--issue", is_flag=True, help="On GitHub: keep an issue about the drift, open while there is some.")
@click.pass_obj
def command(
    verbose: bool,  # noqa: FBT001  # click hands its object over by position
    shared_options: SharedOptions,
    output_format: str,
    out: Path | None,
    *,
    full: bool,
    offline: bool,
    preflight: bool,
    check_destinations: bool,
    detailed_exitcode: bool,
    comment: bool,
    issue: bool,
) -> int:
    """Show what has to change until the account matches the file.

    Reads the account and changes nothing. Destinations are asked with --preflight and --check-destinations only.
    Where the file declares several accounts, they are read at the same time; one that cannot be read is named, the
    others are planned, and the command exits with 1.
    Exits with 3 when a finding would make apply refuse, with 2 when there are changes and --detailed-exitcode is given.

    In a GitHub workflow, --format github also writes the step's summary and outputs (changes, digest, exitcode,
    plan-file). --comment and --issue need GITHUB_TOKEN. In GitLab, --format gitlab writes the counts for the widget of
    the merge request, and the plan itself beside them on stderr; --comment needs GITLAB_TOKEN.

    \b
    Examples:
      reconciler plan
      reconciler plan --simulator sim.db
      reconciler plan --base git:origin/main --format markdown
      reconciler plan --base git:origin/main --offline
      reconciler plan -e production --out plan.json --detailed-exitcode
      reconciler plan --preflight --check-destinations
      reconciler plan --rotate production/api
      reconciler plan --due
      reconciler plan --base git:origin/main --format github --comment
    """
    from reconciler.cli.console import show
    from reconciler.cli.github import ReportOptions, reported
    from reconciler.cli.options import annotated, make_request

    with reported(shared_options, ReportOptions(output_format == "github", out, offline, comment, issue)) as report:
        if out:
            from reconciler.files import check_output

            check_output(out, example="plan.json", declaration=shared_options.file)
        if offline:
            _check_offline(shared_options, out, asks=preflight or check_destinations)
        with annotated("text" if output_format == "gitlab" else output_format):
            request = make_request(shared_options)
        if offline:
            from reconciler.engine.planning import plan_offline

            plan, complete = plan_offline(request), True
        else:
            from reconciler.cli import console
            from reconciler.engine.planning import read_plan_and_ask

            readings = console.run(read_plan_and_ask(request, preflight=preflight, destinations=check_destinations))
            plan, complete = readings.plan, not readings.unread
            console.tell(readings)
        plan = _with_exposed(plan, request)
        if out:
            save(plan, out)
        show(format_plan(plan, output_format, verbose=verbose, full=full))
        if output_format == "gitlab":
            show(format_plan(plan, "text", verbose=verbose, full=full), err=True)
        return report.end(plan, request, exit_code(plan, complete=complete, detailed=detailed_exitcode))


def _with_exposed(plan: Plan, request: PlanRequest) -> Plan:
    """Warn of files that git would take into a commit, secrets and all: apply refuses to write there."""
    from reconciler.declaration.destinations import exposed
    from reconciler.diagnostic import Severity
    from reconciler.planning.actions import Finding
    from reconciler.planning.planner import with_findings

    found = list(exposed(request.declaration.keys))
    if not found:
        return plan
    findings = [
        Finding("git-ignore", Severity.WARNING, f"{delivery.target.destination}: {why}", None, delivery.source)
        for delivery, why in found
    ]
    return with_findings(plan, findings)


def exit_code(plan: Plan, *, complete: bool, detailed: bool) -> int:
    """Return the code of a plan that was shown: 3 when a finding forbids it, 1 when it lacks an account, 2 or 0."""
    from reconciler.errors import GuardrailRefused, ReconcilerError
    from reconciler.planning.accounts import UNREAD

    if any(finding.rule != UNREAD for finding in plan.errors):
        return GuardrailRefused.exit_code
    if not complete:
        return ReconcilerError.exit_code
    return CHANGES_PENDING if detailed and plan.actions else 0


def _check_offline(shared_options: SharedOptions, out: Path | None, *, asks: bool) -> None:
    from reconciler.errors import UsageError

    if shared_options.base is None:
        msg = "--offline needs --base, which then stands for the account: add --base git:origin/main"
        raise UsageError(msg)
    if shared_options.due:
        msg = "--offline asks no account, and --due is about what time has done to it; leave one of them out"
        raise UsageError(msg)
    if out:
        msg = "--offline makes no plan that can be applied, so --out does not go with it"
        raise UsageError(msg)
    if asks:
        msg = "--offline asks nobody, so --preflight and --check-destinations do not go with it"
        raise UsageError(msg)


def format_plan(plan: Plan, output_format: str, *, verbose: bool, full: bool = False) -> str:
    """Write a plan in one of the formats; as text, `full` or `verbose` lists each change of a long one."""
    match output_format:
        case "json":
            return _json(plan)
        case "markdown":
            from reconciler.planning.planfile import digest
            from reconciler.render import markdown

            return markdown.render_plan(plan, digest=digest(plan))
        case "github":
            from reconciler.render import github

            return github.annotate_plan(plan)
        case "gitlab":
            from reconciler.render import gitlab

            return gitlab.plan_report(plan)
        case _:
            from reconciler.cli.console import use_color, width
            from reconciler.render.text import render_plan

            return render_plan(plan, color=use_color(), verbose=verbose, width=width(), full=full)


def _json(plan: Plan) -> str:
    from reconciler.planning.planfile import digest, plan_document
    from reconciler.render.escape import to_json

    return to_json(plan_document(plan, digest(plan)))


def save(plan: Plan, file: Path) -> None:
    """Save a plan, readable for this user only: it holds no secret, but names and money."""
    from reconciler.files import write_whole

    write_whole(file, _json(plan), mode=0o600)
