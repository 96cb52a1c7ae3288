"""What is wrong with a declaration, as SARIF 2.1.0, which code scanning services and editors read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler.diagnostic import Severity
from reconciler.render.escape import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostic import Diagnostic, Location

_RULE: Final = "declaration"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def render_diagnostics(diagnostics: Iterable[Diagnostic], version: str) -> str:
    """Write diagnostics as one run of this version of reconciler; nothing wrong is no result.

    Places are relative where the file was named so, else addresses of files.
    """
    rule = {
        "id": _RULE,
        "shortDescription": {"text": "A declaration has to be valid, as a whole, before anything is planned."},
        "defaultConfiguration": {"level": "error"},
    }
    run = {
        "tool": {"driver": {"name": "reconciler", "version": version, "rules": [rule]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each) for each in diagnostics],
    }
    return to_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def _result(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "ruleId": _RULE,
        "ruleIndex": 0,
        "level": _LEVELS[diagnostic.severity],
        "message": {"text": diagnostic.message},
        "locations": [{"physicalLocation": _place(diagnostic.location)}],
    }


def _place(location: Location) -> dict[str, object]:
    uri = f"{'file://' if location.file.startswith('/') else ''}{quote(location.file)}"
    region = {"startLine": location.line, "startColumn": location.column}
    return {"artifactLocation": {"uri": uri}, "region": region}
