"""What judging a plan needs to know: the plan before it is judged, and the strictest guardrails for each key."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconciler.diagnostic import Severity
from reconciler.model import MOST_DELETIONS, Guardrails, Rule
from reconciler.planning.actions import Create, Delete, Finding, Retire, matcher
from reconciler.planning.names import Naming

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.diagnostic import Location
    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey
    from reconciler.planning.actions import Action, Credit, Options, PlanInputs


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
        """Give what holds for the account, and for all of its keys together."""
        own = self._declaration.guardrails
        return own if self._base is None else tightest(own, kept(self._base.guardrails))

    def default_deletions(self) -> Rule[int | None] | None:
        """Give how many deletions a file allows by saying nothing, unless something stricter is declared.

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
        """Give what holds for an environment, and for all of its keys together, besides what the account says."""
        layers = [file.environments.get(name) for file in (self._declaration, self._base) if file is not None]
        rails = [Guardrails() if layer is None else layer.guardrails for layer in layers]
        return tightest(rails[0], *map(kept, rails[1:]))

    def _of_keys(self, environments: frozenset[str]) -> Guardrails:
        """Give what holds for each key that belongs to these environments; a key that moves belongs to two."""
        return tightest(*(self.environment(name) for name in sorted(environments)), self.account())


def with_default(declaration: Declaration) -> Guardrails:
    """Give what a file says for the account, and how many deletions it allows by saying nothing."""
    return replace(declaration.guardrails, max_deletions=_deletions_of(declaration))


def _deletions_of(declaration: Declaration) -> Rule[int | None]:
    return declaration.guardrails.max_deletions or Rule(MOST_DELETIONS, declaration.source)


def tightest(*layers: Guardrails) -> Guardrails:
    """Give the strictest rule of each kind; among equals the first, and one that is kept last."""
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
    """Give the rules that there are, by the name that the file has for them."""
    found = ((field.name, getattr(guardrails, field.name)) for field in fields(guardrails))
    return {name: rule for name, rule in found if rule is not None}


def _least(candidates: Iterable[Rule[_Value] | None]) -> Rule[_Value] | None:
    present = [rule for rule in candidates if rule is not None]
    return min(present, key=lambda rule: (rule.value, rule.kept), default=None)


def _fewest(candidates: Iterable[Rule[int | None] | None]) -> Rule[int | None] | None:
    """Give the smallest count; none at all, said on purpose, is above every other."""
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
    """Say that a finding is about a declared key."""
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
        """Give the addresses that own a live key by its name: in the file as it is, in the file as it was."""
        parsed = (naming.parse(key.name) for naming in self._namings)
        return list(dict.fromkeys(found.address for found in parsed if found is not None))

    def addresses(self, action: Action) -> list[Address]:
        """Give the addresses that an action concerns: its own first, and those that its key comes from."""
        own = [] if action.address is None else [action.address]
        return own if isinstance(action, Create) else list(dict.fromkeys((*own, *self.owners(action.live))))

    def rails(self, action: Action) -> Guardrails:
        """Give what holds for the key of an action, by all addresses that it concerns."""
        addresses = self.addresses(action)
        layers = [self.guards.of_keys(frozenset(address.environment for address in addresses))]
        if not isinstance(action, Retire | Delete) and action.declared.protected:
            layers.append(_protection(action.declared))
        before = [self.base_keys[address] for address in addresses if address in self.base_keys]
        layers += [kept(_protection(key)) for key in before if key.protected]
        return tightest(*layers) if len(layers) > 1 else layers[0]

    def left_protection(self, action: Action) -> list[Address]:
        """Give the protected addresses that a key is taken away from by an action, to one that is not protected."""
        if isinstance(action, Create | Retire | Delete):
            return []
        left = [address for address in self.owners(action.live) if address != action.address]
        if not left or action.declared.protected or self.protection(action.address):
            return []
        return [address for address in left if self.protection(address)]

    def protection(self, address: Address) -> Rule[Any] | None:
        """Give what protects an address: its environment, or the base file."""
        rule = self.guards.of_keys(frozenset({address.environment})).protected
        before = self.base_keys.get(address)
        return rule or (kept(_protection(before)).protected if before and before.protected else None)

    def rails_of(self, key: DeclaredKey) -> Guardrails:
        """Give what holds for a key that no action is about."""
        rule = self.protection(key.address)
        own = _protection(key) if key.protected else Guardrails()
        return tightest(own, self.guards.of_keys(frozenset({key.address.environment})), Guardrails(protected=rule))

    def subject(self, action: Action) -> Subject:
        """Say what findings about an action are about."""
        if action.address is not None:
            return subject_of(action.address)
        owners = self.owners(action.live)
        names = (action.live.name, *map(str, owners))
        return Subject(owners[0], names) if owners else Subject(None, names, f"{action.live}: ")

    def allows(self, subject: Subject) -> bool:
        """Tell whether the guardrails of a subject are lifted for this run."""
        return any(map(self._allows, subject.names))

    def violation(
        self, name: str, rule: Rule[Any], message: str, subject: Subject = EVERYTHING, *, once: bool = False
    ) -> Finding:
        """Say that a guardrail is violated; only a note where that is allowed for this run.

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
        """Say that a guardrail of the account would be violated, were it not for what is allowed for this run."""
        return _lifted(name, message, None, names, rule.source)

    def warning(self, name: str, message: str, subject: Subject) -> Finding:
        """Warn of something; only a note where that is allowed for this run."""
        if self.allows(subject):
            return _lifted(name, subject.label + message, subject.address, subject.names, None)
        return Finding(name, Severity.WARNING, subject.label + message, subject.address)

    def unchecked(self, name: str, rule: Rule[Any], message: str, subject: Subject) -> Finding:
        """Say that a guardrail could not be checked: as bad as a violation, but not where no account is there."""
        if not self.draft.inputs.offline:
            return self.violation(name, rule, message, subject, once=True)
        return Finding(name, Severity.WARNING, subject.label + message, subject.address, rule.source)


def _lifted(
    name: str, message: str, address: Address | None, names: tuple[str, ...], source: Location | None
) -> Finding:
    return Finding(name, Severity.NOTE, f"{message} (allowed for this run)", address, source, lifts=names)


def _protection(key: DeclaredKey) -> Guardrails:
    """Give the protection that a key has of its own."""
    return Guardrails(protected=Rule(value=True, source=key.source))
