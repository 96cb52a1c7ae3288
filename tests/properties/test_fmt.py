"""The promises of `fmt`, over files that nobody would write and somebody will."""

from __future__ import annotations

import random
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import DeclarationError
from reconciler.formatting.canonical import check_shape, formatted
from support.packages import ROOT
from support.search import examples
from support.writing import meaning, written

CORPUS = [path.read_text("utf-8") for path in sorted((ROOT / "tests/examples/valid").glob("*.yaml"))]
COMMENT = re.compile(r"# c\d+$", re.MULTILINE)
fuzz = settings(max_examples=examples(100))

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "no",
        "Null",
        "012",
        "1:30",
        "- a",
        "? b",
        "a: b",
        "a #b",
        "'",
        '"',
        "\\",
        "{x}",
        "*a",
        "&a",
        "!a",
        "@",
        "<<",
        "--- a",
    ]
)
keys: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"credit_limit": st.sampled_from(["1", "0.50", "null", "+3.", ".5"])},
    optional={
        "is_enabled": st.sampled_from(["true", "FALSE"]),
        "expires_at": st.sampled_from(["2027-01-01T00:00:00Z", '"2027-01-01T00:00:00+01:00"', "~"]),
        "description": texts,
        "team": texts,
    },
)
environments = st.dictionaries(names, st.dictionaries(names, keys, max_size=4), max_size=3)


class Author:
    """Writes a declaration in any of the ways that YAML allows, with comments wherever there can be one."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.count = 0

    def file(self, declared: dict[str, dict[str, dict[str, str]]]) -> str:
        groups = {name: {"keys": keys} for name, keys in declared.items()}
        lines = self.block({"version": "1", "environments": groups}, 0)
        return "".join(f"{line}\n" for line in [*lines, *self.above(0)])

    def comment(self) -> str:
        self.count += 1
        return f"# c{self.count}"

    def above(self, indent: int) -> list[str]:
        choice = self.chance.randrange(8)
        return {0: [""], 1: [" " * indent + self.comment()], 2: ["", "", " " * indent + self.comment()]}.get(choice, [])

    def beside(self) -> str:
        return " " * self.chance.randint(1, 5) + self.comment() if self.chance.random() < 0.25 else ""

    def block(self, group: dict[str, Any], indent: int) -> list[str]:
        lines = []
        items = list(group.items())
        self.chance.shuffle(items)
        for name, value in items:
            label = " " * indent + self.name(name) + ":"
            lines += self.above(indent)
            if not isinstance(value, dict):
                lines.append(f"{label} {self.scalar(name, value)}{self.beside()}")
            elif not value or self.chance.random() < 0.3:
                lines += self.flow(label, value, indent)
            else:
                lines.append(label + self.beside())
                lines += self.block(value, indent + self.chance.randint(1, 4))
        return lines

    def flow(self, label: str, group: dict[str, Any], indent: int) -> list[str]:
        if self.chance.random() < 0.5:
            return [f"{label} {self.inline(group)}{self.beside()}"]
        lines = [f"{label} {{{self.beside()}"]
        for name, value in group.items():
            lines += self.above(indent + 1)
            text = self.inline(value) if isinstance(value, dict) else self.scalar(name, value)
            lines.append(f"{' ' * (indent + 1)}{self.name(name)}: {text},{self.beside()}")
        return [*lines, *self.above(indent + 1), f"{' ' * (indent + 1)}}}{self.beside()}"]

    def inline(self, group: dict[str, Any]) -> str:
        fields = (
            f"{self.name(name)}: {self.inline(value) if isinstance(value, dict) else self.scalar(name, value)}"
            for name, value in group.items()
        )
        return "{" + ", ".join(fields) + "}"

    def name(self, name: str) -> str:
        return self.chance.choice([name, f"'{name}'", f'"{name}"'])

    def scalar(self, name: str, value: str) -> str:
        if name not in {"team", "description"}:
            return value
        return '"' + "".join(f"\\U{ord(each):08x}" for each in value) + '"'


@fuzz
@given(declared=environments, seed=st.integers(0, 2**32))
def test_a_file_means_the_same_in_its_canonical_form_and_keeps_every_comment(
    declared: dict[str, Any], seed: int
) -> None:
    text = Author(random.Random(seed)).file(declared)  # noqa: S311  # the same file each time
    result = formatted(written(text)).decode()
    assert meaning(written(text)) == meaning(written(result))
    assert formatted(written(result)).decode() == result
    assert sorted(COMMENT.findall(result)) == sorted(COMMENT.findall(text))


@fuzz
@given(
    content=st.sampled_from(CORPUS),
    place=st.floats(0, 1),
    removed=st.integers(0, 5),
    put=st.sampled_from(
        ["", " ", "\n", "\n\n", " # x\n", "# y\n", "{", "}", "[", "]", ",", "&a ", "*small", "'", '"', "|\n"]
    ),
)
def test_any_change_to_a_file_that_leaves_it_valid_leaves_it_stable(
    content: str, place: float, removed: int, put: str
) -> None:
    at = int(place * len(content))
    source = written(content[:at] + put + content[at + removed :])
    try:
        check_shape([source])
    except DeclarationError:
        return
    result = formatted(source).decode()
    assert formatted(written(result)).decode() == result
