"""The threat model names each attack with its test, and no test of an attack is left out."""

from __future__ import annotations

import re

from support import pages
from support.packages import ROOT


def test_each_attack_is_listed_with_its_test() -> None:
    listed = re.findall(r"\]\(\.\./tests/attacks/([a-z_]+\.py)\)", pages.read("docs/threat-model.md"))
    assert {path.name for path in (ROOT / "tests/attacks").glob("test_*.py")} == {*listed}
