"""Texts with fields in braces: `NAGA_{KEY}`, `.secrets/{environment}.env`, `{environment}/{key}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.declaration.wording import shown
from reconciler.plan.names import NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from reconciler.model import Address

NAMING_FIELDS: Final = ("environment", "key")
FIELDS: Final = ("environment", "key", "ENVIRONMENT", "KEY", "live_name")
DEFAULT_NAMING: Final = "{environment}/{key}"

_BRACES: Final = re.compile(r"\{([^{}]*)\}|[{}]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME: Final = re.compile(NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class Template:
    """A text whose fields are known to be good; made by `parse_template`."""

    fields: tuple[str, ...]
    percent_format: str

    def fill(self, values: Mapping[str, str]) -> str:
        """Put the values in."""
        return self.percent_format % values


def parse_template(text: str, known: Collection[str] = FIELDS, kept: Collection[str] = ()) -> Template:
    """Read a template; raises ValueError, in words that follow the field's name, for braces that name nothing known.

    Fields to be `kept` are let through as they are, for somebody else to fill in.
    """
    if _CONTROL.search(text):
        msg = "must not hold line breaks or other control characters"
        raise ValueError(msg)
    fields: list[str] = []
    for match in _BRACES.finditer(text):
        if match[1] in kept:
            continue
        if match[1] not in known:
            choice = ", ".join(f"{{{field}}}" for field in (*known, *kept))
            msg = f"must hold no other braces than {choice}; '{shown(match[0])}' is none of them"
            raise ValueError(msg)
        fields.append(match[1])

    def opened(match: re.Match[str]) -> str:
        return match[0] if match[1] in kept else f"%({match[1]})s"

    return Template(tuple(fields), _BRACES.sub(opened, text.replace("%", "%%")))


def address_values(address: Address, live_name: str) -> dict[str, str]:
    """Give the values of all FIELDS for a key."""
    environment, key = address.environment, address.key
    return {
        "environment": environment,
        "key": key,
        "ENVIRONMENT": _upper(environment),
        "KEY": _upper(key),
        "live_name": live_name,
    }


def _upper(name: str) -> str:
    """Make a valid name fit for a variable; it holds nothing but letters, digits, `.`, `_` and `-`."""
    return name.upper().replace("-", "_").replace(".", "_")


def check_naming(text: str) -> None:
    """Raise ValueError, in words that follow the field's name, for a text that can't be `naming`."""
    fields = parse_template(text, NAMING_FIELDS).fields
    if sorted(fields) != sorted(NAMING_FIELDS):
        msg = "must hold {environment} and {key}, each once"
        raise ValueError(msg)
    if "~" in text:
        msg = "must not hold '~', which starts what reconciler itself adds to names"
        raise ValueError(msg)


def ambiguities(naming: str, environments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Find environments whose live names can be read as another's: the one, the other, and such a key of the other.

    If a name of the longer environment reads as one of the shorter, the shorter is a proper prefix of the longer (a
    suffix where `{key}` comes first), and what lies between goes to the key. What follows in the key changes nothing
    then, so that the shortest key there is, one letter, finds every case.
    """
    declared = set(environments)
    key_first = naming.index("{key}") < naming.index("{environment}")
    between = _BRACES.split(naming)[2]
    for longer in environments:
        name = f"a{between}{longer}" if key_first else f"{longer}{between}a"
        for length in range(1, len(longer)):
            shorter = longer[-length:] if key_first else longer[:length]
            if shorter in declared:
                rest = f"{between}{shorter}" if key_first else f"{shorter}{between}"
                key = name.removesuffix(rest) if key_first else name.removeprefix(rest)
                if key != name and _NAME.fullmatch(key):
                    yield longer, shorter, key
