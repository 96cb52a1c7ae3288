"""What the clock asks for, of all that a plan would change: this much `apply --due` does, and no more.

A nightly job runs it without a review, so it may do only what was reviewed when the file was: what the file promises
for a time that has come. Nothing records when the last full apply was, or what it left. But that shows in the account:
an address that nobody has touched since, in the file or on the dashboard, differs from the file in nothing but what
time has done to it. So each rule asks whether that is the only difference, and leaves the address alone where there is
another.

- A **renewal**, where the key is just what the file asks for in the period that it is in. A plain name is no period:
  there the file has got `renew` since. Neither is one that begins on no first day of such a period.
- The **end of a raise**, where the key has the raised limit and differs in nothing else. It may come with a renewal or
  a rotation.
- A **rotation** for a key's age, or one that was interrupted, where the key differs in nothing else. Without a full
  apply, a key that is to be renamed is not rotated.
- The **finish** of a rotation, where its new key needs nothing but its name.
- The **deletion** of a key whose overlap, grace period or lease is over, where it does not work any more. One that
  still works was changed by hand. The sign of an interrupted rotation stays with a key that the file has lost, and a
  retired key stays where its address was declared again, too late to restore it.

What a person did and undid again, or did just as the clock would have, nobody can tell. Neither does the account show
what was changed in `rotate_every`, `rotation_overlap`, `deliver`, the length of a period of so many days, or the limit
that follows on a raise: there the file is taken by its word, as it was reviewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.diagnostic import Severity
from reconciler.planning import budgets
from reconciler.planning.actions import (
    NOTHING_READ,
    Create,
    Delete,
    DeleteReason,
    Field,
    Finding,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    RotateReason,
    Update,
    changed_fields,
    named,
)
from reconciler.planning.names import Role, next_name, role_of
from reconciler.units import listed, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from reconciler.model import Address, DeclaredKey, LiveKey
    from reconciler.planning.actions import Action

_BY_THE_CLOCK: Final = frozenset({DeleteReason.OVERLAP_OVER, DeleteReason.GRACE_OVER, DeleteReason.LEASE_EXPIRED})


@dataclass(frozen=True, slots=True)
class Clock:
    """Knows what is due at an instant: `declared` are the addresses of declared keys, `live` those that have a key."""

    declared: Collection[Address]
    live: Collection[Address]
    now: datetime

    def asks_for(self, action: Action) -> bool:
        """True for an action that time alone asks for."""
        match action:
            case Rotate(declared=wanted, live=live, fields=fields, reason=reason):
                by_itself = reason is not RotateReason.REQUESTED and budgets.is_in_step(wanted, live)
                return by_itself and self._only_ends_raise(wanted, live, fields)
            case Finish(declared=wanted, live=live, fields=fields, old=old):
                others = tuple(field for field in fields if field is not Field.NAME)
                # What the name of the key that it replaces does not tell any more cannot have changed since.
                in_step = old is None or role_of(old.name) is not None or budgets.is_in_step(wanted, old)
                goes_on = live.name == next_name(wanted.name) and in_step
                return goes_on and self._only_ends_raise(wanted, live, others)
            case Renew(declared=wanted, live=live):
                before = budgets.target(wanted, live, NOTHING_READ, self.now, renews=False).state
                differing = changed_fields(live, before)
                return budgets.is_in_step(wanted, live) and self._only_ends_raise(wanted, live, differing)
            case Update(declared=wanted, live=live, fields=fields):
                return self._only_ends_raise(wanted, live, fields)
            case Delete():
                return action.reason in _BY_THE_CLOCK and self._may_go(action)
            case Create() | Rename() | Restore() | Retire():
                return False
        assert_never(action)

    def _only_ends_raise(self, wanted: DeclaredKey, live: LiveKey, fields: Collection[Field]) -> bool:
        """True where a key has to be changed in nothing, or only from the raised limit to the one after it."""
        return not fields or (set(fields) == {Field.CREDIT_LIMIT} and budgets.ends_raise(wanted, live, self.now))

    def _may_go(self, action: Delete) -> bool:
        key, address = action.live, action.address
        works = key.is_enabled and (key.expires_at is None or key.expires_at > self.now)
        is_sign = role_of(key.name) is Role.DELIVERING and address not in self.declared
        returns = action.reason is DeleteReason.GRACE_OVER and address in self.declared and address not in self.live
        return not (works or is_sign or returns)

    def left(self, actions: Iterable[Action]) -> list[Finding]:
        """Return what of all these is not due, and so left undone."""
        names = sorted(named(each) for each in actions if not self.asks_for(each))
        if not names:
            return []
        be = "is" if len(names) == 1 else "are"
        message = f"{plural(len(names), 'change')} {be} not due and left to an apply without --due: {listed(names)}"
        return [Finding("not-due", Severity.NOTE, message)]
