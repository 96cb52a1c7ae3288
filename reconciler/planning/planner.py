"""Compares what is declared with what is live, and works out what to do.

What a declared address needs is decided by the stages that its keys are in: `names.LIFE` has a line for each of them.
What belongs to no declared environment is unmanaged: report | ignore | error | delete.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import LONGEST_DAYS, KeyState, Unmanaged
from reconciler.planning import budgets
from reconciler.planning.actions import (
    AS_THE_FILE_SAYS,
    NOTHING_READ,
    AccountPlan,
    Action,
    Change,
    Create,
    Credit,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Finish,
    Options,
    Plan,
    PlanInputs,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    RotateReason,
    Update,
    changed_fields,
    in_order,
    matcher,
    named,
    order_of,
)
from reconciler.planning.base_review import explained, in_terms_of, with_new_marked
from reconciler.planning.due import Clock
from reconciler.planning.guardrails import Draft, review
from reconciler.planning.matching import Lineage, duplicates, match, open_leases, trace
from reconciler.planning.names import STAGES, Move, Naming, Role, gone_name, next_move, old_name
from reconciler.units import listed, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from reconciler.model import Address, Declaration, DeclaredKey, Environment, LiveKey, Settable, Snapshot, Usage
    from reconciler.planning.matching import Matching


# Which keys of declared environments have to go: what is no longer declared, and what the engine left for a while.
#
# A key that goes must leave nothing behind by which a later plan would bring back a secret that no destination holds.

_NO_LINEAGE: Final = Lineage()
_LEAVING: Final = frozenset(
    {DeleteReason.UNDECLARED, DeleteReason.REMOVED, DeleteReason.LIVE_ONLY, DeleteReason.UNMANAGED}
)


def removals(
    declaration: Declaration,
    matching: Matching,
    lineages: Mapping[Address, Lineage],
    changes: Mapping[Address, Change],
    now: datetime,
) -> Iterable[Retire | Delete]:
    """Yield what goes, whatever the run is about; `changes` is what happens to the declared addresses."""
    if not (matching.undeclared or lineages):
        return
    naming = Naming(declaration.naming, declaration.environments)
    declared = {key.address for key in declaration.keys}
    undeclared: dict[Address, list[LiveKey]] = {}
    for address, key in matching.undeclared:
        undeclared.setdefault(address, []).append(key)
    for address in {**undeclared, **lineages}:
        environment, lineage = declaration.environments[address.environment], lineages.get(address, _NO_LINEAGE)
        change = changes.get(address)
        if address in declared:
            lasting = _lasting(matching.live.get(address), change)
        else:
            settled = undeclared.get(address, [])
            yield from _undeclared(address, settled, lineage, environment, naming.format(address), now)
            lasting = settled if environment.deletion_grace else []
        lasting = [*lasting, *(key for _, key in lineage.retired if not _concerns(change, key))]
        for reason, key in lineage.superfluous(lasting):
            yield Delete(address, key, reason, environment.source)
        for until, key in lineage.retired:
            if key.is_enabled and not _concerns(change, key):
                yield _disable_again(address, key, environment, until - now)


def _lasting(live: LiveKey | None, change: Change | None) -> list[LiveKey]:
    """Return the key of a declared address that goes on with the secret it has."""
    if isinstance(change, Create | Rotate | Finish):
        return []
    key = change.live if change else live
    return [key] if key else []


def _undeclared(
    address: Address, settled: Sequence[LiveKey], lineage: Lineage, environment: Environment, name: str, now: datetime
) -> Iterable[Retire | Delete]:
    grace = environment.deletion_grace
    keys = ((Role.SETTLED, settled), (Role.SUCCESSOR, lineage.upcoming), (Role.SUPERSEDED, lineage.rotated_out))
    for role, key in ((role, key) for role, found in keys for key in found):
        move = STAGES[role].leaves[bool(grace)]
        if move is Move.DELETE:
            yield Delete(address, key, DeleteReason.UNDECLARED, environment.source)
        elif grace and move is Move.RETIRE:
            # What a rotation was about to replace is in no destination any more: only its successor may come back.
            replaced = lineage.upcoming and role is not Role.SUCCESSOR
            stamped = old_name(name, now + grace) if replaced else gone_name(name, now + grace)
            after = KeyState(stamped, is_enabled=False, credit_limit=key.credit_limit, expires_at=key.expires_at)
            yield Retire(address, key, after, changed_fields(key, after), grace, environment.source)
        # The superseded stay: the removal may be undone, and then who still uses the old key must not have lost it.


def _concerns(change: Change | None, key: LiveKey) -> bool:
    if change is None or isinstance(change, Create):
        return False
    return key == change.live or (isinstance(change, Finish) and key == change.old)


def _disable_again(address: Address, key: LiveKey, environment: Environment, left: timedelta) -> Retire:
    """Disable a retired key that somebody enabled, or that the service did not disable when it was asked to."""
    after = replace(key.state, is_enabled=False)
    return Retire(address, key, after, (Field.IS_ENABLED,), left, environment.source, DeleteReason.WORKS_AGAIN)


# From what is declared and what is live to what has to be done.

DEFAULT_OVERLAP: Final = timedelta(hours=24)
_FEW: Final = 3  # addresses that a hint repeats


def make_plan(
    declaration: Declaration,
    snapshot: Snapshot,
    options: Options = AS_THE_FILE_SAYS,
    inputs: PlanInputs = NOTHING_READ,
) -> AccountPlan:
    """Work out what has to be done in an account, and judge it: the same inputs, in any order, give the same plan."""
    now = snapshot.now
    declaration, unknown = _in_force(declaration, inputs, now)
    matching = match(declaration, snapshot)
    lineages = trace(matching.engine, now)
    matching.findings.extend(_rival_successors(declaration, lineages, matching))
    converging = [
        _converge(key, matching, lineages.get(key.address, _NO_LINEAGE), options, inputs, now)
        for key in _chosen(declaration, options)
        if key.address not in matching.unclear
    ]
    every = [change for change in converging if change]
    clock = Clock(frozenset(key.address for key in declaration.keys), matching.live, now) if options.due else None
    # What is left undone must not have its signs removed, so the removals are worked out from what is done.
    changes = [change for change in every if clock is None or clock.asks_for(change)]
    going = removals(declaration, matching, lineages, {change.address: change for change in changes}, now)
    deletions = list(_deletions(declaration, matching, going, options, inputs))
    done = [*changes, *(each for each in deletions if clock is None or clock.asks_for(each))]
    draft = Draft(
        declaration=declaration,
        actions=tuple(sorted(done, key=order_of)),
        live=matching.live,
        foreign=tuple(matching.foreign),
        credit=_credit(declaration, matching, options, inputs.balance, changes),
        options=options,
        inputs=inputs,
        now=now,
    )
    findings = [*unknown, *review(draft), *_findings(draft, matching, lineages, changes)]
    if clock is not None:
        findings += clock.left([*every, *deletions])
    plan = AccountPlan(
        created_at=now,
        actions=draft.actions,
        findings=in_order(findings),
        credit=draft.credit,
        unchanged=len(converging) - len(every),
        unmanaged=tuple(_unmanaged(declaration, matching)),
        leased=open_leases(matching.engine, now),
        usage=_usage(draft),
        options=options,
    )
    return plan.named(inputs.account)


def _in_force(declaration: Declaration, inputs: PlanInputs, now: datetime) -> tuple[Declaration, list[Finding]]:
    """Return what the file asks for at an instant, with places marked that the base does not have."""
    unknown: list[Finding] = []
    if inputs.base is not None and inputs.offline:
        declaration, unknown = in_terms_of(inputs.base, declaration)
    declaration = budgets.as_of(declaration, now)
    if inputs.base is not None:
        declaration = with_new_marked(declaration, inputs.base)
    return declaration, unknown


def with_findings(plan: Plan, more: Iterable[Finding]) -> Plan:
    """Add what was found out beside the planning."""
    return replace(plan, findings=in_order((*plan.findings, *more)))


def _chosen(declaration: Declaration, options: Options) -> Sequence[DeclaredKey]:
    """Return the declared keys that the run is about."""
    if not options.selective:
        return declaration.keys
    covers = options.selector()
    return [key for key in declaration.keys if covers(key.address)]


def _rival_successors(
    declaration: Declaration, lineages: Mapping[Address, Lineage], matching: Matching
) -> Iterable[Finding]:
    """Find rotations with two keys that wait to take over: nobody knows whose secret the destinations hold."""
    rivals = {address: lineage.upcoming for address, lineage in lineages.items() if len(lineage.upcoming) > 1}
    for wanted in [key for key in declaration.keys if key.address in rivals] if rivals else ():
        matching.unclear.add(wanted.address)
        yield duplicates(wanted, rivals[wanted.address], "live keys wait to take over")


def _converge(
    wanted: DeclaredKey, matching: Matching, lineage: Lineage, options: Options, inputs: PlanInputs, now: datetime
) -> Change | None:
    live = matching.live.get(wanted.address)
    older = live or lineage.restorable(wanted.id)
    move = _move(wanted, live, older, lineage, now)
    if move is Move.FINISH:
        successor = lineage.upcoming[0]
        fields = _to_change(successor, wanted, now)
        return Finish(wanted, successor, older, wanted.state, fields, _overlap(wanted, options))
    if older is None:
        return Create(wanted)
    due = live is not None and options.by_age and _is_due(wanted, live, now)
    requested = wanted.address in options.rotate
    # A retired key that is due comes back first, so that who still has its secret can go on for the overlap.
    if move is Move.ROTATE or requested or due:
        state = budgets.target(wanted, live, inputs, now, renews=False).state if live else None
        fields = _to_change(older, state or budgets.restored(wanted, older, now), now)
        reason = RotateReason.REQUESTED if requested else RotateReason.DUE
        reason = RotateReason.INTERRUPTED if move is Move.ROTATE else reason
        return Rotate(wanted, older, fields, _overlap(wanted, options), reason)
    if live is None:
        state = budgets.restored(wanted, older, now)
        return Restore(wanted, older, _as_state(state), _to_change(older, state, now))
    state = budgets.target(wanted, live, inputs, now).state
    fields = _to_change(live, state, now)
    if not fields:
        return None
    if Field.NAME not in fields or budgets.keeps_name(wanted, live):
        kind = Renew if budgets.begins_period(live, state) else Update
        return kind(wanted, live, _as_state(state), fields)
    return Rename(wanted, live, _as_state(state), fields)


def _as_state(state: Settable) -> KeyState:
    return KeyState(state.name, state.is_enabled, state.credit_limit, state.expires_at)


def _to_change(live: LiveKey, wanted: Settable, now: datetime) -> tuple[Field, ...]:
    """Return the fields of a live key that have to be changed.

    One that has expired as declared works neither way, and the service may disable it by itself: to enable it would
    change nothing, at each run anew.
    """
    fields = changed_fields(live, wanted)
    expired = live.expires_at is not None and live.expires_at <= now and Field.EXPIRES_AT not in fields
    return (
        tuple(field for field in fields if field is not Field.IS_ENABLED) if expired and wanted.is_enabled else fields
    )


def _move(wanted: DeclaredKey, live: LiveKey | None, older: LiveKey | None, lineage: Lineage, now: datetime) -> Move:
    """Ask the table of stages what an address needs, by the keys that it has within their time."""
    if lineage is _NO_LINEAGE:  # nearly every key, and there may be many
        return Move.CREATE if live is None else Move.COMPARE
    sign = lineage.interrupted_rotation(older) if older and wanted.deliver and not _is_over(wanted, now) else None
    keys = {
        Role.SUCCESSOR: lineage.upcoming,
        Role.DELIVERING: sign,
        Role.SETTLED: live,
        Role.RETIRED: lineage.retired,
        Role.PENDING: lineage.pending,
        Role.SUPERSEDED: lineage.rotated_out,
    }
    return next_move({role for role, found in keys.items() if found})


def _is_over(wanted: DeclaredKey, now: datetime) -> bool:
    return wanted.expires_at is not None and wanted.expires_at <= now


def _is_due(wanted: DeclaredKey, live: LiveKey, now: datetime) -> bool:
    """True for a key that has to be rotated for its age."""
    every = wanted.rotate_every if wanted.is_enabled and not _is_over(wanted, now) else None
    return every is not None and live.created_at + every <= now


def _overlap(wanted: DeclaredKey, options: Options) -> timedelta | None:
    """Return how long a rotated key goes on; None is not at all."""
    if not wanted.is_enabled or (wanted.address in options.rotate and not options.overlap):
        return None
    declared = DEFAULT_OVERLAP if wanted.rotation_overlap is None else wanted.rotation_overlap
    return declared or None


def _deletions(
    declaration: Declaration,
    matching: Matching,
    going: Iterable[Retire | Delete],
    options: Options,
    inputs: PlanInputs,
) -> Iterable[Action]:
    """Yield what goes of all that the run is about, and say why."""
    covers = options.selector()
    if inputs.base is not None:
        going = explained(going, inputs.base)
    yield from (removal for removal in going if removal.address is not None and covers(removal.address))
    if declaration.unmanaged is Unmanaged.DELETE and not options.selective:
        for key in _unmanaged(declaration, matching):
            yield Delete(None, key, DeleteReason.UNMANAGED, declaration.source)


def _findings(
    draft: Draft, matching: Matching, lineages: Mapping[Address, Lineage], changes: Iterable[Change]
) -> Iterable[Finding]:
    """Yield what a reviewer should know beside the guardrails."""
    declaration, options, now = draft.declaration, draft.options, draft.now
    yield from _mismatches(declaration, matching, options)
    for change in changes:
        yield from _doubts(change, options, now)
        if change.address in lineages:
            yield from _healed(change, lineages[change.address])
    yield from _going_along(draft)
    renewing = frozenset(change.address for change in changes if isinstance(change, Renew | Update | Rename))
    yield from _periods(draft, matching, renewing)
    yield from _perhaps_renamed(draft, _unmanaged(declaration, matching))


def _mismatches(declaration: Declaration, matching: Matching, options: Options) -> Iterable[Finding]:
    """Yield what is wrong with the live keys that the run is about; no guardrail's lifting makes it right."""
    covers = options.selector()
    yield from (finding for finding in matching.findings if finding.address is not None and covers(finding.address))
    if declaration.unmanaged is Unmanaged.ERROR and not options.selective:
        yield from (_unmanaged_error(declaration, key) for key in _unmanaged(declaration, matching))


def _unmanaged(declaration: Declaration, matching: Matching) -> list[LiveKey]:
    if declaration.unmanaged is Unmanaged.IGNORE:
        return []
    ignored = matcher(declaration.ignore)
    return sorted((key for key in matching.foreign if not ignored(key.name)), key=lambda key: (key.name, key.id))


def _periods(draft: Draft, matching: Matching, renewing: frozenset[Address]) -> Iterable[Finding]:
    """Yield which periods begin without all that was spent before being known, and which raises are over."""
    inputs, now = draft.inputs, draft.now
    for wanted in _chosen(draft.declaration, draft.options):
        live = matching.live.get(wanted.address)
        if wanted.raised and wanted.raised.until <= now:
            message = "the time of `raise` is over; delete it from the file"
            yield Finding("raise-over", Severity.NOTE, message, wanted.address, wanted.source)
        if wanted.renew is None or live is None:
            continue
        found = budgets.target(wanted, live, inputs, now)
        if found.waits:
            message = "its period is over, and what it spent is not known, so its budget is not renewed yet"
            yield Finding("renewal-waits", Severity.WARNING, message, wanted.address, wanted.source)
        if found.late and wanted.address in renewing:
            message = f"its last period began more than {LONGEST_DAYS} days ago: only what it spent in the last "
            message += f"{LONGEST_DAYS} days is known and counted, so it may have less than its allowance"
            yield Finding("renewed-late", Severity.WARNING, message, wanted.address, wanted.source)


def _doubts(action: Change, options: Options, now: datetime) -> Iterable[Finding]:
    """Yield what a reviewer should know about a change, before it is made."""
    wanted = action.declared

    def finding(rule: str, severity: Severity, message: str) -> Finding:
        return Finding(rule, severity, message, wanted.address, wanted.source)

    if isinstance(action, Finish) and wanted.address in options.rotate:
        message = "this completes an earlier rotation and issues no new key; when it is done, ask for --rotate again"
        yield finding("rotation-unfinished", Severity.WARNING, message)
    issues = isinstance(action, Create | Rotate)
    sets_expiry = isinstance(action, Create | Rotate) or Field.EXPIRES_AT in action.fields
    if sets_expiry and wanted.expires_at and wanted.expires_at <= now:
        message = "expires_at has passed, and the service takes only a future one; move it or remove it"
        yield finding("expiry-passed", Severity.ERROR, message)
    if issues and not wanted.deliver:
        message = "it has no destination, and apply does not issue a key whose secret nobody receives; add `deliver`"
        yield finding("no-destination", Severity.ERROR, message)
    if isinstance(action, Rename) and wanted.deliver:
        message = "the key keeps its secret, but a secret cannot be read again: its destinations do not receive it"
        yield finding("not-delivered", Severity.WARNING, message)


def _healed(change: Change, lineage: Lineage) -> Iterable[Finding]:
    """Yield what a run that stopped early has left at the address of a change, and how the change heals it."""

    def note(message: str) -> Finding:
        return Finding("interrupted", Severity.NOTE, message, change.address, change.declared.source)

    if isinstance(change, Finish):
        old = f", and {change.old} retires" if change.old else ""
        yield note(f"a rotation stopped after {change.live} was delivered: it takes over now{old}")
    elif isinstance(change, Rotate) and change.reason is RotateReason.INTERRUPTED:
        sign = lineage.interrupted_rotation(change.live)
        message = f"a rotation stopped while the secret of {sign} was delivered, which ends with its lease"
        yield note(f"{message}: every destination gets another one now")
    elif isinstance(change, Create | Rotate):
        fate = "may be in a destination, which gets another one now" if isinstance(change, Create) else "reached nobody"
        for key in (*lineage.pending, *(lineage.delivering if isinstance(change, Create) else ())):
            yield note(f"a run that stopped early, or still goes on, has left {key} to its lease: its secret {fate}")


def _going_along(draft: Draft) -> Iterable[Finding]:
    """Yield which other changes a run makes that was asked for a rotation: who is in a hurry may not mean them."""
    asked = draft.options.rotate
    others = [action for action in draft.actions if action.address not in asked] if asked else []
    if others:
        go = "goes" if len(others) == 1 else "go"
        message = f"{plural(len(others), 'other change')} {go} along with --rotate: {listed(list(map(named, others)))}"
        only = " ".join(f"--only {address}" for address in sorted(asked))
        how = only if len(asked) <= _FEW else "--only with the same globs"
        yield Finding("goes-along", Severity.NOTE, f"{message}; to leave all of that out: {how}")


def _perhaps_renamed(draft: Draft, unmanaged: Iterable[LiveKey]) -> Iterable[Finding]:
    """Propose `renamed_from` where a key goes, or is nobody's any more, and one of the same name or settings comes.

    Who moves a key in the file by cut and paste means the same key, and would lose its secret. What could be meant of
    several is not guessed.
    """
    coming = [action for action in draft.actions if isinstance(action, Create)]
    if not coming:
        return
    going = {
        action.live: action.kind.value
        for action in draft.actions
        if isinstance(action, Retire | Delete) and action.reason in _LEAVING
    }
    strays = {key: "leave" for key in unmanaged if key not in going}
    base = draft.inputs.base or draft.declaration
    naming = Naming(base.naming, base.environments)

    def name_of(key: LiveKey) -> Hashable:
        parsed = naming.parse(key.name)
        return parsed.address.key if parsed else key.name.rpartition("/")[2]

    def settings_of(key: LiveKey | DeclaredKey) -> Hashable:
        return budgets.allowance(key), key.expires_at

    pairs: dict[Address, LiveKey] = {}
    for keys, new, old in (
        (going, lambda create: create.address.key, name_of),
        (strays, lambda create: create.address.key, name_of),
        (going, lambda create: settings_of(create.declared), settings_of),
    ):
        found, rest = {*pairs.values()}, [each for each in coming if each.address not in pairs]
        pairs |= _alone_together(rest, [key for key in keys if key not in found], new, old)
    for create in coming:
        key = pairs.get(create.address)
        if key is None:
            continue
        fate = "which stays behind unmanaged" if key in strays else f"which this plan would {going[key]}"
        message = f"it may be meant as {key}, {fate}; renamed_from: [{key.name}] keeps that key and its secret"
        yield Finding("perhaps-renamed", Severity.NOTE, message, create.address, create.declared.source)


def _alone_together(
    coming: Iterable[Create],
    going: Iterable[LiveKey],
    new: Callable[[Create], Hashable],
    old: Callable[[LiveKey], Hashable],
) -> dict[Address, LiveKey]:
    """Return the key that goes for each that comes, where one of each has a trait and no other."""
    news: dict[Hashable, list[Create]] = {}
    olds: dict[Hashable, list[LiveKey]] = {}
    for create in coming:
        news.setdefault(new(create), []).append(create)
    for key in going:
        olds.setdefault(old(key), []).append(key)
    return {
        creates[0].address: olds[trait][0]
        for trait, creates in news.items()
        if len(creates) == 1 and len(olds.get(trait, ())) == 1
    }


def _unmanaged_error(declaration: Declaration, key: LiveKey) -> Finding:
    message = f"{key} is not declared; declare it, add its name to `ignore`, or delete it"
    return Finding("unmanaged", Severity.ERROR, message, source=declaration.source)


def _credit(
    declaration: Declaration,
    matching: Matching,
    options: Options,
    balance: Decimal | None,
    changes: Sequence[Change],
) -> Credit:
    covers = options.selector()
    chosen = _chosen(declaration, options)
    if options.due:
        chosen = [change.declared for change in changes]
        covers = {key.address for key in chosen}.__contains__
    before = [(address, budgets.allowance(key)) for address, key in (*matching.live.items(), *matching.undeclared)]
    # What the run is not about stays as it is.
    partial = options.selective or options.due
    staying = [limit for address, limit in before if not covers(address)] if partial else []
    after = [*staying, *(key.credit_limit for key in chosen)]
    limits_before = [limit for _, limit in before if limit is not None]
    limits_after = [limit for limit in after if limit is not None]
    return Credit(
        limits_before=sum(limits_before, Decimal(0)),
        limits_after=sum(limits_after, Decimal(0)),
        unlimited_before=len(before) - len(limits_before),
        unlimited_after=len(after) - len(limits_after),
        balance=balance,
    )


def _usage(draft: Draft) -> dict[int, Usage]:
    """Return how much the keys that change were used lately, where that is known."""
    keys = [action.live.id for action in draft.actions if not isinstance(action, Create)]
    return {key_id: usage for key_id in keys if (usage := draft.inputs.usage(key_id)) is not None}
