"""What comes from the account or a file is data: nothing in it may act on a terminal or on a build log.

Escaping keeps different texts different, so that a reviewer who sees two names alike can trust that they are alike.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

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


def _is_seen(character: str) -> bool:
    if character == " ":
        return True
    if character == "\\" or unicodedata.category(character) in _UNSEEN_CATEGORIES:
        return False
    return _UNSEEN.match(character) is None


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
