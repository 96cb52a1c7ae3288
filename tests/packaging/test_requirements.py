from __future__ import annotations

import re
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from support.packages import ROOT, project

FILES: Final = ["build", "dev", "runtime"]
PIN: Final = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<marker> ;[^\\]*)? \\\n(?P<hashes>(?:    --hash=.*\n)+)", re.MULTILINE
)


def text(file: str) -> str:
    return (ROOT / "requirements" / f"{file}.txt").read_text("utf-8")


def pins(file: str) -> dict[str, Version]:
    return {match["name"]: Version(match["version"]) for match in PIN.finditer(text(file))}


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


@pytest.mark.parametrize(
    ("file", "declared"),
    [
        ("build", project()["build-system"]["requires"] + group("build")),
        ("runtime", runtime()),
        ("dev", runtime() + group("dev")),
    ],
    ids=FILES,
)
def test_what_pyproject_asks_for_is_pinned(file: str, declared: list[str]) -> None:
    pinned = pins(file)
    for requirement in map(Requirement, declared):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, "run `make lock`"


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_a_hash_and_no_line_is_anything_but_a_pin(file: str) -> None:
    rest = re.sub(r"^ +#.*\n", "", PIN.sub("", text(file)), flags=re.MULTILINE)
    assert rest == ""


@pytest.mark.parametrize("file", FILES)
def test_no_pin_says_where_it_was_fetched(file: str) -> None:
    assert "://" not in text(file)
    assert " @ " not in text(file)


@pytest.mark.parametrize("file", ["build", "runtime"])
def test_what_is_tested_is_what_is_used(file: str) -> None:
    assert pins(file).items() <= pins("dev").items()
