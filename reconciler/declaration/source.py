"""The bytes of a file, as plain data with places.

The YAML parser is used for its events only, and the data built from them here: with libyaml that takes a quarter of the
time and of the memory of PyYAML's own constructor, knows where each name and value stands, and leaves out everything
that a declaration has no use for.
"""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from reconciler.declaration.build import Builder, Unreadable
from reconciler.declaration.nodes import Place
from reconciler.declaration.syntax import meaning

if TYPE_CHECKING:
    from reconciler.declaration.nodes import Fields, Report

LARGEST_FILE: Final = 64 * 1024 * 1024
STANDARD_INPUT: Final = Path("-")
"""What stands for standard input in the place of a file."""
STDIN: Final = "<stdin>"
"""What messages call standard input."""

_UTF8_MARK: Final = b"\xef\xbb\xbf"
_OTHER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_VISIBLE: Final = b"\t\n\r" + bytes(range(0x20, 0x7F))
_INVISIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_MOST_INVISIBLE: Final = 20
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its name as messages show it, the folder that its paths are relative to, and what it holds."""

    name: str
    folder: Path
    content: bytes


def standard_input() -> SourceFile:
    """Read the file that comes from standard input; its paths are relative to the current folder.

    Raises:
        OSError: standard input can't be read.
    """
    return SourceFile(STDIN, Path(), sys.stdin.buffer.read(LARGEST_FILE + 1))


class _NamedBytes(io.BytesIO):
    """Bytes whose name the parser writes into every mark."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read(source: SourceFile, report: Report) -> Fields | None:
    """Build the data of a file; None, with the reason in the report, when the whole of it can't be had."""
    content = _checked(source, report)
    if content is None:
        return None
    # The classes have the same events; libyaml may be missing where PyYAML was built from source.
    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stream = _NamedBytes(content, source.name)
    builder = Builder(report, Place(source.name), loader_class(stream).get_event)
    try:
        return builder.document()
    except Unreadable:
        return None
    except yaml.MarkedYAMLError as error:
        mark, words = meaning(error)
        report.error(mark or builder.here, words)
    except (yaml.YAMLError, ValueError, OverflowError):  # the last two: the pure parser, on an escape like "\UFFFFFFFF"
        report.error(builder.here, "a character that doesn't exist or can't be seen follows here; remove it")
    return None


def _checked(source: SourceFile, report: Report) -> bytes | None:
    """Give bytes that are UTF-8 text without invisible characters, as YAML wants it."""
    content = source.content.removeprefix(_UTF8_MARK)
    start = Place(source.name)
    if len(content) > LARGEST_FILE:
        report.error(start, f"the file is larger than {LARGEST_FILE // 1024**2} MiB; split it into a folder of files")
        return None
    if content.startswith(_OTHER_MARKS):
        report.error(start, "the file is UTF-16 or UTF-32; save it as UTF-8")
        return None
    if content.isascii() and not content.translate(None, _VISIBLE):
        return content
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        place = _end(source.name, content[: error.start].decode())
        report.error(place, f"the file is not UTF-8: byte 0x{content[error.start]:02x} here; save it as UTF-8")
        return None
    invisible = list(islice(_INVISIBLE.finditer(text), _MOST_INVISIBLE))
    for match in invisible:
        words = f"the character U+{ord(match[0]):04X} is not allowed in YAML; remove it"
        report.error(_end(source.name, text[: match.start()]), words)
    return None if invisible else content


def _end(name: str, text: str) -> Place:
    """Give the place just after a text."""
    lines = _LINE_BREAK.split(text)
    return Place(name, len(lines) - 1, len(lines[-1]))
