"""What is wrong with a declaration, as SARIF 2.1.0, which code scanning services and editors read."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from reconciler import __version__
from reconciler.diagnostic import Severity
from reconciler.render.document import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.diagnostic import Diagnostic, Location

_RULE: Final = "declaration"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def render_diagnostics(diagnostics: Iterable[Diagnostic]) -> str:
    """Write diagnostics as one run, with relative places where the file was named so; nothing wrong is no result."""
    rule = {
        "id": _RULE,
        "shortDescription": {"text": "A declaration has to be valid, as a whole, before anything is planned."},
        "defaultConfiguration": {"level": "error"},
    }
    run = {
        "tool": {"driver": {"name": "reconciler", "version": __version__, "rules": [rule]}},
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
    path = PurePath(location.file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    region = {"startLine": location.line, "startColumn": location.column}
    return {"artifactLocation": {"uri": uri}, "region": region}
