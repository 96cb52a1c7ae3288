"""The plan as a document: written, fingerprinted and read again, so that what was reviewed is what is applied."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, assert_never

from reconciler.diagnostic import Severity
from reconciler.errors import StalePlan, UsageError
from reconciler.model import Address
from reconciler.planning.actions import (
    AccountPlan,
    ActionKind,
    Create,
    Delete,
    Finish,
    Options,
    Plan,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Status,
    Update,
    raise_of,
    source_of,
)
from reconciler.planning.budgets import allowance
from reconciler.planning.power import deliveries_of, power_of
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import DeclaredKey, Delivery, KeyState, LiveKey, Raise, Usage
    from reconciler.planning.actions import Action, ApplyResult, Credit, Field, Finding, Outcome
    from reconciler.planning.power import ExpiryChange, LimitChange, Power


FORMAT_VERSION: Final = 1

_MARK: Final = "format_version"
_CHECKSUM: Final = "checksum"
_BESIDE: Final[dict[str, Any]] = {"spend": None, "source": None}
"""What of a change in a document decides nothing."""

_FIELDS: Final = frozenset({"digest", "options", "credit", _CHECKSUM})


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """The digest of a saved plan, what was asked for when it was made, and its changes as the document has them.

    `errors` counts the findings that forbade to apply it.
    """

    digest: str
    options: Options
    changes: tuple[Mapping[str, Any], ...]
    errors: int = 0


def options_document(options: Options) -> dict[str, object]:
    """Lay out what a run asked for, so that a saved plan is applied under the same wishes.

    `due` stands there only where it was asked for, so that other plans are as earlier versions wrote them.
    """
    return {
        **({"due": True} if options.due else {}),
        "rotate": sorted(str(address) for address in options.rotate),
        "overlap": options.overlap,
        "allow": list(options.allow),
        "environments": sorted(options.environments),
        "only": list(options.only),
    }


def with_checksum(document: Mapping[str, object]) -> dict[str, object]:
    """Add the checksum of a plan as a document, by which an edit shows.

    It guards against edits, not against forgery: who can write a plan can make its checksum too. But a digest that was
    reviewed covers the operations, the options and the rules, and apply works each of them out again.
    """
    return {**document, _CHECKSUM: _checksum(document)}


def _checksum(document: Mapping[str, object]) -> str:
    content = {name: value for name, value in document.items() if name != _CHECKSUM}
    return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_saved_plan(content: bytes, name: str) -> SavedPlan:
    """Read what `plan --out` wrote.

    Args:
        content: what the file holds.
        name: what messages call the file.

    Raises:
        StalePlan: it was edited or cut off.
        UsageError: it is something else, or a plan of another version.
    """
    try:
        document = json.loads(content, object_pairs_hook=_object)
        if not isinstance(document, dict) or len(_FIELDS & document.keys()) < 2:  # noqa: PLR2004  # one may be edited out
            raise _no_plan(name)
        if document.get(_CHECKSUM) != _checksum(document):
            raise _edited(name)
        return _saved_plan(document, name)
    except (ValueError, LookupError, TypeError, RecursionError):
        # It looks like one, up to where it was cut off or broken.
        raise (_edited if _MARK.encode() in content else _no_plan)(name) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: readers don't agree on which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_plan(name: str) -> UsageError:
    return UsageError(f"{name} is not a plan; make one with `reconciler plan --out {name}`")


def _edited(name: str) -> StalePlan:
    remedy = f"make it anew with `reconciler plan --out {name}`"
    return StalePlan(f"{name} is not as this version of reconciler wrote it, so nothing was changed; {remedy}")


def _saved_plan(document: Mapping[str, Any], name: str) -> SavedPlan:
    if document["format_version"] != FORMAT_VERSION:
        msg = f"{name} is a plan of another version of reconciler; make it anew with `reconciler plan --out {name}`"
        raise UsageError(msg)
    asked = document["options"]
    options = Options(
        rotate=frozenset(_address(text) for text in _texts(asked["rotate"])),
        overlap=bool(asked["overlap"]),
        allow=_texts(asked["allow"]),
        environments=frozenset(_texts(asked["environments"])),
        only=_texts(asked["only"]),
        due=bool(asked.get("due", False)),
    )
    changes = tuple({**change} for change in document["changes"])
    errors = sum(finding["severity"] == Severity.ERROR for finding in document["findings"])
    return SavedPlan(str(document["digest"]), options, changes, errors)


def moved(saved: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return in a line each what was planned and is not any more, what is planned now and was not, and what differs."""
    before, now = ({_words(change): change for change in changes} for changes in (saved, current))
    gone = [f"was planned, and is not any more: {words}" for words in before if words not in now]
    new = [f"is planned now, and was not: {words}" for words in now if words not in before]
    both = [words for words in before if words in now]
    return (*gone, *new, *(line for words in both for line in _differences(words, before[words], now[words])))


def _differences(words: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs in two changes of the same words: a place of the secret, or what a new key may spend."""
    was, now = (json.loads(json.dumps({**change, **_BESIDE})) for change in (saved, current))
    if was == now:
        return
    from deepdiff import DeepDiff  # takes longer than planning, and only a plan that is stale needs it

    found = DeepDiff(was, now, view="tree")
    levels = [(level.path(output_format="list"), level) for group in found.values() for level in group]
    for path, level in sorted(levels, key=lambda each: [str(part) for part in each[0]]):
        yield f"{words}: {' '.join(map(str, path))} was {_given(level.t1)}, is {_given(level.t2)}"


def _given(value: object) -> str:
    """Write a value; deepdiff has one of its own for what is not there."""
    return _value(value) if isinstance(value, str | int | list | dict | None) else "nothing"


def _words(change: Mapping[str, Any]) -> str:
    """Put a change into words that differ when what it does differs, from whatever state."""
    what = change.get("address") or (change.get("before") or {}).get("name")
    before, after = change.get("before") or {}, change.get("after") or {}
    fields = [f"{field} {_value(before.get(field))} → {_value(after.get(field))}" for field in change.get("fields", ())]
    whose = f" of {change['account']}" if change.get("account") else ""
    key = whose if change.get("key_id") is None else f" (key {change['key_id']}{whose})"
    return f"{change.get('action')} {what}{key}{': ' if fields else ''}{', '.join(fields)}"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError
    return tuple(value)


def _address(text: str) -> Address:
    environment, slash, key = text.partition("/")
    if not slash:
        raise ValueError
    return Address(environment, key)


# A fingerprint of what apply would do, so that what was reviewed is what runs.
#
# It covers the operations and the state of the keys that they touch, where each secret goes in truth, the options,
# and which rules forbid the plan. It covers nothing else: rewording a description, or a change to a key that the plan
# leaves alone, gives the same digest. Where there are several accounts, it covers them all, and says whose each key
# is.

_Json = dict[str, object]


def digest(plan: Plan | AccountPlan) -> str:
    """Return `sha256:` and the fingerprint of what a plan does, under which options, and of what forbids it."""
    content = {
        "operations": [_operation(action) for action in plan.actions],
        "options": options_document(plan.options),
        "forbidden_by": sorted([each.rule, str(each.address or ""), each.account or ""] for each in plan.errors),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _operation(action: Action) -> _Json:
    address = str(action.address) if action.address else None
    operation: _Json = {"action": action.kind, "address": address}
    if action.account is not None:
        operation["account"] = action.account
    raised = raise_of(action)
    if raised is not None and raised.then is not None:
        operation["raise"] = raise_document(raised)
    match action:
        case Create():
            return {**operation, **_issue(action.declared)}
        case Rotate():
            how = {"verify": action.declared.verify, **_overlap(action.overlap)}
            return {**operation, **_issue(action.declared), "before": _live(action.live), **how}
        case Finish():
            old = _live(action.old) if action.old else None
            changes = {"before": _live(action.live), "old": old, "after": _state(action.after)}
            return {**operation, **changes, **_overlap(action.overlap)}
        case Retire():
            # Not the state after: its name holds the day on which the grace ends, which moves on with every plan.
            return {**operation, "before": _live(action.live), "grace": action.grace.total_seconds()}
        case Renew():
            # Not what was spent, which may go on until the renewal.
            after = _state(replace(action.after, name=action.declared.name, credit_limit=allowance(action.after)))
            return {**operation, "before": _live(action.live), "after": after}
        case Update() | Rename() | Restore():
            return {**operation, "before": _live(action.live), "after": _state(action.after)}
        case Delete():
            return {**operation, "before": _live(action.live)}
    assert_never(action)


def raise_document(raised: Raise) -> _Json:
    """Lay out a raise that is in force: when it ends, and the limit after it."""
    return {"until": format_instant(raised.until), "then": None if raised.then is None else format_money(raised.then)}


def _issue(declared: DeclaredKey) -> _Json:
    # The type, the settings with all links followed and with what the destination reads, the name, and the file.
    return {"after": _state(declared.state), "deliver": [delivery.place for delivery in declared.deliver]}


def _overlap(overlap: timedelta | None) -> _Json:
    return {"overlap": None if overlap is None else overlap.total_seconds()}


def _live(key: LiveKey) -> _Json:
    return {"id": key.id, "created_at": format_instant(key.created_at), **_state(key.state)}


def _state(state: KeyState) -> _Json:
    return {
        "name": state.name,
        "is_enabled": state.is_enabled,
        "credit_limit": None if state.credit_limit is None else format_money(state.credit_limit),
        "expires_at": None if state.expires_at is None else format_instant(state.expires_at),
    }


# The documents: plan.json, which `plan --format json` shows too, and what `apply --format json` gives.


def plan_document(plan: Plan, digest: str) -> dict[str, object]:
    """Lay out a plan as `schemas/plan.schema.json` describes it; money in USD as decimal strings, instants in UTC."""
    return with_checksum(
        {
            "format_version": FORMAT_VERSION,
            "digest": digest,
            "created_at": format_instant(plan.created_at),
            "options": options_document(plan.options),
            "summary": _plan_summary(plan),
            "power": _power(power_of(plan)),
            "credit": _credit(plan.credit),
            "changes": [_change(action, plan.usage_of(action)) for action in plan.actions],
            "lifted": lifted_document(plan.lifted),
            "findings": findings_document(plan.findings),
        }
    )


def lifted_document(lifted: Iterable[Finding]) -> list[dict[str, object]]:
    """Lay out what `--allow` lifted."""
    return [
        {"rule": each.rule, "names": list(each.lifts), "message": each.message, **_account(each.account)}
        for each in lifted
    ]


def findings_document(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Lay out the findings of a plan."""
    return [_finding(finding) for finding in findings]


def result_document(result: ApplyResult) -> dict[str, object]:
    """Lay out what an apply did; `in_sync` is null when the account was not read again, and `note` says why."""
    return {
        "format_version": FORMAT_VERSION,
        "summary": {status.value: result.count(status) for status in Status},
        "interrupted": result.interrupted,
        "in_sync": result.in_sync,
        "note": result.note,
        "changes": [_outcome(outcome) for outcome in result.outcomes],
    }


def _plan_summary(plan: Plan) -> dict[str, int]:
    counts = Counter(action.kind for action in plan.actions)
    summary = {kind.value: counts[kind] for kind in ActionKind}
    return {**summary, "unchanged": plan.unchanged, "unmanaged": len(plan.unmanaged), "leased": len(plan.leased)}


def _power(power: Power) -> dict[str, object]:
    return {
        "takes": {
            "deletions": [_whose(action) for action in power.deletions],
            "disabling": [_whose(action) for action in power.disabling],
            "lower_limits": [_limits(change) for change in power.lower_limits],
            "earlier_expiries": [_expiries(change) for change in power.earlier_expiries],
        },
        "gives": {
            "new_keys": [
                {**_whose(action), "credit_limit": _money(action.declared.credit_limit)} for action in power.new_keys
            ],
            "raised_limits": [_limits(change) for change in power.raised_limits],
            "removed_limits": [_limits(change) for change in power.removed_limits],
            "enabling": [_whose(action) for action in power.enabling],
            "later_expiries": [_expiries(change) for change in power.later_expiries],
            "removed_expiries": [_expiries(change) for change in power.removed_expiries],
            "new_places": [{**_whose(action), "delivery": _delivery(each)} for action, each in power.new_places],
        },
        "moves": {**power.moves},
    }


def _whose(action: Action) -> dict[str, object]:
    name = action.declared.name if isinstance(action, Create) else action.live.name
    address = None if action.address is None else str(action.address)
    return {"address": address, "live_name": name, **_account(action.account)}


def _limits(change: LimitChange) -> dict[str, object]:
    return {**_whose(change.action), "before": _money(change.before), "after": _money(change.after)}


def _expiries(change: ExpiryChange) -> dict[str, object]:
    return {**_whose(change.action), "before": _instant(change.before), "after": _instant(change.after)}


def _delivery(delivery: Delivery) -> dict[str, object]:
    """Lay out where a secret goes; `leads_to` stands there where links lead to another file than the settings say."""
    target = delivery.target
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in target.settings}
    document: dict[str, object] = {
        "destination": target.destination,
        "type": target.type,
        "settings": settings,
        "name": delivery.name,
        "new": delivery.new,
    }
    file = delivery.place.file if delivery.linked else None
    return document if file is None else {**document, "leads_to": file}


def _credit(credit: Credit) -> dict[str, object]:
    return {
        "limits_before": format_money(credit.limits_before),
        "limits_after": format_money(credit.limits_after),
        "unlimited_before": credit.unlimited_before,
        "unlimited_after": credit.unlimited_after,
        "balance": _money(credit.balance),
    }


def _change(action: Action, usage: Usage | None) -> dict[str, object]:
    before, after, fields = _states(action)
    key_id, raised = _live_id(action), raise_of(action)
    return {
        "action": action.kind.value,
        "address": None if action.address is None else str(action.address),
        "key_id": key_id,
        "before": _state_or_null(before),
        "after": _state_or_null(after),
        "fields": [field.value for field in fields],
        "deliveries": [_delivery(delivery) for delivery in deliveries_of(action)],
        "spend": _spend(usage),
        "source": _source(source_of(action)),
        **({"raise": raise_document(raised)} if raised and raised.then is not None else {}),
        **_account(action.account),
    }


def _states(action: Action) -> tuple[KeyState | None, KeyState | None, Sequence[Field]]:
    match action:
        case Create(declared=declared):
            return None, declared.state, ()
        case Update() | Renew() | Rename() | Finish() | Retire() | Restore():
            return action.live.state, action.after, action.fields
        case Rotate(declared=declared):
            return action.live.state, declared.state, action.fields
        case Delete(live=live):
            return live.state, None, ()
        case _:
            assert_never(action)


def _live_id(action: Action) -> int | None:
    return None if isinstance(action, Create) or action.live.id < 0 else action.live.id


def _state_or_null(state: KeyState | None) -> dict[str, object] | None:
    return None if state is None else _state(state)


def _spend(usage: Usage | None) -> dict[str, object] | None:
    if usage is None:
        return None
    return {"days": usage.days, "cost": format_money(usage.cost), "requests": usage.requests}


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "address": None if finding.address is None else str(finding.address),
        "message": finding.message,
        "source": _source(finding.source),
        **_account(finding.account),
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    action = outcome.action
    return {
        "action": action.kind.value,
        "address": None if action.address is None else str(action.address),
        "key_id": _live_id(action) if outcome.key_id is None else outcome.key_id,
        "status": outcome.status.value,
        "message": outcome.message,
        **_account(action.account),
    }


def _account(variable: str | None) -> dict[str, object]:
    """Name the account where there are several; where there is one, nothing has to be said."""
    return {} if variable is None else {"account": variable}


def _source(location: Location | None) -> dict[str, object] | None:
    return None if location is None else {"file": location.file, "line": location.line}


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format_money(amount)


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
