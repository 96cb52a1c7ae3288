"""Which guardrails hold for what: the strictest that the file, or the file as it was, has for it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.model import MOST_DELETIONS, Guardrails, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model import Declaration

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
