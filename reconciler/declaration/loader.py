"""Loads a declaration: reads the text of a file into data that remembers where everything stands, and has it checked.

The YAML parser is used for its events only, and the data built from them here: with libyaml that takes a quarter of the
time and of the memory of PyYAML's own constructor, knows where each name and value stands, and leaves out everything
that a declaration has no use for.
"""

from __future__ import annotations

import gc
import io
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from reconciler.declaration.destinations import Ground
from reconciler.declaration.parser import Builder, Place, Report, Unreadable
from reconciler.declaration.resolve import merged, resolve
from reconciler.declaration.schema import check
from reconciler.errors import DeclarationError, UsageError
from reconciler.files import link_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.declaration.destinations import Earlier
    from reconciler.declaration.parser import Fields, Mark
    from reconciler.diagnostic import Diagnostic
    from reconciler.model import Declaration


# What the YAML parser complains about, in the words of somebody who doesn't write parsers.

_COLON: Final = "mapping values are not allowed"
_NO_COLON: Final = "a ':' is missing after this name"
# What the complaint contains, in the C parser's words or in the pure one's, and what it means; the first match counts.
_AT_THE_START: Final = (  # of what the parser was reading, rather than where it gave up
    ("could not find expected ':'", _NO_COLON),
    ("quoted scalar found unexpected end of stream", "a quoted text is opened here and never closed"),
    ("quoted scalar found unexpected document", "a quoted text is opened here and never closed"),
    ("',' or ']'", "a list is opened with '[' here and goes on without ',' or ends without ']'"),
    (
        "',' or '}'",
        "a mapping is opened with '{' here and goes on without ',' or ends without '}'; quote a text that holds ': '",
    ),
)
_AT_THE_END: Final = (
    (_COLON, "a ':' can't stand here: quote the text if it holds ': ', and check the indent"),
    ("found unexpected ':'", "a ':' in a text can't stand here: put a space behind it, or quote the text"),
    ("quoted scalar", "a backslash in double quotes starts an escape; write two, or use single quotes"),
    ("cannot start any token", "a text can't start with this character; quote it, and indent with spaces only"),
    ("sequence entries are not allowed", "a '- ' can't start a list here; put it on a line of its own"),
    ("expected '-' indicator", "the items of a list must start at the same column, each with '- '"),
    ("did not find expected key", "this line is indented otherwise than those that it belongs to"),
    ("expected <block end>", "this line is indented otherwise than those that it belongs to"),
    ("scanning an anchor", "a name must follow the & of an anchor at once"),
    ("scanning an alias", "a name must follow the * of an alias at once; quote a text that starts with *"),
    ("tab character", "a tab can't indent; use spaces"),
    ("undefined tag handle", "tags like !name can't be used; remove it"),
    ("incompatible YAML document", "a %YAML directive for another version of YAML can't be used; remove it"),
    ("<document start>", "this can't stand beside the rest of the file; check the indent"),
)


def meaning(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[Mark | None, str]:
    """Return what a syntax error means and where it is; in the parser's own words where no better ones are known.

    `lines` are those of the file.
    """
    said = f"{error.context or ''} {error.problem}"
    mark: Mark = error.problem_mark or Place("", len(lines))
    if "".join(lines[mark.line : mark.line + 1])[mark.column :].startswith("\t"):
        return mark, "a tab can't indent; use spaces"
    if _COLON in said and (place := _without_colon(lines, mark)):
        return place, _NO_COLON
    for part, words in _AT_THE_START:
        if part in said and error.context_mark is not None:
            return error.context_mark, words
    for part, words in _AT_THE_END:
        if part in said:
            return error.problem_mark, words
    return error.problem_mark, f"this is not YAML: {said.strip()}"


def _without_colon(lines: Sequence[str], mark: Mark) -> Place | None:
    """Find the name that lacks its colon: the parser reads on, and blames the first line below that has one."""
    above = [
        number for number in range(mark.line) if lines[number].strip() and not lines[number].lstrip().startswith("#")
    ]
    if not above:
        return None
    number = above[-1]
    bare = _BARE_NAME.fullmatch(lines[number])
    return Place(mark.name, number, len(bare["indent"])) if bare else None


# The bytes of a file, as plain data with places.

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
_BARE_NAME: Final = re.compile(r"(?P<indent>\s*)[\w.-]+(?:\s+[\w.-]+)?\s*(?:#.*)?", re.ASCII)
_CONFLICT: Final = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?=\s|$)")
_DECLARES: Final = re.compile(rb"^(?:version|environments|destinations|defaults|guardrails)\s*:", re.MULTILINE)
_SECRET: Final = re.compile(r"ng-\w{12}|naga_sk_|PRIVATE KEY")
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its name as messages show it, the folder that its paths are relative to, and what it holds.

    `earlier` says what the files that it names held, where that is another time than now.
    """

    name: str
    folder: Path
    content: bytes
    earlier: Earlier | None = None


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
        mark, words = meaning(error, _lines(content))
        report.error(mark or builder.here, words)
    except (yaml.YAMLError, ValueError, OverflowError):  # the last two: the pure parser, on an escape like "\UFFFFFFFF"
        report.error(builder.here, "a character that doesn't exist or can't be seen follows here; remove it")
    return None


def _checked(source: SourceFile, report: Report) -> bytes | None:
    """Return bytes that are UTF-8 text without invisible characters or open merge conflicts, as YAML wants it."""
    content = source.content.removeprefix(_UTF8_MARK)
    start = Place(source.name)
    if len(content) > LARGEST_FILE:
        report.error(start, f"the file is larger than {LARGEST_FILE // 1024**2} MiB; split it into a folder of files")
        return None
    if content.startswith(_OTHER_MARKS):
        report.error(start, "the file is UTF-16 or UTF-32; save it as UTF-8")
        return None
    if b"<<<<<<<" in content and _has_conflicts(source.name, content, report):
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


def quoted(diagnostics: Iterable[Diagnostic], sources: Iterable[SourceFile]) -> list[Diagnostic]:
    """Return diagnostics with the lines that they are about.

    Nothing is quoted of a file that is no declaration, which may be anything that somebody has put in its place, nor a
    line that may hold a secret.
    """
    contents = {source.name: source.content for source in sources}
    texts: dict[str, list[str]] = {}
    found = []
    for each in diagnostics:
        name = each.location.file
        if name not in texts:
            content = contents.get(name, b"").removeprefix(_UTF8_MARK)
            texts[name] = _lines(content) if _DECLARES.search(content) else []
        line = next(iter(texts[name][each.location.line - 1 : each.location.line]), None)
        found.append(each if line is None or _SECRET.search(line) else replace(each, line=line))
    return found


def _has_conflicts(name: str, content: bytes, report: Report) -> bool:
    """Report the marks that git leaves where two changes of a line meet, each side's and the middle one."""
    lines = [number for number, line in enumerate(_lines(content)) if _CONFLICT.match(line)]
    for number in lines:
        report.error(Place(name, number), "git has left a merge conflict here; keep what is right and delete the marks")
    return bool(lines)


def _lines(content: bytes) -> list[str]:
    return _LINE_BREAK.split(content.decode(errors="replace"))


def _end(name: str, text: str) -> Place:
    """Return the place just after a text."""
    lines = _LINE_BREAK.split(text)
    return Place(name, len(lines) - 1, len(lines[-1]))


# The garbage collector, held while many objects are built that all stay alive.


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic collector from walking a growing heap again and again; leaves it as it was found."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# From a path to a declaration: bytes → parser → schema → resolve → Declaration.


def load(path: Path) -> Declaration:
    """Load a declaration from a file, all `*.yaml` of a folder (not of folders in it), or for `-` standard input.

    Raises:
        DeclarationError: with everything that is wrong, in reading order.
        UsageError: when there is nothing to read.
    """
    return load_sources(read_sources(path))


def read_sources(path: Path) -> list[SourceFile]:
    """Read a file, all `*.yaml` of a folder (not of folders in it), or for `-` standard input.

    Raises:
        UsageError: when there is nothing to read.
    """
    if path == STANDARD_INPUT:
        return [_read_standard_input()]
    if not path.is_dir():
        return [_read(path)]
    sources = read_folder(path)
    if not sources:
        msg = f"the folder {path} holds no *.yaml file; put one there, or name another place with -f"
        raise UsageError(msg)
    return sources


def read_folder(path: Path) -> list[SourceFile]:
    """Read all `*.yaml` of a folder (not of folders in it); none where it holds none.

    Raises:
        UsageError: one of them can't be read.
    """
    return [_read(file) for file in _files(path)]


def load_sources(sources: Sequence[SourceFile], *, is_base: bool = False) -> Declaration:
    """Load a declaration from files that have been read; their order doesn't matter, their names must differ.

    One that `is_base` is there to be compared with, so that nobody asks where its secrets would go.

    Raises:
        DeclarationError: with everything that is wrong, in reading order.
    """
    report = Report()
    with collector_paused():
        declaration = _load(sorted(sources, key=lambda source: source.name), report, is_base=is_base)
    if declaration is None or report:
        raise DeclarationError(quoted(report.in_reading_order(), sources))
    return declaration


def _load(sources: Sequence[SourceFile], report: Report, *, is_base: bool) -> Declaration | None:
    documents = [read(source, report) for source in sources]
    readable = [document for document in documents if document is not None]
    for document in readable:
        check(document, report)
    if len(readable) < len(documents) or report.is_full:
        return None  # what is missing in the rest may stand in the file that can't be read
    grounds = {source.name: Ground(source.folder, source.earlier) for source in sources}
    return resolve(merged(readable, report), grounds, report, is_base=is_base)


def _files(path: Path) -> list[Path]:
    seen = [file for file in path.glob("*") if not file.name.startswith(".")]
    files = [file for file in seen if file.suffix == ".yaml" and not file.is_dir()]
    for file in seen:
        if file.suffix != ".yaml" and file.suffix.lower() in {".yaml", ".yml"}:
            msg = (
                f"{file} would not be read, only every *.yaml of a folder is; name it {file.with_suffix('.yaml').name}"
            )
            raise UsageError(msg)
    for file in files:
        if not file.is_file():
            msg = f"{file} is no regular file, and every *.yaml of a folder is read; remove it"
            raise UsageError(msg)
    return sorted(files)


def _read_standard_input() -> SourceFile:
    try:
        return standard_input()
    except OSError as error:
        msg = f"standard input can't be read: {error.strerror}"
        raise UsageError(msg) from error


def _read(path: Path) -> SourceFile:
    try:
        if link := link_out(path):
            # It may lead to a token, which a message about the file would repeat, or to what nobody reviews.
            msg = f"{link} is a symbolic link out of its repository, and is not followed; name the file itself with -f"
            raise UsageError(msg)
        with path.open("rb") as file:
            return SourceFile(str(path), path.parent, file.read(LARGEST_FILE + 1))
    except FileNotFoundError as error:
        ways = "write one with `reconciler init`, or with `reconciler import` from the keys of the account"
        msg = f"there is no file {path}; {ways}, or name another place with -f"
        raise UsageError(msg) from error
    except (OSError, ValueError) as error:  # the latter: a name with a NUL
        msg = f"{path} can't be read: {getattr(error, 'strerror', None) or error}"
        raise UsageError(msg) from error
