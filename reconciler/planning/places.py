"""Where a plan's secrets go, and what of that is new: a secret that went to the wrong place is lost to someone.

A place is known where the base file has the key's environment deliver to a destination of the same type and the same
settings as they are written there, whatever the destination is called now. So another key under an unchanged template
is known, and a changed repository, path, region, mount or recipient is not.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.diagnostic import Severity
from reconciler.model import SHA256
from reconciler.planning.actions import Create, Delete, Finding, Retire, Rotate
from reconciler.planning.guard_context import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.model import Address, Declaration, DeclaredKey, Delivery, Setting, Target
    from reconciler.planning.actions import Action, Change
    from reconciler.planning.guard_context import Bench

_Written = tuple[str, tuple[tuple[str, "Setting"], ...], tuple["Setting", ...]]
_Spot = tuple[str, tuple[tuple[str, "Setting"], ...], str]


def deliveries_of(action: Action) -> tuple[Delivery, ...]:
    """Give where the secret of an action goes: a create and a rotation have one."""
    return action.declared.deliver if isinstance(action, Create | Rotate) else ()


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
        lost = [] if before is None else _lost(before, key, spots)
        moved: list[tuple[Delivery, Address | None]] = []
        for delivery in key.deliver:
            owner = owners.get(spots.of(delivery))
            if delivery.new:
                yield _new_place(bench, key, actions.get(key.address), delivery, owner, lost)
            elif owner not in {None if before is None else before.address, key.address} and (before or owner):
                moved.append((delivery, owner))
        if moved or (lost and not any(each.new for each in key.deliver)):
            yield _moved_place(key, moved, lost)


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


def _lost(before: DeclaredKey, key: DeclaredKey, spots: _Spots) -> list[Delivery]:
    """Give where the key was delivered, in the base, and is not any more."""
    now = {spots.of(each) for each in key.deliver}
    return [each for each in before.deliver if spots.of(each) not in now]


def _new_place(
    bench: Bench,
    key: DeclaredKey,
    action: Change | None,
    delivery: Delivery,
    owner: Address | None,
    lost: list[Delivery],
) -> Finding:
    environment = key.address.environment
    goes = "goes" if action is not None and deliveries_of(action) else "would go, when it gets a new one,"
    message = f"its secret {goes} to a place where {environment} has not delivered before: {place_words(delivery)}"
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


def _moved_place(key: DeclaredKey, moved: list[tuple[Delivery, Address | None]], lost: list[Delivery]) -> Finding:
    parts = []
    for delivery, owner in moved:
        whose = "" if owner is None else f", which is that of {owner} in the base file"
        parts.append(f"to {place_words(delivery)}{whose}")
    goes = f"its secret goes {', and '.join(parts)}" if parts else "its secret goes to fewer places"
    source = moved[0][0].source if moved else key.source
    return Finding("moved-place", Severity.WARNING, f"{goes}{_was(lost)}", key.address, source)


def _was(lost: list[Delivery]) -> str:
    if not lost:
        return ""
    return f"; it no longer goes to {', or to '.join(map(place_words, lost))}"


# Where secrets go, in words.

_PLAIN: Final = re.compile(r"(?![a-f]{7})[a-z_]+", re.ASCII)  # seven hexadecimal digits may be a commit on a forge


def place_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Say where a secret goes: `github-actions, repository acme/api, as NAGA_API`; `name` sets off the values."""
    return f"{target_words(delivery.target, name)}{link_words(delivery, name)}, as {name(delivery.name)}"


def link_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Say which file links lead to, if any do: `, which leads to /etc/hosts`."""
    file = delivery.place.file if delivery.linked else None
    return "" if file is None else f", which leads to {name(file)}"


def target_words(target: Target, name: Callable[[str], str] = str) -> str:
    """Say what takes secrets: `github-actions, environment production, repository acme/api`."""
    settings = [
        f"{setting if _PLAIN.fullmatch(setting) else name(setting)} {name(setting_words(value))}"
        for setting, value in target.settings
    ]
    return ", ".join([name(target.type), *settings])


def setting_words(value: Setting) -> str:
    """Write a setting of a destination; the words of a list are joined, each quoted where it has a space."""
    if isinstance(value, tuple):
        return " ".join(map(shlex.quote, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
