"""The `dotenv` destination: variables in a file that sh and python-dotenv read.

The file is 0600 and always whole, its other lines stay as they are. Deliveries that arrive while it is being written
wait and are then written together, so that a thousand keys do not mean a thousand times fsync.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.destinations import files
from reconciler.destinations.shared import one_line, repeated
from reconciler.errors import DestinationError
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target


# The text of a dotenv file: values that sh and python-dotenv read alike, and lines that stay what they are.
#
# What a line means is left to python-dotenv's own parser, which hands out the exact text of every binding.

BOM: Final = "\ufeff"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_NEVER: Final = re.compile("[\0\r\n\ud800-\udfff]")
_INTERPOLATED: Final = re.compile(r"\$\{[^}:]*(?::-[^}]*)?\}")
_UNDECODED: Final = re.compile("[\udc80-\udcff]")
_EXPORT: Final = re.compile(r"\s*export[^\S\r\n]+[^=\s]")
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")


class Unreadable(ValueError):
    """The file is not what it should be; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A stretch of the file, byte for byte; `name` is the variable it sets, None for comments and blank lines."""

    name: str | None
    text: str = field(repr=False)


Document = tuple[Binding, ...]

Outline = tuple[tuple[str | None, int], ...]
"""A document without its text: the name and the number of characters of each binding."""


def is_name(name: str) -> bool:
    """Tell whether sh takes this for the name of a variable."""
    return _NAME.fullmatch(name) is not None


def quote(value: str) -> str | None:
    """Write a value so that sh and python-dotenv read back exactly it; None when no quoting does that for both.

    Single quotes: sh takes everything up to the next one as it is, python-dotenv takes a backslash before a backslash
    or a quote for an escape. Double quotes: both know the escapes of the quote and of the backslash, but that of `$`
    and of the backtick only sh. Python-dotenv replaces `${NAME}` inside any quotes. Its versions before 1.2.3 take the
    last backslash of a quoted value for one that escapes the closing quote, and read on into the lines below: no value
    may end in one.
    """
    if _PLAIN.fullmatch(value):
        return value  # unquoted, it is also what `docker --env-file` and systemd understand
    if _NEVER.search(value) or _INTERPOLATED.search(value) or value.endswith("\\"):
        return None
    if "'" not in value and "\\\\" not in value:
        return f"'{value}'"
    if "$" not in value and "`" not in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return None


def parse(content: bytes) -> Document:
    """Split a file into its bindings, which put together are the file again.

    Raises:
        Unreadable: it is not UTF-8, or a line is neither `NAME=value` nor a comment.
    """
    from dotenv.parser import parse_stream

    text = content.decode(errors="surrogateescape")  # an error raised here would carry the content with it
    if _UNDECODED.search(text):
        msg = "it is not UTF-8 text"
        raise Unreadable(msg)
    body = text.lstrip(BOM)
    bindings = [Binding(None, text[: len(text) - len(body)])] if body != text else []
    line = 1
    for found in parse_stream(io.StringIO(body)):
        original = found.original.string
        if found.error:
            msg = f"line {line + _lines(_blank_lines(original))} is neither NAME=value nor a comment"
            raise Unreadable(msg)
        bindings.append(Binding(found.key, original))
        line += _lines(original)
    return tuple(bindings)


def outline(document: Document) -> Outline:
    """Give what is left of a document when its values have to be forgotten."""
    return tuple((binding.name, len(binding.text)) for binding in document)


def divided(content: bytes, outline: Outline) -> Document:
    """Split the very file again that an outline is of, which `parse` would do too, but slowly."""
    text = io.StringIO(content.decode(), newline="")
    return tuple(Binding(name, text.read(length)) for name, length in outline)


def render(document: Document) -> bytes:
    """Put a document together again."""
    return "".join(binding.text for binding in document).encode()


def with_values(document: Document, values: Mapping[str, str]) -> Document:
    """Set variables to values already quoted: in place of their first binding, or at the end; later bindings go.

    All else stays, the comment behind a replaced value and a leading `export` included.
    """
    exported = {each.name for each in document if each.name in values and _EXPORT.match(each.text)}
    missing = dict(sorted(values.items()))
    result: list[Binding] = []

    def assign(name: str, comment: str) -> None:
        if result:
            last = result.pop()
            result.append(Binding(last.name, last.text + _fresh_line(last.text)))
        export = "export " if name in exported else ""
        # The line ends in LF in a file of CR LF too: sh would take the CR for the last character of the value.
        result.append(Binding(name, f"{export}{name}={missing.pop(name)}{comment}\n"))

    for each in document:
        if each.name is None or each.name not in values:
            result.append(each)
            continue
        if blank := _blank_lines(each.text):
            result.append(Binding(None, blank))
        if each.name in missing:
            assign(each.name, _comment(each.text))
    for name in tuple(missing):
        assign(name, "")
    return tuple(result)


def _fresh_line(before: str) -> str:
    """Give what has to stand between the text before an assignment and the assignment for sh to read a line of its own.

    That text may lack its line end, end in a CR or be a byte order mark, which sh takes for parts of the line, or end
    in a backslash, behind which sh reads on.
    """
    end = "" if before.endswith("\n") else "\n"
    return end + "\n" if (before + end).endswith("\\\n") else end


def _blank_lines(text: str) -> str:
    """Give the empty lines that python-dotenv counts to the binding below them."""
    space = text[: len(text) - len(text.lstrip())]
    return space[: max(space.rfind("\n"), space.rfind("\r")) + 1]


def _comment(text: str) -> str:
    """Give the comment at the end of a binding: what begins at a `#` and can go without changing the value."""
    whole = _value(text)
    for mark in re.finditer("#", text):
        if _value(text[: mark.start()]) == whole:
            return " " + text[mark.start() :].rstrip("\r\n")
    return ""


def _value(text: str) -> tuple[bool, str | None]:
    from dotenv.parser import parse_stream

    binding = next(parse_stream(io.StringIO(text)))
    return binding.error, binding.value


def _lines(text: str) -> int:
    return len(_NEWLINE.findall(text))


class Dotenv:
    """One dotenv file; see `Destination`.

    A delivery that is cancelled while it waits is still written; what is written is whole in any case.
    """

    def __init__(self, target: Target) -> None:
        """Take the target's `path`; nothing is touched yet.

        Raises:
            DestinationError: there is no usable path.
        """
        path = dict(target.settings).get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            msg = f"the dotenv destination {target.destination!r} needs the path of a file"
            raise DestinationError(msg)
        self._path = path
        self._writing = asyncio.Lock()
        self._queued: dict[str, Secret] = {}
        self._commit: asyncio.Task[files.Problem | None] | None = None
        self._last: tuple[bytes, Outline] = (b"", ())

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, and that the file can be read and replaced; see `Destination`."""
        problems = await asyncio.to_thread(lambda: list(self._problems(names)))
        if problems:
            raise DestinationError(one_line(f"{self._path}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Set the variable to the secret and return when it is on the disk; see `Destination`."""
        problem = self._enlist(secret_delivery)
        if problem is None:
            # Shielded: a group is written for all who wait for it, whoever of them is cancelled.
            problem = await asyncio.shield(self._group())
        if problem is not None:
            # Raised here, from nothing: the frames that saw the text of the file are no part of the traceback.
            message = one_line(f"{secret_delivery.name} was not written to {self._path}: {problem.words}")
            raise DestinationError(message, uncertain=problem.uncertain)

    def _enlist(self, secret_delivery: SecretDelivery) -> files.Problem | None:
        quoted = quote(secret_delivery.secret.reveal())
        if not is_name(secret_delivery.name):
            return files.Problem("it is no name for a variable")
        if quoted is None:
            return files.Problem("no quoting makes both sh and python-dotenv read back this secret")
        if secret_delivery.name in self._queued:
            return files.Problem("another secret of this name is being delivered at the same time")
        self._queued[secret_delivery.name] = Secret(quoted)
        return None

    def _group(self) -> asyncio.Task[files.Problem | None]:
        if self._commit is None or self._commit.done():  # done: cancelled before it began
            self._commit = asyncio.create_task(self._write_queued())
        return self._commit

    async def _write_queued(self) -> files.Problem | None:
        async with self._writing:
            group, self._queued, self._commit = self._queued, {}, None
            return await asyncio.to_thread(self._write, group)

    def _write(self, group: Mapping[str, Secret]) -> files.Problem | None:
        """Write a group of quoted secrets in a thread of its own, and say what went wrong; wipes them."""
        path = files.resolve(self._path)
        try:
            with files.locked(path.parent) as folder:
                before = files.read(folder, path.name)
                quoted = {name: secret.reveal() for name, secret in group.items()}
                document = with_values(self._parse(before or b""), quoted)
                content = render(document)
                files.replace(folder, path.name, content, before)
        except (OSError, Unreadable) as error:
            return files.Problem(_reason(error), uncertain=isinstance(error, files.Unsettled))
        finally:
            # Here and not where this is waited for: cancelled, that is over at once, and this thread is not.
            for secret in group.values():
                secret.wipe()
        self._last = (_fingerprint(content), outline(document))
        return None

    def _parse(self, content: bytes) -> Document:
        """Parse what was read, unless it is what we wrote last: parsing takes far longer than hashing.

        What was written is not kept for that: it is all the secrets of the file.
        """
        written, outline = self._last
        return divided(content, outline) if _fingerprint(content) == written else parse(content)

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        for name in sorted(set(names)):
            if not is_name(name):
                yield f"{name!r} is no name for a variable (letters, digits and _, no digit first)"
        yield from repeated(names)
        path = files.resolve(self._path)
        try:
            yield from files.obstacles(path)
            parse(files.peek(path) or b"")
        except (OSError, Unreadable) as error:
            yield _reason(error)


def _fingerprint(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _reason(error: OSError | Unreadable) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
