"""Keep the API keys of a NagaAI account equal to a reviewed file.

    from reconciler import load, plan, apply

    declaration = load("keys.yaml")
    for action in plan(declaration).actions:
        print(action.kind, action.address)
    result = apply(declaration)

What these take and raise stands in `reconciler.api`; importing the package alone loads none of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.api import (
        Address,
        ApplyResult,
        Declaration,
        Options,
        Outcome,
        Plan,
        apply,
        digest,
        load,
        plan,
        to_dict,
    )

__all__ = [
    "Address",
    "ApplyResult",
    "Declaration",
    "Options",
    "Outcome",
    "Plan",
    "__version__",
    "apply",
    "digest",
    "load",
    "plan",
    "to_dict",
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


class _Callable(ModuleType):
    """A package that is called as the function of its name, since only one of both can have the name.

    It also shows that function's signature and documentation, and can be handed to another process.
    """

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        from reconciler import api

        function: Callable[..., Any] = getattr(api, self.__name__.rpartition(".")[2])
        return function

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]  # an attribute of other modules
        return self.__wrapped__.__doc__

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # as the function has them
        return self.__wrapped__(*arguments, **options)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        return import_module, (self.__name__,)


class _Package(ModuleType):
    """This package: its parts `plan` and `apply` are also what it offers under these names."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
