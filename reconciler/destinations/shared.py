"""What the destinations of one run share: logins and questions asked once, and the words of their messages."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from reconciler.destinations.base import Held, fingerprint
from reconciler.units import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
    from datetime import datetime

    from reconciler.destinations.base import SecretDelivery
    from reconciler.secret import Secret


_Value = TypeVar("_Value")
_Result = TypeVar("_Result")


class PerRun(Generic[_Value]):
    """Keeps one value for each key and event loop, for as long as somebody uses it: a run is one loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self._values: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, Hashable], _Value] = WeakValueDictionary()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Return the value of the running loop for a key; whoever gets it keeps a reference."""
        place = (asyncio.get_running_loop(), key)
        value = self._values.get(place)
        if value is None:
            value = self._values[place] = make()
        return value


class Memo(Generic[_Value]):
    """Asks each question once, however many wait for the answer and whoever of them is cancelled.

    A question answers with what went wrong instead of raising it: an exception is no value to hand out twice.
    """

    def __init__(self) -> None:
        """Begin with no answers."""
        self._tasks: dict[str, asyncio.Task[_Value]] = {}

    async def get(self, question: str, ask: Callable[[], Coroutine[Any, Any, _Value]]) -> _Value:
        """Return the answer, asking for it when nobody has before."""
        task = self._tasks.get(question)
        if task is None:
            task = self._tasks[question] = asyncio.create_task(ask())
        return await asyncio.shield(task)

    def known(self, question: str) -> _Value | None:
        """Return the answer when it is already there."""
        task = self._tasks.get(question)
        return task.result() if task is not None and task.done() and not task.cancelled() else None

    def forget(self, question: str) -> None:
        """Ask anew next time."""
        self._tasks.pop(question, None)


class Threads:
    """Runs what blocks, a few at a time, in threads that the end of the process does not wait for.

    An executor's would be waited for, and a server that neither answers nor hangs up would keep an interrupted run.
    """

    def __init__(self, most: int, name: str) -> None:
        """Take how many may run at a time, and what to call them."""
        self._slots = asyncio.Semaphore(most)
        self._name = name

    async def run(self, work: Callable[[], _Result], seconds: float) -> _Result:
        """Return what the work gives, once there is a slot for it.

        Raises:
            TimeoutError: it was not done after so many seconds; it may be yet. And whatever the work raises.
        """
        loop = asyncio.get_running_loop()
        ending: asyncio.Future[Callable[[], _Result]] = loop.create_future()

        def end(how: Callable[[], _Result]) -> None:
            if not ending.done():
                ending.set_result(how)

        def perform() -> None:
            how = _performed(work)
            with suppress(RuntimeError):  # the run has ended meanwhile, and its loop with it
                loop.call_soon_threadsafe(end, how)

        async with self._slots, asyncio.timeout(seconds):
            threading.Thread(target=perform, name=self._name, daemon=True).start()
            return (await ending)()


def _performed(work: Callable[[], _Result]) -> Callable[[], _Result]:
    """Do the work, and give what gives its result or raises what it has raised."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # told where it is waited for
        failure = error

        def fail() -> _Result:
            raise failure

        return fail
    return lambda: result


# What is noted beside a secret where its system has room for it.

_KEY_ID: Final = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Note:
    """What was noted beside a secret: of which key it is, since when (UTC), and its SHA-256; empty for unknown."""

    held: Held
    sha256: str


def note(secret_delivery: SecretDelivery, since: str) -> str:
    """Return what to note of a secret: nothing that helps anybody who may read it and not the secret."""
    what = secret_delivery
    return f"key_id={what.key_id} since={since} sha256={fingerprint(what.secret)} address={what.address}"


def read_note(text: object) -> Note | None:
    """Read a note, in whatever order its parts are; None for a text that is none, which somebody else wrote."""
    parts = dict(each.partition("=")[::2] for each in str(text).split(" "))
    if not _KEY_ID.fullmatch(parts.get("key_id", "")) or "since" not in parts:
        return None
    return Note(Held(int(parts["key_id"]), instant(parts["since"])), parts.get("sha256", ""))


def instant(text: object) -> datetime | None:
    """Read an instant that a system tells, to the second; None for what is none."""
    try:
        return parse_instant(f"{str(text).rstrip('Z')[:19]}Z")
    except ValueError:
        return None


# Words that several destinations need, and what they ask of a secret.

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def one_line(message: str) -> str:
    """Escape what would break the line: a path, a name or an answer may hold any character."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in message)


def unforeseen(error: BaseException) -> str:
    """Return the message that a destination raised what none may; only its type, for its text might hold the secret."""
    return f"unexpected {type(error).__name__}, a bug of the destination"


def repeated(names: Sequence[str]) -> Iterator[str]:
    """Yield which names more than one key would be delivered as."""
    for name, count in sorted(Counter(names).items()):
        if count > 1:
            yield f"{count} keys would be delivered as {name}"


def utf8(secret: Secret) -> bytes | None:
    """Return a secret as bytes, None where it has none: the error that Python raises for that carries the secret."""
    text = secret.reveal()
    return None if _LONE_SURROGATE.search(text) else text.encode()
