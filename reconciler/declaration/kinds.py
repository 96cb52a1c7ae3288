"""What the types of destinations differ in while a file is read; the schema says which settings each has."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ANYTHING: Final = re.compile(r".+", re.DOTALL)
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of destinations.

    `names` is what `as` must come out as, `words` says so to people. `paths` are the settings that are relative to the
    folder of the file, `reads` those of files that the destination reads, `writes` that of the file that it writes,
    with `is_file_per_secret` when it holds nothing else. `named` are those in which the destination itself fills {name}
    in, `defaults` the settings to be filled in where the file says nothing, `ambient` those that the environment says
    then, `manner` those that say how secrets get there and are kept, and not where. The settings `joined` name a place
    together, one behind the other. With `caseless`, small and capital letters name the same place.
    """

    names: re.Pattern[str] = _ANYTHING
    words: str = "a name"
    paths: frozenset[str] = _NOTHING
    reads: frozenset[str] = _NOTHING
    writes: str | None = None
    is_file_per_secret: bool = False
    named: frozenset[str] = _NOTHING
    defaults: dict[str, str] = field(default_factory=dict)
    ambient: dict[str, Callable[[], str]] = field(default_factory=dict)
    manner: frozenset[str] = _NOTHING
    joined: tuple[str, ...] = ()
    caseless: bool = False


def _region() -> str:
    """Give the region that AWS's own tools take where nothing else says one; empty for none."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := os.environ.get(variable, "").strip():
            return region
    from configparser import ConfigParser, Error

    config = ConfigParser(interpolation=None, strict=False)
    try:
        with Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser().open(encoding="utf-8") as file:
            config.read_file(file)
    except (OSError, ValueError, RuntimeError, Error):  # RuntimeError: nobody has a home
        return ""
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    sections = (f"profile {profile}", profile)
    return next((found for each in sections if (found := config.get(each, "region", fallback=""))), "")


def _namespace() -> str:
    return os.environ.get("VAULT_NAMESPACE", "")


KINDS: Final = {
    "age": Kind(
        names=re.compile(r"(?!\.\.?\Z)[^/]+", re.DOTALL),
        words="the name of a file, without a folder",
        paths=frozenset({"path", "recipients_file"}),
        reads=frozenset({"recipients_file"}),
        writes="path",
        is_file_per_secret=True,
        named=frozenset({"path"}),
    ),
    "aws-secrets-manager": Kind(
        names=re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}", re.ASCII),
        words="the name of a secret (letters, digits and / _ + = . @ -)",
        ambient={"region": _region},
        manner=frozenset({"kms_key_id"}),
        caseless=True,  # a region has no capitals, and names are not settings
    ),
    "dotenv": Kind(
        names=re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII),
        words="a variable name (letters, digits and _, no digit first)",
        paths=frozenset({"path"}),
        writes="path",
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
        ambient={"namespace": _namespace},
        joined=("namespace", "mount", "path"),
        manner=frozenset({"audience", "auth_mount", "role"}),
    ),
}

OTHER: Final = Kind()
"""A type that nothing more is known about."""


def kind_of(type_: str) -> Kind:
    """Give what is known about a type."""
    return KINDS.get(type_, OTHER)
