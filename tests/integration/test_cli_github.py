"""plan in jobs of GitHub workflows: on a simulated account, and a GitHub that keeps what it is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli import github
from reconciler.cli.github import PlanReport, ReportOptions
from reconciler.cli.options import SharedOptions
from reconciler.diagnostic import Severity
from reconciler.engine.accounts import PlanRequest
from reconciler.forge.threads import plan_prefix, read_plan_marker, selection
from reconciler.planning.accounts import UNREAD
from reconciler.planning.actions import Finding
from reconciler.planning.planfile import read_saved_plan
from support.builders import declaration
from support.command import KEYS, on_a_file, started
from support.gfm import Page
from support.github.discussions import BOT
from support.github.fake import JOB_TOKEN, READ_ONLY_TOKEN
from support.github.job import (
    HEAD,
    NUMBER,
    OTHER,
    SELECTION,
    event_of,
    job_environment,
    pull_request_event,
)
from support.github.transport import Mishap
from support.github.workplace import Workplace
from support.plans import plan
from support.simulation import served

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = "{a: {credit_limit: 1}}"
TWO = "{a: {credit_limit: 1}, b: {credit_limit: 2}}"
PLAN = ("plan", "--format", "github")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield Workplace(tmp_path, front.declare(ONE), monkeypatch)


# --- the step ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_annotations_a_summary_and_outputs(place: Workplace) -> None:
    ended = place.front(*PLAN, "--out", "plan.json", "--detailed-exitcode")
    assert ended.code == 2
    assert "::notice file=keys.yaml,line=" in ended.out
    assert place.summary.startswith("### Plan: 1 to create\n")
    assert "planned by `octocat` on commit `a1a1a1a1a1a1`, [run](https://github.com/acme/api/actions/runs/42)" in (
        place.summary
    )
    digest = re.findall(r"sha256:[0-9a-f]{64}", place.summary)[0]
    assert place.outputs == {"changes": "1", "digest": digest, "exitcode": "2", "plan-file": "plan.json"}
    assert place.fake.asked == []


def test_other_formats_leave_the_step_alone(place: Workplace) -> None:
    place.front("plan")
    place.front("plan", "--format", "markdown")
    assert (place.summary, place.outputs) == ("", {})


def test_outside_of_a_job_nothing_is_missing(place: Workplace) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_REPOSITORY", "GITHUB_SHA"):
        place.monkeypatch.delenv(name)
    ended = place.front(*PLAN)
    assert (ended.code, ended.err) == (0, "")


def test_a_summary_without_a_job_has_no_origin(place: Workplace) -> None:
    place.monkeypatch.delenv("GITHUB_REPOSITORY")
    place.front(*PLAN)
    assert place.summary.endswith("</sub>\n")
    assert "planned" not in place.summary


def test_an_invalid_file_is_told_to_the_step(place: Workplace) -> None:
    place.front.declare("{a: {credit_limit: -1}, b: {nonsense: 1}}")
    ended = place.front(*PLAN)
    assert ended.code == 1
    assert place.outputs == {"changes": "", "digest": "", "exitcode": "1", "plan-file": ""}
    assert place.summary.startswith("### ❌ The file is not valid\n\n- ❌ **error** `keys.yaml:")


def test_a_plan_that_fails_is_told_to_the_step(place: Workplace) -> None:
    ended = place.front(*PLAN, "-e", "nowhere")
    assert ended.code == 1
    assert place.outputs["exitcode"] == "1"
    assert "### ❌ Not done" in place.summary
    assert "`nowhere`" in place.summary


def test_a_plan_that_is_refused_is_told_with_its_code(place: Workplace) -> None:
    place.front.write(KEYS % TWO + "guardrails: {max_keys: 1}\n")
    ended = place.front(*PLAN)
    assert place.outputs["exitcode"] == str(ended.code)


def test_the_summaries_of_several_commands_of_a_step_stand_below_each_other(place: Workplace) -> None:
    place.front(*PLAN)
    place.front(*PLAN)
    assert place.summary.count("### Plan: 1 to create") == 2
    assert "</sub>\n\n### Plan" in place.summary


def test_a_summary_is_never_more_than_github_takes(place: Workplace) -> None:
    place.front.declare("{" + ", ".join(f"k{number}: {{credit_limit: 1}}" for number in range(500)) + "}")
    (place.folder / "summary").write_bytes(b"x" * (github.LARGEST_SUMMARY - 60_000))
    place.front(*PLAN)
    size = (place.folder / "summary").stat().st_size
    assert github.LARGEST_SUMMARY - 60_000 < size <= github.LARGEST_SUMMARY
    assert "more changes" in place.summary
    (place.folder / "summary").write_bytes(b"x" * (github.LARGEST_SUMMARY + 5))
    place.front(*PLAN)
    assert (place.folder / "summary").stat().st_size <= github.LARGEST_SUMMARY + 6


def test_files_that_cannot_be_written_are_told_and_change_nothing_else(place: Workplace) -> None:
    place.monkeypatch.setenv("GITHUB_OUTPUT", str(place.folder / "none" / "output"))
    ended = place.front(*PLAN)
    assert ended.code == 0
    assert ended.err == "warning: the file that GITHUB_OUTPUT names cannot be written: No such file or directory\n"


@pytest.mark.parametrize("name", ["plan\nexitcode=0", "x\nEOF\ndigest=sha256:1", "a<<b\nc\nb", "\udce9"])
def test_no_value_can_be_another_output(place: Workplace, name: str) -> None:
    github.write_outputs({"plan-file": name, "exitcode": "3"})
    raw = (place.folder / "output").read_bytes()
    (end,) = re.findall(rb"plan-file<<(end-[0-9a-f]{32})\n", raw)
    content = raw.split(end + b"\n")
    assert content[1][:-1].decode(errors="surrogateescape") == name
    assert content[2].startswith(b"exitcode<<end-")
    assert not content[2].startswith(b"exitcode<<" + end)


# --- the comment ------------------------------------------------------------------------------------------------------


def test_two_runs_give_one_comment_with_the_plan_of_the_second(place: Workplace) -> None:
    first = place.front(*PLAN, "--comment")
    place.front.declare(TWO)
    second = place.front("plan", "--comment")
    assert (first.code, second.code) == (0, 0)
    assert second.err == "Wrote the comment on pull request #7.\n"
    (comment,) = place.discussions.on(NUMBER)
    assert comment.author == BOT
    marker = read_plan_marker(SELECTION, comment.body)
    assert marker is not None
    assert marker.head == HEAD
    assert f"`{marker.digest}`" in comment.body
    assert "### Plan: 2 to create" in comment.body
    assert "planned by `octocat` on commit `a1a1a1a1a1a1`" in comment.body
    assert {"h3", "table"} <= Page(comment.body).tags


def test_an_environment_has_a_comment_of_its_own(place: Workplace) -> None:
    place.front("plan", "--comment")
    place.front("plan", "--comment", "-e", "ci")
    place.front("plan", "--comment", "-e", "ci")
    place.front("plan", "--comment", "--only", "ci/*")
    starts = [plan_prefix(SELECTION), plan_prefix(selection("keys.yaml", ["ci"]))]
    starts.append(plan_prefix(selection("keys.yaml", [], ["ci/*"])))
    assert [each.startswith(start) for each, start in zip(place.bodies(), starts, strict=True)] == [True] * 3


def test_files_of_one_name_in_two_folders_have_comments_of_their_own(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.front("plan", "--comment", "-f", "./keys.yaml")
    place.front("plan", "--comment", "-f", str(place.folder / "keys.yaml"))
    assert len(place.bodies()) == 1
    (place.folder / "other").mkdir()
    monkeypatch.chdir(place.folder / "other")
    place.front.declare(ONE)
    place.front("plan", "--comment")
    assert len(place.bodies()) == 2


def test_without_changes_the_comment_is_short(place: Workplace) -> None:
    place.front("apply", "--auto-approve")
    place.front("plan", "--comment")
    (body,) = place.bodies()
    assert "### No changes" in body
    assert len(body) < 700


@pytest.mark.parametrize("keys", ["{a: {credit_limit: -1}}", "{a: {nonsense: 1}}"])
def test_an_invalid_file_edits_the_same_comment(place: Workplace, keys: str) -> None:
    place.front("plan", "--comment")
    ended = place.front.declare(keys)(*PLAN, "--comment")
    assert ended.code == 1
    (body,) = place.bodies()
    marker = read_plan_marker(SELECTION, body)
    assert marker is not None
    assert marker.digest is None
    assert "### ❌ The file is not valid" in body
    assert "`keys.yaml:7`" in body


def test_a_plan_that_fails_edits_the_same_comment(place: Workplace) -> None:
    place.front("plan", "--comment")
    ended = place.front("plan", "--comment", "--rotate", "ci/nobody")
    assert ended.code == 1
    (body,) = place.bodies()
    assert "### ❌ Not done" in body


def test_an_error_that_nobody_foresaw_is_told_without_what_it_holds(place: Workplace) -> None:
    def bug(*_: object, **__: object) -> None:
        msg = "ng-SECRET"
        raise RuntimeError(msg)

    place.monkeypatch.setattr("reconciler.cli.options.make_request", bug)
    assert place.front(*PLAN, "--comment").code == 1
    (body,) = place.bodies()
    assert "unexpected RuntimeError" in body
    assert "ng-SECRET" not in body + place.summary


def test_a_plan_that_was_refused_has_no_digest_to_apply_by(place: Workplace) -> None:
    place.front("apply", "--auto-approve")
    place.front.write((KEYS % "{}").replace("  ci:\n", "  ci:\n    protected: true\n"))
    ended = place.front("plan", "--comment")
    assert ended.code == 3
    (body,) = place.bodies()
    marker = read_plan_marker(SELECTION, body)
    assert marker is not None
    assert marker.digest is None


def test_an_offline_plan_is_commented_too_and_cannot_be_applied_by(place: Workplace) -> None:
    (place.folder / "old.yaml").write_text(KEYS % ONE)
    place.front.declare(TWO)
    ended = place.front("plan", "--comment", "--offline", "--base", "old.yaml")
    assert ended.code == 0
    (body,) = place.bodies()
    marker = read_plan_marker(SELECTION, body)
    assert marker is not None
    assert marker.digest is None
    assert "### Plan: 1 to create" in body


def test_an_event_without_a_pull_request_is_a_note(place: Workplace) -> None:
    place.monkeypatch.setenv("GITHUB_EVENT_PATH", event_of(place.folder, schedule="0 6 * * *"))
    ended = place.front("plan", "--comment")
    assert (ended.code, ended.err) == (
        0,
        "This run is about no pull request or merge request, so there is none to comment on.\n",
    )
    assert place.fake.asked == []


def test_the_token_of_a_fork_is_a_note_and_the_exit_code_is_the_plans(place: Workplace) -> None:
    place.monkeypatch.setenv("GITHUB_TOKEN", READ_ONLY_TOKEN)
    ended = place.front(*PLAN, "--comment", "--detailed-exitcode")
    assert ended.code == 2
    assert ended.err == (
        "note: the comment on pull request #7 could not be written with this token (403 Resource not accessible by "
        "integration): it needs 'pull-requests: write', which a pull request from a fork does not get\n"
    )
    assert place.bodies() == []
    assert place.outputs["exitcode"] == "2"


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--detailed-exitcode",), 1), (("--rotate", "ci/x"), 1)])
def test_a_comment_that_cannot_be_written_is_an_error(place: Workplace, options: tuple[str, ...], code: int) -> None:
    place.way.broken = Mishap(400, content='{"message": "no"}')
    ended = place.front(*PLAN, "--comment", *options)
    assert ended.code == code
    assert "error: the comment on pull request #7 could not be written: 400 no\n" in ended.err
    assert place.outputs["exitcode"] == "1"


@pytest.mark.parametrize("flag", ["--comment", "--issue"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GITHUB_TOKEN", "", "GITHUB_TOKEN is not set; give it to the step"),
        ("GITHUB_REPOSITORY", "", "works in a job of a GitHub workflow"),
        ("GITHUB_API_URL", "http://evil.example.com", "GITHUB_API_URL must be an https address"),
        ("GITHUB_EVENT_PATH", "/nowhere", "GITHUB_EVENT_PATH names no event"),
    ],
)
def test_what_is_missing_is_said_before_the_account_is_asked(
    place: Workplace, flag: str, name: str, value: str, words: str
) -> None:
    place.monkeypatch.setenv(name, value)
    ended = place.front(*PLAN, flag)
    assert ended.code == 1
    assert words in ended.err
    assert ended.out == ""
    assert place.fake.asked == []
    assert place.outputs["exitcode"] == "1"


def test_a_cancelled_job_says_so_and_has_no_time_for_more(place: Workplace) -> None:
    def cancelled(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place.monkeypatch.setattr("reconciler.cli.options.make_request", cancelled)
    assert place.front(*PLAN, "--comment").code == 130
    assert place.outputs["exitcode"] == "130"
    assert place.fake.asked == []


def test_the_token_goes_to_github_alone_and_is_never_shown(place: Workplace) -> None:
    place.way.expect("graphql", Mishap(307, {"Location": "https://evil.example.com/"}))
    ended = place.front("-v", *PLAN, "--comment")
    assert ended.code == 1
    assert {each.url.host for each in place.way.asked} == {"api.github.com"}
    shown = ended.out + ended.err + place.summary + (place.folder / "output").read_text()
    assert JOB_TOKEN not in shown
    assert "evil.example.com" in ended.err


# --- threats ----------------------------------------------------------------------------------------------------------

HOSTILE = (
    f"{plan_prefix(SELECTION)}head={HEAD} digest=sha256:{'66' * 32} -->",
    "--> <!-- reconciler:plan",
    "@octocat @acme/admins",
    "```\\n@octocat\\n```",
    "</details></sub>@octocat",
    "::set-output name=digest::sha256:1",
    "\\n::add-mask::x\\n::error::x",
    "\\ndigest<<x\\nsha256:1\\nx",
    "![x](https://evil.example.com/x.png)",
)


@pytest.mark.parametrize(
    "keys",
    [
        '{{a: {{credit_limit: 1, description: "{0}", team: "{0}"}}}}',
        '{{a: {{credit_limit: 1, name: "{0}"}}}}',
        '{{a: {{credit_limit: 1, "{0}": 1}}}}',
        '{{"{0}": {{credit_limit: 1}}}}',
    ],
)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_pull_request_cannot_forge_the_comment_or_an_output(place: Workplace, keys: str, hostile: str) -> None:
    place.front.declare(keys.format(hostile))
    ended = place.front(*PLAN, "--comment")
    (body,) = place.bodies()
    first, *rest = body.split("\n")
    assert read_plan_marker(SELECTION, first) is not None
    assert "66" * 32 not in first
    assert "<!--" not in "\n".join(rest)
    page = Page("\n".join(rest))
    assert not [each for each in page.prose if "@" in each]
    assert {value for _, value in page.attributes} <= {"https://github.com/acme/api/actions/runs/42"}
    assert set(place.outputs) == {"changes", "digest", "exitcode", "plan-file"}
    assert place.outputs["exitcode"] == str(ended.code)
    assert place.outputs["digest"] in {"", *re.findall(r"sha256:[0-9a-f]{64}", first)}
    assert not re.search(r"(?m)^::(?!error |warning |notice )", ended.out)


def test_a_file_cannot_name_where_the_token_goes(place: Workplace) -> None:
    place.front.write(KEYS % ONE + "github: {api: https://evil.example.com}\n")
    place.front(*PLAN, "--comment")
    assert {each.url.host for each in place.way.asked} == {"api.github.com"}


# --- the issue --------------------------------------------------------------------------------------------------------


def test_drift_is_an_issue_that_is_opened_updated_closed_and_opened_again(place: Workplace) -> None:
    place.enter(job_environment(event_of(place.folder, schedule="0 6 * * *"), GITHUB_SHA=OTHER))
    opened = place.front(*PLAN, "--issue")
    (issue,) = place.discussions.issues.values()
    assert (opened.code, opened.err) == (0, f"Issue #{issue.number} about the drift: opened.\n")
    assert (issue.title, issue.labels) == ("Drift: the account does not match keys.yaml", ["drift"])
    assert "on commit `c3c3c3c3c3c3`" in issue.body
    assert "left as it is" in place.front("plan", "--issue").err
    assert "updated" in place.front.declare(TWO)("plan", "--issue").err
    assert "### Plan: 2 to create" in issue.body
    place.front("apply", "--auto-approve")
    assert "closed" in place.front("plan", "--issue").err
    assert issue.state == "closed"
    assert len(place.bodies(issue.number)) == 1
    assert place.front("plan", "--issue").err == ""
    place.front.declare(ONE)
    assert "reopened" in place.front("plan", "--issue").err
    assert len(place.discussions.issues) == 1


def test_an_environment_has_an_issue_of_its_own(place: Workplace) -> None:
    place.front("plan", "--issue")
    place.front("plan", "--issue", "-e", "ci")
    assert [each.title for each in place.discussions.issues.values()] == [
        "Drift: the account does not match keys.yaml",
        "Drift in ci: the account does not match keys.yaml",
    ]


def test_a_plan_that_fails_says_nothing_about_drift(place: Workplace) -> None:
    place.front("plan", "--issue")
    before = [*place.discussions.issues.values()]
    place.front.declare("{a: {credit_limit: -1}}")("plan", "--issue")
    assert [*place.discussions.issues.values()] == before


def test_accounts_that_cannot_be_read_neither_open_nor_close_an_issue(place: Workplace) -> None:
    asked = SharedOptions(Path("keys.yaml"), None, (), (), (), (), no_overlap=False, base=None)
    request = PlanRequest(declaration())
    report = PlanReport(asked, ReportOptions(step=False, out=None, offline=False, comment=False, issue=True))
    report.prepare()
    unread = plan(findings=(Finding(UNREAD, Severity.ERROR, "not read"),))
    assert report.end(unread, request, 1) == 1
    place.front("plan", "--issue")
    report.end(unread, request, 1)
    (issue,) = place.discussions.issues.values()
    assert issue.state == "open"


def test_an_issue_and_a_comment_go_together(place: Workplace) -> None:
    place.front("plan", "--issue", "--comment")
    assert len(place.discussions.issues) == len(place.bodies()) == 1


def test_offline_there_is_no_drift_to_tell_of(place: Workplace) -> None:
    ended = place.front("plan", "--issue", "--offline", "--base", "keys.yaml")
    assert ended.code == 1
    assert "--offline does not go with it" in ended.err


@pytest.mark.parametrize(
    ("token", "mishap", "words"),
    [
        (READ_ONLY_TOKEN, None, "403 Resource not accessible by integration; the token needs 'issues: write'"),
        (JOB_TOKEN, Mishap(400, content='{"message": "no"}'), "400 no\n"),
        (JOB_TOKEN, Mishap(error=RuntimeError("x")), "unexpected RuntimeError\n"),
    ],
)
def test_an_issue_that_cannot_be_written_is_an_error(
    place: Workplace, token: str, mishap: Mishap | None, words: str
) -> None:
    place.monkeypatch.setenv("GITHUB_TOKEN", token)
    place.way.broken = mishap
    ended = place.front(*PLAN, "--issue")
    assert ended.code == 1
    assert f"error: the issue about the drift could not be written: {words}" in ended.err
    assert place.outputs["exitcode"] == "1"


def test_the_digest_is_that_of_the_saved_plan(place: Workplace) -> None:
    place.front("plan", "--comment", "--out", "plan.json")
    saved = read_saved_plan((place.folder / "plan.json").read_bytes(), "plan.json")
    marker = read_plan_marker(SELECTION, place.bodies()[0])
    assert marker is not None
    assert marker.digest == saved.digest


def test_it_is_the_same_as_a_process_and_over_real_connections(place: Workplace) -> None:
    with served(place.fake.app) as url:
        api = {"GITHUB_API_URL": url.removesuffix("/v1")}
        job = {
            **job_environment(pull_request_event(place.folder)),
            **api,
            "GITHUB_OUTPUT": str(place.folder / "output"),
        }
        for _ in range(2):
            with started(*PLAN, "--comment", *place.front.options, **job) as process:
                out, err = process.communicate(timeout=60)
                assert (process.returncode, err) == (0, "Wrote the comment on pull request #7.\n"), out
    (body,) = place.bodies()
    assert place.outputs["digest"] in body.partition("\n")[0]
