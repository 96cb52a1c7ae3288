"""What the types of destinations differ in while a file is read; the schema says which settings each has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_ANYTHING: Final = re.compile(r".+", re.DOTALL)
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of destinations.

    `names` is what `as` must come out as, `words` says so to people. `paths` are the settings that are relative to the
    folder of the file, `named` those in which the destination itself fills {name} in, `defaults` the settings to be
    filled in where the file says nothing, `manner` those that say how secrets get there and are kept, and not where.
    With `caseless`, small and capital letters name the same place.
    """

    names: re.Pattern[str] = _ANYTHING
    words: str = "a name"
    paths: frozenset[str] = _NOTHING
    named: frozenset[str] = _NOTHING
    defaults: dict[str, str] = field(default_factory=dict)
    manner: frozenset[str] = _NOTHING
    caseless: bool = False


KINDS: Final = {
    "age": Kind(
        names=re.compile(r"(?!\.\.?\Z)[^/]+", re.DOTALL),
        words="the name of a file, without a folder",
        paths=frozenset({"path", "recipients_file"}),
        named=frozenset({"path"}),
    ),
    "aws-secrets-manager": Kind(
        names=re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}", re.ASCII),
        words="the name of a secret (letters, digits and / _ + = . @ -)",
        manner=frozenset({"kms_key_id"}),
    ),
    "dotenv": Kind(
        names=re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII),
        words="a variable name (letters, digits and _, no digit first)",
        paths=frozenset({"path"}),
    ),
    "exec": Kind(
        names=re.compile(r"[^-].*", re.DOTALL),
        words="a name that does not begin with '-', which programs take for an option",
        paths=frozenset({"folder"}),
        named=frozenset({"command"}),
        defaults={"folder": "."},
        manner=frozenset({"parallelism", "timeout"}),
    ),
    "github-actions": Kind(
        names=re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]{0,254}", re.ASCII),
        words="the name of a secret (capitals, digits and _, no digit first, not GITHUB_…)",
        manner=frozenset({"selected_repositories", "visibility"}),
        caseless=True,
    ),
    "vault": Kind(
        names=re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII),
        words="the name of a field (letters, digits and _ . -, at most 100)",
        defaults={"mount": "secret"},
        manner=frozenset({"audience", "auth_mount", "role"}),
    ),
}

OTHER: Final = Kind()
"""A type that nothing more is known about."""


def kind_of(type_: str) -> Kind:
    """Give what is known about a type."""
    return KINDS.get(type_, OTHER)
