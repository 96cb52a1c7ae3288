"""What a command needs beyond the program itself, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from reconciler.errors import UsageError


def need_extra(extra: str, *modules: str) -> None:
    """See to it that the libraries of an extra are there; raises UsageError, which says how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        msg = f"{' and '.join(missing)} cannot be imported; install: pip install 'naga-reconciler[{extra}]'"
        raise UsageError(msg)
