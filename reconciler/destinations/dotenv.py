"""The `dotenv` destination: variables in a file that sh and python-dotenv read.

The file is 0600 and always whole, its other lines stay as they are. Deliveries that arrive while it is being written
wait and are then written together, so that a thousand keys do not mean a thousand times fsync.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from reconciler.destinations import envfile, files
from reconciler.destinations.wording import one_line, repeated
from reconciler.errors import DestinationError
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.destinations.base import Consignment
    from reconciler.model import Target


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
        self._last: tuple[bytes, envfile.Outline] = (b"", ())

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, and that the file can be read and replaced; see `Destination`."""
        problems = await asyncio.to_thread(lambda: list(self._problems(names)))
        if problems:
            raise DestinationError(one_line(f"{self._path}: {'; '.join(problems)}"))

    async def deliver(self, consignment: Consignment) -> None:
        """Set the variable to the secret and return when it is on the disk; see `Destination`."""
        problem = self._enlist(consignment)
        if problem is None:
            # Shielded: a group is written for all who wait for it, whoever of them is cancelled.
            problem = await asyncio.shield(self._group())
        if problem is not None:
            # Raised here, from nothing: the frames that saw the text of the file are no part of the traceback.
            message = one_line(f"{consignment.name} was not written to {self._path}: {problem.words}")
            raise DestinationError(message, uncertain=problem.uncertain)

    def _enlist(self, consignment: Consignment) -> files.Problem | None:
        quoted = envfile.quote(consignment.secret.reveal())
        if not envfile.is_name(consignment.name):
            return files.Problem("it is no name for a variable")
        if quoted is None:
            return files.Problem("no quoting makes both sh and python-dotenv read back this secret")
        if consignment.name in self._queued:
            return files.Problem("another secret of this name is being delivered at the same time")
        self._queued[consignment.name] = Secret(quoted)
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
                document = envfile.with_values(self._parse(before or b""), quoted)
                content = envfile.render(document)
                files.replace(folder, path.name, content, before)
        except (OSError, envfile.Unreadable) as error:
            return files.Problem(_reason(error), uncertain=isinstance(error, files.Unsettled))
        finally:
            # Here and not where this is waited for: cancelled, that is over at once, and this thread is not.
            for secret in group.values():
                secret.wipe()
        self._last = (_fingerprint(content), envfile.outline(document))
        return None

    def _parse(self, content: bytes) -> envfile.Document:
        """Parse what was read, unless it is what we wrote last: parsing takes far longer than hashing.

        What was written is not kept for that: it is all the secrets of the file.
        """
        written, outline = self._last
        return envfile.divided(content, outline) if _fingerprint(content) == written else envfile.parse(content)

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        for name in sorted(set(names)):
            if not envfile.is_name(name):
                yield f"{name!r} is no name for a variable (letters, digits and _, no digit first)"
        yield from repeated(names)
        path = files.resolve(self._path)
        try:
            yield from files.obstacles(path)
            envfile.parse(files.peek(path) or b"")
        except (OSError, envfile.Unreadable) as error:
            yield _reason(error)


def _fingerprint(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _reason(error: OSError | envfile.Unreadable) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
