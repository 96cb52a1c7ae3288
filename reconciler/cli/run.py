"""`reconciler run`: a key for as long as a command runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import options
from reconciler.cli.balance import read_money
from reconciler.cli.options import file_option, simulator_option

if TYPE_CHECKING:
    import asyncio
    from asyncio.subprocess import Process
    from collections.abc import Iterator, Sequence
    from decimal import Decimal
    from pathlib import Path

    from reconciler.engine.leasing import LeaseContext
    from reconciler.model import Declaration, Lease

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
KILLED: Final = 128
GRACE_SECONDS: Final = 10.0
"""How long a command that was asked to end, because the balance is too low, gets before it is killed."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# A terminal sends these to all who are in its foreground, the command among them.
_OF_THE_KEYBOARD: Final = frozenset({signal.SIGINT, signal.SIGQUIT})


class _Command(click.Command):
    """Takes what stands after `--` as it is: options there are the command's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args and not ctx.resilient_parsing:
            index = args.index("--")
            args, ctx.meta[__name__] = args[:index], args[index + 1 :]
        return super().parse_args(ctx, args)


@click.command("run", cls=_Command)
@click.argument("address", required=False, metavar="[ADDRESS] -- COMMAND...", shell_complete=options.leases)
@click.option(
    "--as",
    "variable",
    metavar="NAME",
    default="NAGA_API_KEY",
    show_default=True,
    help="The environment variable that COMMAND finds the secret in.",
)
@click.option(
    "--limit", metavar="USD", callback=read_money, help="What the key may spend, where that is less than the file says."
)
@click.option(
    "--min-balance",
    "minimum",
    metavar="USD",
    callback=read_money,
    help="Start COMMAND only with this much on the account, and stop it when there is less.",
)
@file_option
@simulator_option
@click.pass_context
def command(
    context: click.Context,
    *,
    address: str | None,
    variable: str,
    limit: Decimal | None,
    minimum: Decimal | None,
    file: Path,
    simulator: Path | None,
) -> int:
    """Run a command with a key that lives as long as it does.

    ADDRESS is a lease of the file. Its key has the limit and the ttl that stand there, its secret is in the environment
    of COMMAND and nowhere else, and it is deleted when COMMAND ends. While COMMAND runs, the expiry is moved on at half
    of the ttl; after a kill -9 the key ends by itself within it. No provisioning key reaches COMMAND.

    Without ADDRESS, --min-balance alone guards a command that has a key already.

    The exit code is that of COMMAND, 128 and the signal's number where a signal ended it; 127 and 126 where it cannot
    be found or started, 1 where no key could be had, 3 where max_open or --min-balance refuses or ends it.

    \b
    Examples:
      reconciler run ci/agent -- pytest -q
      reconciler run ci/agent --as OPENAI_API_KEY --limit 0.50 -- ./agent --verbose
      reconciler run --min-balance 20 -- ./nightly-batch
    """
    from reconciler.cli import console
    from reconciler.cli.options import declaration_if_any
    from reconciler.declaration import load
    from reconciler.engine.leasing import find_lease
    from reconciler.errors import UsageError
    from reconciler.model import Address

    words: Sequence[str] = context.meta.get(__name__, ())
    if not words:
        msg = "the command to run stands after --, as in: reconciler run ci/agent -- pytest"
        raise UsageError(msg)
    if address is None and minimum is None:
        msg = "name a lease of the file, or give --min-balance to guard a command that has a key already"
        raise UsageError(msg)
    if address is None and limit is not None:
        msg = "--limit is about the key of a lease, and no lease is named"
        raise UsageError(msg)
    declaration = declaration_if_any(context, file) if address is None else load(file)
    lease = None
    if address is not None and declaration is not None:
        environment, slash, name = address.partition("/")
        if not slash:
            msg = f"{address} is no address; write it like ci/agent"
            raise UsageError(msg)
        lease = find_lease(declaration, Address(environment, name), limit)
    credentials = _credential_variables(declaration)
    _check_variable(variable, credentials)
    if (missing := _unstartable(words[0])) is not None:
        console.note(f"error: {words[0]}: {'not found' if missing == NOT_FOUND else 'cannot be executed'}")
        return missing
    # What the caller ignores, as nohup does with SIGHUP, the command is to ignore too.
    ignored = [number for number in _FORWARDED if signal.getsignal(number) is signal.SIG_IGN]
    job = _Job(words, variable, _environment(credentials), ignored)
    return console.run(_run(job, lease, declaration, minimum, simulator))


class _Job:
    """The command to run, and what it finds in its environment."""

    def __init__(
        self, words: Sequence[str], variable: str, environment: dict[str, str], ignored: Sequence[signal.Signals]
    ) -> None:
        self.words = words
        self.variable = variable
        self.environment = environment
        self.ignored = ignored


async def _run(
    job: _Job, lease: Lease | None, declaration: Declaration | None, minimum: Decimal | None, simulator: Path | None
) -> int:
    from reconciler.cli.console import mask, note
    from reconciler.engine.accounts import Patience, open_account
    from reconciler.engine.leasing import LeaseContext, check_balance, hold
    from reconciler.model import KEY_VARIABLE

    variable = KEY_VARIABLE
    if lease is not None and declaration is not None:
        variable = declaration.environments[lease.address.environment].provisioning_key_env
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(
            open_account(simulator, parallelism=4, variable=variable, patience=Patience())
        )
        context = LeaseContext(account, note)
        if minimum is not None:
            await check_balance(account, minimum)
        if lease is not None and declaration is not None:
            created = await stack.enter_async_context(hold(lease, declaration, context))
            mask(created.secret)
            job.environment[job.variable] = created.secret.reveal()
        try:
            return await _supervise(job, context, minimum)
        except OSError as error:  # it was there a moment ago
            note(f"error: {job.words[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


async def _supervise(job: _Job, context: LeaseContext, minimum: Decimal | None) -> int:
    """Start the command and wait until it ends, or until the balance ends it; return the exit code."""
    import asyncio

    from reconciler.engine.leasing import watch_balance
    from reconciler.errors import GuardrailRefused

    with _signals(job.ignored) as forward_to:
        # In this process's own group: Ctrl-C, Ctrl-Z and the size of the window reach it as if it were alone. Files
        # that the caller means to hand on stay open.
        process = await asyncio.create_subprocess_exec(*job.words, env=job.environment, close_fds=False)
        job.environment.clear()
        forward_to(process)
        ended = asyncio.create_task(process.wait())
        if minimum is None:
            return _exit_code(await ended)
        watching = asyncio.create_task(watch_balance(minimum, context))
        try:
            await asyncio.wait({ended, watching}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return _exit_code(ended.result())
            context.say(f"stopping the command: {watching.result()}")
            await _end(process, ended)
        finally:
            watching.cancel()
    return GuardrailRefused.exit_code


async def _end(process: Process, ended: asyncio.Task[int]) -> None:
    """Ask a command to end, and kill it if it does not."""
    import asyncio

    for end in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            end()
        await asyncio.wait({ended}, timeout=GRACE_SECONDS)


@contextmanager
def _signals(ignored: Sequence[signal.Signals]) -> Iterator[_Forwarding]:
    """Hand signals on to the command; those that the caller ignores are ignored by both."""
    forwarding = _Forwarding()
    before = {
        number: signal.signal(number, signal.SIG_IGN if number in ignored else forwarding.handle)
        for number in _FORWARDED
    }
    try:
        yield forwarding
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Forwarding:
    """Sends signals to a process; those that come before it runs reach it when it does."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._early: list[int] = []

    def __call__(self, process: Process) -> None:
        self._process = process
        for number in self._early:
            self._send(process, number)

    def handle(self, number: int, _: object) -> None:
        if self._process is None:
            self._early.append(number)
        elif not (number in _OF_THE_KEYBOARD and _in_the_foreground()):
            self._send(self._process, number)

    def _send(self, process: Process, number: int) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


def _in_the_foreground() -> bool:
    """True where this process is in the foreground of a terminal, whose keys then reach the command as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _exit_code(status: int) -> int:
    return status if status >= 0 else KILLED - status


def _unstartable(program: str) -> int | None:
    """Return the exit code for a program that cannot be started, which is seen before a key is made for it."""
    if shutil.which(program) is not None:
        return None
    paths = [program] if os.sep in program else [os.path.join(p, program) for p in os.get_exec_path()]  # noqa: PTH118  # as execvp does
    return NOT_EXECUTABLE if any(os.path.exists(path) for path in paths) else NOT_FOUND  # noqa: PTH110  # the same


def _credential_variables(declaration: Declaration | None) -> frozenset[str]:
    """Name the variables that hold provisioning keys, also those that hold a copy of one."""
    from reconciler.model import KEY_VARIABLE

    environments = () if declaration is None else declaration.environments.values()
    named = {KEY_VARIABLE, *(environment.provisioning_key_env for environment in environments)}
    values = {value for name in named if (value := os.environ.get(name, "").strip())}
    return frozenset(named | {name for name, value in os.environ.items() if value.strip() in values})


def _environment(withheld: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in withheld}


def _check_variable(name: str, credentials: frozenset[str]) -> None:
    from reconciler.errors import UsageError
    from reconciler.model import is_acted_on

    if not _VARIABLE.fullmatch(name):
        msg = f"--as {name!r} is no name of an environment variable, like NAGA_API_KEY"
        raise UsageError(msg)
    if name in credentials or is_acted_on(name):
        msg = f"--as {name}: programs act on this variable, so no secret may be in it; name another"
        raise UsageError(msg)
