"""The `exec` destination: a program that takes the secret on its standard input.

No shell is involved. The program gets the secret as it is, without a line break, and finds out what it is about from
its arguments ({name}) and from variables: RECONCILER_NAME, RECONCILER_ADDRESS, RECONCILER_ENVIRONMENT, RECONCILER_KEY
and RECONCILER_KEY_ID. Besides, it gets the environment of this process without what starts with NAGA_: the provisioning
key is nobody else's business. It has no terminal, so it cannot wait for somebody to answer.

Status 0 means that the secret is stored. After any other end nobody can know, so the failure is uncertain. What the
program prints is shown only then, the last of it, without the secret.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.destinations import subprocesses
from reconciler.destinations.shared import PerRun
from reconciler.destinations.wording import one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.remote.quoting import LONGEST_QUOTE, harmless, redacted
from reconciler.units import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from reconciler.destinations.base import Consignment
    from reconciler.model import Target
    from reconciler.secret import Secret

_NAME: Final = "{name}"
_CREDENTIALS: Final = "NAGA_"

_slots: PerRun[asyncio.Semaphore] = PerRun()
"""The commands of one destination may differ from key to key and change one file all the same: they share its limit."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a secret was not stored, or whether it was is unknown."""

    words: str
    uncertain: bool


class Exec:
    """A command; see `Destination`.

    Settings: `command`, in whose arguments {name} stands for the name of the secret, the `folder` that it runs in, its
    `timeout` (`30s`), and the `parallelism`, how many of them may run at a time (1). That the user has allowed commands
    is for the registry to see to.
    """

    def __init__(self, target: Target) -> None:
        """Take the settings; nothing is started yet.

        Raises:
            DestinationError: there is no usable command, or a setting is not what it should be.
        """
        settings = dict(target.settings)
        command, folder = settings.get("command"), settings.get("folder", ".")
        parallelism = settings.get("parallelism", 1)
        if not isinstance(command, tuple) or not command or not command[0] or "\0" in "".join(command):
            msg = f"the exec destination {target.destination!r} needs a command: a program and its arguments"
            raise DestinationError(msg)
        if not isinstance(folder, str) or not isinstance(parallelism, int) or parallelism < 1:
            msg = f"the exec destination {target.destination!r} needs a folder and a parallelism of 1 or more"
            raise DestinationError(msg)
        self._destination = target.destination
        self._command = command
        self._folder = Path(folder)
        self._parallelism = parallelism
        self._timeout = _read_timeout(target.destination, str(settings.get("timeout", "30s")))

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the program and its folder without starting anything; see `Destination`."""
        problems = list(self._problems(names))
        if problems:
            raise DestinationError(one_line(f"{self._command[0]}: {'; '.join(problems)}"))

    async def deliver(self, consignment: Consignment) -> None:
        """Hand the secret to the program and return when it has ended well; see `Destination`.

        Cancelled, the program is stopped; whether it has stored the secret before that is unknown.
        """
        failure = await self._store(consignment)
        if failure is not None:
            # Raised here, from nothing: the frames that saw the secret are no part of the traceback.
            verb = "may not be stored" if failure.uncertain else "was not stored"
            message = f"{consignment.name} {verb}: {self._command[0]} {failure.words}"
            raise DestinationError(one_line(message), uncertain=failure.uncertain)

    async def _store(self, consignment: Consignment) -> _Failure | None:
        program = self._program()
        if not _is_usable(consignment.name):
            return _Failure("cannot be given this name", uncertain=False)
        if utf8(consignment.secret) is None:
            return _Failure("cannot be given a secret that UTF-8 cannot hold", uncertain=False)
        if program is None:
            return _Failure("is no program that can be executed", uncertain=False)
        async with _slots.get(self._destination, lambda: asyncio.Semaphore(self._parallelism)):
            ending = await subprocesses.run(
                subprocesses.Command(
                    program=program,
                    argv=(self._command[0], *(each.replace(_NAME, consignment.name) for each in self._command[1:])),
                    folder=self._folder,
                    variables=_variables(consignment),
                    seconds=self._timeout.total_seconds(),
                ),
                bytearray(consignment.secret.reveal(), "utf-8"),
            )
        return self._judge(ending, consignment.secret)

    def _judge(self, ending: subprocesses.Ending, secret: Secret) -> _Failure | None:
        match ending:
            case subprocesses.NotStarted():
                return _Failure(f"could not be started: {ending.reason}", uncertain=False)
            case subprocesses.Ended():
                if ending.status == 0:
                    return None
                words = _manner(ending.status)
            case subprocesses.TimedOut():
                words = f"did not end within {format_duration(self._timeout)} and was stopped"
            case _:
                assert_never(ending)
        return _Failure(f"{words}{_last_words(ending.output, secret)}", uncertain=True)

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        for name in sorted(set(names)):
            if not _is_usable(name):
                yield f"{name!r} is no name that a program can be given (it must not begin with '-')"
        yield from repeated(names)
        if not self._folder.is_dir():
            yield f"there is no folder {self._folder} to run it in"
        elif self._program() is None:
            yield "there is no program of this name that can be executed"

    def _program(self) -> str | None:
        """Find the program: a path is relative to the folder that it runs in, a bare name is looked for on PATH."""
        name = self._command[0]
        found = shutil.which((self._folder / name).absolute() if os.sep in name else name)
        return None if found is None else str(Path(found).absolute())  # PATH may hold relative folders


def _read_timeout(destination: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        msg = f"the timeout of the exec destination {destination!r} is {error}"
        raise DestinationError(msg) from None


def _variables(consignment: Consignment) -> dict[str, str]:
    """Give the environment of the program: ours without credentials of the account, and what it is about."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_CREDENTIALS)}
    return inherited | {
        "RECONCILER_NAME": consignment.name,
        "RECONCILER_ADDRESS": str(consignment.address),
        "RECONCILER_ENVIRONMENT": consignment.address.environment,
        "RECONCILER_KEY": consignment.address.key,
        "RECONCILER_KEY_ID": str(consignment.key_id),
    }


def _is_usable(name: str) -> bool:
    """Tell whether a program takes a name for what it is: not for one of its options, nor for two lines."""
    return name.isprintable() and name != "" and not name.startswith("-")


def _manner(status: int) -> str:
    return (
        f"was ended by signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"ended with status {status}"
    )


def _last_words(output: bytes, secret: Secret) -> str:
    """Give the end of what a program has said, after a colon."""
    text = " ".join(redacted(output.decode(errors="replace"), secret).split())
    shortened = text if len(text) <= LONGEST_QUOTE else f"…{text[1 - LONGEST_QUOTE :]}"
    return f": {harmless(shortened)}" if text else ", and said nothing"
