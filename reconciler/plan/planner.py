"""From what is declared and what is live to what has to be done.

==================================  =====================================================
matched by name, fields equal       nothing
matched by name, fields differ      update
matched by id or renamed_from       rename, with whatever else differs
declared, no match                  create
owned, not declared                 delete
pending, its lease has run out      delete
pending, its lease runs             nothing: someone may already read its secret
owned by no declared environment    unmanaged: report | ignore | error | delete
==================================  =====================================================
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fnmatch import translate
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import Unmanaged
from reconciler.plan.actions import (
    Action,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Plan,
    Rename,
    Update,
)
from reconciler.plan.diff import changed_fields
from reconciler.plan.match import match
from reconciler.plan.names import Role

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reconciler.model import Declaration, DeclaredKey, LiveKey, Snapshot
    from reconciler.plan.match import Matching

LEASE: Final = timedelta(hours=24)


def make_plan(declaration: Declaration, snapshot: Snapshot) -> Plan:
    """Work out what has to be done; the same inputs, in whatever order, give the same plan."""
    matching = match(declaration, snapshot)
    foreign = _unmanaged(declaration, matching)
    converging = [_converge(key, matching) for key in declaration.keys if key.address not in matching.unclear]
    changes = [action for action in converging if action]
    findings = [*matching.findings]
    for change in changes:
        findings += _doubts(change, snapshot.now)
    actions: list[Action] = [*changes]
    actions += _removals(declaration, matching, snapshot.now)
    if declaration.unmanaged is Unmanaged.DELETE:
        actions += [Delete(None, key, DeleteReason.UNMANAGED, declaration.source) for key in foreign]
    if declaration.unmanaged is Unmanaged.ERROR:
        findings += [_unmanaged_error(declaration, key) for key in foreign]
    return Plan(
        created_at=snapshot.now,
        actions=tuple(sorted(actions, key=_order)),
        findings=tuple(sorted(findings, key=_finding_order)),
        credit=_credit(declaration, matching),
        unchanged=converging.count(None),
        unmanaged=tuple(foreign),
    )


def lease_end(key: LiveKey) -> datetime:
    """Say when a pending key may be removed: at its expiry, or a lease after its creation if that was taken away."""
    return key.expires_at or key.created_at + LEASE


def _converge(wanted: DeclaredKey, matching: Matching) -> Create | Update | Rename | None:
    live = matching.live.get(wanted.address)
    if live is None:
        return Create(wanted)
    after = wanted.state
    fields = changed_fields(live.state, after)
    if Field.NAME in fields:
        return Rename(wanted, live, after, fields)
    return Update(wanted, live, after, fields) if fields else None


def _removals(declaration: Declaration, matching: Matching, now: datetime) -> Iterable[Delete]:
    for address, key in matching.undeclared:
        yield Delete(address, key, DeleteReason.UNDECLARED, declaration.environments[address.environment].source)
    for parsed, key in matching.engine:
        if parsed.role is Role.PENDING and lease_end(key) <= now:
            source = declaration.environments[parsed.address.environment].source
            yield Delete(parsed.address, key, DeleteReason.LEASE_EXPIRED, source)


def _unmanaged(declaration: Declaration, matching: Matching) -> list[LiveKey]:
    if declaration.unmanaged is Unmanaged.IGNORE:
        return []
    ignored = re.compile("|".join(translate(glob) for glob in declaration.ignore) or "(?!)")
    return sorted((key for key in matching.foreign if not ignored.match(key.name)), key=lambda key: (key.name, key.id))


def _doubts(action: Create | Update | Rename, now: datetime) -> Iterable[Finding]:
    """Say what a reviewer should know about a change, before it is made."""
    wanted = action.declared

    def finding(rule: str, severity: Severity, message: str) -> Finding:
        return Finding(rule, severity, message, wanted.address, wanted.source)

    sets_expiry = isinstance(action, Create) or Field.EXPIRES_AT in action.fields
    if sets_expiry and wanted.expires_at and wanted.expires_at <= now:
        message = "expires_at has passed, and the service takes only a future one; move it or remove it"
        yield finding("expiry-passed", Severity.ERROR, message)
    if isinstance(action, Create) and not wanted.deliver:
        message = "it has no destination, and apply does not create a key whose secret nobody receives; add `deliver`"
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
