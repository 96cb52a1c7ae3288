"""How names and values are spelled: plainly where every program reads the same, and quoted otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from reconciler.declaration.scalars import NUMERIC, WORDS, number, word
from reconciler.declaration.tree import MERGE
from reconciler.units import parse_instant

_PLAIN: Final = re.compile(r"""(?:[\w./(]|-(?=[\w-])(?!--))[^{}\[\],#"&*!?|>%@`\\]*""")
_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LOOSE_POINT: Final = re.compile(r"(-?)(\d*)\.(\d*)", re.ASCII)


def spelled_name(name: str) -> str:
    """Spell the name of a field, an environment or a key."""
    return name if name == MERGE else _text(name)


def spelled(text: str, style: str) -> str:
    """Spell a value of one line; without quotes around it, it may stand for more than text."""
    if style:
        return _text(text)
    if text in WORDS:
        return _CONSTANTS[word(text)]
    if text[0] in NUMERIC and not isinstance(number(text), str):
        return _number(text)
    return _text(text)


def quoted(text: str) -> str:
    """Put text in quotes, whatever it holds visible."""
    if ('"' in text or "\\" in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    return '"' + "".join(map(_in_quotes, text)) + '"'


def _text(text: str) -> str:
    return text if _is_plain(text) else quoted(text)


@lru_cache(maxsize=4096)  # the fields of a file are few
def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text) or ": " in text or text[-1] in ": " or not text.isprintable() or text in WORDS:
        return False
    return _is_instant(text) or (not _is_number(text) and _is_text_in_yaml_1_1(text))


def _is_number(text: str) -> bool:
    """Tell whether a text is a number for us, or so much like one that we refuse it."""
    try:
        return text[0] in NUMERIC and not isinstance(number(text), str)
    except ValueError:
        return True


def _is_text_in_yaml_1_1(text: str) -> bool:
    from yaml import ScalarNode
    from yaml.resolver import Resolver

    resolver: Any = Resolver()  # which the stubs know no types of
    return str(resolver.resolve(ScalarNode, text, (True, False))).endswith(":str")


def _is_instant(text: str) -> bool:
    try:
        parse_instant(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> str:
    """Write a number as it was written, without a plus or a loose point: money keeps its zeros."""
    digits = text.removeprefix("+")
    loose = _LOOSE_POINT.fullmatch(digits)
    if loose is None:
        return digits
    sign, whole, fraction = loose.groups()
    return f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")


def _in_quotes(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else _escaped(character)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:  # noqa: PLR2004  # as much as two digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # four digits
