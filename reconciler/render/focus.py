"""What was recorded as finance tools read it: the columns of FOCUS 1.2, a row for each day and key.

FOCUS is the FinOps Open Cost and Usage Specification (https://focus.finops.org/focus-specification/v1-2/). All columns
that it calls mandatory are there, of the others those that there is something to say in; what it does not know begins
with `x_`, as it demands. A name stands only where there is an id, and a type only where there is what has it. A credit
of the service is one USD and is what is priced; what is consumed are requests.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.render.escape import defused
from reconciler.units import format_money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from reconciler.insight.history import KeyDay

COLUMNS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_InputTokens",
    "x_OutputTokens",
)
_PROVIDER: Final = "NagaAI"


def focus_csv(lines: Iterable[KeyDay]) -> str:
    """Write what keys were used for as FOCUS 1.2 in CSV: costs in USD exactly, instants in UTC, nothing for null.

    The account is known by the variable that holds its provisioning key. An environment is a sub account, a key a
    resource, a team a tag. What the service tells of no key has no resource.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    writer.writerows(_row(line) for line in sorted(lines, key=lambda line: (line.day, line.account, _name(line))))
    return stream.getvalue()


def _row(line: KeyDay) -> dict[str, object]:
    cost = format_money(line.tally.cost)
    start = line.day.replace(day=1)
    tags = {"team": line.team} if line.team else {}
    is_key = line.key_id is not None or line.name
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "PricingQuantity"), cost),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), _PROVIDER),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), line.account),
        **dict.fromkeys(("SubAccountId", "SubAccountName"), line.environment),
        "SubAccountType": "Environment" if line.environment else "",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _instant(start),
        "BillingPeriodEnd": _instant((start + timedelta(days=31)).replace(day=1)),
        "ChargePeriodStart": _instant(line.day),
        "ChargePeriodEnd": _instant(line.day + timedelta(days=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": defused(f"Requests of {_name(line)}") if is_key else "Requests of no key",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": line.tally.requests,
        "ConsumedUnit": "Requests",
        "PricingCategory": "Standard",
        "PricingUnit": "Credits",
        # A name without an id is what the service knows the key by; a resource may not have just a name.
        "ResourceId": defused(line.name) if line.key_id is None else line.key_id,
        "ResourceName": defused(line.address if line.key_id is None else _name(line)),
        "ResourceType": "API key" if is_key else "",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "NagaAI API",
        "ServiceSubcategory": "Generative AI",
        "Tags": json.dumps(tags, ensure_ascii=False, sort_keys=True),
        "x_InputTokens": line.tally.input_tokens,
        "x_OutputTokens": line.tally.output_tokens,
    }


def _name(line: KeyDay) -> str:
    return line.address or line.name


def _instant(day: date) -> str:
    return f"{day}T00:00:00Z"
