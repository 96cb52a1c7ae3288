"""The one type that a secret lives in."""

from __future__ import annotations

import hmac
from typing import Final, NoReturn, Self

HIDDEN: Final = "<secret>"


class Secret:
    """A secret that refuses to be shown: only `reveal()` gives it out, and not after `wipe()`.

    `repr`, `str` and every format give a placeholder, so that a log line or a traceback is safe; pickling, copying
    and JSON refuse, because they would carry the value somewhere else.

    It lives in a buffer of its own that `wipe()` overwrites, as do the end of a `with secret:` and the end of the
    object itself. What `reveal()` has given out are copies that Python frees and does not overwrite: whoever needs one
    keeps it no longer than it takes.
    """

    __slots__ = ("_content",)

    def __init__(self, value: str) -> None:
        """Take the secret; an empty one is a programming error upstream and refused."""
        self._content = bytearray()
        if not value:
            msg = "a secret must not be empty"
            raise ValueError(msg)
        # Lone surrogates too: whether a secret is proper text is for those to judge who have to write it.
        self._content = bytearray(value, "utf-8", "surrogatepass")

    def reveal(self) -> str:
        """Return out the secret, for the destination that stores it and for nothing else.

        Raises:
            RuntimeError: it was wiped, so whoever asks has kept it for too long.
        """
        if self.wiped:
            msg = "a secret was asked for after it was wiped; who needs it for longer takes a copy() in time"
            raise RuntimeError(msg)
        return self._content.decode("utf-8", "surrogatepass")

    def copy(self) -> Secret:
        """Return another that is wiped for itself; raises RuntimeError like `reveal()`."""
        return Secret(self.reveal())

    def wipe(self) -> None:
        """Overwrite the secret; it is gone for all who hold this object."""
        # In place, then let go: an emptied buffer alone would leave its memory as it was.
        self._content[:] = bytes(len(self._content))
        self._content = bytearray()

    @property
    def wiped(self) -> bool:
        """Whether it is gone."""
        return not self._content

    def __enter__(self) -> Self:
        """Return the secret itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe it, however the block has ended."""
        self.wipe()

    def __del__(self) -> None:
        """Wipe what nobody holds any more."""
        self.wipe()

    def __repr__(self) -> str:
        """Show a placeholder."""
        return HIDDEN

    def __format__(self, format_spec: str) -> str:
        """Show a placeholder, whatever the format asks for."""
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        """Compare in constant time; a wiped one equals none."""
        if not isinstance(other, Secret):
            return NotImplemented
        return not self.wiped and hmac.compare_digest(self._content, other._content)

    __hash__ = None  # type: ignore[assignment]  # a hash is a fingerprint of the secret

    def __getstate__(self) -> NoReturn:
        """Refuse to be taken apart."""
        self.__reduce__()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        msg = "a secret is not pickled"
        raise TypeError(msg)
