"""What the file format knows already and this version can't do yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler import __version__

if TYPE_CHECKING:
    from reconciler.declaration.nodes import Fields, Report

NOT_YET: Final = frozenset(
    {
        "alerts",
        "provisioning_key_env",
    }
)
"""Fields that are checked and then refused; silence would look like a promise."""


def refuse(node: Fields, not_yet: frozenset[str], report: Report) -> None:
    """Report the fields of a mapping that can't be done yet."""
    if not_yet.isdisjoint(node):
        return
    for name in node.keys() & not_yet:
        report.error(node.key_marks[name], f"{name} {words()}")


def words() -> str:
    """Give the words that follow what can't be done yet."""
    return f"is not supported yet by this version of reconciler ({__version__})"
