"""Saved plans and digests: what was reviewed is what runs, or nothing runs."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dotenv import dotenv_values
from jsonschema import Draft202012Validator

from reconciler.account import lock
from reconciler.engine import applying
from reconciler.files import shipped_schema
from support.command import Front, call, on_a_file, on_a_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREE = "{a: {credit_limit: 1}, b: {credit_limit: 1}, c: {credit_limit: 1}}"
SCHEMA = Draft202012Validator(json.loads(shipped_schema("plan.schema.json")))
SAVED = Path("plan.json")


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def save(front: Front, *words: str, keys: str = THREE) -> dict[str, Any]:
    assert front.declare(keys)("plan", "--out", "plan.json", *words).code == 0
    document: dict[str, Any] = json.loads(SAVED.read_text())
    return document


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_saved_plan_is_what_json_shows_and_holds_no_secret(front: Front) -> None:
    _, secret = front.state.create_key("ci/a", Decimal(9))
    document = save(front, "-e", "ci", "--allow", "ci/*", "--only", "ci/?", "--rotate", "ci/a", "--no-overlap")
    assert list(SCHEMA.iter_errors(document)) == []
    assert document["options"] == {
        "rotate": ["ci/a"],
        "overlap": False,
        "allow": ["ci/*"],
        "environments": ["ci"],
        "only": ["ci/?"],
    }
    words = ["-e", "ci", "--allow", "ci/*", "--only", "ci/?", "--rotate", "ci/a", "--no-overlap"]
    shown = front("plan", "--format", "json", *words).document
    moment = {"created_at": "", "checksum": ""}  # the one is the other's part
    assert {**shown, **moment} == {**document, **moment}
    assert secret.reveal() not in SAVED.read_text()


@pytest.mark.parametrize("before", [None, 0o644, 0o600])
def test_only_its_owner_can_read_it(front: Front, before: int | None) -> None:
    if before is not None:
        SAVED.write_text("x" * 100_000)
        SAVED.chmod(before)
    save(front)
    assert mode(SAVED) == 0o600


def test_a_link_is_followed_and_what_it_leads_to_is_closed_to_others(front: Front) -> None:
    Path("elsewhere.json").write_text("")
    Path("elsewhere.json").chmod(0o644)
    SAVED.symlink_to("elsewhere.json")
    save(front)
    assert SAVED.is_symlink()
    assert mode(Path("elsewhere.json")) == 0o600


def test_a_device_keeps_its_permissions(front: Front) -> None:
    before = mode(Path("/dev/null"))
    assert front.declare(THREE)("plan", "--out", "/dev/null").code == 0
    assert mode(Path("/dev/null")) == before


def test_what_cannot_be_written_is_named(front: Front) -> None:
    ended = front.declare(THREE)("plan", "--out", "nowhere/plan.json")
    assert ended.code == 1
    assert "nowhere/plan.json" in ended.err


def test_a_folder_is_refused_before_the_account_is_asked(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    front.declare(THREE)
    Path("plans").mkdir()
    monkeypatch.delenv("NAGA_PROVISIONING_KEY", raising=False)
    ended = call("plan", "--out", "plans")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: --out plans is a folder; name a file in it, like plans/plan.json\n"


# --- applying it ------------------------------------------------------------------------------------------------------


def test_it_is_applied_as_it_was_reviewed_under_the_same_wishes(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    front.state.create_key("ci/stranger")
    save(front, "--rotate", "ci/a", "--only", "ci/a", "--no-overlap")
    ended = front("apply", "plan.json", "--auto-approve", "--format", "json")
    assert ended.code == 0
    assert [change["action"] for change in ended.document["changes"]] == ["rotate"]
    names = front.names()
    assert [name.partition("~old.")[0] for name in names] == ["ci/a", "ci/a", "ci/stranger"]
    assert front.state.opens(dotenv_values("secrets.env")["KEY_A"] or "")
    assert [key.is_enabled for key in front.state.keys() if "~old." in key.name] == [False]  # noqa: SIM118  # a method


def test_a_plan_without_changes_is_applied_too(front: Front) -> None:
    save(front, keys="{}")
    assert front("apply", "plan.json").code == 0


def move_limit(front: Front) -> None:
    front.state.update_key(1, credit_limit=Decimal(7))


def remove_key(front: Front) -> None:
    front.state.delete_key(1)


def add_key(front: Front) -> None:
    front.state.create_key("ci/stranger")


def edit_file(front: Front) -> None:
    front.declare(THREE.replace("c: {credit_limit: 1}", "c: {credit_limit: 3}"))


MOVES = [
    (
        move_limit,
        [
            "was planned, and is not any more: update ci/a (key 1): credit_limit 9 → 1",
            "is planned now, and was not: update ci/a (key 1): credit_limit 7 → 1",
        ],
    ),
    (
        remove_key,
        [
            "was planned, and is not any more: update ci/a (key 1): credit_limit 9 → 1",
            "is planned now, and was not: create ci/a",
        ],
    ),
    (add_key, ["is planned now, and was not: delete ci/stranger (key 2)"]),
    (edit_file, ["create ci/c: after credit_limit was 1, is 3"]),
]


@pytest.mark.parametrize(("move", "said"), MOVES, ids=[move.__name__ for move, _ in MOVES])
@pytest.mark.parametrize("output_format", ["text", "json", "markdown"])
def test_a_stale_plan_says_what_moved_and_changes_nothing(
    front: Front, move: Callable[[Front], None], said: list[str], output_format: str
) -> None:
    front.state.create_key("ci/a", Decimal(9))
    document = save(front)
    move(front)
    before = front.state.keys()
    ended = front("apply", "plan.json", "--auto-approve", "--format", output_format)
    assert ended.code == 4
    lines = [line.removeprefix("error: ") for line in ended.err.splitlines() if line.startswith("error: ")]
    assert lines[0].endswith("review a new `reconciler plan`")
    assert lines[1:-1] == said
    assert lines[-1].endswith(f"and {document['digest']} was reviewed")
    assert front.state.keys() == before
    assert not Path("secrets.env").exists()


def test_what_the_plan_leaves_alone_may_move(front: Front) -> None:
    front.state.create_key("stranger")
    front.state.create_key("ci/a", Decimal(1))
    save(front, keys=THREE.replace("b: {", "b: {description: x, "))
    front.state.create_key("another stranger")
    front.declare(THREE.replace("b: {", "b: {description: another, "))
    assert front("apply", "plan.json", "--auto-approve").code == 0


def test_what_moves_before_the_lock_is_taken_makes_it_stale_too(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(lock.Lock):
        async def _acquire(self, *how: Any) -> Any:
            front.state.create_key("ci/stranger")
            return await super()._acquire(*how)

    save(front)
    monkeypatch.setattr(applying, "Lock", Late)
    ended = front("apply", "plan.json", "--auto-approve")
    assert ended.code == 4
    assert "is planned now, and was not: delete ci/stranger (key 1)" in ended.err
    assert front.names() == ["ci/stranger"]


def test_a_stale_plan_sweeps_nothing(front: Front) -> None:
    save(front)
    front.state.create_key("reconciler~lock.dead", Decimal(0), front.state.now() + timedelta(seconds=1))
    front.state.travel(timedelta(seconds=2))
    front.declare("{}")
    assert front("apply", "plan.json").code == 4
    assert front.names() == ["reconciler~lock.dead"]


def test_a_plan_that_was_refused_stays_refused(front: Front) -> None:
    """What forbade it may not be known any more: here, what --base protects."""
    front.state.create_key("ci/a")
    Path("old.yaml").write_text("{version: 1, environments: {ci: {protected: true, keys: {a: {credit_limit: 1}}}}}")
    front.declare("{}")
    assert front("plan", "--base", "old.yaml", "--out", "plan.json").code == 3
    ended = front("apply", "plan.json", "--auto-approve")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.endswith(" `reconciler plan --out plan.json`\n")
    assert front.names() == ["ci/a"]


def test_a_saved_plan_is_allowed_what_it_was_planned_with(front: Front) -> None:
    front.state.create_key("ci/a")
    front.write("{version: 1, environments: {ci: {protected: true, keys: {}}}}")
    assert front("plan", "--out", "plan.json").code == 3
    assert front("plan", "--out", "plan.json", "--allow", "ci/a").code == 0
    assert front("apply", "plan.json", "--auto-approve").code == 0
    assert front.names() == []
    # What it allowed is gone by now: the plan is stale, and its options were right.
    assert front("apply", "plan.json", "--auto-approve").code == 4


@pytest.mark.parametrize(
    "words",
    [("--rotate", "ci/a"), ("--allow", "ci/a"), ("-e", "ci"), ("--only", "ci/a"), ("--no-overlap",)],
    ids=lambda words: words[0],
)
def test_what_belongs_to_the_plan_is_not_taken_from_who_applies_it(front: Front, words: tuple[str, ...]) -> None:
    save(front)
    ended = front("apply", "plan.json", "--auto-approve", *words)
    flag = "--environment" if words[0] == "-e" else words[0]
    assert ended.code == 1
    assert ended.err == (
        f"error: {flag} belongs to the plan: give it to `reconciler plan --out plan.json`, and apply what that wrote\n"
    )
    assert front.names() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "plan.json cannot be read: No such file or directory; `reconciler plan --out plan.json` writes a plan"),
        (b"{}", "plan.json is not a plan; make one with `reconciler plan --out plan.json`"),
    ],
)
def test_what_is_no_saved_plan_is_not_applied(front: Front, content: bytes | None, said: str) -> None:
    if content is not None:
        SAVED.write_bytes(content)
    ended = front.declare(THREE)("apply", "plan.json", "--auto-approve")
    assert (ended.code, ended.err) == (1, f"error: {said}\n")


@pytest.mark.parametrize("name", ["keys.yaml", "keys"])
def test_a_declaration_is_not_taken_for_a_plan(front: Front, name: str) -> None:
    Path("keys").mkdir()
    ended = front.declare(THREE)("apply", name, "--auto-approve")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"error: {name} is no plan that `reconciler plan --out plan.json` has saved; to name a declaration: -f {name}\n"
    )


# --- --expect-digest --------------------------------------------------------------------------------------------------


def digest(front: Front, *words: str) -> str:
    return str(front("plan", "--format", "json", *words).document["digest"])


@pytest.mark.parametrize("kind", [on_a_file, on_a_socket])
def test_what_was_reviewed_by_its_digest_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    with kind(tmp_path, monkeypatch) as front:
        reviewed = digest(front.declare(THREE))
        assert front("apply", "--auto-approve", "--expect-digest", reviewed).code == 0
        assert front.names() == ["ci/a", "ci/b", "ci/c"]


@pytest.mark.parametrize("keys", [THREE, "{}"], ids=["other changes", "no changes"])
def test_anything_else_than_was_reviewed_does_not_run(front: Front, keys: str) -> None:
    front.declare("{a: {credit_limit: 2}}")
    reviewed = digest(front)
    found = digest(front.declare(keys))
    ended = front("apply", "--auto-approve", "--expect-digest", reviewed)
    assert ended.code == 4
    assert ended.err.endswith(f"error: the digest is {found}, and {reviewed} was reviewed\n")
    assert front.names() == []


def test_a_saved_plan_can_be_held_to_the_digest_that_was_reviewed(front: Front) -> None:
    document = save(front)
    other = "sha256:" + "0" * 64
    ended = front("apply", "plan.json", "--auto-approve", "--expect-digest", other)
    assert ended.code == 4
    assert ended.err == (
        "error: plan.json is not the plan that was reviewed: "
        f"its digest is {document['digest']}, and {other} was expected\n"
    )
    assert front.names() == []
    assert front("apply", "plan.json", "--auto-approve", "--expect-digest", document["digest"]).code == 0


def test_a_saved_plan_never_overwrites_a_declaration(front: Front) -> None:
    before = front.declare(THREE)
    ended = before("plan", "--out", "keys.yaml")
    assert ended.code == 1
    assert "looks like a declaration, which is not overwritten" in ended.err
    assert Path("keys.yaml").read_text().startswith("version: 1")


def test_a_rotation_that_the_selection_leaves_out_is_not_passed_over(front: Front) -> None:
    ended = front.declare(THREE)("plan", "--only", "ci/a", "--rotate", "ci/b")
    assert ended.code == 1
    assert "--rotate ci/b is left out by -e or --only" in ended.err


def test_a_refused_apply_has_its_findings_in_its_document(front: Front) -> None:
    front.state.create_key("ci/a", Decimal(1))
    front.state.create_key("ci/a", Decimal(1))
    ended = front.declare(THREE)("apply", "--auto-approve", "--format", "json")
    assert ended.code == 3
    assert [finding["rule"] for finding in ended.document["findings"]] == ["duplicate-name"]
