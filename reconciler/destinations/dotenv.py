"""The `dotenv` destination: variables in a file that sh and python-dotenv read.

The file is 0600 and always whole, its other lines stay as they are. Deliveries that arrive while it is being written
wait and are then written together, so that a thousand keys do not mean a thousand times fsync.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.declaration.destinations import Kind
from reconciler.destinations import files
from reconciler.destinations.base import Description, flag_setting, text_setting
from reconciler.destinations.shared import PerRun, one_line, repeated
from reconciler.errors import DestinationError
from reconciler.files import not_ignored, why_unfit
from reconciler.model import is_acted_on
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target


# The text of a dotenv file: values that sh and python-dotenv read alike, and lines that stay what they are.
#
# A file is read strictly, and in time that grows with its size alone: blank lines, comments and `[export
# ]NAME=value`, in which sh and python-dotenv see the same variables. What else uses a `=` (a Makefile, an INI file, a
# script) is no dotenv file.

BOM: Final = "\ufeff"
LINE_END: Final = "\n"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_NEVER: Final = re.compile("[\0\r\n\ud800-\udfff]")
_INTERPOLATED: Final = re.compile(r"\$\{[^}:]*(?::-[^}]*)?\}")
_NO_TEXT: Final = re.compile("[\0\udc80-\udcff]")

# What both read alike: a quote ends at the next one that no backslash escapes, a comment starts behind a space, and a
# line that ends in a backslash would go on for sh. Nothing is tried twice (`*+`), whatever the text.
_LINE: Final = re.compile(
    r"""
      [ \t]*+ (?: \#[^\r\n]*+ )?+ (?: \r?\n | \Z )
    | (?: export[ \t]++ )?+ (?P<name> [A-Za-z_][A-Za-z0-9_]*+ ) =
      (?: (?: ' [^'\\]*+ (?: \\. [^'\\]*+ )*+ ' | " [^"\\]*+ (?: \\. [^"\\]*+ )*+ " )
          (?P<beside> [ \t]++ \# [^\r\n]*+ )?+ [ \t]*+
        | (?P<plain> [^\s'"] [^\r\n]*+ (?<!\\) )?+ [ \t]*+
      )
      (?: \r?\n | \Z )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"[ \t]#.*", re.DOTALL)


class Unreadable(ValueError):
    """The file is not what it should be; the message quotes nothing of it."""


class Binding(NamedTuple):
    """A stretch of the file, byte for byte; `name` is the variable it sets, None for comments and blank lines.

    `comment` is what stands behind the value, from its `#` on.
    """

    name: str | None
    text: str
    comment: str = ""

    def __repr__(self) -> str:
        """Show the name alone: the text may hold a secret."""
        return f"Binding({self.name!r})"


Document = tuple[Binding, ...]


def is_name(name: str) -> bool:
    """Return whether sh takes this for the name of a variable."""
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
        Unreadable: it is no UTF-8 text, or a line is neither `NAME=value` nor a comment.
    """
    text = content.decode(errors="surrogateescape")  # an error raised here would carry the content with it
    if _NO_TEXT.search(text):
        msg = "it is not UTF-8 text"
        raise Unreadable(msg)
    end = len(text) - len(text.removeprefix(BOM))
    bindings = [Binding(None, text[:end])] if end else []
    for found in _LINE.finditer(text, end):
        if not found[0]:
            continue  # the end of the file, where a line of nothing is found
        if found["other"]:  # which matches everywhere, so that nothing is ever skipped or looked for
            msg = f"line {text.count(LINE_END, 0, end) + 1} is neither NAME=value nor a comment"
            raise Unreadable(msg)
        name, beside, plain = found["name"], found["beside"], found["plain"]
        if beside is None and plain is not None and "#" in plain and (match := _COMMENT.search(plain)):
            beside = match[0]
        bindings.append(Binding(name, found[0], beside.strip(" \t") if beside else ""))
        end = found.end()
    return tuple(bindings)


def render(document: Document) -> bytes:
    """Put a document together again."""
    return "".join(binding.text for binding in document).encode()


def with_values(document: Document, values: Mapping[str, str]) -> Document:
    """Set variables to values already quoted: in place of their first binding, or at the end; later bindings go.

    All else stays, the comment behind a replaced value and a leading `export` included.
    """
    exported = {each.name for each in document if each.name in values and each.text.startswith(("export ", "export\t"))}
    missing = dict(sorted(values.items()))
    result: list[Binding] = []

    def assign(name: str, comment: str) -> None:
        if result and not result[-1].text.endswith(LINE_END):
            # The last line lacks its end, or is a byte order mark, which sh takes for a part of the line.
            last = result.pop()
            result.append(last._replace(text=last.text + LINE_END))
        export, beside = "export " if name in exported else "", f" {comment}" if comment else ""
        # The line ends in LF in a file of CR LF too: sh would take the CR for the last character of the value.
        result.append(Binding(name, f"{export}{name}={missing.pop(name)}{beside}{LINE_END}", comment))

    for each in document:
        if each.name is None or each.name not in values:
            result.append(each)
        elif each.name in missing:
            assign(each.name, each.comment)
    for name in tuple(missing):
        assign(name, "")
    return tuple(result)


GATHERING_SECONDS: Final = 0.005
"""How long a group waits for more: keys that are created at the same time come one shortly after the other, and each
group costs what makes a file last."""

_NO_NAME: Final = "is no name for a variable (letters, digits and _, no digit first)"
_ACTED_ON: Final = "is a variable that programs act on, and no place for a secret"


class _Git:
    """Asks git about all files of a run at once, however many destinations they belong to."""

    def __init__(self) -> None:
        self._asked: dict[str, None] = {}
        self._answer: asyncio.Task[dict[str, str]] | None = None

    async def trouble(self, path: str) -> str | None:
        """Return why git would take a file, None where it would not."""
        self._asked[path] = None
        if self._answer is None:
            self._answer = asyncio.create_task(self._ask())
        return (await asyncio.shield(self._answer)).get(path)

    async def _ask(self) -> dict[str, str]:
        await asyncio.sleep(0)  # until all who ask at the same time have said what
        asked, self._asked, self._answer = self._asked, {}, None
        return await asyncio.to_thread(not_ignored, asked)


_gits: PerRun[_Git] = PerRun()


class Dotenv:
    """One dotenv file; see `Destination`.

    Settings: `path`; `outside`, that it may be outside of the repository; `tracked`, that git may take it.

    A delivery that is cancelled while it waits is still written; what is written is whole in any case.
    """

    def __init__(self, target: Target) -> None:
        """Take the target's `path`; nothing is touched yet.

        Raises:
            DestinationError: there is no usable path.
        """
        settings = dict(target.settings)
        path = settings.get("path")
        if not isinstance(path, str) or not path or "\0" in path:
            msg = f"the dotenv destination {target.destination!r} needs the path of a file"
            raise DestinationError(msg)
        self._path = path
        self._root = target.root
        self._outside = settings.get("outside") is True
        self._tracked = settings.get("tracked") is True
        self._git: _Git | None = None
        self._writing = asyncio.Lock()
        self._queued: dict[str, Secret] = {}
        self._commit: asyncio.Task[files.Problem | None] | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, that the file can be read and replaced, and that git ignores it; see `Destination`."""
        self._git = _gits.get("git", _Git)
        taken = None if self._tracked else await self._git.trouble(str(files.resolve(self._path)))
        problems = await asyncio.to_thread(lambda: list(self._problems(names)))
        if taken is not None:
            problems.append(taken)
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

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare what the variables are set to, however it is quoted; see `Searching`."""
        value = secret.reveal()
        spelt = {value, f"'{value}'", f'"{value}"', quote(value)}

        def found() -> set[str | None] | str:
            try:
                document = parse(files.peek(files.resolve(self._path), own=True) or b"")
            except (OSError, Unreadable) as error:
                return _reason(error)
            return {each.name for each in document if _value_of(each) in spelt}

        holding = await asyncio.to_thread(found)
        if isinstance(holding, str):
            raise DestinationError(one_line(f"{self._path}: {holding}"))
        return [name for name in names if name in holding]

    def _enlist(self, secret_delivery: SecretDelivery) -> files.Problem | None:
        quoted = quote(secret_delivery.secret.reveal())
        if not is_name(secret_delivery.name):
            return files.Problem("it is no name for a variable")
        if is_acted_on(secret_delivery.name):
            return files.Problem(f"it {_ACTED_ON}")
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
            await asyncio.sleep(GATHERING_SECONDS)
            group, self._queued, self._commit = self._queued, {}, None
            return await asyncio.to_thread(self._write, group)

    def _write(self, group: Mapping[str, Secret]) -> files.Problem | None:
        """Write a group of quoted secrets in a thread of its own, and say what went wrong; wipes them."""
        path = files.resolve(self._path)
        try:
            if unfit := self._unfit():
                return files.Problem(unfit)
            with files.locked(path.parent) as folder:
                before = files.read(folder, path.name, own=True)
                quoted = {name: secret.reveal() for name, secret in group.items()}
                content = render(with_values(parse(before or b""), quoted))
                files.replace(folder, path.name, content, before)
        except (OSError, Unreadable) as error:
            return files.Problem(_reason(error), uncertain=isinstance(error, files.Unsettled))
        finally:
            # Here and not where this is waited for: cancelled, that is over at once, and this thread is not.
            for secret in group.values():
                secret.wipe()
        return None

    def _unfit(self) -> str | None:
        unfit = why_unfit(self._path, self._root, outside=self._outside)
        return None if unfit is None else f"it {unfit}"

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        for name in sorted(set(names)):
            if not is_name(name):
                yield f"{name!r} {_NO_NAME}"
            elif is_acted_on(name):
                yield f"{name} {_ACTED_ON}"
        yield from repeated(names)
        if unfit := self._unfit():
            yield unfit
            return
        path = files.resolve(self._path)
        try:
            yield from files.obstacles(path)
            parse(files.peek(path, own=True) or b"")
        except (OSError, Unreadable) as error:
            yield _reason(error)


def _value_of(binding: Binding) -> str:
    value = binding.text.partition("=")[2].strip()
    return value.removesuffix(binding.comment).rstrip() if binding.comment else value


def _reason(error: OSError | Unreadable) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


DESCRIPTION: Final = Description(
    create=Dotenv,
    type="dotenv",
    summary="A file of NAME=value lines.",
    title="A dotenv file",
    description="A file of NAME=value lines, readable by its owner only.",
    settings={
        "path": text_setting(
            "The file, relative to the folder of the file that says so.",
            "the path of a file",
            ".secrets/{environment}.env",
            most=4096,
        ),
        "outside": flag_setting("true: the path may be outside of the repository, or lead out of it through a link."),
        "tracked": flag_setting(
            "true: git may take the file into a commit, secrets and all. Otherwise a file that git does not ignore"
            " is refused."
        ),
    },
    required=("path",),
    kind=Kind(
        names=r"(?a)[A-Za-z_][A-Za-z0-9_]*",
        words="a variable name (letters, digits and _, no digit first)",
        paths=("path",),
        writes="path",
        manner=("outside", "tracked"),
        exported=True,
    ),
)
