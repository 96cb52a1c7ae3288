"""Something to say about a place in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: an error forbids to go on, a warning does not, a note only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a declaration file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Show as editors and compilers do, so that a click opens the place."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing found at one place, in the words of the person who wrote the file.

    `line` is what stands there in the file, None where that is not to be shown.
    """

    location: Location
    message: str
    severity: Severity = Severity.ERROR
    line: str | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """Show as `file:line:column: severity: message`."""
        return f"{self.location}: {self.severity}: {self.message}"
