"""What a run asks for beyond the file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.model import Address


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes that the command line adds to what the file says.

    `rotate` are declared addresses to rotate now, and without `overlap` their old keys are disabled at once; without
    `due` no key is rotated for its age. `allow` are globs of addresses whose guardrails are lifted for this run.
    `environments` and `only` (globs of addresses) select what the run is about: what they leave out is neither changed
    nor judged; both empty select everything.
    """

    rotate: frozenset[Address] = frozenset()
    overlap: bool = True
    due: bool = True
    allow: tuple[str, ...] = ()
    environments: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()

    @property
    def selective(self) -> bool:
        """Whether something is left out."""
        return bool(self.environments or self.only)

    def selector(self) -> Callable[[Address], bool]:
        """Give the test that tells whether the run is about an address."""
        environments, matches = self.environments, matcher(self.only)
        if not self.selective:
            return lambda _: True
        return lambda address: (
            (not environments or address.environment in environments) and (not self.only or matches(str(address)))
        )


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Give the test that tells whether one of the globs matches a whole text; `*` matches `/` too."""
    pattern = re.compile("|".join(translate(glob) for glob in globs) or "(?!)")
    return lambda text: pattern.match(text) is not None


AS_THE_FILE_SAYS: Final = Options()
