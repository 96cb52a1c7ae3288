"""What comes from the account or a file is data: nothing in it may act on a terminal, a build log or a page.

Escaping keeps different texts different, so that a reviewer who sees two names alike can trust that they are alike.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Other, and separators: controls, formats (bidi, zero width, tags), lone surrogates, private use, unassigned code
# points, and every space that only looks like one. The ordinary space is let through below.
_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})

# Letters, marks and symbols by category, yet nothing or a blank on the screen.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# GitHub's runner obeys `::command::` at the start of a line (wrapping may put any word there), `##[command]` anywhere.
_COMMAND: Final = re.compile(r"(?<!\S)(?=::)|(?<=##)(?=\[)")

_PLAIN_WORD: Final = re.compile(r"""[^\s"',;()→]+""")
_NEEDS_CARE: Final = re.compile(r"[^ -~]|\\|::|##\[")

# A word, a number or an arrow that no Markdown renderer makes anything of: no mention, reference, link, emoji, formula;
# and no seven hexadecimal digits in a row, which may be a commit. What stands in quotes counts as one piece.
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"\S*|\S+')
_PLAIN_PIECE: Final = re.compile(r"\(?(?:(?![0-9A-Fa-f]{7})[A-Za-z]+(?:'[a-z]+)?|\d{1,6}|[→%])[,.;:?)]*")
_ENDED: Final = re.compile(r"(.*\w)([,.;:])")
_TICKS: Final = re.compile("`+")

# What a spreadsheet takes for the start of a formula, or skips before one.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def terminal(text: str) -> str:
    r"""Make text safe to show on one line of a terminal or a build log; ordinary letters of any script stay.

    What is invisible, moves the cursor or reorders the line becomes a visible escape: `\x1b`, `\u202e`, `\n`.
    """
    if not _NEEDS_CARE.search(text):
        return text
    shown = "".join(character if _is_seen(character) else _escaped(character) for character in text)
    return _COMMAND.sub(r"\\", shown)


def terminal_name(name: str) -> str:
    """Show a name as `terminal` does, in quotes when it is more or less than one plain word."""
    shown = terminal(name)
    if _PLAIN_WORD.fullmatch(shown):
        return shown
    return '"' + shown.replace('"', '\\"') + '"'


def markdown(text: str) -> str:
    """Make a sentence safe on one line of Markdown: what is not a plain word or number stands as code.

    In code nothing is a link, an image, a mention, a reference or HTML, neither by the rules of Markdown nor by what a
    forge adds to them. Runs of spaces count as one.
    """
    pieces = groupby(_PIECE.findall(terminal(text)), key=lambda piece: _PLAIN_PIECE.fullmatch(piece) is not None)
    return " ".join(" ".join(group) if plain else _coded(" ".join(group)) for plain, group in pieces)


def markdown_name(name: str) -> str:
    """Show a name as `terminal_name` does, as code."""
    return markdown_code(terminal_name(name))


def markdown_code(shown: str) -> str:
    """Set text that is safe for a terminal, and not blank, as code in a cell of a table.

    A pipe would end the cell, even in code. The start of an HTML comment is broken up because programs find the
    comment that they keep up to date by such a marker, without parsing what they search.
    """
    text = shown.replace("|", "\\|").replace("<!--", "<\\!--")
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def defused(text: str) -> str:
    """Write a cell of CSV that no spreadsheet computes and no terminal obeys; different texts stay different."""
    shown = terminal(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def workflow_data(text: str) -> str:
    """Encode text that is safe for a terminal, or lines of it, as the message of a GitHub workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """Encode text that is safe for a terminal as the value of a property of a GitHub workflow command."""
    return workflow_data(text).replace(":", "%3A").replace(",", "%2C")


def _coded(pieces: str) -> str:
    """Set pieces of a sentence as code, without the mark that ends them."""
    ended = _ENDED.fullmatch(pieces)
    return markdown_code(ended[1]) + ended[2] if ended else markdown_code(pieces)


def _is_seen(character: str) -> bool:
    if character == " ":
        return True
    if character == "\\" or unicodedata.category(character) in _UNSEEN_CATEGORIES:
        return False
    return _UNSEEN.match(character) is None


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


# JSON, which a build log reads too.


def to_json(document: Mapping[str, object] | Sequence[object]) -> str:
    """Write a document in ASCII, a field a line and every element of a list on its own line, so that it diffs well."""
    if isinstance(document, Mapping):
        fields = (f"  {json.dumps(name)}: {_field(value)}" for name, value in document.items())
        text = "{\n" + ",\n".join(fields) + "\n}\n"
    else:
        text = "".join(["[", ",".join(f"\n  {json.dumps(each)}" for each in document), "\n" * bool(document), "]\n"])
    # A build log obeys `##[command]` wherever it stands; in JSON a # can be written so that it doesn't.
    return text.replace("##[", "#\\u0023[")


def _field(value: object) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {json.dumps(element)}" for element in value) + "\n  ]"
    return json.dumps(value)
