"""The documentation builds as a site: no link leads nowhere, no page is left out, and nothing of it needs the web."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from support.packages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pages_of(navigation: Any) -> Iterator[str]:
    """Give the pages of a navigation: a name, a table of one, or a list of such tables."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for each in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from pages_of(each)


def test_every_page_is_in_the_navigation() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages_of(navigation)) == sorted(pages)


@pytest.mark.proof
def test_the_site_builds_without_a_finding_and_loads_nothing_from_the_web(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run([sys.executable, ROOT / "docs/generator/website.py", tmp_path], check=True, env=environment)
    site = tmp_path / "site"
    pages = [*site.rglob("*.html")]
    assert len(pages) > 25
    for page in pages:
        text = page.read_text("utf-8")
        assert (
            re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href|srcset)="(?:https?:)?//[^"]*"', text)
            == []
        )
    (shim,) = site.rglob("iframe-worker.js")
    assert shim.relative_to(site).as_posix() in (site / "index.html").read_text("utf-8")
