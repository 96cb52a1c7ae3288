"""The three-way view: what a change does, told from the file as it was, the file as it is, and the account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.diagnostic import Severity
from reconciler.model import KEY_VARIABLE, SHA256, LiveKey, Snapshot, Unmanaged, place_words
from reconciler.planning.actions import (
    Create,
    Delete,
    DeleteReason,
    Finding,
    Finish,
    Rename,
    Restore,
    Retire,
    Rotate,
    matcher,
)
from reconciler.planning.budgets import as_of
from reconciler.planning.guardrails import kept, rules, subject_of, tightest, with_default
from reconciler.planning.names import Naming
from reconciler.planning.power import deliveries_of
from reconciler.units import dollars, format_duration, plural, show_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from reconciler.model import Address, Declaration, DeclaredKey, Delivery, Guardrails, Lease, Setting, Target
    from reconciler.planning.actions import AccountPlan, Change, Options
    from reconciler.planning.guardrails import Bench, Draft


def snapshot_of(base: Declaration, now: datetime, variable: str = KEY_VARIABLE) -> Snapshot:
    """Let a declaration stand for an account: every key of it is live and as declared, with an id below 0."""
    base = as_of(base, now)
    there = {name for name, environment in base.environments.items() if environment.provisioning_key_env == variable}
    keys = (
        LiveKey(number, key.settled, now, key.expires_at, key.is_enabled, key.credit_limit)
        for number, key in _numbered(base)
        if key.address.environment in there
    )
    return Snapshot(tuple(keys), now)


def in_terms_of(base: Declaration, declaration: Declaration) -> tuple[Declaration, list[Finding]]:
    """Put the ids that `snapshot_of` gave in place of the real ones; those that the base lacks go, with a finding."""
    stand_ins = {key.id: number for number, key in _numbered(base) if key.id is not None}
    findings: list[Finding] = []
    keys: list[DeclaredKey] = []
    for key in declaration.keys:
        keys.append(key if key.id is None else replace(key, id=stand_ins.get(key.id)))
        if key.id is not None and key.id not in stand_ins:
            message = f"id {key.id} is not in the base file, so this plan is made as if it were not here either"
            findings.append(Finding("unknown-id", Severity.WARNING, message, key.address, key.source))
    return replace(declaration, keys=tuple(keys)), findings


def _numbered(base: Declaration) -> Iterator[tuple[int, DeclaredKey]]:
    return ((-number, key) for number, key in enumerate(base.keys, start=1))


def explained(removals: Iterable[Retire | Delete], base: Declaration) -> Iterator[Retire | Delete]:
    """Yield of each key that goes whether the change removes it or no file has ever declared it."""
    declared = {key.address for key in base.keys}
    for removal in removals:
        if removal.reason is DeleteReason.UNDECLARED:
            reason = DeleteReason.REMOVED if removal.address in declared else DeleteReason.LIVE_ONLY
            yield replace(removal, reason=reason)
        else:
            yield removal


def compare(bench: Bench, base: Declaration) -> Iterator[Finding]:
    """Yield what a change of the base does beyond the keys that it adds, changes and removes."""
    yield from _dropped(bench.draft, base)
    yield from _renamed_all(bench.draft, base)
    yield from _not_delivered(bench)
    yield from judge_places(bench, base)
    yield from _loosened(bench, base)
    yield from _more_leased(bench.draft, base)


def left_behind(
    declaration: Declaration, base: Declaration, parts: Mapping[str, AccountPlan], options: Options
) -> Iterator[Finding]:
    """Find environments whose keys stay in another account than theirs: they moved, or nobody uses that account now.

    `parts` are the plans of the accounts that were read, by their variables.
    """
    naming, covers = Naming(base.naming, base.environments), options.selector()
    used = {each.provisioning_key_env for each in declaration.environments.values()} or {KEY_VARIABLE}
    for name, before in sorted(base.environments.items()):
        now, old = declaration.environments.get(name), before.provisioning_key_env
        gone = now is None and old not in used and old not in parts
        moved = now is not None and now.provisioning_key_env != old
        if (options.environments and name not in options.environments) or not (gone or moved):
            continue
        whose = f"its keys stay behind, unmanaged, in the account of {old}"
        if old in parts and declaration.unmanaged is not Unmanaged.IGNORE:
            owners = [found.address for key in parts[old].unmanaged if (found := naming.parse(key.name))]
            count = sum(address.environment == name and covers(address) for address in owners)
            whose = f"{plural(count, 'live key')} of it stay behind, unmanaged, in the account of {old}"
            if count and declaration.unmanaged is Unmanaged.DELETE and not options.selective:
                whose += ", and the file says to delete such keys"
        if now is None:
            message = f"environment {name} is no longer declared, nor is its account; {whose}"
            finding = Finding("environment-dropped", Severity.WARNING, message, source=before.source)
            yield finding if declaration.unmanaged is not Unmanaged.DELETE else _guarded(finding, name, base, options)
        else:
            new = now.provisioning_key_env
            message = f"environment {name} has moved to the account of {new}; {whose}"
            if new in parts and (count := _not_brought(declaration, name, parts[new], covers)):
                message += (
                    f"; destinations may hold the secrets of {old} for {plural(count, 'key')} that {new} has already"
                )
                message += ": --rotate brings new ones"
            finding = Finding("account-changed", Severity.WARNING, message, source=now.source)
            yield _guarded(finding, name, base, options)


def _guarded(finding: Finding, environment: str, base: Declaration, options: Options) -> Finding:
    """Make a warning that an environment leaves its keys behind an error where the base protects some of them.

    The next plan knows nothing of that protection any more, so this is the last one that can refuse it.
    """
    rails = base.environments[environment].guardrails
    rule = rails.protected or base.guardrails.protected
    mine = [key for key in base.keys if key.address.environment == environment and (rule or key.protected)]
    if not mine:
        return finding
    names = tuple(str(key.address) for key in mine)
    if all(map(matcher(options.allow), names)):
        message = f"{finding.message} (allowed for this run)"
        return replace(finding, severity=Severity.NOTE, message=message, lifts=names)
    message = f"{finding.message}; the base file protects {plural(len(mine), 'key')} of it: "
    message += f"allow it once with --allow '{environment}/*'"
    return replace(finding, severity=Severity.ERROR, message=message)


def _not_brought(
    declaration: Declaration, environment: str, plan: AccountPlan, covers: Callable[[Address], bool]
) -> int:
    """Count the keys of an environment that have destinations, and whose secrets this plan does not bring there."""
    brought = {each.address for each in plan.actions if isinstance(each, Create | Rotate | Finish)}
    mine = (key for key in declaration.keys if key.address.environment == environment and key.deliver)
    return sum(covers(key.address) and key.address not in brought for key in mine)


def _dropped(draft: Draft, base: Declaration) -> Iterator[Finding]:
    """Find environments that are no longer declared, whose keys nobody owns now."""
    gone = base.environments.keys() - draft.declaration.environments.keys() - draft.inputs.elsewhere
    if not gone:
        return
    naming, covers = Naming(base.naming, base.environments), draft.options.selector()
    owners = [found.address for key in draft.foreign if (found := naming.parse(key.name))]
    deleted = draft.declaration.unmanaged is Unmanaged.DELETE
    fate = (
        ", and the file says to delete such keys" if deleted else "; to delete what it has, declare it with `keys: {}`"
    )
    for name in sorted(gone):
        count = sum(address.environment == name and covers(address) for address in owners)
        if draft.options.selective and not count:
            continue
        left = f", which leaves {plural(count, 'live key')} unmanaged{fate}" if count else "; it has no live keys"
        message = f"environment {name} is no longer declared{left}"
        finding = Finding("environment-dropped", Severity.WARNING, message, source=base.environments[name].source)
        yield _guarded(finding, name, base, draft.options) if deleted and count else finding


def _renamed_all(draft: Draft, base: Declaration) -> Iterator[Finding]:
    """Find live keys that only the earlier naming makes ours."""
    if draft.declaration.naming == base.naming:
        return
    naming, covers = Naming(base.naming, draft.declaration.environments), draft.options.selector()
    owners = [found.address for key in draft.foreign if (found := naming.parse(key.name))]
    if count := sum(covers(address) for address in owners):
        message = (
            f"naming has changed, which leaves {plural(count, 'live key')} unmanaged under the earlier names; "
            "to keep them, list these names in renamed_from"
        )
        yield Finding("naming-changed", Severity.WARNING, message, source=draft.declaration.source)


def _not_delivered(bench: Bench) -> Iterator[Finding]:
    """Find places that are new to a key whose secret is known to its holders only, be they added or moved to."""
    draft, covers, spots = bench.draft, bench.draft.options.selector(), _Spots()
    existing = {*draft.live}
    for action in draft.actions:
        if isinstance(action, Finish | Restore):
            existing.add(action.address)
        elif isinstance(action, Create | Rotate | Rename):  # of a rename the planner itself says so
            existing.discard(action.address)
    for key in draft.declaration.keys:
        before = bench.base_keys.get(key.address)
        if before and key.address in existing and covers(key.address):
            for delivery in _only_of(key, before, spots):
                message = (
                    f"destination {delivery.target.destination} ({delivery.name}) does not receive the secret of this "
                    "key, which exists already and cannot be read again; "
                    f"pass --rotate {key.address} to deliver a new one everywhere"
                )
                yield Finding("not-delivered", Severity.WARNING, message, key.address, delivery.source)


def _loosened(bench: Bench, base: Declaration) -> Iterator[Finding]:
    """Find the protections that the change itself removes or loosens."""
    declaration, options, covers = bench.draft.declaration, bench.draft.options, bench.draft.options.selector()
    account = declaration.guardrails
    yield from _looser(with_default(declaration), with_default(base), "for the account")
    # What an environment no longer says for each of its keys, the account may say; sums are another matter.
    of_keys = replace(account, max_deletions=None, credit_budget=None)
    now = {name: tightest(each.guardrails, of_keys) for name, each in declaration.environments.items()}
    for name in sorted(base.environments.keys() & now.keys()):
        if not options.environments or name in options.environments:
            yield from _looser(now[name], base.environments[name].guardrails, f"for environment {name}")
    # Those that their environment protected lose that with it, and it is said once.
    lost = {
        key.address
        for key in base.keys
        if key.protected and not base.environments[key.address.environment].guardrails.protected
    }
    for key in declaration.keys if lost else ():
        exposed = not key.protected and not now[key.address.environment].protected
        if exposed and key.address in lost and covers(key.address):
            message = "this change removes the protection of the key; it still holds for this plan"
            yield Finding("guardrail-loosened", Severity.WARNING, message, key.address, key.source)


def _more_leased(draft: Draft, base: Declaration) -> Iterator[Finding]:
    """Find leases that a change adds or makes worth more: they are no keys yet, so no action of a plan shows them."""
    before, covers = {lease.address: lease for lease in base.leases}, draft.options.selector()
    for lease in draft.declaration.leases:
        was = before.get(lease.address)
        if not covers(lease.address) or (was is not None and _worth(lease) <= _worth(was)):
            continue
        now = f"{plural(lease.max_open, 'key')} at a time, {show_limit(lease.credit_limit)} each"
        more = "adds a lease" if was is None else "makes a lease worth more"
        message = f"this change {more}: whoever runs commands under it can have {now}"
        yield Finding("more-leased", Severity.WARNING, message, lease.address, lease.source)


def _worth(lease: Lease) -> tuple[Decimal, int]:
    """Give, to compare it, what the keys of a lease may spend that are open at the same time, in USD, and their number.

    The number counts where there is no limit, which is beyond all bounds.
    """
    if lease.credit_limit is None:
        return Decimal("Infinity"), lease.max_open
    return lease.credit_limit * lease.max_open, 0


def _looser(after: Guardrails, before: Guardrails, whom: str) -> Iterator[Finding]:
    for name, rule in rules(tightest(after, kept(before))).items():
        if not rule.kept:
            continue
        now = getattr(after, name)
        change = "removes" if now is None else f"loosens, to {_shown(now.value)},"
        message = f"this change {change} {name} ({_shown(rule.value)}) {whom}; it still holds for this plan"
        yield Finding(
            "guardrail-loosened", Severity.WARNING, message, source=rule.source if now is None else now.source
        )


def _shown(value: Decimal | timedelta | int | None) -> str:
    match value:
        case None:
            return "no limit"
        case Decimal():
            return dollars(value)
        case timedelta():
            return format_duration(value)
        case bool():
            return "true"
        case _:
            return str(value)


# Where a plan's secrets go, and what of that is new: a secret that went to the wrong place is lost to someone.
#
# A place is known where the base file has the key's environment deliver to a destination of the same type and the same
# settings as they are written there, whatever the destination is called now. So another key under an unchanged template
# is known, and a changed repository, path, region, mount or recipient is not.

_Written = tuple[str, tuple[tuple[str, "Setting"], ...], tuple["Setting", ...]]
_Spot = tuple[str, tuple[tuple[str, "Setting"], ...], str]


def with_new_marked(declaration: Declaration, base: Declaration) -> Declaration:
    """Mark the deliveries that lead to where their environment did not deliver in the base."""
    known = {(key.address.environment, _written(each.target)) for key in base.keys for each in key.deliver}
    verdicts: dict[
        tuple[str, int], bool
    ] = {}  # by id(): keys share targets, and hashing one takes longer than the rest

    def is_new(environment: str, target: Target) -> bool:
        asked = (environment, id(target))
        if asked not in verdicts:
            verdicts[asked] = (environment, _written(target)) not in known
        return verdicts[asked]

    def marked(key: DeclaredKey) -> DeclaredKey:
        new = [is_new(key.address.environment, each.target) for each in key.deliver]
        if not any(new):
            return key
        return replace(key, deliver=tuple(replace(each, new=is_) for each, is_ in zip(key.deliver, new, strict=True)))

    return replace(declaration, keys=tuple(map(marked, declaration.keys)))


def _written(target: Target) -> _Written:
    return (target.type, target.written or target.settings, target.reads)


def judge_places(bench: Bench, base: Declaration) -> Iterator[Finding]:
    """Find new places, and keys that move among the known ones, of all keys that the run is about.

    A key that is left alone counts too: its next rotation would go there, and that is then no change of the file.
    """
    draft, covers = bench.draft, bench.draft.options.selector()
    spots = _Spots()
    owners = {spots.of(each): key.address for key in base.keys for each in key.deliver}
    actions = {action.address: action for action in draft.actions if not isinstance(action, Retire | Delete)}
    earlier = {key.name: key for key in base.keys} if any(key.renamed_from for key in draft.declaration.keys) else {}
    for key in draft.declaration.keys:
        if not covers(key.address):
            continue
        before = bench.base_keys.get(key.address)
        names = key.renamed_from if before is None else ()
        before = before or next((earlier[name] for name in names if name in earlier), None)
        lost = [] if before is None else _only_of(before, key, spots)
        moved: list[tuple[Delivery, Address | None]] = []
        for delivery in key.deliver:
            owner = owners.get(spots.of(delivery))
            if delivery.new:
                yield _new_place(bench, key, actions.get(key.address), delivery, owner, lost)
            elif owner not in {None if before is None else before.address, key.address} and (before or owner):
                moved.append((delivery, owner))
        if moved or (lost and not any(each.new for each in key.deliver)):
            yield _moved_place(key, actions.get(key.address), moved, lost)


class _Spots:
    """Where deliveries put their secrets, comparable; the fingerprints of what a destination reads are left out."""

    def __init__(self) -> None:
        self._settings: dict[int, tuple[Target, tuple[tuple[str, Setting], ...]]] = {}

    def of(self, delivery: Delivery) -> _Spot:
        target = delivery.target
        if id(target) not in self._settings:
            settings = target.resolved or target.settings
            # The target is kept, or another could get its id.
            self._settings[id(target)] = (target, tuple(each for each in settings if not each[0].endswith(SHA256)))
        return (target.type, self._settings[id(target)][1], delivery.name)


def _only_of(key: DeclaredKey, other: DeclaredKey, spots: _Spots) -> list[Delivery]:
    """Return where the first key is delivered and the second is not, whatever the file calls these places."""
    shared = {spots.of(each) for each in other.deliver}
    return [each for each in key.deliver if spots.of(each) not in shared]


def _goes(action: Change | None) -> str:
    return "goes" if action is not None and deliveries_of(action) else "would go, when it gets a new one,"


def _new_place(
    bench: Bench,
    key: DeclaredKey,
    action: Change | None,
    delivery: Delivery,
    owner: Address | None,
    lost: list[Delivery],
) -> Finding:
    environment = key.address.environment
    message = (
        f"its secret {_goes(action)} to a place where {environment} has not delivered before: {place_words(delivery)}"
    )
    if owner is not None and owner.environment != environment:
        message += f", which is that of {owner} in the base file"
    message += _was(lost)
    rule = (bench.rails_of(key) if action is None else bench.rails(action)).protected
    addresses = [key.address] if action is None else bench.addresses(action)
    if not any(bench.was_declared(each.environment) for each in addresses):
        rule = None  # the environment itself is new, so nothing that it protects has been anywhere yet
    if rule is None and owner is not None:
        rule = bench.protection(owner)
    found = (
        bench.violation("new-place", rule, message, subject_of(key.address), once=True)
        if rule
        else bench.warning("new-place", message, subject_of(key.address))
    )
    return replace(found, source=delivery.source)


def _moved_place(
    key: DeclaredKey, action: Change | None, moved: list[tuple[Delivery, Address | None]], lost: list[Delivery]
) -> Finding:
    parts = []
    for delivery, owner in moved:
        whose = "" if owner is None else f", which is that of {owner} in the base file"
        parts.append(f"to {place_words(delivery)}{whose}")
    goes = f"its secret {_goes(action)} {', and '.join(parts) or 'to fewer places'}"
    source = moved[0][0].source if moved else key.source
    return Finding("moved-place", Severity.WARNING, f"{goes}{_was(lost)}", key.address, source)


def _was(lost: list[Delivery]) -> str:
    if not lost:
        return ""
    return f"; it no longer goes to {', or to '.join(map(place_words, lost))}"
