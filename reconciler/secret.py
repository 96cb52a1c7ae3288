"""The one type that a secret lives in."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

HIDDEN: Final = "<secret>"


class Secret:
    """A secret that refuses to be shown: only `reveal()` gives it out.

    `repr`, `str` and every format give a placeholder, so that a log line or a traceback is safe; pickling, copying
    and JSON refuse, because they would carry the value somewhere else.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Take the secret; an empty one is a programming error upstream and refused."""
        if not value:
            msg = "a secret must not be empty"
            raise ValueError(msg)
        self._value = value

    def reveal(self) -> str:
        """Give out the secret, for the destination that stores it and for nothing else."""
        return self._value

    def __repr__(self) -> str:
        """Show a placeholder."""
        return HIDDEN

    def __format__(self, format_spec: str) -> str:
        """Show a placeholder, whatever the format asks for."""
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash is a fingerprint of the secret

    def __getstate__(self) -> NoReturn:
        """Refuse to be taken apart."""
        self.__reduce__()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        msg = "a secret is not pickled"
        raise TypeError(msg)
