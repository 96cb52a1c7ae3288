"""Destinations of the file, and what a key's `deliver` makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from reconciler.declaration.kinds import kind_of
from reconciler.declaration.nodes import Fields, Items, location
from reconciler.declaration.places import Ground, file_written, resolved
from reconciler.declaration.templates import Template, parse_template
from reconciler.declaration.wording import shown, suggestion
from reconciler.model import Delivery, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from reconciler.declaration.kinds import Kind
    from reconciler.declaration.nodes import Mark, Report, Value
    from reconciler.diagnostic import Location
    from reconciler.model import Setting

_PER_KEY: Final = frozenset({"key", "KEY", "live_name"})
_NAME: Final = "name"

_Pattern = Template | bool | int | tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination with its templates still open."""

    name: str
    type: str
    kind: Kind
    settings: tuple[tuple[str, _Pattern], ...]
    ground: Ground
    is_per_key: bool
    _targets: dict[str, Target] = field(default_factory=dict)

    def target(self, values: Mapping[str, str]) -> Target:
        """Give the place that it is for a key; keys of one environment share it where the settings allow."""
        if self.is_per_key:
            return self._filled(values)
        environment = values["environment"]
        if environment not in self._targets:
            self._targets[environment] = self._filled(values)
        return self._targets[environment]

    def _filled(self, values: Mapping[str, str]) -> Target:
        settings = tuple((name, self._setting(name, pattern, values)) for name, pattern in self.settings)
        root = self.ground.root if self.kind.paths else ""
        return Target(self.name, self.type, settings, resolved(self.type, dict(settings), self.ground), root)

    def _setting(self, name: str, pattern: _Pattern, values: Mapping[str, str]) -> Setting:
        if isinstance(pattern, tuple):
            return tuple(template.fill(values) for template in pattern)
        if not isinstance(pattern, Template):
            return pattern
        text = pattern.fill(values)
        return self.ground.joined(text) if name in self.kind.paths else text


@dataclass(frozen=True, slots=True)
class Drop:
    """An item of `deliver`: the destination, and the name there with its template still open."""

    destination: Destination
    name: Template
    mark: Mark
    source: Location

    def delivery(self, values: Mapping[str, str]) -> Delivery:
        """Fill the templates in; raises ValueError, in words that follow `as`, for a name that can't be."""
        name = self.name.fill(values)
        kind = self.destination.kind
        if not kind.names.fullmatch(name):
            msg = f"must come out as {kind.words}, not '{shown(name)}'"
            raise ValueError(msg)
        target = self.destination.target(values)
        return Delivery(target, name, self.source, file_written(target, name, self.destination.ground))


def read_destinations(group: Fields, folders: Mapping[str, Path], report: Report) -> dict[str, Destination | None]:
    """Read all destinations; None stands for one with errors, which others may still name."""
    found: dict[str, Destination | None] = dict.fromkeys(group.broken)
    grounds = {file: Ground(folder) for file, folder in folders.items()}
    for name in group:
        node = cast("Fields", group[name])
        found[name] = _read_destination(name, node, grounds[group.key_marks[name].name], report)
    return found


def _read_destination(name: str, node: Fields, ground: Ground, report: Report) -> Destination | None:
    settings: list[tuple[str, _Pattern]] = []
    fields: set[str] = set()
    kind = kind_of(str(node.get("type")))
    values: dict[str, Value] = {**kind.defaults, **node}
    for setting in sorted((values.keys() - {"type"}) - node.broken):
        try:
            pattern = _pattern(values[setting], (_NAME,) if setting in kind.named else ())
        except ValueError as error:
            report.error(node.value_marks[setting], f"{shown(setting)} {error}")
            node.discard(setting)
            continue
        settings.append((setting, pattern))
        templates = pattern if isinstance(pattern, tuple) else (pattern,)
        fields.update(field for template in templates if isinstance(template, Template) for field in template.fields)
    if node.broken:
        return None
    return Destination(name, str(node["type"]), kind, tuple(settings), ground, not fields.isdisjoint(_PER_KEY))


def _pattern(value: Value, kept: Collection[str]) -> _Pattern:
    if isinstance(value, Items):
        return tuple(parse_template(str(text), kept=kept) for text in value)
    return parse_template(value, kept=kept) if isinstance(value, str) else cast("bool | int", value)


def read_deliver(items: Items, destinations: Mapping[str, Destination | None], report: Report) -> tuple[Drop, ...]:
    """Read a `deliver` list; leaves out what is reported, here or before."""
    drops = (_read_drop(node, destinations, report) for node in items if isinstance(node, Fields) and not node.broken)
    return tuple(drop for drop in drops if drop is not None)


def _read_drop(node: Fields, destinations: Mapping[str, Destination | None], report: Report) -> Drop | None:
    to = str(node["to"])
    if to not in destinations:
        words = f"to must name a destination, and '{shown(to)}' is none{suggestion(to, destinations)}"
        report.error(node.value_marks["to"], words)
    try:
        name = parse_template(str(node["as"]))
    except ValueError as error:
        report.error(node.value_marks["as"], f"as {error}")
        return None
    destination = destinations.get(to)
    if destination is None:
        return None
    return Drop(destination, name, node.value_marks["as"], location(node.mark))
