"""The promise of `import`: planning what it wrote proposes what it announced, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.declaration import SourceFile, load_sources
from reconciler.formatting.edit import Additions, added, inheritance, key_texts
from reconciler.model import LiveKey, Snapshot
from reconciler.planning.actions import Create, Delete, Rename
from reconciler.planning.importing import adopt, glob_of
from reconciler.planning.planner import make_plan
from support.builders import NOW, activity
from support.search import examples
from support.writing import comments, without_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model import Address
    from reconciler.planning.actions import AccountPlan, Action
    from reconciler.planning.importing import Adoption

fuzz = settings(max_examples=examples(100))

PLACE = Path("keys.yaml")
EMPTY = SourceFile("keys.yaml", Path(), b"version: 1\nenvironments: {}\n")
HOSTILE = [
    *("   ", "\n", "a\nb", "\x1b[31mred\x1b[0m", "prod/*", "[a]", "a?", "[!a]*", "\u202egnp.exe", "\u200b", "\ufeff"),
    *("x" * 255, "#", "# x", "a #b", "a: b", ": ", "no", "Yes", "null", "~", "012", "1e3", "-", "- a", "{x}", "'", '"'),
    *("\\", "\\n", "%s", "API", "api", "Api!", "production/API", "production/", "/api", "production//api", "a/b/c"),
    *("imported/api", "imported/api-1", "ci/tests~new.abc", "ci/tests~next", "ci/tests~old.20200101T000000Z"),
    *("ci/tests~gone.20200101T000000Z", "~next", "reconciler~lock.abc", "ci/tests~x", "\ud800", "\x85", "\u2028"),
    *("é", "ключ", "鍵", "😀" * 60, "legacy-1"),
]
ours = st.builds(
    "{}/{}".format,
    st.sampled_from(["production", "ci", "imported", "no"]),
    st.sampled_from(["api", "on", "1", "b.c-d_e"]),
)
names = ours | st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=12)
limits = (
    st.none()
    | st.decimals(0, 10**6, places=6, allow_nan=False)
    | st.sampled_from([Decimal(10**12), Decimal("0.0000001"), Decimal(-1)])
)
instants = st.timedeltas(timedelta(-900), timedelta(900)).map(NOW.__add__)


@st.composite
def accounts(draw: st.DrawFn) -> Snapshot:
    """Draw an account in which anything may be called anything."""
    wanted = draw(st.lists(names, max_size=8))
    keys = [
        LiveKey(
            id=number + 1,
            name=name,
            created_at=draw(st.timedeltas(timedelta(1), timedelta(900))) * -1 + NOW,
            expires_at=draw(st.none() | instants),
            is_enabled=draw(st.booleans()),
            credit_limit=draw(limits),
        )
        for number, name in enumerate(wanted)
    ]
    return Snapshot(tuple(draw(st.permutations(keys))), NOW)


def imported(
    sources: Sequence[SourceFile], snapshot: Snapshot, *, keep_names: bool = False, is_folder: bool = False
) -> tuple[Adoption, list[SourceFile]]:
    """Import as the command does, and give the files as they are then."""
    adoption = adopt(load_sources(sources or [EMPTY]), snapshot, "imported", keep_names=keep_names)
    used = activity({1: ("28.34", 892)})
    additions = Additions(
        keys=key_texts(adoption.keys, inheritance(sources), used.of, snapshot.now),
        ignore=list(dict.fromkeys(glob_of(key.name) for key in adoption.ignored)),
    )
    changed = added(sources, additions, Path("keys") if is_folder else PLACE, is_folder=is_folder)
    return adoption, [*{source.name: source for source in (*sources, *changed)}.values()]


def subject(action: Action) -> int | Address:
    """Say what an action is about: the id of its live key, or the address that has none yet."""
    return action.address if isinstance(action, Create) else action.live.id


def planned(sources: Sequence[SourceFile], snapshot: Snapshot) -> AccountPlan:
    return make_plan(load_sources(sources), snapshot)


@fuzz
@given(snapshot=accounts(), is_folder=st.booleans())
def test_planning_what_was_imported_renames_what_was_announced(snapshot: Snapshot, *, is_folder: bool) -> None:
    adoption, files = imported([], snapshot, is_folder=is_folder)
    plan = planned(files, snapshot)
    engine = {key.id for key in adoption.engine}
    mine = [action for action in plan.actions if subject(action) not in engine]
    renames = {(key.live.id, key.address) for key in adoption.renames}
    assert {(subject(action), action.address) for action in mine if isinstance(action, Rename)} == renames
    assert len(mine) == len(renames)
    assert not plan.errors
    accounted = {*(key.live.id for key in adoption.keys), *(left.live.id for left in adoption.left_out), *engine}
    assert accounted == {key.id for key in snapshot.keys}


@fuzz
@given(snapshot=accounts(), is_folder=st.booleans())
def test_planning_what_was_imported_with_its_names_changes_nothing(snapshot: Snapshot, *, is_folder: bool) -> None:
    adoption, files = imported([], snapshot, keep_names=True, is_folder=is_folder)
    plan = planned(files, snapshot)
    engine = {key.id for key in adoption.engine}
    assert [action for action in plan.actions if subject(action) not in engine] == []
    assert not plan.errors
    assert {key.id for key in plan.unmanaged} <= engine


THERE = """\
# Ours.
version: 1  # the format
# what to leave alone
ignore: ["legacy-*", "no"]  # for ever
destinations: {local: {type: dotenv, path: "{environment}.env"}}
defaults: {rotate_every: 90d, is_enabled: false, expires_at: 2027-01-01T00:00:00Z}
environments:
  # the first
  production:
    deliver: [{to: local, as: "NAGA_{KEY}"}]
    keys:
      # somebody's
      api: {credit_limit: 5, id: 1} # theirs
      web: {credit_limit: 5, id: 2, renamed_from: [ci/1]}
      1: {credit_limit: 5, renamed_from: [ci/api, ci/tests~next]}
      # the end of production
  ci: {keys: {on: {credit_limit: null}}, deliver: []}
"""


@fuzz
@given(snapshot=accounts(), keep_names=st.booleans(), is_folder=st.booleans())
def test_adding_to_a_file_changes_what_is_there_in_nothing(
    snapshot: Snapshot, *, keep_names: bool, is_folder: bool
) -> None:
    there = [SourceFile("keys/all.yaml" if is_folder else "keys.yaml", Path(), THERE.encode())]
    before = planned(there, snapshot)
    adoption, files = imported(there, snapshot, keep_names=keep_names, is_folder=is_folder)
    after = planned(files, snapshot)
    engine = {key.id for key in adoption.engine}
    expected = set(map(subject, before.actions)) - {key.live.id for key in adoption.keys}
    found = set(map(subject, after.actions))
    assert found - engine == (expected - engine) | {key.live.id for key in adoption.renames}
    listed = {left.live.id for left in adoption.left_out}
    assert {action.live.id for action in after.actions if isinstance(action, Delete)} - engine <= listed
    old, new = (load_sources(each) for each in (there, files))
    assert set(map(without_places, old.keys)) <= set(map(without_places, new.keys))
    text = files[0].content.decode()
    assert [each for each in comments(THERE) if each in comments(text)] == comments(THERE)
    again, same = imported(files, snapshot, keep_names=keep_names, is_folder=is_folder)
    assert not again.keys
    assert same[: len(files)] == files
