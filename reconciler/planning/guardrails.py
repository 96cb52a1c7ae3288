"""Judges a plan by the guardrails: returns all violations at once, each with the place of its guardrail.

A violation is of severity error, and a note where `--allow` lifts what guards the address. A guardrail holds in the
strictest form that the account, the environment, or the base file of a change has for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.diagnostic import Severity
from reconciler.model import LONGEST_DAYS, MOST_DELETIONS, Guardrails, Rule
from reconciler.planning import budgets
from reconciler.planning.actions import (
    Create,
    Delete,
    Finding,
    Finish,
    Rename,
    Restore,
    Retire,
    Rotate,
    matcher,
    source_of,
    used,
    window,
)
from reconciler.planning.names import Naming, period_of
from reconciler.planning.power import (
    endings_of,
    ends_raise,
    held,
    injuries_of,
    is_lower,
    name_of,
    new_limit,
    outcome,
    removes,
)
from reconciler.units import dollars, format_duration, format_instant, listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from reconciler.diagnostic import Location
    from reconciler.model import Address, Declaration, DeclaredKey, Lease, LiveKey
    from reconciler.planning.actions import Action, Change, Credit, Options, PlanInputs


# What declared keys must be, each by itself and all together.

_BOUNDLESS: Final = Decimal("Infinity")


def judge_declaration(bench: Bench) -> Iterator[Finding]:
    """Judge what the declaration says of each key that the run is about, changed or not, and what it adds up to."""
    declaration, covers = bench.draft.declaration, bench.draft.options.selector()
    members: dict[str, tuple[list[DeclaredKey], list[Lease]]] = {}
    movers = _movers(bench)
    for key in declaration.keys:
        members.setdefault(key.address.environment, ([], []))[0].append(key)
    for lease in declaration.leases:
        members.setdefault(lease.address.environment, ([], []))[1].append(lease)
    if budget := bench.guards.account().credit_budget:
        yield from _judge_budget(bench, budget, declaration.keys, declaration.leases, None)
    for name, (keys, leases) in members.items():
        rails = bench.guards.of_keys(frozenset({name}))
        chosen = [key for key in keys if covers(key.address)] if bench.draft.options.selective else keys
        chosen_leases = [lease for lease in leases if covers(lease.address)]
        staying = [key for key in chosen if key.address not in movers] if movers else chosen
        yield from _judge_limits(bench, [*staying, *chosen_leases], rails)
        yield from _judge_keys(bench, staying, rails)
        for key in [key for key in chosen if key.address in movers] if movers else ():
            of_both = bench.guards.of_keys(movers[key.address])
            yield from _judge_limits(bench, [key], of_both)
            yield from _judge_keys(bench, [key], of_both)
        yield from _judge_leases(bench, chosen_leases, rails)
        if (chosen or chosen_leases) and (budget := bench.guards.environment(name).credit_budget):
            yield from _judge_budget(bench, budget, keys, leases, name)


def _movers(bench: Bench) -> dict[Address, frozenset[str]]:
    """Return the keys that come from another environment, each with both: what guards the one goes along."""
    moving: dict[Address, frozenset[str]] = {}
    for action in bench.draft.actions:
        if isinstance(action, Rename | Rotate | Finish):
            environments = frozenset(address.environment for address in bench.addresses(action))
            if len(environments) > 1:
                moving[action.address] = environments
    return moving


def _judge_limits(bench: Bench, keys: Sequence[DeclaredKey | Lease], rails: Guardrails) -> Iterator[Finding]:
    """Judge the limit that each key may have."""
    if most := rails.max_credit_limit:
        for key in [key for key in keys if key.credit_limit is None or key.credit_limit > most.value]:
            limit = key.credit_limit
            has = "it has no limit" if limit is None else f"its limit of {dollars(limit)} is too high"
            message = f"{has}: the highest that max_credit_limit allows is {dollars(most.value)}"
            yield bench.violation("max-credit-limit", most, message, subject_of(key.address))
    if rule := rails.require_limit:
        for key in [key for key in keys if key.credit_limit is None]:
            message = "it has no limit, and require_limit wants one for every key"
            yield bench.violation("require-limit", rule, message, subject_of(key.address))


def _judge_keys(bench: Bench, keys: Sequence[DeclaredKey], rails: Guardrails) -> Iterator[Finding]:
    """Judge how long keys live that the same guardrails hold for."""
    if longest := rails.max_lifetime:
        last = bench.draft.now + longest.value
        for key in [key for key in keys if key.expires_at is None or key.expires_at > last]:
            ends = "it never expires" if key.expires_at is None else f"it expires at {format_instant(key.expires_at)}"
            message = f"{ends}: by max_lifetime it must expire within {format_duration(longest.value)}"
            yield bench.violation("max-lifetime", longest, message, subject_of(key.address))
    if rule := rails.require_rotation:
        for key in [key for key in keys if key.rotate_every is None]:
            message = "it has no rotate_every, and require_rotation wants every key to be rotated"
            yield bench.violation("require-rotation", rule, message, subject_of(key.address))


def _judge_leases(bench: Bench, leases: Sequence[Lease], rails: Guardrails) -> Iterator[Finding]:
    """Judge how long a lease may outlive its command."""
    if longest := rails.max_lifetime:
        for lease in [lease for lease in leases if lease.ttl > longest.value]:
            message = f"its ttl is {format_duration(lease.ttl)}: max_lifetime allows {format_duration(longest.value)}"
            yield bench.violation("max-lifetime", longest, message, subject_of(lease.address))


def _judge_budget(
    bench: Bench,
    rule: Rule[Decimal],
    keys: Sequence[DeclaredKey],
    leases: Sequence[Lease],
    environment: str | None,
) -> Iterator[Finding]:
    """Judge what limits add up to; a lease counts as often as it may be open."""
    limits = [(key.address, key.credit_limit, 1) for key in keys]
    limits += [(lease.address, lease.credit_limit, lease.max_open) for lease in leases]
    unlimited = [str(address) for address, limit, _ in limits if limit is None]
    total = sum((limit * count for _, limit, count in limits if limit is not None), Decimal(0))
    if not unlimited and total <= rule.value:
        return
    budget = "the budget" if environment is None else f"the budget of environment {environment}"
    message = f"{dollars(total)} of limits is over {budget}, {dollars(rule.value)}, by {dollars(total - rule.value)}"
    if unlimited:
        message = (
            f"{plural(len(unlimited), 'key')} without a limit would break {budget}, {dollars(rule.value)}: "
            f"{listed(unlimited)}; the other limits add up to {dollars(total)}"
        )
    culprit = _most_raised(bench, environment)
    subject = EVERYTHING if culprit is None else subject_of(culprit)
    yield bench.violation("credit-budget", rule, message, subject)


def _most_raised(bench: Bench, environment: str | None) -> Address | None:
    """Return the address of the change that raises the sum most, the first of equals."""
    culprit, most = None, Decimal(0)
    for action in bench.draft.actions:
        if isinstance(action, Delete | Retire) or environment not in {None, action.address.environment}:
            continue
        if (raised := _raise(bench, action, environment)) > most:
            culprit, most = action.address, raised
    return culprit


def _raise(bench: Bench, action: Change, environment: str | None) -> Decimal:
    """Return by how much a change raises the sum of the limits; no limit raises it beyond all bounds."""
    before, limit = held(action), action.declared.credit_limit
    wanted = _BOUNDLESS if limit is None else limit
    if before is None or isinstance(action, Restore):
        return wanted
    if not any(environment in {None, address.environment} for address in bench.owners(before)):
        return wanted  # it comes from elsewhere
    limit = budgets.allowance(before)
    return Decimal(0) if limit is None else wanted - limit


# What no plan may do: all violations at once, each with the place of the guardrail that it violates.


def judge(bench: Bench) -> Iterator[Finding]:
    """Yield every violation, and a warning beside each change that violates nothing but may hurt somebody."""
    for action in bench.draft.actions:
        yield from _judge_action(bench, action)
    yield from _judge_deletions(bench)
    yield from judge_declaration(bench)


@dataclass(frozen=True, slots=True)
class _Case:
    """An action, what guards its key, and what findings about it say."""

    bench: Bench
    action: Action
    rails: Guardrails
    subject: Subject

    def violation(self, name: str, rule: Rule[Any], message: str) -> Finding:
        return self.bench.violation(name, rule, message, self.subject, once=True)

    def unchecked(self, name: str, rule: Rule[Any], message: str) -> Finding:
        return self.bench.unchecked(name, rule, message, self.subject)

    def warning(self, name: str, message: str) -> Finding:
        message = self.subject.label + message
        return Finding(name, Severity.WARNING, message, self.subject.address, source_of(self.action))


def _judge_action(bench: Bench, action: Action) -> Iterator[Finding]:
    now = bench.draft.now
    injuries, left = injuries_of(action, now), bench.left_protection(action)
    limited = None if ends_raise(action, now) else new_limit(action)
    if left:
        injuries.append(f"move it away from {listed([str(address) for address in left])}, to where nothing protects it")
    if not injuries and limited is None:
        return
    case = _Case(bench, action, bench.rails(action), bench.subject(action))
    if injuries and case.rails.protected:
        message = f"the key is protected, and this plan would {' and '.join(injuries)}"
        yield case.violation("protected", case.rails.protected, message)
    key, endings = held(action), endings_of(action, now)
    if key is not None and endings and (key.is_enabled or removes(action, now)):
        yield from _judge_use(case, key, endings[0])
    if limited is not None:
        yield from _judge_spend(case, *_of_period(action, *limited, now))


def _judge_use(case: _Case, key: LiveKey, deed: str) -> Iterator[Finding]:
    """Judge the taking away of a key from those who may use it."""
    inputs = case.bench.draft.inputs
    usage = inputs.usage(key.id)
    if rule := case.rails.protect_active:
        recent, period = inputs.usage(key.id, window(rule.value)), format_duration(rule.value)
        if recent:
            message = f"this plan would {deed}, and protect_active keeps what was used within {period}: {used(recent)}"
            yield case.violation("protect-active", rule, message)
        elif recent is None and (usage is None or usage):
            message = f"this plan would {deed}, and whether it was used within {period} (protect_active) is not known"
            yield case.unchecked("protect-active", rule, message)
    if usage:
        yield case.warning("in-use", f"still in use: {used(usage)}")


def _of_period(action: Action, key: LiveKey, limit: Decimal, now: datetime) -> tuple[LiveKey, Decimal, int]:
    """Add the days of activity that a new limit is about; of a budget that renews, give the allowance in its place."""
    after = outcome(action)
    period = None if after is None or isinstance(action, Restore) else period_of(after.name)
    if period is None:
        return key, limit, LONGEST_DAYS
    return key, limit - period.spent, max(1, min((now.date() - period.begin).days + 1, LONGEST_DAYS))


def _judge_spend(case: _Case, key: LiveKey, limit: Decimal, days: int) -> Iterator[Finding]:
    """Judge the new limit of a key that may have spent it already in the last days."""
    rule, usage = case.rails.limit_below_spend, case.bench.draft.inputs.usage(key.id, days)
    if usage is None:
        if rule and is_lower(limit, budgets.allowance(key)):
            message = f"whether the new limit of {dollars(limit)} is spent already (limit_below_spend) is not known"
            yield case.unchecked("limit-below-spend", rule, message)
    elif rule and limit < usage.cost:
        message = f"the new limit of {dollars(limit)} is below what it has spent, which stops it at once: {used(usage)}"
        yield case.violation("limit-below-spend", rule, message)
    elif usage.cost and limit <= usage.cost:
        message = f"the new limit of {dollars(limit)} is spent already, which stops it at once: {used(usage)}"
        yield case.warning("already-spent", message)


def _judge_deletions(bench: Bench) -> Iterator[Finding]:
    """Count what goes, in the account and in each environment; what is allowed does not count."""
    doomed = [action for action in bench.draft.actions if removes(action, bench.draft.now)]
    if not doomed:
        return
    yield from _count(bench, bench.guards.account().max_deletions, doomed, "")
    members: dict[str, list[Action]] = {}
    uncounted: list[Action] = []
    for action in doomed:
        environments = {address.environment for address in bench.addresses(action)}
        for environment in environments:
            members.setdefault(environment, []).append(action)
        if not any(map(bench.guards.counts_itself, environments)):
            uncounted.append(action)
    yield from _count(bench, bench.guards.default_deletions(), uncounted, "", ", where the file says nothing")
    for environment, actions in members.items():
        yield from _count(bench, bench.guards.environment(environment).max_deletions, actions, f" of {environment}")


def _count(
    bench: Bench, rule: Rule[int | None] | None, doomed: Sequence[Action], whose: str, why: str = ""
) -> Iterator[Finding]:
    if rule is None or rule.value is None or len(doomed) <= rule.value:
        return
    spared: list[Action] = []
    counted: list[Action] = []
    for action in doomed:
        (spared if bench.allows(bench.subject(action)) else counted).append(action)
    too_many = len(counted) > rule.value
    names = [name_of(action) for action in (counted if too_many else spared)]
    message = f"this plan would delete {plural(len(counted if too_many else doomed), 'key')}{whose}"
    message += f", and max_deletions allows {rule.value}{why}"
    if too_many:
        yield bench.violation("max-deletions", rule, f"{message}: {listed(names)}; what --allow names does not count")
    else:
        yield bench.lifted("max-deletions", rule, f"{message}; not counted: {listed(names)}", tuple(names))


# Everything that is to be said about a draft by what was read beside the keys.


def review(draft: Draft) -> Iterator[Finding]:
    """Yield the violations of guardrails, and what a reviewer should know besides."""
    bench = Bench(draft)
    yield from judge(bench)
    if draft.inputs.base is not None:
        from reconciler.planning.base_review import compare

        yield from compare(bench, draft.inputs.base)
    for message in draft.inputs.unread:
        yield Finding("not-read", Severity.WARNING, message)
    if draft.inputs.offline:
        message = "made without the account, as if the base file were live: drift, recent use and money are not known"
        yield Finding("offline", Severity.NOTE, message)
    balance, total = draft.inputs.balance, draft.credit.limits_after
    if draft.actions and balance is not None and total > balance:
        message = f"the limits add up to {dollars(total)}, which is {dollars(total - balance)} more than the balance"
        yield Finding("over-balance", Severity.NOTE, f"{message} of {dollars(balance)}")


# What judging a plan needs to know: the plan before it is judged, and the strictest guardrails for each key.

# Which guardrails hold for what: the strictest that the file, or the file as it was, has for it.

_Value = TypeVar("_Value", int, Decimal, timedelta)
_Same = TypeVar("_Same")


class Guards:
    """The guardrails of a declaration; with a base, those that a change removes or loosens are kept."""

    def __init__(self, declaration: Declaration, base: Declaration | None = None) -> None:
        """Take the declaration and how it was."""
        self._declaration = declaration
        self._base = base
        self.environment = cache(self._environment)
        self.of_keys = cache(self._of_keys)

    def account(self) -> Guardrails:
        """Return what holds for the account, and for all of its keys together."""
        own = self._declaration.guardrails
        return own if self._base is None else tightest(own, kept(self._base.guardrails))

    def default_deletions(self) -> Rule[int | None] | None:
        """Return how many deletions a file allows by saying nothing, unless something stricter is declared.

        With a base, its default too goes on to hold in the change that lifts it.
        """
        declared = self.account().max_deletions
        if declared is not None and declared.value is not None and declared.value <= MOST_DELETIONS:
            return None
        silent = [file for file in (self._declaration, self._base) if file and file.guardrails.max_deletions is None]
        return replace(_deletions_of(silent[0]), kept=silent[0] is not self._declaration) if silent else None

    def counts_itself(self, environment: str) -> bool:
        """True where an environment says itself how many of its keys may be deleted: the default leaves them to it."""
        files = [file for file in (self._declaration, self._base) if file is not None]
        layers = [file.environments[environment] for file in files if environment in file.environments]
        return bool(layers) and all(layer.guardrails.max_deletions is not None for layer in layers)

    def _environment(self, name: str) -> Guardrails:
        """Return what holds for an environment, and for all of its keys together, besides what the account says."""
        layers = [file.environments.get(name) for file in (self._declaration, self._base) if file is not None]
        rails = [Guardrails() if layer is None else layer.guardrails for layer in layers]
        return tightest(rails[0], *map(kept, rails[1:]))

    def _of_keys(self, environments: frozenset[str]) -> Guardrails:
        """Return what holds for each key that belongs to these environments; a key that moves belongs to two."""
        return tightest(*(self.environment(name) for name in sorted(environments)), self.account())


def with_default(declaration: Declaration) -> Guardrails:
    """Return what a file says for the account, and how many deletions it allows by saying nothing."""
    return replace(declaration.guardrails, max_deletions=_deletions_of(declaration))


def _deletions_of(declaration: Declaration) -> Rule[int | None]:
    return declaration.guardrails.max_deletions or Rule(MOST_DELETIONS, declaration.source)


def tightest(*layers: Guardrails) -> Guardrails:
    """Return the strictest rule of each kind; among equals the first, and one that is kept last."""
    return Guardrails(
        max_deletions=_fewest(layer.max_deletions for layer in layers),
        protected=_first(layer.protected for layer in layers),
        protect_active=_most(layer.protect_active for layer in layers),
        credit_budget=_least(layer.credit_budget for layer in layers),
        max_credit_limit=_least(layer.max_credit_limit for layer in layers),
        require_limit=_first(layer.require_limit for layer in layers),
        max_lifetime=_least(layer.max_lifetime for layer in layers),
        require_rotation=_first(layer.require_rotation for layer in layers),
        limit_below_spend=_first(layer.limit_below_spend for layer in layers),
    )


def kept(guardrails: Guardrails) -> Guardrails:
    """Mark the rules as ones that are held to although a change may have loosened them."""
    return replace(guardrails, **{name: replace(rule, kept=True) for name, rule in rules(guardrails).items()})


def rules(guardrails: Guardrails) -> dict[str, Rule[Any]]:
    """Return the rules that there are, by the name that the file has for them."""
    found = ((field.name, getattr(guardrails, field.name)) for field in fields(guardrails))
    return {name: rule for name, rule in found if rule is not None}


def _least(candidates: Iterable[Rule[_Value] | None]) -> Rule[_Value] | None:
    present = [rule for rule in candidates if rule is not None]
    return min(present, key=lambda rule: (rule.value, rule.kept), default=None)


def _fewest(candidates: Iterable[Rule[int | None] | None]) -> Rule[int | None] | None:
    """Return the smallest count; none at all, said on purpose, is above every other."""
    present = [rule for rule in candidates if rule is not None]
    return min(present, key=lambda rule: (rule.value is None, rule.value or 0, rule.kept), default=None)


def _most(candidates: Iterable[Rule[_Value] | None]) -> Rule[_Value] | None:
    present = [rule for rule in candidates if rule is not None]
    return max(present, key=lambda rule: (rule.value, not rule.kept), default=None)


def _first(candidates: Iterable[Rule[_Same] | None]) -> Rule[_Same] | None:
    present = [rule for rule in candidates if rule is not None]
    return min(present, key=lambda rule: rule.kept, default=None)


# A plan before it is judged, and what judging it needs to know.


@dataclass(frozen=True, slots=True)
class Draft:
    """What the account has to be changed to, and all that it is judged by.

    `live` holds the match of each declared key that has one, `foreign` the keys that no declared environment owns.
    """

    declaration: Declaration
    actions: tuple[Action, ...]
    live: Mapping[Address, LiveKey]
    foreign: tuple[LiveKey, ...]
    credit: Credit
    options: Options
    inputs: PlanInputs
    now: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: `names` are those by which `--allow` can mean it, `label` starts the message."""

    address: Address | None = None
    names: tuple[str, ...] = ()
    label: str = ""


EVERYTHING: Final = Subject()


def subject_of(address: Address) -> Subject:
    """Return a declared key as what a finding is about."""
    return Subject(address, (str(address),))


class Bench:
    """Where a draft is judged."""

    def __init__(self, draft: Draft) -> None:
        """Take the draft."""
        files = [draft.declaration] if draft.inputs.base is None else [draft.declaration, draft.inputs.base]
        self.draft = draft
        self.guards = Guards(draft.declaration, draft.inputs.base)
        self._namings = [Naming(file.naming, file.environments) for file in files]
        self._allows = matcher(draft.options.allow)

    @cached_property
    def base_keys(self) -> dict[Address, DeclaredKey]:
        """The keys of the base file by address."""
        base = self.draft.inputs.base
        return {} if base is None else {key.address: key for key in base.keys}

    def was_declared(self, environment: str) -> bool:
        """True when the base file has this environment."""
        base = self.draft.inputs.base
        return base is not None and environment in base.environments

    def owners(self, key: LiveKey) -> list[Address]:
        """Return the addresses that own a live key by its name: in the file as it is, in the file as it was."""
        parsed = (naming.parse(key.name) for naming in self._namings)
        return list(dict.fromkeys(found.address for found in parsed if found is not None))

    def addresses(self, action: Action) -> list[Address]:
        """Return the addresses that an action concerns: its own first, and those that its key comes from."""
        own = [] if action.address is None else [action.address]
        return own if isinstance(action, Create) else list(dict.fromkeys((*own, *self.owners(action.live))))

    def rails(self, action: Action) -> Guardrails:
        """Return what holds for the key of an action, by all addresses that it concerns."""
        addresses = self.addresses(action)
        layers = [self.guards.of_keys(frozenset(address.environment for address in addresses))]
        if not isinstance(action, Retire | Delete) and action.declared.protected:
            layers.append(_protection(action.declared))
        before = [self.base_keys[address] for address in addresses if address in self.base_keys]
        layers += [kept(_protection(key)) for key in before if key.protected]
        return tightest(*layers) if len(layers) > 1 else layers[0]

    def left_protection(self, action: Action) -> list[Address]:
        """Return the protected addresses that a key is taken away from by an action, to one that is not protected."""
        if isinstance(action, Create | Retire | Delete):
            return []
        left = [address for address in self.owners(action.live) if address != action.address]
        if not left or action.declared.protected or self.protection(action.address):
            return []
        return [address for address in left if self.protection(address)]

    def protection(self, address: Address) -> Rule[Any] | None:
        """Return what protects an address: its environment, or the base file."""
        rule = self.guards.of_keys(frozenset({address.environment})).protected
        before = self.base_keys.get(address)
        return rule or (kept(_protection(before)).protected if before and before.protected else None)

    def rails_of(self, key: DeclaredKey) -> Guardrails:
        """Return what holds for a key that no action is about."""
        rule = self.protection(key.address)
        own = _protection(key) if key.protected else Guardrails()
        return tightest(own, self.guards.of_keys(frozenset({key.address.environment})), Guardrails(protected=rule))

    def subject(self, action: Action) -> Subject:
        """Return what findings about an action are about."""
        if action.address is not None:
            return subject_of(action.address)
        owners = self.owners(action.live)
        names = (action.live.name, *map(str, owners))
        return Subject(owners[0], names) if owners else Subject(None, names, f"{action.live}: ")

    def allows(self, subject: Subject) -> bool:
        """Return whether the guardrails of a subject are lifted for this run."""
        return any(map(self._allows, subject.names))

    def violation(
        self, name: str, rule: Rule[Any], message: str, subject: Subject = EVERYTHING, *, once: bool = False
    ) -> Finding:
        """Return a finding that a guardrail is violated; only a note where that is allowed for this run.

        With `once`, allowing it for a run is the way to go on.
        """
        message = subject.label + message
        if rule.kept:
            message += "; this guardrail is still in force because the base file has it"
        if self.allows(subject):
            return _lifted(name, message, subject.address, subject.names, rule.source)
        if once and subject.address is not None:
            message += f"; allow it once with --allow {subject.address}"
        return Finding(name, Severity.ERROR, message, subject.address, rule.source)

    def lifted(self, name: str, rule: Rule[Any], message: str, names: tuple[str, ...]) -> Finding:
        """Return a finding that a guardrail of the account is violated, but for what is allowed for this run."""
        return _lifted(name, message, None, names, rule.source)

    def warning(self, name: str, message: str, subject: Subject) -> Finding:
        """Warn of something; only a note where that is allowed for this run."""
        if self.allows(subject):
            return _lifted(name, subject.label + message, subject.address, subject.names, None)
        return Finding(name, Severity.WARNING, subject.label + message, subject.address)

    def unchecked(self, name: str, rule: Rule[Any], message: str, subject: Subject) -> Finding:
        """Return a finding that a guardrail could not be checked: as bad as a violation where there is an account."""
        if not self.draft.inputs.offline:
            return self.violation(name, rule, message, subject, once=True)
        return Finding(name, Severity.WARNING, subject.label + message, subject.address, rule.source)


def _lifted(
    name: str, message: str, address: Address | None, names: tuple[str, ...], source: Location | None
) -> Finding:
    return Finding(name, Severity.NOTE, f"{message} (allowed for this run)", address, source, lifts=names)


def _protection(key: DeclaredKey) -> Guardrails:
    """Return the protection that a key has of its own."""
    return Guardrails(protected=Rule(value=True, source=key.source))
