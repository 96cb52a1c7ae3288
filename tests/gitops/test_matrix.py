"""The example workflow that spreads accounts over jobs, run by act: each account is a service of its own."""

from __future__ import annotations

import re
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.simulator import State, parse_fault
from support.act import Actions, Run
from support.command import call
from support.github.discussions import Pull
from support.github.fake import TOKEN, FakeGitHub, Grant
from support.offline import wheel
from support.packages import ROOT
from support.repository import commit, git
from support.several import Together, bearer_of
from support.simulation import Service, served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.proof

EXAMPLE: Final = ROOT / "docs/examples/scale/matrix.yml"
PINS: Final = Path(".github/reconciler")
WORKFLOW: Final = Path(".github/workflows/keys.yml")
ACCOUNTS: Final = ("alpha", "beta", "gamma")
REPOSITORY: Final = {"full_name": "acme/api", "name": "api", "owner": {"login": "acme"}, "default_branch": "main"}
MAY: Final = {"issues": "write", "contents": "read"}
OF_THE_ENVIRONMENT: Final = re.compile(
    r"(environment: \$\{\{ matrix\.account \}\}(?P<plan>-plan)?\n(?:(?!\n  \w).)*?)secrets\.NAGA_PROVISIONING_KEY\b",
    re.DOTALL,
)
DECLARATION: Final = """\
version: 1

destinations:
  local: {{type: dotenv, path: secrets.env}}

environments:
  production:
    protected: {protected}
    deliver: [{{to: local, as: "{{KEY}}"}}]
    keys:
      api: {{credit_limit: {limit}}}
"""


class Fleet:
    """A repository with the example workflow, GitHub around it, and a service that has the accounts."""

    def __init__(self, github: FakeGitHub, services: dict[str, Service], actions: Actions) -> None:
        self.github = github
        self.actions = actions
        self.credentials = {name: bearer_of(name) for name in services}
        """What the GitHub Environments hold; those of plans are called NAME-plan."""
        self.main = commit("before there were keys")
        self.number = 7
        self._services = services

    @property
    def comments(self) -> int:
        """How many comments the pull request has."""
        return len(self.github.discussions.on(self.number))

    @property
    def asked(self) -> set[str]:
        """The accounts that were asked for anything."""
        return {name for name, service in self._services.items() if service.app.state.requests}

    @property
    def limits(self) -> dict[str, Decimal | None]:
        """The limit of the one key of each account that has it."""
        limits = {}
        for name, service in self._services.items():
            for key in service.state.keys():  # noqa: SIM118  # a method, not a mapping's
                if not key.name.startswith("reconciler~"):
                    limits[name] = key.credit_limit
        return limits

    def create(self, account: str, limit: int) -> None:
        """Create the key of an account."""
        self._services[account].state.create_key("production/api", credit_limit=Decimal(limit))

    def forget(self) -> None:
        """Forget who was asked for what."""
        self.github.asked.clear()
        for service in self._services.values():
            service.app.state.requests.clear()

    def break_down(self, account: str) -> None:
        """Let the service of an account answer 503 from now on."""
        self._services[account].app.state.faults.add([parse_fault("* * status=503")])

    def meddle(self, account: str, limit: int) -> None:
        """Change the key of an account by hand."""
        state = self._services[account].state
        (key,) = [each for each in state.keys() if each.name == "production/api"]  # noqa: SIM118  # a method, not a mapping's
        state.update_key(key.id, credit_limit=Decimal(limit))

    def pull(self, *, of: str = "acme/api", by: str = "octocat") -> Run:
        """Run what a pull request with the files as they are runs: GitHub has it check out the merge."""
        head = self.commit()
        git("checkout", "--quiet", "--detach", self.main)
        git("merge", "--quiet", "--no-ff", "--message", "Merge", head)
        base = {"ref": "main", "sha": self.main, "repo": REPOSITORY}
        pull = {"number": self.number, "head": {"ref": "topic", "sha": head, "repo": {"full_name": of}}, "base": base}
        event = {"number": self.number, "pull_request": {**pull, "user": {"login": by}}, "repository": REPOSITORY}
        run = self.run("pull_request", event)
        git("checkout", "--quiet", "-B", "topic", head)
        return run

    def commit(self) -> str:
        """Commit the files as they are to the branch of the pull request; gives its head."""
        git("checkout", "--quiet", "-B", "topic")
        return commit("a change") if git("status", "--porcelain") else git("rev-parse", "HEAD")

    def merge(self) -> dict[str, Any]:
        """Merge the files as they are, as the pull request that was run last; gives the event of the push."""
        head = self.commit()
        git("checkout", "--quiet", "-B", "main", self.main)
        git("merge", "--quiet", "--no-ff", "--message", f"Merge pull request #{self.number}", head)
        before, self.main = self.main, git("rev-parse", "HEAD")
        git("update-ref", "refs/remotes/origin/main", self.main)
        self.github.discussions.pulls |= {each: [Pull(self.number, head, self.main)] for each in (head, self.main)}
        self.number += 1
        return {"ref": "refs/heads/main", "before": before, "after": self.main, "repository": REPOSITORY}

    def push(self, event: dict[str, Any]) -> Run:
        """Run what a push runs, on the commit that it has brought."""
        git("checkout", "--quiet", "--detach", event["after"])
        run = self.run("push", event)
        git("checkout", "--quiet", "main")
        return run

    def night(self) -> Run:
        return self.run("schedule", {"schedule": "17 4 * * *", "repository": REPOSITORY})

    def by_hand(self, **inputs: str) -> Run:
        return self.run("workflow_dispatch", {"ref": "refs/heads/main", "repository": REPOSITORY, "inputs": inputs})

    def run(self, kind: str, event: dict[str, Any]) -> Run:
        """Run the workflow, with the secrets of its GitHub Environments as far as it gets any."""
        suffix = "-plan" if kind in {"pull_request", "schedule"} else ""
        secrets = {f"{name}{suffix}": credential for name, credential in self.credentials.items()}
        run = self.actions.run(str(self.actions.folder / "keys.yml"), kind, event, GITHUB_TOKEN=TOKEN, **secrets)
        assert not [credential for credential in self.credentials.values() if credential in run.log]
        return run


def declare(account: str, limit: int = 1, *, protected: bool = False) -> None:
    file = Path("accounts") / f"{account}.yaml"
    file.parent.mkdir(exist_ok=True)
    Path(".gitignore").write_text("/accounts/secrets.env\n", "utf-8")
    file.write_text(DECLARATION.format(limit=limit, protected=str(protected).lower()), "utf-8")


def as_act_reads_it(text: str) -> str:
    """Write the secrets of a GitHub Environment, which act has none of, as secrets that are called like it."""
    text, count = OF_THE_ENVIRONMENT.subn(r"\g<1>secrets[format('{0}\g<plan>', matrix.account)]", text)
    assert count == text.count("    environment: ") == 2
    assert "secrets.NAGA" not in text
    return text


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A repository to whose main branch neither the workflow nor an account was merged yet."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "https://github.com/acme/api.git")
    github = FakeGitHub()
    github.tokens = {TOKEN: Grant(MAY, login="github-actions[bot]")}
    with ExitStack() as stack:
        services = {}
        for name in (*ACCOUNTS, "delta"):
            state = stack.enter_context(State(tmp_path / f"{name}.db"))
            services[name] = Service(state, provisioning_keys=frozenset({bearer_of(name)}))
        address = stack.enter_context(served(Together(services)))
        forge = stack.enter_context(served(github.app)).removesuffix("/v1")
        actions = Actions(tmp_path / "machine", NAGA_BASE_URL=address, GITHUB_API_URL=forge)
        workflow = as_act_reads_it(EXAMPLE.read_text("utf-8"))
        (actions.folder / "keys.yml").write_text(workflow, "utf-8")
        assert call("init", "--pins", str(PINS), "--package", str(wheel())).code == 0
        actions.install_once(EXAMPLE, PINS)
        fleet = Fleet(github, services, actions)
        WORKFLOW.parent.mkdir(parents=True)
        WORKFLOW.write_bytes(EXAMPLE.read_bytes())
        yield fleet


def jobs(kind: str, *accounts: str, **others: str) -> dict[str, str]:
    """Give the jobs of a run that went well, but for others."""
    done = {"accounts": "success", **{f"{kind} {account}": "success" for account in accounts}}
    return done | {f"{kind} {account}": result for account, result in others.items()}


@pytest.fixture
def applied(fleet: Fleet) -> Fleet:
    """Three accounts, each with what its file declares."""
    for number, account in enumerate(ACCOUNTS, 1):
        declare(account, number, protected=True)
        fleet.create(account, number)
    fleet.merge()
    return fleet


def test_the_first_pull_request_brings_the_workflow_and_the_accounts(fleet: Fleet) -> None:
    declare("alpha", 10)
    declare("beta", 20)
    planned = fleet.pull()
    assert (planned.code, planned.jobs, fleet.comments) == (0, jobs("plan", "alpha", "beta"), 2), planned.log
    done = fleet.push(fleet.merge())
    assert (done.code, done.jobs) == (0, jobs("apply", "alpha", "beta")), done.log
    assert fleet.limits == {"alpha": 10, "beta": 20}


def test_a_change_is_planned_and_applied_for_the_accounts_whose_files_it_changes(applied: Fleet) -> None:
    declare("alpha", 10)
    declare("gamma", 30)
    planned = applied.pull()
    assert (planned.code, planned.jobs, applied.comments) == (0, jobs("plan", "alpha", "gamma"), 2), planned.log
    done = applied.push(applied.merge())
    assert (done.code, done.jobs) == (0, jobs("apply", "alpha", "gamma")), done.log
    assert applied.limits == {"alpha": 10, "beta": 2, "gamma": 30}
    assert applied.asked == {"alpha", "gamma"}


def test_a_new_file_is_a_new_job_and_a_removed_one_is_none(applied: Fleet) -> None:
    Path("accounts/alpha.yaml").rename("accounts/delta.yaml")
    planned = applied.pull()
    assert planned.jobs == jobs("plan", "delta"), planned.log
    done = applied.push(applied.merge())
    assert (done.code, done.jobs) == (0, jobs("apply", "delta")), done.log
    assert applied.limits == {"alpha": 1, "beta": 2, "gamma": 3, "delta": 1}
    Path("accounts/delta.yaml").unlink()
    assert applied.pull().jobs == jobs("plan")
    nothing = applied.push(applied.merge())
    assert (nothing.code, nothing.jobs) == (0, jobs("apply")), nothing.log
    assert applied.limits["delta"] == 1


def test_a_change_of_the_workflow_plans_all_without_a_comment_and_applies_nothing(applied: Fleet) -> None:
    WORKFLOW.write_text(WORKFLOW.read_text("utf-8").replace("timeout-minutes: 30", "timeout-minutes: 29"), "utf-8")
    planned = applied.pull()
    assert (planned.code, planned.jobs) == (0, jobs("plan", *ACCOUNTS)), planned.log
    assert len(planned.summaries) == len(ACCOUNTS)
    assert applied.comments == 0
    done = applied.push(applied.merge())
    assert (done.code, done.jobs) == (0, jobs("apply")), done.log


def test_a_fork_is_planned_against_the_base_branch_and_nobody_is_asked(applied: Fleet) -> None:
    declare("beta", 20)
    run = applied.pull(of="mallory/keys", by="mallory")
    assert (run.code, run.jobs) == (0, jobs("offline", "beta")), run.log
    assert ("notice", "credit_limit $2 → $20") in [(kind, text) for kind, _, text in run.annotations]
    assert (applied.asked, applied.github.asked) == (set(), [])


def test_dependabot_which_changes_the_workflow_only_starts_no_job_for_an_account(applied: Fleet) -> None:
    WORKFLOW.write_text(WORKFLOW.read_text("utf-8").replace("v5.0.0", "v6.0.0"), "utf-8")
    run = applied.pull(by="dependabot[bot]")
    assert (run.code, run.jobs) == (0, jobs("plan")), run.log


def test_a_file_with_a_bad_name_stops_all(applied: Fleet) -> None:
    declare("gamma-plan")
    declare("alpha", 10)
    assert applied.pull().jobs == {"accounts": "failure"}
    refused = applied.push(applied.merge())
    assert (refused.code, refused.jobs) == (1, {"accounts": "failure"}), refused.log
    assert applied.asked == set()


def test_an_account_that_fails_stops_no_other_and_the_run_is_red(applied: Fleet) -> None:
    for account in ACCOUNTS:
        declare(account, 5)
    applied.pull()
    applied.credentials["alpha"] = "not-its-key"
    applied.break_down("beta")
    run = applied.push(applied.merge())
    assert (run.code, run.jobs) == (1, jobs("apply", "gamma", alpha="failure", beta="failure")), run.log
    assert applied.limits == {"alpha": 1, "beta": 2, "gamma": 5}


def test_at_night_all_are_planned_and_an_issue_tells_of_each_that_has_drifted(applied: Fleet) -> None:
    applied.meddle("beta", 1)
    run = applied.night()
    assert (run.code, run.jobs) == (0, jobs("plan", *ACCOUNTS)), run.log
    (issue,) = applied.github.discussions.issues.values()
    assert (issue.state, "accounts/beta.yaml" in issue.title) == ("open", True)
    applied.forget()
    mended = applied.by_hand(account="beta")
    assert (mended.code, mended.jobs) == (0, jobs("apply", "beta")), mended.log
    assert (applied.limits["beta"], applied.asked) == (Decimal(2), {"beta"})
    applied.night()
    assert issue.state == "closed"


def test_by_hand_a_guardrail_is_lifted_and_an_account_that_is_not_there_is_refused(applied: Fleet) -> None:
    declare("alpha", 0, protected=True)
    assert applied.push(applied.merge()).jobs == jobs("apply", alpha="failure")
    assert applied.by_hand(account="alpha").jobs == jobs("apply", alpha="failure")
    assert applied.by_hand(account="alpha", allow="production/api").jobs == jobs("apply", "alpha")
    assert applied.limits["alpha"] == 0
    assert applied.by_hand(account="nobody").jobs == {"accounts": "failure"}


def test_a_merge_cannot_take_a_protection_and_what_it_protects_in_one(applied: Fleet) -> None:
    declare("alpha", 0, protected=False)
    assert applied.pull().jobs == jobs("plan", alpha="failure")
    refused = applied.push(applied.merge())
    assert (refused.jobs, refused.exits) == (jobs("apply", alpha="failure"), [3]), refused.log
    assert applied.limits["alpha"] == 1


def test_what_was_not_reviewed_is_not_applied(applied: Fleet) -> None:
    declare("alpha", 10)
    declare("beta", 20)
    applied.pull()
    applied.meddle("beta", 1)
    run = applied.push(applied.merge())
    assert (run.jobs, run.exits) == (jobs("apply", "alpha", beta="failure"), [4]), run.log
    assert applied.limits == {"alpha": 10, "beta": 1, "gamma": 3}


def test_a_job_that_waited_is_applied_although_another_account_was_merged_meanwhile(applied: Fleet) -> None:
    declare("alpha", 10)
    applied.pull()
    waits = applied.merge()
    declare("beta", 20)
    applied.pull()
    assert applied.push(applied.merge()).jobs == jobs("apply", "beta")
    late = applied.push(waits)
    assert (late.code, late.jobs) == (0, jobs("apply", "alpha")), late.log
    assert applied.limits == {"alpha": 10, "beta": 20, "gamma": 3}


def test_a_job_that_waited_leaves_a_newer_change_of_its_account_to_the_job_of_that(applied: Fleet) -> None:
    declare("alpha", 10)
    applied.pull()
    waits = applied.merge()
    declare("alpha", 20)
    applied.pull()
    newer = applied.merge()
    late = applied.push(waits)
    assert (late.jobs, late.exits) == (jobs("apply", alpha="failure"), [4]), late.log
    assert applied.limits["alpha"] == 1
    assert applied.push(newer).jobs == jobs("apply", "alpha")
    assert applied.limits["alpha"] == 20


def test_a_job_that_is_run_again_undoes_nothing_newer(applied: Fleet) -> None:
    declare("alpha", 10)
    applied.pull()
    old = applied.merge()
    applied.push(old)
    declare("alpha", 1)
    applied.pull()
    applied.push(applied.merge())
    again = applied.push(old)
    assert (again.code, again.jobs) == (0, jobs("apply", "alpha")), again.log
    assert applied.limits["alpha"] == 1, "and not 10, which was reviewed as this very change"
