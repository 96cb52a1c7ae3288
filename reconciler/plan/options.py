"""What a run asks for beyond the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.model import Address


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes that the command line adds to what the file says.

    `rotate` are declared addresses to rotate now; without `overlap` a rotated key is disabled at once; without `due`
    no key is rotated for its age.
    """

    rotate: frozenset[Address] = frozenset()
    overlap: bool = True
    due: bool = True


AS_THE_FILE_SAYS: Final = Options()
