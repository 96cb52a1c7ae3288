"""Filling in what `init` writes."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler.cli import init
from reconciler.cli.init import WORKFLOWS, Project, environments_of, workflow

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = Project(
    file="keys.yaml",
    is_folder=False,
    branch="main",
    environments=["ci", "production"],
    key_variables={"NAGA_PROVISIONING_KEY": ["ci", "production"]},
    destination_types=[],
)
OURS = [".github/workflows/plan.yml", ".github/reconciler/*"]
TRIGGERS = True  # how YAML 1.1 reads the word `on`


def read(name: str, project: Project = PROJECT) -> Any:
    return yaml.safe_load(workflow(name, project))


def steps(name: str, job: str, project: Project = PROJECT) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(name, project)["jobs"][job]["steps"]
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_whole_yaml_with_nothing_left_to_fill_in(name: str) -> None:
    text = workflow(name, PROJECT)
    assert "@@" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    assert read(name)["env"] == {"FILE": "keys.yaml"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_names_that_yaml_takes_for_something_else_stay_names(name: str) -> None:
    odd = replace(PROJECT, environments=["no", "123", "1.5"], file="a: b/ü #1.yaml", branch="on")
    document = read(name, odd)
    if name == "revoke":
        environments = document[TRIGGERS]["workflow_dispatch"]["inputs"]["environment"]
        assert environments["default"] == "no"
        found = environments["options"]
    else:
        found = document["jobs"][name]["strategy"]["matrix"]["environment"]
    assert found == ["no", "123", "1.5"]
    assert document["env"]["FILE"] == "a: b/ü #1.yaml"


@pytest.mark.parametrize(
    ("file", "is_folder", "watched"),
    [
        ("keys.yaml", False, "keys.yaml"),
        ("infra/naga", True, "infra/naga/*.yaml"),
        ("a+b [1].yaml", False, r"a\+b \[1\].yaml"),
    ],
)
def test_it_plans_changes_of_the_file_and_applies(file: str, is_folder: bool, watched: str) -> None:  # noqa: FBT001  # of a table
    project = replace(PROJECT, file=file, is_folder=is_folder, branch="release+1")
    plan, apply = read("plan", project)[TRIGGERS], read("apply", project)[TRIGGERS]
    assert plan["pull_request"] == {"branches": [r"release\+1"], "paths": [watched, *OURS]}
    assert apply["push"] == {"branches": [r"release\+1"]}
    look = steps("apply", "due", project)[-1]
    assert look["env"]["WATCHED"] == (f":(glob){watched}" if is_folder else f":(literal){file}")


def test_each_account_has_its_key_and_only_the_step_that_needs_it_gets_it() -> None:
    project = replace(PROJECT, key_variables={"NAGA_CI": ["ci"], "NAGA_PROD": ["production"]})
    assert read("nightly", project)["jobs"]["record"]["strategy"]["matrix"]["environment"] == ["ci", "production"]
    for name in WORKFLOWS:
        all_of_them = steps(name, name, project)
        count = 2 if name == "nightly" else 1
        for step in all_of_them[-count:]:
            assert {key: value for key, value in step["env"].items() if key.startswith("NAGA_")} == {
                "NAGA_CI": "${{ secrets.NAGA_CI }}",
                "NAGA_PROD": "${{ secrets.NAGA_PROD }}",
            }
        assert "secrets." not in str(all_of_them[:-count])


def test_a_pull_request_of_a_fork_gets_no_secret() -> None:
    jobs = read("plan")["jobs"]
    assert "secrets." not in str(jobs["validate"])
    fork = jobs["validate"]["steps"][-1]["if"]
    assert fork.startswith("github.event.pull_request.head.repo.full_name != github.repository || ")
    assert jobs["plan"]["if"] == fork.replace("==", "=!").replace("!=", "==").replace("=!", "!=").replace("||", "&&")


@pytest.mark.parametrize("name", ["apply", "nightly", "revoke"])
def test_only_what_delivers_logs_in_to_destinations(name: str) -> None:
    project = replace(PROJECT, destination_types=["dotenv", "github-actions", "vault"])
    logins = {"GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "VAULT_ADDR"}
    given = [step["name"] for step in steps(name, name, project) if logins & step.get("env", {}).keys()]
    assert given == [{"apply": "Apply", "nightly": "Do what is due", "revoke": "Revoke"}[name]]
    assert read(name, project)["jobs"][name]["permissions"]["id-token"] == "write"
    assert "id-token" not in read(name)["jobs"][name]["permissions"]
    assert workflow("plan", project) == workflow("plan", PROJECT)


def test_the_step_that_pushes_has_no_provisioning_key_and_the_one_that_has_it_no_token() -> None:
    *_, get, record, push = steps("nightly", "record")
    assert [{*each["env"]} for each in (get, record, push)] == [
        {"GITHUB_TOKEN"},
        {"ENVIRONMENT", "NAGA_PROVISIONING_KEY"},
        {"GITHUB_TOKEN"},
    ]


@pytest.mark.parametrize(
    ("addresses", "replaces", "words"),
    [
        ("ci/a  prod/*", "true", ["--yes", "--", "ci/a", "prod/*"]),
        ("4711", "false", ["--yes", "--no-replace", "--", "4711"]),
        ("$(touch x) `touch x`;* -f", "true", ["--yes", "--", "$(touch", "x)", "`touch", "x`;*", "-f"]),
    ],
)
def test_what_somebody_types_into_the_form_of_revoke_are_words_and_nothing_else(
    tmp_path: Path, addresses: str, replaces: str, words: list[str]
) -> None:
    (*_, last) = steps("revoke", "revoke")
    program = tmp_path / "reconciler/bin/reconciler"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n', "utf-8")
    program.chmod(0o755)
    given = {"ADDRESSES": addresses, "REPLACE": replaces, "ENVIRONMENT": "a b", "FILE": "k.yaml"}
    command = ["/bin/bash", "-e", "-c", last["run"]]
    there = {"RUNNER_TEMP": str(tmp_path), "PATH": "/usr/bin:/bin", **given}
    shown = subprocess.run(command, cwd=tmp_path, env=there, check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == ["revoke", "--file", "k.yaml", "--environment", "a b", *words]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_value_is_expanded_into_a_script(name: str) -> None:
    scripts = [step["run"] for job in read(name)["jobs"].values() for step in job["steps"] if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


def test_nothing_runs_a_command_of_the_file() -> None:
    assert [name for name in WORKFLOWS if "--allow-exec" in workflow(name, PROJECT)] == []


def test_no_apply_is_cancelled_and_none_overtakes_another() -> None:
    job = read("apply")["jobs"]["apply"]
    expected = {"group": "reconciler-apply-${{ matrix.environment }}", "cancel-in-progress": False}
    assert job["concurrency"] == expected
    assert "--only-tip" in job["steps"][-1]["run"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_environments_of_a_workflow_of_ours_are_read_back(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yml"
    file.write_text(workflow(name, PROJECT), "utf-8")
    assert environments_of(file) == {"ci", "production"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "on: push",
        "jobs: {a: {steps: []}}",
        "jobs: {a: {strategy: {matrix: {python: [1]}}}}",
        "jobs: {a: {strategy: {matrix: {environment: 1}}}}",
        "jobs: [",
        "jobs: {a: 1}",
        "on: {workflow_dispatch: {inputs: {}}}\njobs: {}",
    ],
)
def test_of_a_workflow_that_is_not_like_ours_nothing_is_said(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yml"
    file.write_text(text, "utf-8")
    assert environments_of(file) is None
    assert environments_of(tmp_path) is None


def test_a_placeholder_that_nobody_fills_in_is_an_error() -> None:
    with pytest.raises(KeyError):
        init.fill("keys.yaml", {})
