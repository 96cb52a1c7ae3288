"""The workflows that `init` writes, run by act against the simulator over HTTP and a GitHub that keeps comments."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from reconciler.simulator import State
from support.act import Actions, Run, cancel, find_step
from support.command import call, started
from support.github.discussions import Pull
from support.github.fake import TOKEN, FakeGitHub, Grant
from support.offline import copy_of_the_project, wheel
from support.repository import commit, git
from support.simulation import served

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.proof

KEY: Final = "a-provisioning-key-that-nobody-may-see"
NUMBER: Final = 7
REPOSITORY: Final = {"full_name": "acme/api", "name": "api", "owner": {"login": "acme"}, "default_branch": "main"}
BOTH: Final = {"issues": "write", "contents": "read", "environments": "write", "secrets": "write"}


class World:
    """A repository with our workflows, the account, and GitHub around it."""

    def __init__(self, github: FakeGitHub, account: Path, address: str, actions: Actions) -> None:
        self.github = github
        self.actions = actions
        self._simulator = address.removesuffix("/v1") + "/_simulator"
        self._account = account
        self.main = ""

    @property
    def limits(self) -> dict[str, Decimal | None]:
        """The limits of the live keys by their names, the lock's left out."""
        with State(self._account) as state:
            keys = state.keys()
            return {key.name: key.credit_limit for key in keys if not key.name.startswith("reconciler~")}

    def account(self) -> State:
        """Open the account behind the service."""
        return State(self._account)

    def meddle(self, name: str, limit: int) -> None:
        """Change a key by hand."""
        with State(self._account) as state:
            (key,) = [each for each in state.keys() if each.name == name]  # noqa: SIM118  # a method, not a mapping's
            state.update_key(key.id, credit_limit=Decimal(limit))

    @contextmanager
    def slow_creation(self) -> Iterator[None]:
        """Let the service take a second to create a key; the first it is asked for is the lock."""
        fault = {"faults": ["POST /v1/account/keys latency=1s skip=1"]}
        httpx.post(f"{self._simulator}/faults", json=fault).raise_for_status()
        yield
        httpx.delete(f"{self._simulator}/faults").raise_for_status()

    def wait_for_creation(self, process: subprocess.Popen[str]) -> None:
        """Wait until a run has asked the service for a key, beside the lock."""
        posts = 0
        while posts < 2:
            assert process.poll() is None
            time.sleep(0.02)
            asked = httpx.get(f"{self._simulator}/requests").json()["requests"]
            posts = sum(row["count"] for row in asked if row["method"] == "POST" and row["path"] == "/v1/account/keys")

    def machine_files(self) -> Iterator[Path]:
        """Give every file of the machine that runs the jobs, and of the repository."""
        yield from Path().rglob("*")
        yield from self.actions.folder.rglob("*")

    def change(self, before: str, after: str) -> str:
        """Change keys.yaml in a commit on top of main; gives it."""
        file = Path("keys.yaml")
        text = file.read_text("utf-8")
        assert before in text
        file.write_text(text.replace(before, after), "utf-8")
        return commit("a change")

    def merged(self, head: str, number: int = NUMBER) -> dict[str, Any]:
        """Merge a pull request, as GitHub does; gives the event of the push."""
        before, self.main = self.main, commit(f"Merge pull request #{number}")
        git("update-ref", "refs/remotes/origin/main", self.main)
        self.github.discussions.branches["main"] = self.main
        self.github.discussions.pulls |= {each: [Pull(number, head, self.main)] for each in (head, self.main)}
        ends = {"before": before, "after": self.main, "created": False}
        return {"ref": "refs/heads/main", **ends, "repository": REPOSITORY}

    def plan(
        self, head: str, *, of: str = "acme/api", by: str = "octocat", only: str = "production", **secrets: str
    ) -> Run:
        """Run what a pull request runs."""
        base = {"ref": "main", "sha": self.main, "repo": REPOSITORY}
        pull = {"number": NUMBER, "head": {"ref": "topic", "sha": head, "repo": {"full_name": of}}, "base": base}
        pull["user"] = {"login": by}
        event = {"number": NUMBER, "pull_request": pull, "repository": REPOSITORY}
        return self.run("plan", "pull_request", event, only=only, **secrets)

    def apply(self, push: dict[str, Any], only: str = "production") -> Run:
        return self.run("apply", "push", push, only=only)

    def drift(self) -> Run:
        """Run the night's job of an environment."""
        night = {"schedule": "23 5 * * *", "repository": REPOSITORY}
        return self.run("nightly", "schedule", night, only="production", job="nightly")

    def record(self) -> Run:
        """Run the night's job that records."""
        return self.run("nightly", "schedule", {"schedule": "23 5 * * *", "repository": REPOSITORY}, job="record")

    def run(self, name: str, kind: str, event: dict[str, Any], *, only: str = "", job: str = "", **secrets: str) -> Run:
        given = {"NAGA_PROVISIONING_KEY": KEY, "GITHUB_TOKEN": TOKEN, **secrets}
        run = self.actions.run(f".github/workflows/{name}.yml", kind, event, only=only, job=job, **given)
        if name == "apply":
            self.actions.gh.over(kind, git("rev-parse", "HEAD"), success=run.code == 0)
        assert KEY not in run.log
        return run


@contextmanager
def simulated(account: Path) -> Iterator[str]:
    """Run `reconciler simulate`; gives its address."""
    with started("simulate", "--state", str(account), "--provisioning-key", KEY) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield next(line.strip() for line in lines if line.startswith("http"))


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    """Open a world in the working folder, which becomes a repository."""
    github = FakeGitHub()
    github.tokens = {TOKEN: Grant(BOTH, login="github-actions[bot]")}
    github.environments["acme/api"] = {"production", "staging", "development", "ci"}
    account = folder / "account.db"
    with simulated(account) as address, served(github.app) as forge:
        actions = Actions(folder / "machine", NAGA_BASE_URL=address, GITHUB_API_URL=forge.removesuffix("/v1"))
        yield World(github, account, address, actions)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose repository is as `init` has left it, with nothing merged yet."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "https://github.com/acme/api.git")
    first = commit("before there were keys")
    git("update-ref", "refs/remotes/origin/main", first)
    assert call("init", "--package", str(wheel())).code == 0
    with opened(tmp_path) as opened_world:
        opened_world.actions.install_once(Path(".github/workflows/plan.yml"), Path(".github/reconciler"))
        opened_world.main = first
        yield opened_world


def test_from_the_pull_request_to_the_key_and_from_drift_to_its_end(world: World) -> None:
    head = commit("Declare our API keys")
    with world.actions.installing():
        planned = world.plan(head)
    assert (planned.code, planned.jobs) == (0, {"validate": "success", "plan production": "success"}), planned.log
    assert planned.outputs["changes"] == "1"
    assert world.limits == {}

    applied = world.apply(world.merged(head))
    assert (applied.code, applied.jobs) == (0, {"due": "success", "apply production": "success"}), applied.log
    assert world.limits == {"production/api": Decimal(100)}
    held = world.github.held("repos/acme/api/environments/production")
    assert list(held) == ["NAGA_API_KEY_API"]
    assert held["NAGA_API_KEY_API"] not in applied.said

    quiet = world.drift()
    assert (quiet.code, world.github.discussions.issues) == (0, {}), quiet.log
    world.meddle("production/api", 50)
    world.drift()
    (issue,) = world.github.discussions.issues.values()
    assert issue.state == "open"
    assert "production/api" in issue.body

    by_hand = {"ref": "refs/heads/main", "repository": REPOSITORY}
    again = world.run("apply", "workflow_dispatch", by_hand, only="production")
    assert (again.code, world.limits) == (0, {"production/api": Decimal(100)}), again.log
    world.drift()
    assert issue.state == "closed"


def test_a_leaked_key_is_killed_and_replaced_by_hand(world: World) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    assert world.apply(world.merged(head)).code == 0
    held = world.github.held("repos/acme/api/environments/production")
    leaked = held["NAGA_API_KEY_API"]

    form = {"addresses": "production/api $(touch stolen)", "environment": "production", "replace": "true"}
    by_hand = {"ref": "refs/heads/main", "repository": REPOSITORY}
    refused = world.run("revoke", "workflow_dispatch", {**by_hand, "inputs": form})
    assert refused.exits == [1], refused.log
    assert [each for each in world.machine_files() if "stolen" in each.name] == []

    done = world.run("revoke", "workflow_dispatch", {**by_hand, "inputs": {**form, "addresses": "production/*"}})
    assert (done.code, done.jobs) == (0, {"revoke": "success"}), done.log
    assert world.github.held("repos/acme/api/environments/production")["NAGA_API_KEY_API"] != leaked
    assert sorted(name.partition("~")[1] for name in world.limits) == ["", "~"]

    killed = world.run(
        "revoke",
        "workflow_dispatch",
        {**by_hand, "inputs": {**form, "addresses": "production/api", "replace": "false"}},
    )
    assert killed.code == 0, killed.log
    assert sorted(name.partition("~")[1] for name in world.limits) == ["~", "~"]


def test_the_night_does_what_is_due_tells_it_and_leaves_what_people_have_changed(world: World) -> None:
    world.change("credit_limit: 100 ", "renew: day\n        credit_limit: 100 ")
    head = commit("Declare our API keys, with a budget")
    world.plan(head)
    assert world.apply(world.merged(head)).code == 0
    (name,) = world.limits
    quiet = world.drift()
    assert (quiet.code, world.github.discussions.issues) == (0, {}), quiet.log

    world.change("  staging:\n", "      late: {credit_limit: 1}\n\n  staging:\n")  # merged, and not approved yet
    with world.account() as state:
        state.travel(timedelta(days=1))
    night = world.drift()
    assert night.code == 0, night.log
    (renewed,) = world.limits
    assert renewed != name
    (issue,) = world.github.discussions.issues.values()
    assert issue.state == "open", "what waits for its approval is drift"
    (told,) = world.github.discussions.on(issue.number)
    assert "renew" in told.body


def test_the_night_records_on_a_branch_of_its_own(world: World, tmp_path: Path) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    assert world.apply(world.merged(head)).code == 0
    server = tmp_path / "server.git"
    git("init", "--quiet", "--bare", str(server))
    git("config", f"url.{server}.insteadOf", "https://github.com/acme/api.git")

    first = world.record()
    assert (first.code, first.jobs) == (0, {"record production": "success"} | {}), first.log
    files = git("--git-dir", str(server), "ls-tree", "--name-only", "-r", "api-key-history").splitlines()
    assert "keys.csv" in files
    assert "keys.yaml" not in files
    kept = git("--git-dir", str(server), "rev-list", "--count", "api-key-history")
    again = world.record()
    assert again.code == 0, again.log
    assert git("--git-dir", str(server), "rev-list", "--count", "api-key-history") == kept == "1"


def test_a_pull_request_has_one_comment_however_often_it_is_planned(world: World) -> None:
    first = world.plan(commit("Declare our API keys"))
    second = world.plan(world.change("credit_limit: 100", "credit_limit: 120"))
    assert (first.code, second.code) == (0, 0)
    (comment,) = world.github.discussions.on(NUMBER)
    assert "$120" in comment.body
    assert second.outputs["digest"] in comment.body
    assert any("production/api" in summary for summary in second.summaries)
    assert ("notice", "production/api") in [
        (kind, where["title"].partition(" ")[2]) for kind, where, _ in second.annotations
    ]


def test_each_environment_has_a_comment_of_its_own(world: World) -> None:
    head = commit("Declare our API keys")
    run = world.plan(head, only="")
    environments = ["ci", "development", "production", "staging"]
    assert run.jobs == {"validate": "success", **{f"plan {name}": "success" for name in environments}}, run.log
    assert len(world.github.discussions.on(NUMBER)) == len(environments)


@pytest.mark.parametrize(("of", "by"), [("mallory/api", "mallory"), ("acme/api", "dependabot[bot]")])
def test_who_gets_no_secret_is_planned_against_the_base_branch_and_nobody_is_asked(
    world: World, of: str, by: str
) -> None:
    commit("Declare our API keys")
    world.merged("")
    head = world.change("credit_limit: 100", "credit_limit: 120")
    run = world.plan(head, of=of, by=by, NAGA_PROVISIONING_KEY="", GITHUB_TOKEN="")
    assert (run.code, run.jobs) == (0, {"validate": "success"}), run.log
    assert ("notice", "credit_limit $100 → $120") in [(kind, text) for kind, _, text in run.annotations]
    assert world.github.asked == []


def test_a_file_with_errors_is_annotated_at_its_line_and_the_comment_no_longer_shows_a_plan(world: World) -> None:
    world.plan(commit("Declare our API keys"))
    run = world.plan(world.change("credit_limit: 100 ", "credit_limit: plenty "))
    assert (run.code, run.jobs) == (1, {"validate": "failure", "plan production": "failure"})
    line = Path("keys.yaml").read_text("utf-8").partition("plenty")[0].count("\n") + 1
    annotated = {(kind, where["file"], where["line"]) for kind, where, _ in run.annotations}
    assert annotated == {("error", "keys.yaml", str(line))}
    (comment,) = world.github.discussions.on(NUMBER)
    assert "digest=none" in comment.body.splitlines()[0]
    assert f"`keys.yaml:{line}`: " in comment.body


def test_what_was_not_reviewed_is_not_applied(world: World) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    push = world.merged(head)
    world.change("credit_limit: 100", "credit_limit: 100000")  # the checkout is not what the pull request showed
    refused = world.apply({**push, "after": world.merged(head)["after"]})
    assert refused.jobs == {"due": "success", "apply production": "failure"}
    assert refused.exits == [4], refused.log
    assert world.limits == {}


def test_a_merge_that_a_newer_one_has_overtaken_is_not_applied_by_itself_but_with_that(world: World) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    push = world.merged(head)
    world.github.discussions.branches["main"] = "f" * 40
    refused = world.apply(push)
    assert refused.jobs == {"due": "success", "apply production": "failure"}
    assert refused.exits == [4], refused.log
    assert world.limits == {}

    Path("README.md").write_text("# Something else\n", "utf-8")
    applied = world.apply(world.merged("e" * 40, number=8))
    assert applied.jobs == {"due": "success", "apply production": "success"}, applied.log
    assert world.limits == {"production/api": Decimal(100)}

    Path("README.md").write_text("# Something else again\n", "utf-8")
    nothing = world.apply(world.merged("d" * 40, number=9))
    assert (nothing.code, nothing.jobs) == (0, {"due": "success"}), nothing.log


def test_a_cancelled_apply_leaves_what_the_next_one_completes(world: World) -> None:
    """More keys than are created at a time: what is under way is finished, and the rest is not begun."""
    names = [f"worker-{number}" for number in range(20)]
    lines = "".join(f"      {name}: {{credit_limit: 1}}\n" for name in names)
    head = world.change("  staging:\n", f"{lines}  staging:\n")
    world.plan(head)
    push = world.merged(head)
    with world.slow_creation():
        secrets = {"NAGA_PROVISIONING_KEY": KEY, "GITHUB_TOKEN": TOKEN}
        begun = world.actions.started(".github/workflows/apply.yml", "push", push, only="production", **secrets)
        with begun as process:
            step = find_step(process, "apply")
            world.wait_for_creation(process)
            cancel(step)
            cancelled = world.actions.end(process)
    assert cancelled.exits == [130], cancelled.log
    assert 0 < len(world.limits) < len(names)

    completed = world.run("apply", "workflow_dispatch", push, only="production")
    assert completed.code == 0, completed.log
    assert sorted(world.limits) == sorted(f"production/{name}" for name in ["api", *names])
    assert len(world.github.held("repos/acme/api/environments/production")) == len(world.limits)


HOSTILE: Final = """\
version: 1
destinations:
  shell: {type: exec, command: [touch, stolen]}
  away: {type: dotenv, path: "stolen-{key}.env"}
environments:
  production:
    deliver: [{to: shell, as: "{KEY}"}, {to: away, as: "{KEY}"}]
    keys:
      api:
        credit_limit: 1
        team: "$(touch stolen) `touch stolen` ${{ secrets.NAGA_PROVISIONING_KEY }}"
        description: |
          x
          ::set-output name=digest::sha256:0
          ::add-mask::a
          <!-- reconciler:plan -->
          $(touch stolen); touch stolen; $NAGA_PROVISIONING_KEY
        renamed_from: ["::warning::x", "$(touch stolen)"]
"""


def test_a_file_of_a_pull_request_runs_nothing_and_gets_no_secret(world: World) -> None:
    Path("keys.yaml").write_text(HOSTILE, "utf-8")
    run = world.plan(commit("hostile"))
    assert run.code == 0, run.log
    assert [each for each in world.machine_files() if "stolen" in each.name] == []
    assert world.limits == {}
    (comment,) = world.github.discussions.on(NUMBER)
    for shown in (comment.body, run.said, *run.summaries, *(text for _, _, text in run.annotations)):
        assert KEY not in shown
    assert run.outputs["digest"] != "sha256:0"
    warnings = {where["title"] for kind, where, _ in run.annotations if kind == "warning"}
    assert warnings <= {"Gives", "git-ignore: account", "new-place: production/api"}, (
        "one that the file wrote itself has another title"
    )


def test_a_file_of_a_pull_request_cannot_bring_a_credential_of_another_name(world: World) -> None:
    run = world.plan(world.change("  production:\n", "  production:\n    provisioning_key_env: GITHUB_TOKEN\n"))
    assert run.jobs == {"validate": "failure", "plan production": "failure"}
    (comment,) = world.github.discussions.on(NUMBER)
    assert "digest=none" in comment.body.splitlines()[0]


def test_a_destination_that_becomes_another_place_is_in_the_comment(world: World) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    assert world.apply(world.merged(head)).code == 0
    run = world.plan(world.change("repository: acme/api", "repository: mallory/api"))
    assert run.exits == [3], run.log
    (comment,) = world.github.discussions.on(NUMBER)
    assert "repository mallory/api" in comment.body.replace("`", "")
    assert "repository acme/api" in comment.body.replace("`", "")


def test_a_plan_that_a_guardrail_forbids_fails_its_job_and_the_comment_says_why(world: World) -> None:
    head = commit("Declare our API keys")
    world.plan(head)
    assert world.apply(world.merged(head)).code == 0
    both = world.change("    protected: true ", "    protected: false ")
    Path("keys.yaml").write_text(
        Path("keys.yaml").read_text("utf-8").replace("      api:\n", "      other:\n"), "utf-8"
    )
    both = commit("Remove a key and its protection in one go")
    run = world.plan(both)
    assert (run.jobs, run.exits) == ({"validate": "success", "plan production": "failure"}, [3]), run.log
    (comment,) = world.github.discussions.on(NUMBER)
    assert "digest=none" in comment.body.splitlines()[0]
    assert "protected" in comment.body

    push = world.merged(both)
    refused = world.apply(push)
    assert refused.exits == [3], refused.log
    by_hand = world.run("apply", "workflow_dispatch", push, only="production")
    assert by_hand.exits == [3], "the protection is that of what was applied last"
    lifted = world.run("apply", "workflow_dispatch", {**push, "inputs": {"allow": "production/*"}}, only="production")
    assert lifted.code == 0, lifted.log
    assert "production/other" in world.limits


def test_a_pull_request_that_deletes_the_file_is_told_so(world: World) -> None:
    commit("Declare our API keys")
    Path("keys.yaml").unlink()
    run = world.plan(commit("Delete it"))
    assert run.jobs == {"validate": "failure", "plan production": "failure"}
    assert "there is no file keys.yaml" in run.said
    (comment,) = world.github.discussions.on(NUMBER)
    assert "there is no file" in comment.body


def test_two_hundred_changes_with_long_names_of_other_scripts_fit_into_the_comment(world: World) -> None:
    tag = "鍵" * 60
    lines = "".join(f"      worker-{number}: {{credit_limit: 1, team: {tag}}}\n" for number in range(200))
    run = world.plan(world.change("  staging:\n", f"{lines}  staging:\n"))
    assert run.code == 0, run.log
    (comment,) = world.github.discussions.on(NUMBER)
    assert 10_000 < len(comment.body) <= 65_536


# --- the action -------------------------------------------------------------------------------------------------------


ACTION: Final = """on: [push]
permissions: {}
jobs:
  keys:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
      - id: reconciler
        uses: ./
        env:
          NAGA_PROVISIONING_KEY: ${{ secrets.NAGA_PROVISIONING_KEY }}
        with: %s
      - if: always()
        run: echo "changes=$CHANGES digest=$DIGEST exitcode=$EXITCODE"
        env:
          CHANGES: ${{ steps.reconciler.outputs.changes }}
          DIGEST: ${{ steps.reconciler.outputs.digest }}
          EXITCODE: ${{ steps.reconciler.outputs.exitcode }}
"""


@pytest.fixture
def with_the_action(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose repository is this project, as it is at the moment."""
    copy_of_the_project(tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "https://github.com/acme/api.git")
    with opened(tmp_path) as opened_world:
        opened_world.main = commit("The project")
        git("update-ref", "refs/remotes/origin/main", opened_world.main)
        yield opened_world


def use(world: World, **inputs: str) -> Run:
    """Run a workflow of one step that uses the action with these inputs."""
    Path(".github/workflows/used.yml").write_text(ACTION % json.dumps(inputs), "utf-8")
    push = {"ref": "refs/heads/main", "repository": REPOSITORY}
    return world.run("used", "push", push, only="")


def test_the_action_plans_applies_and_finds_drift(with_the_action: World) -> None:
    world = with_the_action
    file = {"file": "keys.yaml.example"}
    planned = use(world, command="plan", environment="ci\nproduction", base="git:HEAD", **file)
    assert planned.code == 0, planned.log
    assert "changes=4 digest=sha256:" in planned.said
    applied = use(world, command="apply", environment="ci", **file)
    assert applied.code == 0, applied.log
    assert list(world.limits) == ["ci/sandbox", "ci/tests"]
    drifted = use(world, command="drift", environment="production", **file)
    assert drifted.code == 0, drifted.log
    assert len(world.github.discussions.issues) == 1


# --- this project's own workflows -------------------------------------------------------------------------------------


def test_this_projects_workflows_tell_the_story_on_its_example(with_the_action: World) -> None:
    world = with_the_action
    example = Path("keys.yaml.example")
    example.write_text(example.read_text("utf-8").replace("credit_limit: 500 ", "credit_limit: 510 "), "utf-8")
    head = commit("Raise a limit")
    planned = world.plan(head)
    assert planned.code == 0, planned.log
    (comment,) = world.github.discussions.on(NUMBER)
    assert "$510" in comment.body
    applied = world.apply(world.merged(head))
    assert applied.code == 0, applied.log
    assert "Applied 1 change." in applied.said
    quiet = world.drift()
    assert (quiet.code, world.github.discussions.issues) == (0, {}), quiet.log
