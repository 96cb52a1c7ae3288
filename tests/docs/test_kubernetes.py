"""The manifests for a cluster are what the API server takes, give as little as they can, and do what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import lightkube.codecs
import pytest
import yaml

from reconciler.cli.main import COMMANDS
from support.packages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

GIT = shutil.which("git") or "git"
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "docs/examples/kubernetes/reconciler.yaml").read_text("utf-8"))
)
JOBS = [each for each in MANIFESTS if each["kind"] == "CronJob"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_every_field_is_one_of_the_published_description(manifest: dict[str, Any]) -> None:
    """The models are made from it; a field that they do not know is lost, and one of another type is refused."""
    resource: Any = lightkube.codecs.from_dict(manifest)
    assert resource.to_dict() == manifest


@pytest.mark.parametrize("job", JOBS, ids=lambda each: each["metadata"]["name"])
def test_a_job_has_no_more_power_than_it_needs(job: dict[str, Any]) -> None:
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod.get("serviceAccountName") or pod["automountServiceAccountToken"] is False


def test_the_role_names_what_it_is_about() -> None:
    (role,) = (each for each in MANIFESTS if each["kind"] == "Role")
    assert all(rule["resourceNames"] and set(rule["verbs"]) <= {"get", "patch"} for rule in role["rules"])


@pytest.mark.parametrize("job", JOBS, ids=lambda each: each["metadata"]["name"])
def test_a_job_runs_in_what_was_merged(job: dict[str, Any], tmp_path: Path) -> None:
    """With a program in place of reconciler that tells what it was called with, and what it finds."""
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    repository, home, programs = (tmp_path / name for name in ("repository", "home", "bin"))
    for folder in (repository, home, programs):
        folder.mkdir()
    (repository / "keys.yaml").write_text("version: 1\n", "utf-8")
    told = programs / "reconciler"
    told.write_text('#!/bin/sh\necho "$@"\ncat keys.yaml\n', "utf-8")
    told.chmod(0o755)
    author = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "."],
        [*author, "commit", "-qm", "Merged"],
    ):
        subprocess.run([GIT, "-C", str(repository), *command], check=True)
    environment = {
        "HOME": str(home),
        "KEYS_REPOSITORY": repository.as_uri(),
        "PATH": f"{programs}:{os.environ['PATH']}",
        **{each["name"]: each["value"] for each in container["env"] if each.get("value", "").startswith("--")},
    }
    done = subprocess.run(
        [*container["command"], *container["args"]], env=environment, check=True, capture_output=True, text=True
    )
    called, *found = done.stdout.splitlines()
    assert called.split()[0] in COMMANDS
    assert ("--due" in called) == (job["metadata"]["name"] == "apply")
    assert found == ["version: 1"]
