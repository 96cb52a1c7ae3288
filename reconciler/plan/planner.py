"""From what is declared and what is live to what has to be done.

==================================  ===============================================================
declared, and live as ...
... its name                        nothing, update, or rotate when due or asked for
... what id or renamed_from name    rename, with whatever else differs
... `~next`                         finish the rotation
... `~gone`, within its grace       restore
... nothing of these                create
owned, not declared                 retire within a deletion_grace, else delete
`~new`, its lease runs              nothing: someone may already read its secret
`~new`, its lease has run out       delete
`~old` or `~gone`, its time is up   delete
owned by no declared environment    unmanaged: report | ignore | error | delete
==================================  ===============================================================
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fnmatch import translate
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import KeyState, Unmanaged
from reconciler.plan.actions import (
    Action,
    Change,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Finish,
    Plan,
    Rename,
    Restore,
    Retire,
    Rotate,
    RotateReason,
    Update,
)
from reconciler.plan.diff import changed_fields
from reconciler.plan.lineage import Lineage, trace
from reconciler.plan.match import duplicates, match
from reconciler.plan.names import Naming, gone_name
from reconciler.plan.options import AS_THE_FILE_SAYS, Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey, Snapshot
    from reconciler.plan.match import Matching

DEFAULT_OVERLAP: Final = timedelta(hours=24)
_NO_LINEAGE: Final = Lineage()


def make_plan(declaration: Declaration, snapshot: Snapshot, options: Options = AS_THE_FILE_SAYS) -> Plan:
    """Work out what has to be done; the same inputs, in whatever order, give the same plan."""
    now = snapshot.now
    matching = match(declaration, snapshot)
    lineages = trace(matching.engine, now)
    matching.findings.extend(_rival_successors(declaration, lineages, matching))
    converging = [
        _converge(key, matching, lineages.get(key.address, _NO_LINEAGE), options, now)
        for key in declaration.keys
        if key.address not in matching.unclear
    ]
    changes = [change for change in converging if change]
    foreign = _unmanaged(declaration, matching)
    findings = [*matching.findings]
    for change in changes:
        findings += _doubts(change, now)
    actions: list[Action] = [*changes, *_removals(declaration, matching, lineages, now)]
    if declaration.unmanaged is Unmanaged.DELETE:
        actions += [Delete(None, key, DeleteReason.UNMANAGED, declaration.source) for key in foreign]
    if declaration.unmanaged is Unmanaged.ERROR:
        findings += [_unmanaged_error(declaration, key) for key in foreign]
    return Plan(
        created_at=now,
        actions=tuple(sorted(actions, key=_order)),
        findings=tuple(sorted(findings, key=_finding_order)),
        credit=_credit(declaration, matching),
        unchanged=converging.count(None),
        unmanaged=tuple(foreign),
    )


def _rival_successors(
    declaration: Declaration, lineages: Mapping[Address, Lineage], matching: Matching
) -> Iterable[Finding]:
    """Find rotations with two keys that wait to take over: nobody knows whose secret the destinations hold."""
    for wanted in declaration.keys:
        upcoming = lineages.get(wanted.address, _NO_LINEAGE).upcoming
        if len(upcoming) > 1:
            matching.unclear.add(wanted.address)
            yield duplicates(wanted, upcoming, "live keys wait to take over")


def _converge(
    wanted: DeclaredKey, matching: Matching, lineage: Lineage, options: Options, now: datetime
) -> Change | None:
    live, after = matching.live.get(wanted.address), wanted.state
    overlap = (wanted.rotation_overlap or DEFAULT_OVERLAP) if options.overlap else None
    if lineage.upcoming:
        successor = lineage.upcoming[0]
        return Finish(wanted, successor, live, after, changed_fields(successor.state, after), overlap)
    if live is None:
        retired = None if wanted.address in options.rotate else lineage.restorable(wanted.id)
        if retired:
            return Restore(wanted, retired, after, changed_fields(retired.state, after))
        return Create(wanted)
    fields = changed_fields(live.state, after)
    reason = _rotation(wanted, live, lineage, options, now)
    if reason:
        return Rotate(wanted, live, fields, overlap, reason)
    if Field.NAME in fields:
        return Rename(wanted, live, after, fields)
    return Update(wanted, live, after, fields) if fields else None


def _rotation(
    wanted: DeclaredKey, live: LiveKey, lineage: Lineage, options: Options, now: datetime
) -> RotateReason | None:
    """Say why a key has to be rotated now, if it has to."""
    if wanted.address in options.rotate:
        return RotateReason.REQUESTED
    if wanted.expires_at and wanted.expires_at <= now:
        return None
    if wanted.deliver and lineage.interrupted_rotation(live):
        return RotateReason.INTERRUPTED
    if options.due and wanted.is_enabled and wanted.rotate_every and live.created_at + wanted.rotate_every <= now:
        return RotateReason.DUE
    return None


def _removals(
    declaration: Declaration, matching: Matching, lineages: Mapping[Address, Lineage], now: datetime
) -> Iterable[Retire | Delete]:
    naming = Naming(declaration.naming, declaration.environments)
    declared = {key.address for key in declaration.keys}
    undeclared = [*matching.undeclared]
    for address, lineage in lineages.items():
        environment = declaration.environments[address.environment]
        for reason, key in lineage.outdated:
            yield Delete(address, key, reason, environment.source)
        if address in declared:
            continue
        undeclared += [(address, key) for key in lineage.upcoming]
        if not environment.deletion_grace:
            # With a grace period the removal may be undone, and then who still uses the old key must not have lost it.
            undeclared += [(address, key) for key in lineage.rotated_out]
    for address, key in undeclared:
        environment = declaration.environments[address.environment]
        grace = environment.deletion_grace
        if not grace:
            yield Delete(address, key, DeleteReason.UNDECLARED, environment.source)
        else:
            after = KeyState(gone_name(naming.format(address), now + grace), False, key.credit_limit, key.expires_at)  # noqa: FBT003  # is_enabled, as the fields stand
            yield Retire(address, key, after, changed_fields(key.state, after), grace, environment.source)


def _unmanaged(declaration: Declaration, matching: Matching) -> list[LiveKey]:
    if declaration.unmanaged is Unmanaged.IGNORE:
        return []
    ignored = re.compile("|".join(translate(glob) for glob in declaration.ignore) or "(?!)")
    return sorted((key for key in matching.foreign if not ignored.match(key.name)), key=lambda key: (key.name, key.id))


def _doubts(action: Change, now: datetime) -> Iterable[Finding]:
    """Say what a reviewer should know about a change, before it is made."""
    wanted = action.declared

    def finding(rule: str, severity: Severity, message: str) -> Finding:
        return Finding(rule, severity, message, wanted.address, wanted.source)

    issues = isinstance(action, Create | Rotate)
    sets_expiry = isinstance(action, Create | Rotate) or Field.EXPIRES_AT in action.fields
    if sets_expiry and wanted.expires_at and wanted.expires_at <= now:
        message = "expires_at has passed, and the service takes only a future one; move it or remove it"
        yield finding("expiry-passed", Severity.ERROR, message)
    if issues and not wanted.deliver:
        message = "it has no destination, and apply does not issue a key whose secret nobody receives; add `deliver`"
        yield finding("no-destination", Severity.WARNING, message)
    if isinstance(action, Rename) and wanted.deliver:
        message = "the key keeps its secret, but a secret cannot be read again: its destinations do not receive it"
        yield finding("not-delivered", Severity.WARNING, message)


def _unmanaged_error(declaration: Declaration, key: LiveKey) -> Finding:
    message = f"key {key.id} ({key.name}) is not declared; declare it, add its name to `ignore`, or delete it"
    return Finding("unmanaged", Severity.ERROR, message, source=declaration.source)


def _credit(declaration: Declaration, matching: Matching) -> Credit:
    before = [key.credit_limit for key in matching.live.values()]
    before += [key.credit_limit for _, key in matching.undeclared]
    after = [key.credit_limit for key in declaration.keys]
    return Credit(
        limits_before=sum((limit for limit in before if limit is not None), Decimal(0)),
        limits_after=sum((limit for limit in after if limit is not None), Decimal(0)),
        unlimited_before=before.count(None),
        unlimited_after=after.count(None),
    )


def _order(action: Action) -> tuple[bool, str, str, str, int]:
    if isinstance(action, Create):
        return (False, action.address.environment, action.address.key, "", 0)
    if action.address is None:
        return (True, "", "", action.live.name, action.live.id)
    return (False, action.address.environment, action.address.key, action.live.name, action.live.id)


def _finding_order(finding: Finding) -> tuple[bool, str, str, str, str]:
    address = finding.address
    if address is None:
        return (True, "", "", finding.rule, finding.message)
    return (False, address.environment, address.key, finding.rule, finding.message)
