"""A plan before it is judged, and what judging it needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import Guardrails, Rule
from reconciler.plan.actions import Create, Delete, Finding, Retire
from reconciler.plan.names import Naming
from reconciler.plan.options import matcher
from reconciler.plan.strictness import Guards, kept, tightest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey
    from reconciler.plan.actions import Action, Credit
    from reconciler.plan.facts import Facts
    from reconciler.plan.options import Options


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
    facts: Facts
    now: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: `names` are those by which `--allow` can mean it, `label` starts the message."""

    address: Address | None = None
    names: tuple[str, ...] = ()
    label: str = ""


EVERYTHING: Final = Subject()


class Bench:
    """Where a draft is judged."""

    def __init__(self, draft: Draft) -> None:
        """Take the draft."""
        files = [draft.declaration] if draft.facts.base is None else [draft.declaration, draft.facts.base]
        self.draft = draft
        self.guards = Guards(draft.declaration, draft.facts.base)
        self._namings = [Naming(file.naming, file.environments) for file in files]
        self._allows = matcher(draft.options.allow)

    @cached_property
    def base_keys(self) -> dict[Address, DeclaredKey]:
        """The keys of the base file by address."""
        base = self.draft.facts.base
        return {} if base is None else {key.address: key for key in base.keys}

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
        if not left or action.declared.protected or self._is_protected(action.address):
            return []
        return [address for address in left if self._is_protected(address)]

    def _is_protected(self, address: Address) -> bool:
        """True when the environment of an address protects it, or the base file does."""
        before = self.base_keys.get(address)
        environments = frozenset({address.environment})
        return bool(self.guards.of_keys(environments).protected or (before and before.protected))

    def subject(self, action: Action) -> Subject:
        """Say what findings about an action are about."""
        if action.address is not None:
            return Subject(action.address, (str(action.address),))
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
            return Finding(name, Severity.NOTE, f"{message} (allowed for this run)", subject.address, rule.source)
        if once and subject.address is not None:
            message += f"; allow it once with --allow {subject.address}"
        return Finding(name, Severity.ERROR, message, subject.address, rule.source)

    def unchecked(self, name: str, rule: Rule[Any], message: str, subject: Subject) -> Finding:
        """Say that a guardrail could not be checked: as bad as a violation, but not where no account is there."""
        if not self.draft.facts.offline:
            return self.violation(name, rule, message, subject, once=True)
        return Finding(name, Severity.WARNING, subject.label + message, subject.address, rule.source)


def _protection(key: DeclaredKey) -> Guardrails:
    """Give the protection that a key has of its own."""
    return Guardrails(protected=Rule(value=True, source=key.source))
