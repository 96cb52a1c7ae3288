"""`reconciler init` in a repository of one's own."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

import reconciler
from reconciler.cli.init import ENVIRONMENTS, GITLAB_FILE, GITLAB_JOBS, WORKFLOWS, environments_of
from reconciler.declaration import load
from reconciler.simulator import State
from support.command import call
from support.repository import commit, git

KEYS = """\
version: 1
destinations:
  app: {type: github-actions, repository: acme/app}
  vault: {type: vault, path: "naga/{environment}"}
environments:
  qa:
    provisioning_key_env: NAGA_QA
    deliver: [{to: vault, as: "{key}"}]
    keys: {api: {credit_limit: 1}}
  live:
    deliver: [{to: app, as: "KEY_{KEY}"}]
    keys: {api: {credit_limit: 1}}
"""
BASH = shutil.which("bash") or "bash"
FILES = [Path(".github/workflows", f"{name}.yml") for name in WORKFLOWS]
PINS = Path(".github/reconciler")
WHEEL = f"naga_reconciler-{reconciler.__version__}-py3-none-any.whl"
PINNED = [str(PINS / WHEEL), str(PINS / "requirements.txt")]


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", "git@github.com:acme/api.git")
    return tmp_path


def said(*words: str) -> str:
    ended = call("init", *words)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def refusal(*words: str) -> str:
    ended = call("init", *words)
    assert (ended.code, ended.out) == (1, "")
    assert not Path(".github").exists()
    return ended.err


def test_an_empty_repository_gets_a_file_the_workflows_and_what_they_install() -> None:
    out = said()
    assert re.findall(r"^(\w+)  +(\S+)$", out, re.MULTILINE) == [
        ("wrote", "keys.yaml"),
        *(("wrote", str(file)) for file in FILES),
        *(("wrote", file) for file in PINNED),
    ]
    assert {str(file) for file in Path().rglob("*.y*ml")} == {"keys.yaml", *map(str, FILES)}


def test_the_starter_file_is_valid_and_can_be_planned_on_the_simulator() -> None:
    said()
    assert list(load(Path("keys.yaml")).environments) == sorted(ENVIRONMENTS)
    ended = call("plan", "--simulator", "sim.db", "--format", "json")
    assert (ended.code, ended.document["summary"]["create"]) == (0, 4)
    with State(Path("sim.db")) as state:
        assert list(state.keys()) == []


def test_the_starter_file_is_in_the_form_that_fmt_gives() -> None:
    said()
    assert call("fmt", "--check").code == 0


def test_the_secrets_of_the_starter_file_go_to_the_repository_that_it_is_in() -> None:
    said()
    deliveries = [delivery for key in load(Path("keys.yaml")).keys for delivery in key.deliver]
    assert {dict(each.target.settings)["repository"] for each in deliveries} == {"acme/api"}


def test_a_second_time_nothing_is_touched() -> None:
    said()
    for file in FILES:
        file.write_text(file.read_text("utf-8") + "# mine\n", "utf-8")
    before = {file: file.read_bytes() for file in [*FILES, Path("keys.yaml")]}
    lines = said().splitlines()
    left = [*FILES, PINNED[-1]]
    assert lines[: lines.index("")] == ["used   keys.yaml", *(f"left   {file}: it is there already" for file in left)]
    assert {file: file.read_bytes() for file in before} == before


def test_only_what_is_missing_is_written() -> None:
    said()
    FILES[1].unlink()
    assert said().splitlines()[1 : len(FILES) + 1] == [
        f"left   {FILES[0]}: it is there already",
        f"wrote  {FILES[1]}",
        *(f"left   {file}: it is there already" for file in FILES[2:]),
    ]


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    FILES[0].parent.mkdir(parents=True)
    FILES[0].symlink_to(tmp_path / "elsewhere")
    assert f"left   {FILES[0]}: it is there already" in said()
    assert not (tmp_path / "elsewhere").exists()


def test_an_environment_that_no_job_of_an_existing_workflow_has_is_named() -> None:
    said()
    file = Path("keys.yaml")
    file.write_text(file.read_text("utf-8") + "  qa: {keys: {}}\n  beta: {keys: {}}\n", "utf-8")
    assert f"left   {FILES[1]}: it is there already, and has no job for beta, qa: add it to the matrix" in said()


def test_each_environment_of_an_existing_file_gets_its_jobs_and_its_key() -> None:
    Path("keys.yaml").write_text(KEYS, "utf-8")
    out = said()
    assert Path("keys.yaml").read_text("utf-8") == KEYS
    assert out.startswith("used   keys.yaml\nwrote ")
    for file in FILES:
        assert environments_of(file) == {"live", "qa"}
        job = yaml.safe_load(file.read_bytes())["jobs"][file.stem]
        assert {"NAGA_QA", "NAGA_PROVISIONING_KEY"} <= set(job["steps"][-1]["env"])
    assert {"click", "httpx", "pynacl"} <= installed().keys()
    assert not installed().keys() & {"boto3", "pyrage", "starlette"}


@pytest.mark.parametrize(
    ("place", "argument", "file", "watched"),
    [
        ("keys/a.yaml", ".", "keys", "keys/*.yaml"),
        ("infra/keys.yaml", "infra", "infra/keys.yaml", "infra/keys.yaml"),
        ("infra/keys/a.yaml", "infra", "infra/keys", "infra/keys/*.yaml"),
        ("teams/a.yaml", "teams", "teams", "teams/*.yaml"),
    ],
)
def test_a_declaration_is_used_where_it_is(place: str, argument: str, file: str, watched: str) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text(KEYS, "utf-8")
    assert said(argument).startswith(f"used   {file}\n")
    plan = yaml.safe_load(FILES[0].read_bytes())
    assert plan["env"] == {"FILE": file}
    assert plan[True]["pull_request"]["paths"][0] == watched
    assert not Path("keys.yaml").exists()


def test_a_declaration_that_is_a_link_keeps_its_place() -> None:
    Path("real.yaml").write_text(KEYS, "utf-8")
    Path("keys.yaml").symlink_to("real.yaml")
    assert said().startswith("used   keys.yaml\n")
    assert Path("keys.yaml").is_symlink()


def test_a_declaration_that_is_a_link_out_of_the_repository_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "real.yaml"
    elsewhere.write_text(KEYS, "utf-8")
    Path("keys.yaml").symlink_to(elsewhere)
    assert call("init").code == 1
    assert [file for file in FILES if file.exists()] == []


def test_in_a_folder_the_file_goes_there_and_the_workflows_to_the_top() -> None:
    Path("infra").mkdir()
    said("infra")
    assert Path("infra/keys.yaml").is_file()
    assert [file.is_file() for file in FILES] == [True] * len(FILES)


def installed() -> dict[str, str]:
    """Give what a job installs, each with the line that names it; every line has a hash."""
    text = (PINS / "requirements.txt").read_text("utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert [line for line in lines if "--hash=sha256:" not in line] == []
    return {re.split("[=@/ -]*(?:==|@|/| )", line)[0]: line for line in lines}


def test_without_a_destination_that_needs_one_no_extra_is_installed() -> None:
    Path("keys.yaml").write_text("version: 1\nenvironments: {ci: {keys: {}}}\n", "utf-8")
    said()
    assert not installed().keys() & {"pynacl", "pyrage", "boto3"}


def test_by_default_a_job_installs_the_very_files_that_run_here() -> None:
    said()
    data = (PINS / WHEEL).read_bytes()
    assert f"./{WHEEL} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n" in (PINS / "requirements.txt").read_text()
    with ZipFile(PINS / WHEEL) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    package = Path(reconciler.__file__).parent
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {f"reconciler/{path.relative_to(package)}": path.read_bytes() for path in files}.items() <= held.items()
    assert {"reconciler/schemas/keys.schema.json", "reconciler/requirements/runtime.txt"} < held.keys()
    for line in held[f"{WHEEL.partition('-py3')[0]}.dist-info/RECORD"].decode().splitlines()[:-1]:
        name, digest, size = line.rsplit(",", 2)
        hashed = base64.urlsafe_b64encode(hashlib.sha256(held.pop(name)).digest()).rstrip(b"=").decode()
        assert (digest, int(size) >= 0) == (f"sha256={hashed}", True)
    assert [name.rpartition("/")[2] for name in held] == ["RECORD"]


HASH = "0123456789abcdef" * 4
ADDRESS = "https://wheels.example.com/n.whl"


@pytest.mark.parametrize(
    ("package", "line"),
    [
        (f"{ADDRESS}#sha256={HASH}", f"naga-reconciler @ {ADDRESS} --hash=sha256:{HASH}"),
        (f"naga-reconciler[a] @ {ADDRESS}#sha256={HASH}", f"naga-reconciler @ {ADDRESS} --hash=sha256:{HASH}"),
        (f"naga-reconciler==9.0 --hash=sha256:{HASH}", f"naga-reconciler==9.0 --hash=sha256:{HASH}"),
        (f"naga-reconciler[all]==9.0 --hash=sha256:{HASH}", f"naga-reconciler==9.0 --hash=sha256:{HASH}"),
    ],
)
def test_a_release_or_an_address_is_installed_by_the_hash_that_is_given(package: str, line: str) -> None:
    said("--package", package)
    assert line in (PINS / "requirements.txt").read_text("utf-8").splitlines()
    assert [file.name for file in PINS.iterdir()] == ["requirements.txt"]


def test_a_wheel_of_this_machine_is_put_beside_the_list(tmp_path: Path) -> None:
    for name in (WHEEL, f"file://{tmp_path}/naga_reconciler-9.0-py3-none-any.whl"):
        wheel = tmp_path / name.rpartition("/")[2]
        wheel.write_bytes(b"a wheel")
        said("--package", name)
        assert (PINS / wheel.name).read_bytes() == b"a wheel"
        assert f"./{wheel.name} --hash=sha256:{hashlib.sha256(b'a wheel').hexdigest()}" in installed()["."]
        shutil.rmtree(PINS)


@pytest.mark.parametrize(
    "package",
    [
        "naga-reconciler",
        "naga-reconciler==9.0",
        "https://w.example.com/naga_reconciler-9.0-py3-none-any.whl",
        f"http://w.example.com/n.whl#sha256={HASH}",
        f"naga-reconciler==9.0 --hash=sha256:{HASH} --index-url=https://evil.example.com",
        f"https://w.example.com/n.whl#sha256={HASH[1:]}",
        "./other-1.0-py3-none-any.whl",
        "./naga_reconciler-9.0-py3-none-any.whl",
    ],
)
def test_what_has_no_hash_is_refused_and_nothing_is_written(package: str) -> None:
    assert package.rpartition("/")[2] in refusal("--package", package)
    assert not Path("keys.yaml").exists()


def test_an_old_list_of_pins_says_what_it_lacks() -> None:
    said()
    list_of = PINS / "requirements.txt"
    text = list_of.read_text("utf-8")
    list_of.write_text(
        re.sub("(?m)^pynacl==.*", "other==1 \\\\", text.replace(reconciler.__version__, "0.0.1")), "utf-8"
    )
    (line,) = (line for line in said().splitlines() if "requirements.txt" in line)
    assert line.startswith(f"left   {list_of}: ")
    assert f"naga-reconciler {reconciler.__version__}, pynacl" in line
    assert [file.name for file in PINS.glob("*.whl")] == [WHEEL]


@pytest.mark.parametrize(("text", "has_boto3"), [(KEYS, False), ("", True)])
def test_the_pins_alone_can_be_had_for_a_pipeline_of_ones_own(text: str, has_boto3: bool, tmp_path: Path) -> None:  # noqa: FBT001  # of a table
    if text:
        Path("keys.yaml").write_text(text, "utf-8")
    out = said("--pins", "image/pins")
    assert out.splitlines() == [f"wrote  {WHEEL}", "wrote  requirements.txt"]
    assert ("boto3==" in (tmp_path / "image/pins/requirements.txt").read_text("utf-8")) is has_boto3
    assert not Path(".github").exists()


def test_where_no_remote_tells_the_repository_it_has_to_be_named() -> None:
    git("remote", "remove", "origin")
    assert "name it: --repository acme/keys" in refusal()
    said("--repository", "acme/other")
    assert "repository: acme/other\n" in Path("keys.yaml").read_text("utf-8")


def test_a_repository_that_cannot_be_is_refused() -> None:
    assert refusal("--repository", "acme/a b") == (
        "error: --repository acme/a b is no repository on GitHub; write it like acme/keys\n"
    )


def test_with_a_file_no_repository_is_needed() -> None:
    git("remote", "remove", "origin")
    Path("keys.yaml").write_text(KEYS, "utf-8")
    out = said()
    assert "gh secret set NAGA_QA --env" in out
    assert "repos/{owner}/{repo}/environments/$name" in out


def test_a_file_with_errors_is_told_and_nothing_is_written() -> None:
    Path("keys.yaml").write_text("version: 1\n", "utf-8")
    assert "keys.yaml:1:1: error: environments is missing" in refusal()


def test_a_file_without_environments_has_nothing_to_make_jobs_of() -> None:
    Path("keys.yaml").write_text("version: 1\nenvironments: {}\n", "utf-8")
    assert "keys.yaml declares no environment" in refusal()


def test_outside_of_a_repository_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "plain"))
    assert "run `git init`" in refusal("plain")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    Path(".github").write_text("", "utf-8")
    ended = call("init")
    assert ended.code == 1
    assert ended.err == f"error: the folder {tmp_path}/.github/workflows cannot be made: Not a directory\n"


def test_a_file_that_cannot_be_written_is_named_and_not_there_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ended = call("init")
    assert ended.code == 1
    assert ended.err.endswith("keys.yaml cannot be written: No space left on device\n")
    assert [*Path.cwd().glob("*.yaml")] == [*Path.cwd().glob(".reconciler-*")] == []


# --- the next steps ---------------------------------------------------------------------------------------------------


GH = """\
#!/bin/sh
case "$*" in "secret set"*) held=" < $(cat)" ;; esac
printf '%s\\n' "$*$held" >> asked
[ "$*" != "api --silent repos/acme/api/environments/ci" ]
"""


def typed(out: str) -> list[str]:
    """Give the lines that the next steps tell to type."""
    return [line.strip() for line in out.splitlines() if line.startswith("     ")]


def test_there_are_three_next_steps() -> None:
    assert re.findall(r"^(\d)\. ", said(), re.MULTILINE) == ["1", "2", "3"]


@pytest.mark.parametrize("text", ["", KEYS])
def test_all_that_the_next_steps_tell_to_type_is_sound_shell(text: str) -> None:
    if text:
        Path("keys.yaml").write_text(text, "utf-8")
    script = "\n".join(typed(said()))
    subprocess.run(["bash", "-n", "-c", script], check=True)  # noqa: S607  # the shell that is in the PATH


def test_every_environment_gets_its_key_and_only_those_that_apply_the_app(tmp_path: Path) -> None:
    """Typed with a `gh` that writes down what it was asked; `production` exists already."""
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(GH, "utf-8")
    gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "app.private-key.pem").write_text("a key", "utf-8")
    lines = typed(said())
    script = "\n".join(lines[lines.index("reconciler import --file keys.yaml") + 2 :]).partition("git switch")[0]
    path = f"PATH={shlex.quote(str(gh.parent))}:$PATH"
    keys = "export NAGA_PROVISIONING_KEY='ng-a %s\\n'"
    subprocess.run(["bash", "-c", f"{path}\n{keys}\n{script}"], check=True)  # noqa: S607  # the shell that is in the PATH
    asked = Path("asked").read_text("utf-8").splitlines()
    both = [name for each in ENVIRONMENTS for name in (each, f"{each}-plan", f"{each}-nightly")]
    assert [line for line in asked if "PROVISIONING" in line] == [
        f"secret set NAGA_PROVISIONING_KEY --repo acme/api --env {name} < ng-a %s\\n" for name in both
    ]
    assert [line for line in asked if "APP_PRIVATE" in line] == [
        f"secret set RECONCILER_APP_PRIVATE_KEY --repo acme/api --env {name} < a key"
        for each in ENVIRONMENTS
        for name in (each, f"{each}-nightly")
    ]
    made, *limited = [line for line in asked if "PUT" in line]
    assert made == "api --silent --method PUT repos/acme/api/environments/ci"
    chosen = (
        "-F deployment_branch_policy[protected_branches]=false -F deployment_branch_policy[custom_branch_policies]=true"
    )
    assert [line.split(" ", 4)[4] for line in limited] == [
        f"repos/acme/api/environments/{each}-nightly {chosen}" for each in ENVIRONMENTS
    ]
    policies = [line for line in asked if "POST" in line]
    assert [line.split(" ", 4)[4] for line in policies] == [
        f"repos/acme/api/environments/{each}-nightly/deployment-branch-policies -f name=main" for each in ENVIRONMENTS
    ]


def test_what_the_last_step_commits_is_all_that_was_written() -> None:
    lines = typed(said())
    for line in lines[lines.index("git switch --create api-keys") :][:3]:
        git(*shlex.split(line)[1:])
    assert git("ls-files").splitlines() == sorted(["keys.yaml", *map(str, FILES), *PINNED])
    assert git("status", "--porcelain") == ""


def test_a_file_that_was_there_is_planned_and_no_account_is_imported() -> None:
    Path("keys.yaml").write_text(KEYS, "utf-8")
    commit()
    lines = typed(said())
    assert lines[:3] == [
        "export NAGA_PROVISIONING_KEY=…   # a provisioning key, from the dashboard",
        "export NAGA_QA=…   # a provisioning key, from the dashboard",
        "reconciler plan --file keys.yaml",
    ]
    assert not [line for line in lines if line.startswith("reconciler import")]
    assert lines[-1] == "gh pr create --fill"


def test_an_environment_gets_the_key_of_its_own_account_and_no_other() -> None:
    Path("keys.yaml").write_text(KEYS, "utf-8")
    key = r'printf %s "\$\{(\w+):\?\}" \| gh secret set (\w+) '
    loops = re.findall(rf"for name in (.*?); do\n.*\n.*\n +{key}", said())
    assert loops == [
        ("live live-plan live-nightly", "NAGA_PROVISIONING_KEY", "NAGA_PROVISIONING_KEY"),
        ("qa qa-plan qa-nightly", "NAGA_QA", "NAGA_QA"),
    ]


def test_a_key_that_is_not_exported_is_named(tmp_path: Path) -> None:
    (line,) = {line for line in typed(said()) if line.startswith("printf")}
    before = f"PATH={shlex.quote(str(tmp_path))}; unset NAGA_PROVISIONING_KEY"
    words = ["bash", "-c", f"{before}\n{line}"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "NAGA_PROVISIONING_KEY: parameter null or not set" in ended.stderr


@pytest.mark.parametrize("name", ["infra", "in fra"])
def test_what_is_to_be_typed_works_from_the_top_and_it_says_how_to_get_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(name, "naga").mkdir(parents=True)
    monkeypatch.chdir(name)
    out = said("naga")
    assert "0. Go to the top of the repository: cd ..\n" in out
    monkeypatch.chdir("..")
    lines = typed(out)
    (again,) = (shlex.split(line, comments=True) for line in lines if line.startswith("reconciler init"))
    assert call(*again[1:]).out.startswith(f"used   {name}/naga/keys.yaml\n")
    for line in lines[lines.index("git switch --create api-keys") :][:3]:
        git(*shlex.split(line)[1:])
    assert git("status", "--porcelain") == ""


def test_it_says_for_which_branch_of_which_repository_the_workflows_are() -> None:
    assert "\nThe workflows are for the branch main of acme/api; if that is not the default one, " in said()


def test_where_the_remote_is_no_github_and_no_gitlab_another_guide_is_named() -> None:
    git("remote", "set-url", "origin", "git@bitbucket.org:acme/api.git")
    Path("keys.yaml").write_text(KEYS, "utf-8")
    assert "the remote is at bitbucket.org, and these workflows are for GitHub: see docs/cron.md" in refusal()
    assert "of acme/other;" in said("--repository", "acme/other")


# --- GitLab -----------------------------------------------------------------------------------------------------------


def test_a_project_on_gitlab_gets_a_file_and_jobs_that_its_pipeline_includes() -> None:
    git("remote", "set-url", "origin", "https://gitlab.example.com/acme/team/api.git/")
    out = said()
    assert re.findall(r"^wrote  (\S+)$", out, re.MULTILINE) == [
        "keys.yaml",
        GITLAB_JOBS,
        GITLAB_FILE,
        f".gitlab/reconciler/{WHEEL}",
        ".gitlab/reconciler/requirements.txt",
    ]
    (delivery, *_) = (each for key in load(Path("keys.yaml")).keys for each in key.deliver)
    scope = ("environment_scope", delivery.target.settings[0][1])
    assert (delivery.target.type, delivery.target.settings) == ("gitlab-ci", (scope, ("project", "acme/team/api")))
    assert call("fmt", "--check").code == 0
    assert environments_of(Path(GITLAB_JOBS)) == {*ENVIRONMENTS}
    Path("keys.yaml").write_text(KEYS, "utf-8")
    again = said()
    assert f"left   {GITLAB_JOBS}: it is there already, and has no job for live, qa: add it to the matrix" in again
    assert f"left   {GITLAB_FILE}: it is there already\n" in again


def test_a_pipeline_that_is_there_is_told_what_to_include() -> None:
    Path(".gitlab-ci.yml").write_text("test: {script: [make test]}\n", "utf-8")
    out = said("--ci", "gitlab")
    assert f"left   {GITLAB_FILE}: it is there already; add to it  include: [{{local: /{GITLAB_JOBS}}}]\n" in out


def test_what_is_told_for_gitlab_is_sound_shell_and_commits_all_that_was_written() -> None:
    Path(".gitignore").write_text("/told\n", "utf-8")
    commit("Begin")
    out = said("--ci", "gitlab")
    lines = [line.strip() for line in out.splitlines() if line.startswith("     ")]
    subprocess.run([BASH, "-n"], input="\n".join(lines), text=True, check=True)
    for line in lines[lines.index("git switch --create api-keys") :][:3]:
        git(*shlex.split(line)[1:])
    assert git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("remote", "words", "message"),
    [
        ("git@gitlab.com:acme/api.git", ["--repository", "acme"], "no project on GitLab"),
        ("/srv/git/api", ["--ci", "gitlab"], "no remote of git names the project on GitLab"),
        ("git@gitlab.com:acme/api.git", ["--ci", "github"], "no remote of git names the repository on GitHub"),
    ],
)
def test_a_project_has_to_be_known(remote: str, words: list[str], message: str) -> None:
    git("remote", "set-url", "origin", remote)
    assert message in refusal(*words)
