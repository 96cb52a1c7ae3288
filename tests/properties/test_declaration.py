from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.declaration import SourceFile, load_sources, schema
from reconciler.declaration.destinations import ambiguities
from reconciler.declaration.loader import read
from reconciler.declaration.parser import Report
from reconciler.diagnostic import Location
from reconciler.errors import DeclarationError
from support.search import examples

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from reconciler.model import Declaration

NOWHERE = Location("", 0, 0)
EXAMPLES = Path(__file__).parents[1] / "examples"
CORPUS = [path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.yaml"))]

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
limits = st.one_of(st.none(), st.integers(0, 1_000), st.decimals(0, 1_000, places=2, allow_nan=False).map(float))
key_fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"credit_limit": limits},
    optional={
        "is_enabled": st.booleans(),
        "expires_at": st.sampled_from([None, "2027-01-01T00:00:00Z"]),
        # A letter first: what looks like a number to somebody has to be quoted, which the dumper does not always do.
        "description": st.none()
        | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).map("d".__add__),
        "team": st.sampled_from(["a", None]),
        "deliver": st.just([]),
    },
)
environments = st.dictionaries(names, st.dictionaries(names, key_fields, max_size=4), max_size=4)
fuzz = settings(max_examples=examples(100))


def file(content: Any, name: str = "keys.yaml") -> SourceFile:
    return SourceFile(name, Path("folder"), yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode())


def without_places(declaration: Declaration) -> Declaration:
    return replace(
        declaration,
        source=NOWHERE,
        environments={name: replace(value, source=NOWHERE) for name, value in declaration.environments.items()},
        keys=tuple(replace(key, source=NOWHERE) for key in declaration.keys),
    )


def shuffled(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    items = [(name, shuffled(inner, chance)) for name, inner in value.items()]
    chance.shuffle(items)
    return dict(items)


def whole(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "defaults": {"team": "platform"},
        "environments": {name: {"keys": keys} for name, keys in declared.items()},
    }


@fuzz
@given(declared=environments, chance=st.randoms(use_true_random=False))
def test_the_order_of_fields_and_keys_changes_nothing(declared: dict[str, Any], chance: random.Random) -> None:
    one = load_sources([file(whole(declared))])
    other = load_sources([file(shuffled(whole(declared), chance))])
    assert without_places(one) == without_places(other)
    assert [key.address for key in one.keys] == sorted(key.address for key in one.keys)


@fuzz
@given(declared=environments, chance=st.randoms(use_true_random=False))
def test_keys_may_stand_in_any_files_in_any_order(declared: dict[str, Any], chance: random.Random) -> None:
    one = load_sources([file(whole(declared))])
    parts: list[Any] = [
        {"version": 1, "defaults": {"team": "platform"}, "environments": {name: {"keys": {}} for name in declared}}
    ]
    parts += [
        {"version": 1, "environments": {name: {"keys": {key: fields}}}}
        for name, keys in declared.items()
        for key, fields in keys.items()
    ]
    files = [file(part, f"{index:03}.yaml") for index, part in enumerate(parts)]
    ordered = load_sources(files)
    chance.shuffle(files)
    assert load_sources(files) == ordered
    assert without_places(ordered) == without_places(one)


@fuzz
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_give_a_declaration_or_its_errors(content: bytes) -> None:
    outcome(content)


@pytest.mark.parametrize("parser", ["libyaml", "pure"])
def test_any_change_to_a_file_gives_a_declaration_or_its_errors(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if parser == "pure":
        monkeypatch.delattr(yaml, "CSafeLoader")

    @fuzz
    @given(
        content=st.sampled_from(CORPUS),
        place=st.floats(0, 1),
        removed=st.integers(0, 5),
        put=st.sampled_from(
            [
                b"",
                b" ",
                b"\n",
                b"\t",
                b":",
                b"- ",
                b"{",
                b"}",
                b"[",
                b"*",
                b"&a ",
                b"'",
                b'"',
                b"!x ",
                b"<<: ",
                b"null",
                b"\xc3",
            ]
        )
        | st.binary(max_size=3),
    )
    def edited(content: bytes, place: float, removed: int, put: bytes) -> None:
        at = int(place * len(content))
        outcome(content[:at] + put + content[at + removed :])

    edited()


def outcome(content: bytes) -> None:
    diagnostics = None
    try:
        load_sources([SourceFile("keys.yaml", Path("folder"), content)])
    except DeclarationError as error:
        diagnostics = error.diagnostics
    assert diagnostics != ()
    for found in diagnostics or ():
        assert found.message.isprintable()
        assert found.location.file == "keys.yaml"
        assert found.location.line >= 1
        assert found.location.column >= 1


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "7d", "dotenv", "vault", "NAGA_X"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "path", "to", "as", "keys", "a", "team"]), inner, max_size=3)
    ),
    max_leaves=6,
)
fields_of_a_file = st.sampled_from(
    [
        "version",
        "naming",
        "destinations",
        "guardrails",
        "alerts",
        "defaults",
        "unmanaged",
        "ignore",
        "environments",
        "other",
    ]
)


@fuzz
@given(document=st.dictionaries(fields_of_a_file, values | st.dictionaries(names, values, max_size=2), max_size=4))
def test_a_file_is_refused_exactly_when_the_schema_says_so(document: dict[str, Any]) -> None:
    report = Report()
    read_document = read(file(document), report)
    if read_document is None or report:
        return
    schema.check(read_document, report)
    assert bool(report) is not Draft202012Validator(schema._explainer().schema).is_valid(document)


parts_of_names = st.text("ab-.", min_size=1, max_size=3).filter(lambda name: name[0] in "ab")


@fuzz
@given(
    declared=st.lists(parts_of_names, min_size=2, max_size=3, unique=True),
    between=st.text("ab-./", max_size=2),
    around=st.tuples(st.text("a/", max_size=1), st.text("a/", max_size=1)),
    swapped=st.booleans(),
)
def test_environments_are_ambiguous_exactly_when_two_addresses_can_share_a_name(
    declared: Sequence[str],
    between: str,
    around: tuple[str, str],
    swapped: bool,  # noqa: FBT001  # hypothesis passes it
) -> None:
    fields = ["{environment}", "{key}"]
    first, second = reversed(fields) if swapped else fields
    naming = f"{around[0]}{first}{between}{second}{around[1]}"
    keys = [
        "".join(letters) for length in (1, 2, 3, 4) for letters in product("ab-.", repeat=length) if letters[0] in "ab"
    ]
    owners: dict[str, set[str]] = {}
    for environment in declared:
        for key in keys:
            name = naming.replace("{environment}", environment).replace("{key}", key)
            owners.setdefault(name, set()).add(environment)
    shared = {frozenset(pair) for pair in owners.values() if len(pair) > 1}
    found = {frozenset((longer, shorter)) for longer, shorter, _ in ambiguities(naming, declared)}
    assert found == {frozenset((one, other)) for pair in shared for one in pair for other in pair if one != other}
