"""Several files, put together to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.declaration.nodes import Fields, location
from reconciler.declaration.wording import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.declaration.nodes import Report

_ANY: Final = "*"
_IN_EVERY_FILE: Final = "version"


class _Shape(dict[str, "_Shape"]):
    """Which mappings of several files are put together; any other value stands in one file only."""


_GROUP: Final = _Shape()
_SHAPE: Final = _Shape(
    destinations=_GROUP,
    guardrails=_GROUP,
    alerts=_GROUP,
    defaults=_GROUP,
    environments=_Shape({_ANY: _Shape(keys=_GROUP, defaults=_GROUP, guardrails=_GROUP)}),
)


def merged(documents: Sequence[Fields], report: Report) -> Fields:
    """Put documents together that are sound each for itself; reports what stands in two of them, with both places."""
    return documents[0] if len(documents) == 1 else _merged(documents, _SHAPE, (), report)


def _merged(nodes: Sequence[Fields], shape: Mapping[str, _Shape], path: tuple[str, ...], report: Report) -> Fields:
    result = Fields(nodes[0].mark)
    parts: dict[str, list[Fields]] = {}
    for node in nodes:
        result.broken = result.broken | node.broken
        for name, value in node.items():
            if name not in result:
                result.take(node, name)
                parts[name] = [value] if isinstance(value, Fields) else []
            elif name in parts and isinstance(value, Fields) and (name in shape or _ANY in shape):
                parts[name].append(value)
            elif path or name != _IN_EVERY_FILE:
                first = location(result.key_marks[name])
                report.error(node.key_marks[name], f"{_named((*path, name))} stands twice, first at {first}; keep one")
    for name, found in parts.items():
        if len(found) > 1:
            result[name] = _merged(found, shape[name if name in shape else _ANY], (*path, name), report)
    return result


def _named(path: tuple[str, ...]) -> str:
    """Name what stands at a path, and whose it is where many have such a thing."""
    match path:
        case ("environments", _, group, *_) if group != "keys":
            return f"{label(path)} of {label(path[:2])}"
        case _:
            return label(path)
