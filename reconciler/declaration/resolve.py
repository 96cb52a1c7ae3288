"""Merges files into one, lets keys inherit, and checks what can only be seen over several keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from reconciler.declaration import destinations as places
from reconciler.declaration import fields
from reconciler.declaration.destinations import (
    DEFAULT_NAMING,
    address_values,
    ambiguities,
    check_naming,
    read_destinations,
)
from reconciler.declaration.fields import KeyFields, read_duration, read_fields
from reconciler.declaration.parser import Fields, Items, label, location, shown
from reconciler.diagnostic import Diagnostic
from reconciler.model import KEY_VARIABLE, Address, Declaration, DeclaredKey, Environment, Lease, Unmanaged
from reconciler.planning.names import LONGEST_LIVE_NAME, LONGEST_PERIOD_SUFFIX, LONGEST_SUFFIX, Naming
from reconciler.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.declaration.destinations import Destination, Drop, Ground
    from reconciler.declaration.parser import Report
    from reconciler.diagnostic import Location
    from reconciler.model import Delivery


# Several files, put together to one.

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
    environments=_Shape({_ANY: _Shape(keys=_GROUP, leases=_GROUP, defaults=_GROUP, guardrails=_GROUP)}),
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
        case ("environments", _, group, *_) if group not in {"keys", "leases"}:
            return f"{label(path)} of {label(path[:2])}"
        case _:
            return label(path)


# What can only be seen over several keys: two of them must never want to be the same thing.

Resolved = tuple[DeclaredKey, Fields]
"""A key, and the mapping of the file that it comes from."""


def undeliverable(declaration: Declaration) -> list[Diagnostic]:
    """Find keys whose secret nobody would receive, when they are created or rotated.

    Nothing is wrong with a file that only says so of keys that are live already, so reading it does not ask: they have
    an `id` or a `renamed_from`, or `deliver: []` on purpose.
    """
    found = []
    for key in declaration.keys:
        if key.deliver:
            continue
        if key.rotate_every and key.is_enabled:
            words = "is rotated, and nobody would receive its next secret; add deliver, or write rotate_every: null"
        elif not (key.delivers_nowhere or key.id is not None or key.renamed_from):
            words = "has no destination, so nobody would receive its secret when it is created; add deliver"
            words += ", or deliver: [] if it is live already"
        else:
            continue
        found.append(Diagnostic(key.source, f"key '{key.address}' {words}"))
    return sorted(found, key=lambda each: each.location)


def check_environments(naming: str, environments: Fields, report: Report) -> None:
    """Report environments whose live names could be taken for another's."""
    for longer, shorter, key in ambiguities(naming, sorted(environments)):
        words = f"live names of environment '{longer}' can be read as those of '{shorter}': its key 'a' as '{key}'"
        hint = "put a character between {environment} and {key} in naming that no name can hold, such as '/'"
        report.error(environments.key_marks[longer], f"{words}; {hint}")


def check_live_names(keys: Sequence[Resolved], leases: Sequence[Lease], report: Report) -> None:
    """Report live names that are too long, and earlier names that are still somebody's."""
    owners: dict[str, DeclaredKey | Lease] = {key.name: key for key, _ in keys}
    owners |= {lease.name: lease for lease in leases}
    everything: list[DeclaredKey | Lease] = [*(key for key, _ in keys), *leases]
    for owner in everything:
        renews = isinstance(owner, DeclaredKey) and owner.renew is not None
        longest = LONGEST_LIVE_NAME - (LONGEST_PERIOD_SUFFIX if renews else LONGEST_SUFFIX)
        if len(owner.name) > longest:
            count = len(owner.name)
            words = f"the live name of {owner.address} has {count} characters by naming, and {longest} are the most"
            report.error_at(owner.source, words)
    for key, node in keys:
        for index, name in enumerate(key.renamed_from):
            if name in owners:
                owner = owners[name]
                whose = "this key itself" if owner is key else f"{owner.address}, declared at {owner.source}"
                mark = cast("Items", node["renamed_from"]).marks[index]
                report.error(mark, f"renamed_from must name earlier live names, and '{shown(name)}' is that of {whose}")


def check_keys(keys: Sequence[Resolved], environments: Mapping[str, Environment], report: Report) -> None:
    """Report two keys that claim one live key, or one name in one destination."""
    claims: dict[tuple[str, str, int | str], list[Resolved]] = {}
    for key, node in keys:
        if key.id is None and not key.renamed_from:
            continue
        account = environments[key.address.environment].provisioning_key_env
        if key.id is not None:
            claims.setdefault((account, "id", key.id), []).append((key, node))
        for name in key.renamed_from:
            claims.setdefault((account, "renamed_from", name), []).append((key, node))
    for (_, field, claimed), claimants in claims.items():
        (first, _), *others = sorted(claimants, key=lambda claimant: claimant[0].source)
        for _, node in others:
            words = f"{field} {shown(str(claimed))} is claimed by {first.address} too, at {first.source}"
            report.error(node.value_marks[field], f"{words}; a live key belongs to one place only")


# From a merged document to a Declaration: defaults, templates, live names.

NO_KEY_VARIABLES: Final = frozenset({"NAGA_BASE_URL"})


@dataclass(frozen=True, slots=True)
class _Context:
    """What every key needs to be read."""

    root: Fields
    naming: Naming
    destinations: Mapping[str, Destination | None]
    report: Report

    def fields(self, node: Fields) -> KeyFields:
        """Read the key fields of a mapping."""
        return read_fields(node, self.destinations, self.report)


def resolve(root: Fields, grounds: Mapping[str, Ground], report: Report, *, is_base: bool) -> Declaration:
    """Return what a merged document means; where the report has errors, the result is good for nothing.

    `grounds` holds what the paths of each file are relative to, by the file's name. Of a file that `is_base`, which is
    there to be compared with, nobody asks where its secrets would go.
    """
    if "environments" not in root and "environments" not in root.broken:
        report.error(root.mark, "environments is missing in the file; write {} to declare none")
    naming = _read_naming(root, report)
    environments = _group(root, "environments")
    destinations = read_destinations(_group(root, "destinations"), grounds, naming or DEFAULT_NAMING, report)
    context = _Context(root, Naming(naming or DEFAULT_NAMING, environments), destinations, report)
    inherited = context.fields(_group(root, "defaults"))
    declared: dict[str, Environment] = {}
    keys: list[Resolved] = []
    leases: list[Lease] = []
    for name in sorted(environments):
        declared[name] = _read_environment(name, environments, context)
        keys += _read_keys(name, cast("Fields", environments[name]), inherited, context)
        leases += _read_leases(name, cast("Fields", environments[name]), context)
    if naming is not None:
        check_environments(naming, environments, report)
        check_live_names(keys, leases, report)
    check_keys(keys, declared, report)
    if not is_base:
        places.check_collisions((key for key, _ in keys), report)
        marks = {name: each.marks for name, each in destinations.items() if each is not None}
        places.check_files((key for key, _ in keys), marks, report)
    return Declaration(
        naming=naming or DEFAULT_NAMING,
        environments=declared,
        keys=tuple(key for key, _ in keys),
        source=location(root.mark),
        unmanaged=Unmanaged(cast("str", root.get("unmanaged", Unmanaged.REPORT))),
        ignore=tuple(cast("Sequence[str]", root.get("ignore", ()))),
        guardrails=fields.read_account(root, report),
        alerts=fields.read_alerts(root, report),
        leases=tuple(leases),
    )


def _group(node: Fields, name: str) -> Fields:
    """Return a mapping that the schema allows to be left out."""
    return cast("Fields", node.get(name, Fields(node.mark)))


def _read_naming(root: Fields, report: Report) -> str | None:
    """Return the naming to use; None, with the reason in the report, where it can't be used."""
    naming = str(root.get("naming", DEFAULT_NAMING))
    try:
        check_naming(naming)
    except ValueError as error:
        report.error(root.value_marks["naming"], f"naming {error}")
        return None
    return None if "naming" in root.broken else naming


def _read_environment(name: str, environments: Fields, context: _Context) -> Environment:
    node = cast("Fields", environments[name])
    mark = environments.key_marks[name]
    if not any(group in node or group in node.broken for group in ("keys", "leases")):
        words = f"keys is missing in environment '{name}'; write {{}} for none, which deletes those that are live"
        context.report.error(mark, words)
    grace = None
    if "deletion_grace" in node:
        try:
            grace = read_duration(str(node["deletion_grace"]))
        except ValueError as error:
            context.report.error(node.value_marks["deletion_grace"], f"deletion_grace {error}")
    return Environment(
        name,
        location(mark),
        grace,
        fields.read_environment(node, context.report),
        _read_key_variable(node, context.report),
    )


def _read_key_variable(node: Fields, report: Report) -> str:
    variable = str(node.get("provisioning_key_env", KEY_VARIABLE))
    if variable in NO_KEY_VARIABLES:
        words = f"must name the variable that holds a provisioning key, and {variable} holds something else"
        report.error(node.value_marks["provisioning_key_env"], f"provisioning_key_env {words}")
    return variable


def _read_keys(name: str, environment: Fields, outer: KeyFields, context: _Context) -> Iterator[Resolved]:
    """Read the keys of an environment, each over what it inherits."""
    defaults, keys = _group(environment, "defaults"), _group(environment, "keys")
    inherited: KeyFields = {**outer, **context.fields(defaults), **context.fields(environment)}
    origins = (environment, defaults, _group(context.root, "defaults"))
    reported = any("credit_limit" in node.broken for node in origins) or any(
        "defaults" in node.broken for node in (environment, context.root)
    )
    nodes = cast("Mapping[str, Fields]", keys)
    for key in sorted(keys):
        node = nodes[key]
        fields: KeyFields = {**inherited, **context.fields(node)}
        address = Address(name, key)
        source = location(keys.key_marks[key])
        if not ("credit_limit" in fields or "credit_limit" in node.broken or reported):
            words = "and no defaults have one; write a number of USD, or null for no limit"
            context.report.error_at(source, f"credit_limit is missing in key '{address}', {words}")
        _check_budget(address, source, fields, context.report)
        if "rotation_overlap" in fields:
            _check_overlap(fields, (node, *origins), context.report)
        yield _declared(address, source, fields, context), node


def _read_leases(name: str, environment: Fields, context: _Context) -> Iterator[Lease]:
    """Read the leases of an environment; they inherit nothing, since what is true of keys that stay is not of these."""
    leases, keys = _group(environment, "leases"), _group(environment, "keys")
    nodes = cast("Mapping[str, Fields]", leases)
    for key in sorted(leases):
        node, address, source = nodes[key], Address(name, key), location(leases.key_marks[key])
        if key in keys:
            first = location(keys.key_marks[key])
            context.report.error_at(
                source, f"lease '{address}' has the address of a key, declared at {first}; rename one"
            )
        values = fields.read_lease(node, context.report)
        yield Lease(address, context.naming.format(address), source=source, **values)


def _check_budget(address: Address, source: Location, fields: KeyFields, report: Report) -> None:
    limit = fields.get("credit_limit", 0)
    for name, value in (("renew", fields.get("renew")), ("raise", fields.get("raised"))):
        if value is not None and limit is None:
            words = f"key '{address}' has {name} and no limit: write a credit_limit in USD, or {name}: null"
            report.error_at(source, words)


def _check_overlap(fields: KeyFields, origins: Sequence[Fields], report: Report) -> None:
    every, overlap = fields.get("rotate_every"), fields.get("rotation_overlap")
    if every is not None and overlap is not None and overlap > every:
        mark = next(node.value_marks["rotation_overlap"] for node in origins if "rotation_overlap" in node)
        words = f"rotation_overlap must not be longer than rotate_every, which is {format_duration(every)}"
        report.error(mark, f"{words}, not {format_duration(overlap)}")


def _declared(address: Address, source: Location, fields: KeyFields, context: _Context) -> DeclaredKey:
    name = context.naming.format(address)
    drops = fields.get("deliver", ())
    return DeclaredKey(
        address=address,
        name=name,
        credit_limit=fields.get("credit_limit"),
        is_enabled=fields.get("is_enabled", True),
        expires_at=fields.get("expires_at"),
        source=source,
        deliver=_deliveries(drops, address_values(address, name), context.report) if drops else (),
        description=fields.get("description"),
        team=fields.get("team"),
        protected=fields.get("protected", False),
        rotate_every=fields.get("rotate_every"),
        rotation_overlap=fields.get("rotation_overlap"),
        verify=fields.get("verify", True),
        id=fields.get("id"),
        renamed_from=fields.get("renamed_from", ()),
        renew=fields.get("renew"),
        raised=fields.get("raised"),
        delivers_nowhere="deliver" in fields and not drops,
    )


def _deliveries(drops: Sequence[Drop], values: Mapping[str, str], report: Report) -> tuple[Delivery, ...]:
    deliveries: list[Delivery] = []
    for drop in drops:
        try:
            deliveries.append(drop.delivery(values))
        except ValueError as error:
            report.error(drop.mark, f"as {error}")
    return tuple(deliveries)
