"""Kills leaked keys and replaces them: first every key is dead, then successors are issued and delivered.

Nothing comes between the decision and the PATCH that kills: no lock, no guardrail, no destination, no other change. The
successors are what a plan of the account wants for just these addresses; nothing else of that plan is done. They are
issued under the lock of the account, which is waited for for a few seconds only: a run that died must not keep programs
without a key for two minutes. Where another run keeps the lock, it may deliver to the same places at the same time, and
nobody can tell whose secret they hold at the end. So each successor then gets the sign of an interrupted rotation
beside it: the next plan rotates it once more, under the lock.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.account.lock import Lock
from reconciler.account.wire import altered_fields
from reconciler.destinations.base import FOREIGN, Searching
from reconciler.destinations.registry import Registry
from reconciler.destinations.shared import unforeseen
from reconciler.engine.accounts import in_a_line, read_all
from reconciler.errors import (
    AccountError,
    DestinationError,
    LockTimeout,
    ReconcilerError,
    RefusedByService,
    UsageError,
)
from reconciler.execution.executor import execute, obstacles
from reconciler.execution.issue import ApplyContext, sign_interrupted
from reconciler.http.redact import redact
from reconciler.model import KEY_VARIABLE, KeyPatch, account_variables, part_of
from reconciler.planning.actions import Create, Finish, Options, Rotate, Status
from reconciler.planning.planner import make_plan
from reconciler.planning.revocation import (
    Candidate,
    Death,
    Replacement,
    RevokeResult,
    candidates,
    places_of,
    revocations,
    selected,
)
from reconciler.units import near

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.destinations.base import Receiver
    from reconciler.model import Address, Declaration, DeclaredKey, LiveKey, Snapshot, Target
    from reconciler.planning.actions import Action, Outcome
    from reconciler.planning.revocation import Revocation
    from reconciler.secret import Secret

PARALLELISM: Final = 16
LOCK_TIMEOUT: Final = timedelta(seconds=10)
"""How long the successors wait for another run: most that live end sooner, and of one that died the lock stays."""

_UNUSABLE: Final = "the declaration cannot be used, so nothing is known of what has to be replaced"
_NOT_TO_ITS_TASTE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_CONTESTED: Final = "another run may have written to the same places meanwhile"
_NO_PLACE: Final = "it is declared without destinations, so nobody would receive the secret of a new key"


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """What to revoke: addresses, globs, ids or live names, in the accounts of a declaration.

    Without a `declaration` it is the account of NAGA_PROVISIONING_KEY. `broken` says that there is one, which cannot be
    used: keys are killed then and none replaced. `environments` select accounts. With `simulator`, accounts are
    simulated and kept there; `credentials` are what the variables hold, in place of the environment. `receivers` take
    the secrets of destinations of type python.
    """

    targets: tuple[str, ...]
    declaration: Declaration | None
    environments: tuple[str, ...] = ()
    replace: bool = True
    broken: bool = False
    allow_exec: bool = False
    receivers: Mapping[str, Receiver] | None = None
    simulator: Path | None = None
    credentials: Mapping[str, str] | None = field(default=None, repr=False)

    def part(self, variable: str) -> Declaration | None:
        """Return what is declared for one account."""
        return None if self.declaration is None else part_of(self.declaration, variable)


@dataclass(frozen=True, slots=True)
class Found:
    """What is meant in one account, and all that is there, at the service's `snapshot.now`."""

    chosen: tuple[Candidate, ...]
    known: tuple[Candidate, ...]
    snapshot: Snapshot


class Listener(Protocol):
    """Hears how a revocation moves on."""

    def mask(self, secret: Secret) -> None:
        """Hear of a secret before anything else happens with it."""
        ...

    def died(self, death: Death) -> None:
        """Hear at once what became of a key."""
        ...

    def waiting(self, lock: LiveKey) -> None:
        """Hear of the lock of another run that the successors wait for."""
        ...


# What is meant.


async def find(request: RevokeRequest) -> dict[str, Found]:
    """Look for the keys that are meant, in all accounts at the same time; gives those accounts that have any.

    Raises UsageError for a target that means no key, or keys of more than one account by one id, and the error of an
    account that could not be read where what is meant may be there.
    """

    async def read(variable: str, account: Account) -> tuple[list[Candidate], Snapshot]:
        snapshot = await account.list_keys()
        return candidates(request.part(variable), snapshot), snapshot

    variables: tuple[str, ...] = (KEY_VARIABLE,)
    if request.declaration is not None:
        known = request.declaration.environments
        for name in request.environments:
            if name not in known:
                msg = f"environment {name} is not declared{near(name, known)}; nothing was changed"
                raise UsageError(msg)
        variables = account_variables(request.declaration, request.environments)
    answers = await read_all(variables, read, request.simulator, credentials=request.credentials)
    accounts = {variable: answer for variable, answer in answers.items() if not isinstance(answer, ReconcilerError)}
    errors = [f"{variable}: {in_a_line(e)}" for variable, e in answers.items() if isinstance(e, ReconcilerError)]
    if not accounts:
        raise next(answer for answer in answers.values() if isinstance(answer, ReconcilerError))
    chosen: dict[str, set[int]] = {}
    for target in request.targets:
        _choose(target, request, accounts, errors, chosen)
    return {
        variable: Found(tuple(each for each in known if each.key.id in chosen[variable]), tuple(known), snapshot)
        for variable, (known, snapshot) in accounts.items()
        if variable in chosen
    }


def _choose(
    target: str,
    request: RevokeRequest,
    accounts: Mapping[str, tuple[Sequence[Candidate], Snapshot]],
    errors: Sequence[str],
    chosen: dict[str, set[int]],
) -> None:
    """Add the keys that one target means."""
    homes: list[str] = []
    nothing: UsageError | None = None
    for variable, (known, _) in accounts.items():
        try:
            found = selected([target], known, request.declaration)
        except UsageError as error:
            nothing = error
            continue
        homes.append(variable)
        chosen.setdefault(variable, set()).update(each.key.id for each in found)
    if not homes and errors:
        msg = f"there is no key {target} in the accounts that were read; one was not read: {errors[0]}"
        raise AccountError(msg)
    if nothing is not None and not homes:
        raise nothing
    if len(homes) > 1 and target.isdigit():
        msg = f"{target} is the id of a key in more than one account ({', '.join(homes)}); choose one with -e ENV"
        raise UsageError(msg)


async def holders(secret: Secret, declaration: Declaration, *, allow_exec: bool = False) -> tuple[str, ...]:
    """Find the addresses whose secret this is, by asking the destinations that can tell.

    Raises UsageError where none holds it, which says which of them could not tell and where to look then.
    """
    asked: dict[Target, dict[str, str]] = {}
    for key in declaration.keys:
        for each in key.deliver:
            asked.setdefault(each.target, {})[each.name] = str(key.address)
    async with aclosing(Registry(allow_exec=allow_exec)) as registry:
        answers = await asyncio.gather(*(_ask(target, [*names], secret, registry) for target, names in asked.items()))
    found: dict[str, None] = {}
    silent: list[str] = []
    for (target, names), answer in zip(asked.items(), answers, strict=True):
        if isinstance(answer, str):
            silent.append(f"{target.destination}: {answer}")
        else:
            found.update({names[name]: None for name in answer})
    if found:
        return tuple(found)
    where = f"; not known of {'; '.join(silent)}" if silent else ""
    msg = (
        f"no destination that can tell holds this secret{where}; look on the dashboard for the key, "
        "and revoke it by its address or id"
    )
    raise UsageError(msg)


async def _ask(target: Target, names: Sequence[str], secret: Secret, registry: Registry) -> Collection[str] | str:
    try:
        destination = registry.open(target)
        if not isinstance(destination, Searching):
            return f"{target.type} cannot read back what it holds"
        return await destination.holds(secret, names)
    except DestinationError as error:
        return redact(str(error), [secret])
    except FOREIGN as error:
        return unforeseen(error)


# Kill, then replace.


async def revoke(
    request: RevokeRequest,
    found: Mapping[str, Found],
    listener: Listener,
    signals: Callable[[Callable[[], object]], AbstractContextManager[None]],
) -> RevokeResult:
    """Kill what was found, then issue and deliver the successors; what fails in one account holds up no other.

    `signals` has the signals of the process call what it is given: nothing new starts then.
    """
    stop = asyncio.Event()
    async with aclosing(Registry(allow_exec=request.allow_exec, receivers=request.receivers)) as registry:

        async def act(variable: str, account: Account) -> RevokeResult:
            context = ApplyContext(account, registry, nonce=lambda: secrets.token_hex(8), mask=listener.mask)
            return await _Work(request, request.part(variable), found[variable], context, listener, stop).done()

        with signals(stop.set):
            answers = await read_all(
                found, act, request.simulator, parallelism=PARALLELISM + 1, credentials=request.credentials
            )
    deaths: list[Death] = []
    replacements: list[Replacement] = []
    for variable, answer in answers.items():
        if isinstance(answer, RevokeResult):
            deaths += answer.deaths
            replacements += answer.replacements
        else:
            deaths += [Death(e.key, e.address, e.key.name, in_a_line(answer)) for e in found[variable].chosen]
    return RevokeResult(tuple(deaths), tuple(replacements), interrupted=stop.is_set())


@dataclass(frozen=True, slots=True)
class _Work:
    """The revocation in one account."""

    request: RevokeRequest
    declaration: Declaration | None
    found: Found
    context: ApplyContext
    listener: Listener
    stop: asyncio.Event

    async def done(self) -> RevokeResult:
        found = self.found
        dying = revocations(found.chosen, found.known, self.declaration, found.snapshot.now, self.context.nonce)
        already = [Death(e.key, e.address, e.key.name) for e in found.chosen if e.is_dead]
        for death in already:
            self.listener.died(death)
        dead = await self._killed(dying)
        every = [*already, *dead.values()]
        killed = {death.address for death in every if death.address is not None and death.failure is None}
        replacements = await self._replaced(killed)
        failed = await self._revived(dead.values())
        every = [replace(death, failure=failed.get(death.key.id, death.failure)) for death in every]
        return RevokeResult(tuple(every), tuple(replacements))

    async def _killed(self, dying: Sequence[Revocation]) -> dict[int, Death]:
        """Kill them, one turn after the other; return what became of each by its id."""
        dead: dict[int, Death] = {}
        survived: set[Address | None] = set()
        for turn in sorted({each.turn for each in dying}):
            due = [
                replace(each, patch=each.beside_survivor) if each.address in survived else each
                for each in dying
                if each.turn == turn
            ]
            deaths = await asyncio.gather(*map(self._kill, due))
            if turn:
                await self._mark_survivors(survived & {death.address for death in deaths if death.failure is None})
            survived |= {death.address for death in deaths if death.failure is not None}
            dead |= {death.key.id: death for death in deaths}
        return dead

    async def _mark_survivors(self, addresses: Collection[Address | None]) -> None:
        """Keep a plan from restoring what did not die, with its secret, in the place of a key that did."""
        for key in self.declaration.keys if self.declaration and addresses else ():
            if key.address in addresses:
                with suppress(AccountError):  # what did not die is told, and has to be revoked again
                    await sign_interrupted(key, self.context)

    async def _kill(self, revocation: Revocation) -> Death:
        key, name = revocation.key, revocation.patch.get("name", revocation.key.name)
        death = Death(key, revocation.address, name)
        try:
            await self._kill_somehow(key, revocation.patch)
        except RefusedByService as error:
            if error.status != HTTPStatus.NOT_FOUND or await self._is_there(key):  # gone is dead
                death = replace(death, failure=str(error))
        except AccountError as error:
            death = replace(death, failure=str(error))
        self.listener.died(death)
        return death

    async def _kill_somehow(self, key: LiveKey, patch: KeyPatch) -> None:
        """Send the whole change; where a value of it is not to the service's taste, what kills goes before the rest."""
        try:
            await self.context.account.update_key(key.id, patch)
        except RefusedByService as error:
            if error.status not in _NOT_TO_ITS_TASTE:
                raise
            await self.context.account.update_key(key.id, KeyPatch(is_enabled=False))
            if "name" in patch:
                try:
                    await self.context.account.update_key(key.id, KeyPatch(name=patch["name"]))
                except AccountError:
                    msg = f"it is disabled, but keeps its name, by which the next apply enables it again: {error}"
                    raise AccountError(msg) from None

    async def _is_there(self, key: LiveKey) -> bool:
        """Ask a second time for a key that is said not to be there; an answer that is none counts as there."""
        try:
            return await self.context.account.get_key(key.id) is not None
        except AccountError:
            return True

    async def _revived(self, deaths: Iterable[Death]) -> dict[int, str]:
        """Kill again what an apply that ran beside it has enabled, once; return what goes on all the same."""
        failed: dict[int, str] = {}
        for death in deaths:
            if death.failure is not None:
                continue
            dead = KeyPatch(name=death.name, is_enabled=False)
            try:
                now = await self.context.account.get_key(death.key.id)
                if now is not None and altered_fields(dead, now):
                    await self.context.account.update_key(death.key.id, dead)
            except AccountError as error:
                failed[death.key.id] = f"it was disabled, but whether it still is could not be found out: {error}"
        return failed

    async def _replaced(self, killed: Collection[Address]) -> list[Replacement]:
        if not self.request.replace:
            return []
        if self.request.broken:
            return [Replacement(label, failure=_UNUSABLE) for label in sorted({e.label for e in self.found.chosen})]
        if self.declaration is None:
            return []
        declared = {key.address: key for key in self.declaration.keys if key.address in killed}
        needed = {address: key for address, key in declared.items() if key.deliver}
        spared = [Replacement(str(address), note=_NO_PLACE) for address, key in declared.items() if not key.deliver]
        if not needed:
            return spared
        try:
            async with self._settled_account() as (snapshot, alone):
                replacements = await self._issue(needed, snapshot, alone=alone)
        except ReconcilerError as error:
            replacements = [Replacement(str(address), failure=in_a_line(error)) for address in needed]
        return sorted([*spared, *replacements], key=lambda each: each.address)

    @asynccontextmanager
    async def _settled_account(self) -> AsyncIterator[tuple[Snapshot, bool]]:
        """Read the account as it is after the kills, and say whether no other run may write to it meanwhile."""
        account, context = self.context.account, self.context
        async with AsyncExitStack() as stack:
            lock = Lock(account, context.nonce, context.mask, LOCK_TIMEOUT, waiting=self.listener.waiting)
            try:
                snapshot, alone = await stack.enter_async_context(lock.hold(self.stop.set)), True
            except LockTimeout:
                snapshot, alone = await account.read_back(), False
            except AccountError:  # a service that takes no lock has none of others either
                snapshot, alone = await account.read_back(), True
            yield snapshot, alone

    async def _issue(
        self, needed: Mapping[Address, DeclaredKey], snapshot: Snapshot, *, alone: bool
    ) -> list[Replacement]:
        assert self.declaration is not None  # noqa: S101  # what is needed was found in it
        options = Options(by_age=False, only=tuple(map(str, needed)))
        plan = make_plan(self.declaration, snapshot, options)
        wanted = {a.address: a for a in plan.actions if isinstance(a, Create | Rotate | Finish)}
        live = {each.address: each.key for each in candidates(self.declaration, snapshot) if each.key.is_enabled}
        places = places_of(self.declaration)
        replacements: list[Replacement] = []
        actions: list[Action] = []
        for address, key in needed.items():
            action = wanted.get(address)
            if action is None and address in live:
                replacements.append(
                    Replacement(str(address), live[address].id, note="it goes on with the key that it has")
                )
            elif action is None:
                why = next((f.message for f in plan.errors if f.address == address), "plan shows what is in its way")
                replacements.append(Replacement(str(address), failure=why))
            elif key.expires_at is not None and key.expires_at <= snapshot.now:
                replacements.append(Replacement(str(address), failure="its declared expires_at has passed"))
            elif found := await obstacles([action], self.context.registry):
                replacements.append(Replacement(str(address), failure="; ".join(each.message for each in found)))
            else:
                actions.append(action)
        outcomes = await execute(actions, self.context, parallelism=PARALLELISM, stop=self.stop, report=lambda _: None)
        if not alone:
            outcomes = (*await asyncio.gather(*map(self._contested, outcomes)),)
        return [*replacements, *(_replacement(each, places) for each in outcomes)]

    async def _contested(self, outcome: Outcome) -> Outcome:
        """Have the next plan rotate a successor that was delivered while another run may have delivered too."""
        action = outcome.action
        if outcome.status is not Status.DONE or not isinstance(action, Create | Rotate | Finish):
            return outcome
        try:
            await sign_interrupted(action.declared, self.context)
        except AccountError as error:
            note = f"{_CONTESTED}; rotate it once more with reconciler apply --rotate ({error})"
        else:
            note = f"{_CONTESTED}, so the next apply rotates it once more"
        return replace(outcome, message=f"{outcome.message}; {note}" if outcome.message else note)


def _replacement(outcome: Outcome, places: Mapping[Address, Iterable[str]]) -> Replacement:
    address = outcome.action.address
    assert address is not None  # noqa: S101  # these are actions of declared addresses
    if outcome.status is Status.DONE:
        return Replacement(str(address), outcome.key_id, tuple(places[address]), note=outcome.message)
    return Replacement(str(address), failure=outcome.message or "not begun, since the run was asked to stop")
