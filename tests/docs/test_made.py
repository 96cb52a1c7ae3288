"""The pictures and tables of the documentation are what the program says today."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from reconciler.cli.main import COMMANDS, cli
from reconciler.declaration import load
from reconciler.errors import DeclarationError
from reconciler.files import shipped_schema
from support import pages
from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def made_anew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    # Without PYTHONSAFEPATH the script finds its neighbours; what it documents still comes from where it is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    script = [sys.executable, str(ROOT / "docs/generator/make.py"), "--into", str(folder)]
    subprocess.run(script, check=True, env=environment)
    return folder


def test_no_picture_and_no_table_is_out_of_date(made_anew: Path) -> None:
    made = [file.relative_to(made_anew) for file in sorted(made_anew.rglob("*")) if file.is_file()]
    stale = [str(file) for file in made if (ROOT / file).read_text("utf-8") != (made_anew / file).read_text("utf-8")]
    assert stale == [], "these are out of date: run `make pictures`"
    assert {"docs/commands.md", "docs/images/plan-dark.svg"} <= {str(file) for file in made}


def test_no_table_of_flags_is_empty_or_has_a_bound_that_is_none() -> None:
    page = pages.read("docs/commands.md")
    assert re.findall(r"^\|---\|.*\n(?!\|)", page, re.MULTILINE) == []
    assert "…None" not in page


def test_every_picture_is_shown_somewhere_and_made_here(made_anew: Path) -> None:
    pictures = {file.name: file.stat().st_size for file in (ROOT / "docs/images").iterdir()}
    photos = {f"{what}-{scheme}.png" for what in ("comment", "report") for scheme in ("dark", "light")}
    assert pictures.keys() == {file.name for file in (made_anew / "docs/images").iterdir()} | photos
    text = "".join(map(pages.read, pages.PAGES))
    assert [name for name in sorted(pictures) if not re.search(rf"images/{name}[)\"]", text)] == []
    assert max(pictures.values()) < 64 * 1024


def test_the_pictures_need_nothing_from_the_network(made_anew: Path) -> None:
    for picture in (made_anew / "docs/images").glob("*.svg"):
        addresses = set(re.findall(r"https?://[^\s\"']+", picture.read_text("utf-8")))
        assert addresses == {"http://www.w3.org/2000/svg"}


# --- keys.yaml --------------------------------------------------------------------------------------------------------


def properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                yield from value
            yield from properties(value)


def test_the_reference_has_every_field_of_the_schema_and_no_other() -> None:
    rows = "".join(pages.made("docs/keys-yaml.md").values())
    documented = set(re.findall(r"^\| `(\w+)`", rows, re.MULTILINE))
    assert documented == set(properties(json.loads(shipped_schema("keys.schema.json"))))


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("environments", "version: 1\n"),
        ("keys", "version: 1\nenvironments: {ci: {}}\n"),
        ("credit_limit", "version: 1\nenvironments: {ci: {keys: {a: {}}}}\n"),
    ],
)
def test_what_the_reference_calls_required_is(tmp_path: Path, missing: str, text: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(DeclarationError, match=f"{missing} is missing"):
        load(file)
    assert re.search(rf"^\| `{missing}` .*\| required", pages.read("docs/keys-yaml.md"), re.MULTILINE)


# --- commands ---------------------------------------------------------------------------------------------------------


def command(name: str) -> click.Command:
    with click.Context(cli) as context:
        found = cli.get_command(context, name)
    assert found is not None
    return found


def flags_of(found: click.Command) -> set[str]:
    help_names = {"help_option_names": ["-h", "--help"]}
    parameters = found.get_params(click.Context(found, **help_names))  # type: ignore[arg-type]  # one of its many options
    return {flag for each in parameters if isinstance(each, click.Option) and not each.hidden for flag in each.opts}


def test_every_command_is_listed_in_the_readme() -> None:
    assert re.findall(r"^\| `reconciler (\w+)`", pages.made("docs/commands.md")["commands"], re.MULTILINE) == [
        *COMMANDS
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_a_command_is_in_its_section_and_no_other(name: str) -> None:
    sections = re.split(r"^### ", pages.made("docs/commands.md")["flags"], flags=re.MULTILINE)
    (section,) = (text for text in sections if text.startswith(f"`reconciler {name}`"))
    rows = "".join(re.findall(r"^\| (`-[^|]*)\|", section, re.MULTILINE))
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)`", rows))
    assert documented == flags_of(command(name)) - {"-h", "--help"}


def test_no_page_names_a_flag_that_does_not_exist() -> None:
    known = flags_of(cli).union(*(flags_of(command(name)) for name in COMMANDS))
    for page in pages.PAGES:
        for line in re.findall(r"`([^`\n]*)`", pages.by_hand(page)):
            if line.startswith(("-", "reconciler")):
                assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", line)) <= known, f"{page}: {line}"
