"""`reconciler validate`: what is wrong, where, and in which format."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from support.command import call

SCHEMA = json.loads((Path(__file__).parents[1] / "support/sarif/sarif-2.1.0-rtm.5.json").read_text("utf-8"))
WRONG = "version: 1\nenvironments:\n  ci:\n    keys:\n      a: {credit_limt: 5}\n"


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(text: str, name: str = "keys.yaml", *words: str) -> str:
    Path(name).write_text(text, "utf-8")
    ended = call("validate", "-f", name, *words)
    assert ended.code == 1
    return ended.err


def test_an_error_shows_its_line_with_a_mark_below_the_place() -> None:
    assert said(WRONG) == (
        "keys.yaml:5:11: error: unknown field 'credit_limt'; did you mean 'credit_limit'?\n"
        "    5 |       a: {credit_limt: 5}\n"
        "      |           ^\n"
        "1 error; nothing was changed.\n"
    )


@pytest.mark.parametrize(
    ("line", "shown", "column"),
    [
        ('a: {description: "漢字", credit_limt: 5}', '      a: {description: "漢字", credit_limt: 5}', 31),
        ('a: {description: "a\\b", credit_limit: 5}', None, 0),
        (f'a: {{description: "{"x" * 300}", credit_limt: 5}}', f'{"x" * 57}", credit_limt: 5}}', 60),
        (
            f'a: {{credit_limt: 5, description: "{"x" * 300}"}}',
            f'      a: {{credit_limt: 5, description: "{"x" * 30}',
            10,
        ),
    ],
    ids=["wide", "escape", "far to the right", "far from the end"],
)
def test_the_mark_is_below_the_place_in_lines_of_all_kinds(line: str, shown: str | None, column: int) -> None:
    err = said(WRONG.replace("a: {credit_limt: 5}", line)).splitlines()
    if shown is None:
        assert err[1] == '    5 |       a: {description: "a\\\\b", credit_limit: 5}'
        return
    assert err[1] == f"    5 | {shown}"
    assert err[2] == f"      | {' ' * column}^"


@pytest.mark.parametrize(
    "text",
    [
        "root:x:0:0:root\n",
        "[core]\n\tbare = false\n",
        WRONG.replace("credit_limt: 5", f"credit_limit: ng-{'a' * 32}"),
        "version: 1\nenvironments: {ci: {keys: {a: {credit_limit: -----BEGIN PRIVATE KEY-----}}}}\n",
    ],
    ids=["passwords", "another file", "a secret", "a private key"],
)
def test_no_line_is_shown_of_what_is_no_declaration_or_may_be_a_secret(text: str) -> None:
    assert " | " not in said(text)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (WRONG, [(5, 11)]),
        ("version: 2\nenvironments: {ci: {}}\n", [(1, 10), (2, 16)]),
        (WRONG.replace("credit_limt", "deliver: [], credit_limit"), []),
    ],
)
@pytest.mark.parametrize("name", ["keys.yaml", "our keys/ci #1.yaml"])
def test_sarif_is_what_its_schema_says(text: str, places: list[tuple[int, int]], name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, "utf-8")
    ended = call("validate", "-f", name, "--format", "sarif")
    assert ended.code == bool(places)
    Draft4Validator(SCHEMA).validate(ended.document)
    (run,) = ended.document["runs"]
    found = [each["locations"][0]["physicalLocation"] for each in run["results"]]
    assert [(each["region"]["startLine"], each["region"]["startColumn"]) for each in found] == places
    assert {each["artifactLocation"]["uri"] for each in found} <= {"keys.yaml", "our%20keys/ci%20%231.yaml"}


def test_sarif_names_a_file_by_its_address_where_it_was_named_so(tmp_path: Path) -> None:
    Path("keys.yaml").write_text(WRONG)
    (run,) = call("validate", "-f", str(tmp_path / "keys.yaml"), "--format", "sarif").document["runs"]
    (result,) = run["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == (tmp_path / "keys.yaml").as_uri()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (WRONG, [5]),
        ("version: 2\nenvironments: {ci: {}}\n", [1, 2]),
        (f"{WRONG}      b: {{credit_limt: 5}}\n", [5, 6]),
        (WRONG.replace("credit_limt", "deliver: [], credit_limit"), []),
    ],
)
def test_gitlab_gets_what_its_report_of_code_quality_has_to_have(text: str, lines: list[int]) -> None:
    Path("keys.yaml").write_text(text, "utf-8")
    ended = call("validate", "-f", "./keys.yaml", "--format", "gitlab")
    assert ended.code == bool(lines)
    issues: Any = json.loads(ended.out)
    assert [issue["location"] for issue in issues] == [{"path": "keys.yaml", "lines": {"begin": n}} for n in lines]
    assert len({issue["fingerprint"] for issue in issues}) == len(lines)
    assert all(issue["description"] and issue["severity"] == "major" for issue in issues)
    Path("keys.yaml").write_text(f"# moved\n{text}", "utf-8")
    moved: Any = json.loads(call("validate", "-f", "keys.yaml", "--format", "gitlab").out)
    assert [issue["fingerprint"] for issue in moved] == [issue["fingerprint"] for issue in issues]


START = "version: 1\nenvironments:\n  ci:\n    keys:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (START, "4:10: error: keys has no value; write keys below it"),
        ("version: 1\nenvironments\n  ci:\n    keys: {}\n", "2:1: error: a ':' is missing after this name"),
        (
            "version: 1\n\n# ours\nenvironments # all\n\n  # one\n  ci:\n    keys: {}\n",
            "4:1: error: a ':' is missing after",
        ),
        (
            f"{START}      a:\n        credit_limit 5\n        deliver: []\n",
            "6:9: error: a ':' is missing after this name",
        ),
        (f"{START}      a: b: c\n", "5:11: error: a ':' can't stand here"),
        ("a: b: c\n", "1:5: error: a ':' can't stand here"),
        ("version: 1\nenvironments:\n\tci: {}\n", "3:1: error: a tab can't indent; use spaces"),
        (f"{START}<<<<<<< HEAD\n      a: {{}}\n=======\n>>>>>>> x\n", "5:1: error: git has left a merge conflict here"),
        (f"{START}      a: {{credit_limit: 1,000}}\n", "5:30: error: 000 is what follows a comma"),
        (f"{START}      a: {{credit_limit: '1,000'}}\n", "; write the plain number 1000\n"),
        (f"{START}      a: {{credit_limit: $12.50}}\n", "; write the plain number 12.50\n"),
        (f"{START}      a: {{credit_limit: lots}}\n", "not the text 'lots'\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 3m}}\n", "must be at least 1d, or null for never"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 3m}}\n", ": m is minutes, for months write 90d\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 23h}}\n", "not the text '23h'\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 3M}}\n", "no fixed length: write 90d\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 2 years}}\n", "no fixed length: write 730d\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 12 weeks}}\n", "; write 12w\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: 90}}\n", "or null, not the number 90\n"),
        (f"{START}      a: {{credit_limit: 5, rotate_every: soon}}\n", "not the text 'soon'\n"),
    ],
)
def test_the_message_says_what_was_probably_meant(text: str, message: str) -> None:
    assert message in said(text)


def test_a_file_of_secrets_that_git_would_take_is_a_warning_until_it_is_ignored() -> None:
    subprocess.run(["git", "init", "--quiet", "."], check=True)  # noqa: S607  # the git of the machine
    Path("keys.yaml").write_text("""\
version: 1
destinations:
  local: {type: dotenv, path: "secrets/{environment}.env"}
  meant: {type: dotenv, path: meant.env, tracked: true}
environments:
  ci:
    deliver: [{to: local, as: "{KEY}"}, {to: meant, as: "{KEY}"}]
    keys: {a: {credit_limit: 1}, b: {credit_limit: 1}}
""")

    def found() -> tuple[list[str], str]:
        planned = call("plan", "--simulator", "sim.db", "--format", "json")
        offline = call("plan", "--base", "keys.yaml", "--offline", "--format", "json")
        valid = call("validate", "-f", "keys.yaml")
        assert [planned.code, offline.code, valid.code] == [0, 0, 0]
        rules = [finding["rule"] for each in (planned, offline) for finding in each.document["findings"]]
        return [rule for rule in rules if rule == "git-ignore"], valid.err

    rules, told = found()
    assert rules == ["git-ignore"] * 2
    assert told.startswith("warning: keys.yaml:7:15: local: git would take secrets/ci.env into a commit: add the line")
    assert len(told.splitlines()) == 1
    Path(".gitignore").write_text("/secrets/\n")
    assert found() == ([], "")
