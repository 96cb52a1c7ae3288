"""The `exec` destination: a program that takes the secret on its standard input.

No shell is involved. The program gets the secret as it is, without a line break, and finds out what it is about from
its arguments ({name}) and from variables: RECONCILER_NAME, RECONCILER_ADDRESS, RECONCILER_ENVIRONMENT, RECONCILER_KEY
and RECONCILER_KEY_ID. Besides, it gets PATH, HOME, LANG and the variables that the file names, and nothing else: what
other destinations log in with is none of its business. It has no terminal, so it cannot wait for somebody to answer.

Status 0 means that the secret is stored. After any other end nobody can know, so the failure is uncertain. What the
program prints is shown only then, the last of it, without the secret.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, text_setting
from reconciler.destinations.shared import PerRun, one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.http.redact import LONGEST_QUOTE, quote, redact
from reconciler.units import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target
    from reconciler.secret import Secret


# Runs one program: input given, output kept in part, stopped with all it has started when its time is over.

GRACE: Final = 0.5
"""Seconds between asking a program to stop and making it; an interrupted run has few left at this point."""

KEPT: Final = 64 * 1024
"""The bytes of a program's output that are kept: the last."""

_TRAILING: Final = 0.5
"""Seconds to wait for output after the end of a program; something that it has left behind may hold it open."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, for how many seconds at most: the file `program`, with `variables` alone as environment."""

    program: str
    argv: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str] = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class NotStarted:
    """It never ran."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It was stopped."""

    output: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """It ended: `status` is its exit status, or the negative number of the signal that ended it."""

    status: int
    output: bytes = field(repr=False)


Ending = NotStarted | TimedOut | Ended


async def run(command: Command, content: bytearray) -> Ending:
    """Run a program with this standard input, which is wiped; never raises for what it does.

    It gets a session of its own: no terminal, no Ctrl-C meant for us, and one signal reaches whatever it has started.
    Cancelled, it is stopped too.
    """
    # Pipes of our own: asyncio's would have to be waited for until the last process that holds them lets go.
    with ExitStack() as pipes:
        try:
            stdin, feeding = _pipe(pipes)
            reading, stdout = _pipe(pipes)
        except OSError as error:
            return _not_started(error)
        if not _fill(feeding, content):
            return NotStarted("the secret is too large for a pipe")
        output = _Output()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output, reading)
        pipes.callback(transport.close)
        process = await _start(command, stdin, stdout)
        stdout.close()
        return process if isinstance(process, NotStarted) else await _finish(process, command.seconds, output)


def _pipe(pipes: ExitStack) -> tuple[FileIO, FileIO]:
    """Open a pipe: the end to read from, and the end to write to."""
    reading, writing = os.pipe()
    return pipes.enter_context(FileIO(reading, "r")), pipes.enter_context(FileIO(writing, "w"))


def _fill(feeding: FileIO, content: bytearray) -> bool:
    """Put the whole input into a pipe before anybody reads it, which no program can delay; tells whether it fits."""
    with feeding:
        os.set_blocking(feeding.fileno(), False)
        fits = feeding.write(content) == len(content)
    content[:] = bytes(len(content))  # the program may run for long
    return fits


class _Output(asyncio.Protocol):
    """Keeps the last of what comes out of a pipe."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._content += data
        del self._content[:-KEPT]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # however it has ended
        self._ended.set_result(None)

    async def last(self) -> bytes:
        await asyncio.wait({self._ended}, timeout=_TRAILING)
        return bytes(self._content)


async def _start(command: Command, stdin: FileIO, stdout: FileIO) -> asyncio.subprocess.Process | NotStarted:
    try:
        return await asyncio.create_subprocess_exec(
            *command.argv,
            executable=command.program,
            cwd=command.folder,
            env=command.variables,
            stdin=stdin,
            stdout=stdout,
            stderr=stdout,
            start_new_session=True,
        )
    except OSError as error:
        return _not_started(error)


def _not_started(error: OSError) -> NotStarted:
    return NotStarted(error.strerror or type(error).__name__)


async def _finish(process: asyncio.subprocess.Process, seconds: float, output: _Output) -> Ending:
    try:
        async with asyncio.timeout(seconds):
            status = await process.wait()
    except TimeoutError:
        await _stop(process)
        return TimedOut(await output.last())
    except asyncio.CancelledError:
        await _stop(process)
        raise
    return Ended(status, await output.last() if status else b"")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ask the program and whatever it has started to stop, and after GRACE make them."""
    try:
        _signal(process, signal.SIGTERM)
        await _wait(process, GRACE)
    finally:
        _signal(process, signal.SIGKILL)
    await _wait(process, _TRAILING)  # one that runs as another user cannot be stopped


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _wait(process: asyncio.subprocess.Process, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()


_NAME: Final = "{name}"
_CREDENTIALS: Final = "NAGA_"
_ESCAPE_CODE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_USUAL: Final = ("PATH", "HOME", "LANG")

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
    `timeout` (`30s`), the `parallelism`, how many of them may run at a time (1), and `environment`, the names of the
    variables of ours that it gets beside PATH, HOME and LANG. That the user has allowed commands is for the registry to
    see to.
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
        variables = settings.get("environment", ())
        if not isinstance(variables, tuple) or any(map(_is_credential, variables)):
            msg = f"the exec destination {target.destination!r} needs an environment of names, none of them NAGA_…"
            raise DestinationError(msg)
        self._environment = variables
        self._timeout = _read_timeout(target.destination, str(settings.get("timeout", "30s")))

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the program and its folder without starting anything; see `Destination`."""
        problems = list(self._problems(names))
        if problems:
            raise DestinationError(one_line(f"{self._command[0]}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Hand the secret to the program and return when it has ended well; see `Destination`.

        Cancelled, the program is stopped; whether it has stored the secret before that is unknown.
        """
        failure = await self._store(secret_delivery)
        if failure is not None:
            # Raised here, from nothing: the frames that saw the secret are no part of the traceback.
            verb = "may not be stored" if failure.uncertain else "was not stored"
            message = f"{secret_delivery.name} {verb}: {self._command[0]} {failure.words}"
            raise DestinationError(one_line(message), uncertain=failure.uncertain)

    async def _store(self, secret_delivery: SecretDelivery) -> _Failure | None:
        program = self._program()
        if not _is_usable(secret_delivery.name):
            return _Failure("cannot be given this name", uncertain=False)
        if utf8(secret_delivery.secret) is None:
            return _Failure("cannot be given a secret that UTF-8 cannot hold", uncertain=False)
        if program is None:
            return _Failure("is no program that can be executed", uncertain=False)
        async with _slots.get(self._destination, lambda: asyncio.Semaphore(self._parallelism)):
            ending = await run(
                Command(
                    program=program,
                    argv=(self._command[0], *(each.replace(_NAME, secret_delivery.name) for each in self._command[1:])),
                    folder=self._folder,
                    variables=_variables(secret_delivery, self._environment),
                    seconds=self._timeout.total_seconds(),
                ),
                bytearray(secret_delivery.secret.reveal(), "utf-8"),
            )
        return self._judge(ending, secret_delivery.secret)

    def _judge(self, ending: Ending, secret: Secret) -> _Failure | None:
        match ending:
            case NotStarted():
                return _Failure(f"could not be started: {ending.reason}", uncertain=False)
            case Ended():
                if ending.status == 0:
                    return None
                words = _manner(ending.status)
            case TimedOut():
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


def _is_credential(name: str) -> bool:
    return name.upper().startswith(_CREDENTIALS)


def _variables(secret_delivery: SecretDelivery, names: Sequence[str]) -> dict[str, str]:
    """Return the environment of the program: what every program needs, what the file names, and what it is about.

    Nothing else: the environment of this process holds what other destinations log in with.
    """
    inherited = {name: os.environ[name] for name in (*_USUAL, *names) if name in os.environ}
    return inherited | {
        "RECONCILER_NAME": secret_delivery.name,
        "RECONCILER_ADDRESS": str(secret_delivery.address),
        "RECONCILER_ENVIRONMENT": secret_delivery.address.environment,
        "RECONCILER_KEY": secret_delivery.address.key,
        "RECONCILER_KEY_ID": str(secret_delivery.key_id),
    }


def _is_usable(name: str) -> bool:
    """Return whether a program takes a name for what it is: not for one of its options, nor for two lines."""
    return name.isprintable() and name != "" and not name.startswith("-")


def _manner(status: int) -> str:
    return (
        f"was ended by signal {-status} ({signal.strsignal(-status)})" if status < 0 else f"ended with status {status}"
    )


def _last_words(output: bytes, secret: Secret) -> str:
    """Return the end of what a program has said, after a colon."""
    # Without what colours a terminal or moves about on it: a secret that is broken by that is one to whoever looks.
    said = _ESCAPE_CODE.sub("", output.decode(errors="replace"))
    text = " ".join(redact(said, [secret]).split())
    shortened = text if len(text) <= LONGEST_QUOTE else f"…{text[1 - LONGEST_QUOTE :]}"
    return f": {quote(shortened)}" if text else ", and said nothing"


DESCRIPTION: Final = Description(
    create=Exec,
    type="exec",
    summary="A program that takes the secret on its standard input.",
    title="A command",
    description=(
        "A program that takes the secret on its standard input, started without a shell, and only by an apply with "
        "--allow-exec."
    ),
    settings={
        "command": {
            "description": (
                "The program and its arguments, one a text; no shell reads them. {name} is the name that the secret is"
                " delivered as."
            ),
            "type": "array",
            "minItems": 1,
            "prefixItems": [
                {
                    "title": "Program",
                    "description": "A program on PATH, or its path, relative to folder.",
                    "type": "string",
                    "minLength": 1,
                    "errorMessage": "must be a list of a program and its arguments",
                }
            ],
            "items": {
                "title": "Argument",
                "description": "An argument of the program.",
                "type": "string",
                "errorMessage": (
                    "must be a list of a program and its arguments, all of them texts (quote numbers and the like)"
                ),
            },
            "examples": [["gcloud", "secrets", "versions", "add", "{name}", "--data-file=-"]],
            "errorMessage": "must be a list of a program and its arguments",
        },
        "folder": text_setting(
            "Where the program runs, relative to the folder of the file that says so.",
            "the path of a folder",
            "deploy",
            most=4096,
            default=".",
        ),
        "environment": {
            "description": (
                "Names of variables that the program gets from the environment of apply, beside PATH, HOME and LANG: "
                "what it logs in with, for instance. Those that begin with NAGA_ are refused."
            ),
            "type": "array",
            "items": {
                "title": "Variable",
                "description": "The name of a variable of the environment of apply.",
                "type": "string",
                "pattern": "^(?![Nn][Aa][Gg][Aa]_)[A-Za-z_][A-Za-z0-9_]{0,254}$",
                "errorMessage": "must be a list of names of variables, none of which begins with NAGA_",
            },
            "examples": [["DOPPLER_TOKEN"]],
            "errorMessage": "must be a list of names of variables",
        },
        "timeout": text_setting(
            "How long the program may run; then it is stopped, with everything that it has started.",
            "a duration like 30s or 2m",
            "2m",
            pattern=r"^[1-9][0-9]{0,8}[smhdw]$",
            default="30s",
        ),
        "parallelism": {
            "description": "How many of these programs may run at a time. 1 suits programs that change one file.",
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "default": 1,
            "examples": [8],
            "errorMessage": "must be a whole number from 1 to 64",
        },
    },
    required=("command",),
    kind=Kind(
        names=r"(?s)[^-].*",
        words="a name that does not begin with '-', which programs take for an option",
        paths=("folder",),
        runs="command",
        named=("command",),
        defaults={"folder": "."},
        manner=("environment", "parallelism", "timeout"),
        durations=("timeout",),
    ),
)
