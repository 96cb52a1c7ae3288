from __future__ import annotations

import re
from importlib.metadata import distribution
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.packages import PIN, pins, project, requirements

FILES: Final = ["build", "dev", "runtime"]


def group(name: str) -> list[str]:
    """Give the requirements of a dependency group with what it includes."""
    entries = project()["dependency-groups"][name]
    return [
        requirement
        for entry in entries
        for requirement in ([entry] if isinstance(entry, str) else group(entry["include-group"]))
    ]


def runtime() -> list[str]:
    """Give the dependencies of the program with all extras."""
    extras = project()["project"]["optional-dependencies"]
    return [
        *project()["project"]["dependencies"],
        *(requirement for name, extra in extras.items() if name != "all" for requirement in extra),
    ]


DECLARED: Final = {
    "build": project()["build-system"]["requires"] + group("build"),
    "runtime": runtime(),
    "dev": runtime() + group("dev"),
}


@pytest.mark.parametrize("file", FILES)
def test_a_list_is_complete(file: str) -> None:
    """What pyproject.toml asks for, and what that asks for in turn, extras included: nothing else is ever installed."""
    pinned = pins(file)
    due = [Requirement(text) for text in DECLARED[file]]
    seen = set()
    while due:
        requirement = due.pop()
        name = canonicalize_name(requirement.name)
        extras = frozenset(requirement.extras)
        if (requirement.marker and not requirement.marker.evaluate()) or (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert pinned[name] in requirement.specifier, "run `make lock`"
        for asked in map(Requirement, distribution(name).requires or ()):
            if not asked.marker or any(asked.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                asked.marker = None
                due.append(asked)
    assert {name for name, _ in seen} == pinned.keys()


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_a_hash_and_no_line_is_anything_but_a_pin(file: str) -> None:
    rest = re.sub(r"^ +#.*\n", "", PIN.sub("", requirements(file)), flags=re.MULTILINE)
    assert rest == ""


@pytest.mark.parametrize("file", FILES)
def test_no_pin_says_where_it_was_fetched(file: str) -> None:
    assert "://" not in requirements(file)
    assert " @ " not in requirements(file)


@pytest.mark.parametrize("file", ["build", "runtime"])
def test_what_is_tested_is_what_is_used(file: str) -> None:
    assert pins(file).items() <= pins("dev").items()
