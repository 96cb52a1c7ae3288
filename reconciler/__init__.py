"""Keep the API keys of a NagaAI account equal to a reviewed file.

    from reconciler import load, plan, apply

    declaration = load("keys.yaml")
    for action in plan(declaration).actions:
        print(action.kind, action.address)
    result = apply(declaration)

What these take and raise stands in `reconciler.api`; importing the package alone loads none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.api import (
        Address,
        ApplyResult,
        Declaration,
        Options,
        Outcome,
        Plan,
        RevokeResult,
        SecretDelivery,
        activity,
        apply,
        balance,
        check,
        digest,
        lease,
        list_keys,
        load,
        plan,
        record,
        report,
        revoke,
        show,
        to_dict,
        to_html,
        to_openmetrics,
    )

__all__ = [
    "Address",
    "ApplyResult",
    "Declaration",
    "Options",
    "Outcome",
    "Plan",
    "RevokeResult",
    "SecretDelivery",
    "__version__",
    "activity",
    "apply",
    "balance",
    "check",
    "digest",
    "lease",
    "list_keys",
    "load",
    "plan",
    "record",
    "report",
    "revoke",
    "show",
    "to_dict",
    "to_html",
    "to_openmetrics",
]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401  # each name has its own type, declared above
    if name in __all__:
        from reconciler import api

        return getattr(api, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
