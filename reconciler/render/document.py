"""Values to one JSON document each, for programs: `plan --format json`, plan.json and `apply --format json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from reconciler.planning.actions import (
    ActionKind,
    Create,
    Delete,
    Finish,
    Rename,
    Renew,
    Restore,
    Retire,
    Rotate,
    Status,
    Update,
    raise_of,
)
from reconciler.planning.places import deliveries_of
from reconciler.planning.planfile import FORMAT_VERSION, options_document, raise_document, with_checksum
from reconciler.planning.power import power_of
from reconciler.render import words
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from reconciler.diagnostic import Location
    from reconciler.model import Delivery, KeyState, Usage
    from reconciler.planning.actions import Action, ApplyResult, Credit, Field, Finding, Outcome, Plan
    from reconciler.planning.power import ExpiryChange, LimitChange, Power


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


def to_json(document: Mapping[str, object] | Sequence[object]) -> str:
    """Write a document in ASCII, a field a line and every element of a list on its own line, so that it diffs well."""
    if isinstance(document, Mapping):
        fields = (f"  {json.dumps(name)}: {_field(value)}" for name, value in document.items())
        text = "{\n" + ",\n".join(fields) + "\n}\n"
    else:
        text = "".join(["[", ",".join(f"\n  {json.dumps(each)}" for each in document), "\n" * bool(document), "]\n"])
    # A build log obeys `##[command]` wherever it stands; in JSON a # can be written so that it doesn't.
    return text.replace("##[", "#\\u0023[")


def _field(value: object) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {json.dumps(element)}" for element in value) + "\n  ]"
    return json.dumps(value)


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
        "before": _state(before),
        "after": _state(after),
        "fields": [field.value for field in fields],
        "deliveries": [_delivery(delivery) for delivery in deliveries_of(action)],
        "spend": _spend(usage),
        "source": _source(words.source(action)),
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


def _state(state: KeyState | None) -> dict[str, object] | None:
    if state is None:
        return None
    return {
        "name": state.name,
        "is_enabled": state.is_enabled,
        "credit_limit": _money(state.credit_limit),
        "expires_at": _instant(state.expires_at),
    }


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
