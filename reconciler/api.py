"""The tool for programs: what the commands do, as functions that print nothing.

They block until they are done, and may be called from several threads, not from a running event loop. Provisioning keys
come from the environment, as for the commands, or are given as `credentials`: the variables that the declaration names,
`NAGA_PROVISIONING_KEY` where it names none, and the keys they hold. Everything raised on purpose is a
`reconciler.errors.ReconcilerError`; its message is one line or more, for people, without a secret.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (  # noqa: TC003  # frameworks ask for the types of our functions
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal  # noqa: TC003  # the same
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never, cast

from reconciler.destinations.base import Receiver, SecretDelivery  # frameworks ask for the types
from reconciler.engine.accounts import PlanRequest
from reconciler.engine.recording import Recording  # noqa: TC001  # the same
from reconciler.errors import UsageError
from reconciler.insight.activity import ActivityReport
from reconciler.insight.alerts import Verdict
from reconciler.insight.balance import BalanceReport
from reconciler.insight.inventory import Inventory, KeyDetail
from reconciler.insight.report import Review  # noqa: TC001  # the same
from reconciler.model import LONGEST_DAYS, Address, Declaration
from reconciler.planning.actions import AS_THE_FILE_SAYS, ApplyResult, Options, Outcome, Plan
from reconciler.planning.planfile import digest
from reconciler.planning.revocation import Death, RevokeResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from reconciler.engine.applying import ApplyRequest
    from reconciler.engine.inspect import Scope
    from reconciler.model import Lease, LiveKey
    from reconciler.planning.actions import AccountPlan
    from reconciler.secret import Secret

__all__ = [
    "Address",
    "ApplyResult",
    "Declaration",
    "Options",
    "Outcome",
    "Plan",
    "RevokeResult",
    "SecretDelivery",
    "activity",
    "apply",
    "balance",
    "check",
    "digest",
    "lease",
    "list_keys",
    "load",
    "plan",
    "record",
    "report",
    "revoke",
    "show",
    "to_dict",
    "to_html",
    "to_openmetrics",
]

LOCK_TIMEOUT: Final = timedelta(minutes=5)

T = TypeVar("T")
_log = logging.getLogger("reconciler.api")
# Else Python itself prints warnings, such as that a request is tried again, where a program has set up no log.
logging.getLogger("reconciler").addHandler(logging.NullHandler())


def load(path: str | Path | None = None, *, text: str | None = None) -> Declaration:
    """Read a declaration, offline.

    Args:
        path: A file, a folder of `*.yaml`, or `-` for standard input; where nothing is said, `keys.yaml` or else
            the folder `keys/`.
        text: The declaration itself, in place of a file. Its paths are relative to the current folder, and errors call
            it `<text>`.

    Returns:
        What is declared, whole and valid.

    Raises:
        DeclarationError: something is wrong; its `diagnostics` are everything that is, each with its place.
        UsageError: there is nothing to read at this path, or both a path and a text were given.
    """
    from reconciler.declaration import SourceFile, load_sources
    from reconciler.declaration import load as load_path
    from reconciler.files import default_path

    if text is None:
        return load_path(default_path() if path is None else Path(path))
    if path is not None:
        msg = "load takes a path or a text, not both"
        raise UsageError(msg)
    return load_sources([SourceFile("<text>", Path(), text.encode(errors="surrogatepass"))])


def plan(  # noqa: PLR0913  # by keyword, each with a default
    declaration: Declaration,
    *,
    base: Declaration | None = None,
    options: Options = AS_THE_FILE_SAYS,
    due: bool = False,
    preflight: bool = False,
    check_destinations: bool = False,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Plan:
    """Work out what has to change until the accounts match the declaration; changes nothing.

    Args:
        declaration: What is wanted.
        base: The declaration before the change: what it protects stays protected.
        options: What is selected, rotated and allowed beyond the file.
        due: Only what the clock asks for, as `plan --due`.
        preflight: Asks the destinations whether they would take the secrets; what they say against it are findings.
        check_destinations: Asks them whether they hold the secrets of the live keys.
        simulator: Keeps simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The plan. Its `errors` forbid to apply it. Of several accounts, one that cannot be read is such an error, of the
        rule `account-unread`, beside the plan of the others.

    Raises:
        UsageError: a provisioning key is missing, an option means nothing that is declared, or this was called from a
            running event loop.
        AccountError: the only account, or none of several, could be read.
    """
    from reconciler.engine.planning import read_plan_and_ask

    options = replace(options, due=due or options.due)
    _check(options, declaration, base)
    request = PlanRequest(declaration, base, options, _path(simulator), credentials)
    readings = _run(read_plan_and_ask(request, preflight=preflight, destinations=check_destinations))
    for text in readings.warnings:
        _log.warning("%s", text)
    return readings.plan


def apply(  # noqa: PLR0913  # by keyword, each with a default
    declaration: Declaration,
    *,
    reviewed: Plan | None = None,
    base: Declaration | None = None,
    options: Options = AS_THE_FILE_SAYS,
    due: bool = False,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
    parallelism: int = 16,
    lock_timeout: timedelta | None = LOCK_TIMEOUT,
    allow_exec: bool = False,
    receivers: Mapping[str, Receiver] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> ApplyResult:
    """Change the accounts until they match the declaration; secrets go to the destinations and nowhere else.

    A run that ends early, at whatever point, is completed by the next one. On KeyboardInterrupt the locks are taken
    away on the way out.

    Args:
        declaration: What is wanted.
        reviewed: What `plan` gave. Then just this is done, under the options that it was made with, or nothing is.
        base: The declaration before the change: what it protects stays protected.
        options: What is selected, rotated and allowed beyond the file; not beside `reviewed`.
        due: Only what the clock asks for, as `apply --due`; not beside `reviewed`.
        simulator: Keeps simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.
        parallelism: How many changes are made in each account at the same time, 1 or more.
        lock_timeout: How long to wait for another apply on an account; None does not lock.
        allow_exec: Lets destinations of type exec run the commands of the file.
        receivers: Take the secrets of destinations of type python: functions by the destinations' names. Each is called
            with a SecretDelivery (`address`, `key_id`, `name`, `secret.reveal()`), in a thread of its own and one at a
            time; a coroutine is awaited there. The key gets its name only after it has returned. What it raises
            fails the delivery; a DestinationError says that it kept nothing of the secret.
        on_outcome: Hears of each outcome as it comes, in the thread of the caller. What it raises ends the apply.

    Returns:
        What became of each action: failures after the first write are outcomes, not errors. `in_sync` says whether
        nothing is left to do, `unreached` which of several accounts could not be applied at all.

    Raises:
        GuardrailRefused: a finding forbids the plan; nothing was changed.
        StalePlan: what was reviewed is not what the accounts need now; nothing was changed.
        DestinationError: a destination would not take the secrets; nothing was changed.
        AccountError: the only account could not be read or locked, or one of several with `reviewed`.
        UsageError: as of `plan`, or an argument cannot be what was meant.
    """
    from reconciler.engine.applying import ApplyRequest

    options = replace(options, due=due or options.due)
    if reviewed is not None and options != AS_THE_FILE_SAYS:
        msg = "options belong to the plan that was reviewed; give them to plan()"
        raise UsageError(msg)
    if parallelism < 1:
        msg = f"parallelism is 1 or more, not {parallelism}"
        raise UsageError(msg)
    given = cast("Mapping[str, object]", receivers or {})
    if odd := sorted(name for name, receiver in given.items() if not callable(receiver)):
        msg = f"receivers are functions, and that of {odd[0]!r} cannot be called"
        raise UsageError(msg)
    _check(options, declaration, base)
    request = PlanRequest(
        declaration,
        base,
        options if reviewed is None else reviewed.options,
        _path(simulator),
        credentials,
        reviewed=reviewed is not None,
    )
    expected = None if reviewed is None else digest(reviewed)
    apply_request = ApplyRequest(
        request,
        parallelism,
        lock_timeout,
        auto_approve=True,
        allow_exec=allow_exec,
        expected=expected,
        receivers=receivers,
    )
    return _run(_apply(apply_request, on_outcome, reviewed))


def lease(
    address: str | Address,
    declaration: Declaration | str | Path | None = None,
    *,
    limit: Decimal | None = None,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> LeasedKey:
    """Hold a key for as long as a `with` or an `async with` block runs.

        with reconciler.lease("ci/agent") as secret:
            client = OpenAI(api_key=secret.reveal(), base_url="https://api.naga.ac/v1")

    The key is made when the block is entered, renewed at half of its ttl while it runs, and deleted at its end. Of a
    process that was killed, the key ends by itself within its ttl. In a running event loop, use `async with`.

    Args:
        address: A lease of the declaration, like `ci/agent`.
        declaration: What declares it: a declaration, or the path of a file or folder; where nothing is said, what
            `load()` finds.
        limit: What the key may spend, in USD, where that is less than the file says.
        simulator: Keeps simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        A context manager that gives the secret; it is wiped at the end of the block.

    Raises:
        UsageError: there is no such lease, or the limit is higher than the file's. On entering the block, also: a
            provisioning key is missing.
        GuardrailRefused: on entering the block: as many as `max_open` are open.
        AccountError: on entering the block: no key could be had.
    """
    from reconciler.engine.leasing import find_lease

    if not isinstance(declaration, Declaration):
        declaration = load(declaration)
    if isinstance(address, str):
        environment, _, name = address.partition("/")
        address = Address(environment, name)
    wanted = find_lease(declaration, address, limit)
    return LeasedKey(wanted, PlanRequest(declaration, simulator=_path(simulator), credentials=credentials))


class LeasedKey:
    """A key that lives as long as a block; see `lease`. Each block that is entered gets a key of its own."""

    def __init__(self, lease: Lease, request: PlanRequest) -> None:
        """Take a lease, and how to open its account."""
        self._lease = lease
        self._request = request
        self._leaving: list[ExitStack] = []
        self._leaving_async: list[AbstractAsyncContextManager[Secret]] = []

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Secret]:
        from reconciler.engine.leasing import LeaseContext, hold

        environment = self._request.declaration.environments[self._lease.address.environment]
        async with self._request.open(environment.provisioning_key_env, parallelism=1) as account:
            context = LeaseContext(account, lambda message: _log.warning("%s", message))
            async with hold(self._lease, self._request.declaration, context) as created:
                yield created.secret

    async def __aenter__(self) -> Secret:
        """Make a key and give its secret."""
        held = self._held()
        secret = await held.__aenter__()
        self._leaving_async.append(held)
        return secret

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the key."""
        await self._leaving_async.pop().__aexit__(kind, error, traceback)

    def __enter__(self) -> Secret:
        """Make a key and give its secret; a thread of its own renews it."""
        from anyio.from_thread import start_blocking_portal

        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            secret = stack.enter_context(portal.wrap_async_context_manager(self._held()))
            self._leaving.append(stack.pop_all())
        return secret

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the key."""
        self._leaving.pop().__exit__(kind, error, traceback)


def revoke(  # noqa: PLR0913  # by keyword, each with a default
    *targets: str | int | Address,
    declaration: Declaration | None = None,
    secret: str | None = None,
    replace: bool = True,
    environments: Collection[str] = (),
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
    allow_exec: bool = False,
    receivers: Mapping[str, Receiver] | None = None,
    on_death: Callable[[Death], None] | None = None,
) -> RevokeResult:
    """Kill leaked keys at once, then replace those that are declared with destinations; nobody is asked.

    Args:
        targets: Addresses or globs of them, which mean all their keys; ids or live names, which mean that key alone.
        declaration: What says where new secrets go. Without one, keys of the account of `NAGA_PROVISIONING_KEY` are
            killed and none is replaced.
        secret: The leaked secret itself, in place of targets or beside them: its key is found by asking the
            destinations of the declaration that can tell.
        replace: False only kills.
        environments: Looks in the accounts of these environments only.
        simulator: Keeps simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.
        allow_exec: Lets destinations of type exec run the commands of the file.
        receivers: Take the secrets of destinations of type python, as of `apply`.
        on_death: Hears at once what became of each key, before any is replaced, in the thread of the caller.

    Returns:
        What became of each key (`deaths`) and of each address (`replacements`). What failed is told there, not raised;
        `exit_code` is what the command would end with: 0 dead and replaced, 1 a key is not dead, 5 not replaced.

    Raises:
        UsageError: nothing is meant, a target means no key, no destination holds the secret, a provisioning key is
            missing, or this was called from a running event loop.
        AccountError: an account where the key may be could not be read.
    """
    from reconciler.engine.revoking import RevokeRequest, find, holders
    from reconciler.engine.revoking import revoke as kill
    from reconciler.secret import Secret

    if not targets and secret is None:
        msg = "revoke takes an address, an id or a live name, or the secret itself"
        raise UsageError(msg)
    if secret is not None and declaration is None:
        msg = "a secret is found by the destinations of a declaration; give that, or an address or id"
        raise UsageError(msg)

    async def work() -> RevokeResult:
        texts = [*map(str, targets)]
        if secret is not None and declaration is not None:
            with Secret(secret) as wanted:
                texts += await holders(wanted, declaration, allow_exec=allow_exec)
        request = RevokeRequest(
            targets=tuple(texts),
            declaration=declaration,
            environments=tuple(environments),
            replace=replace,
            allow_exec=allow_exec,
            receivers=receivers,
            simulator=_path(simulator),
            credentials=credentials,
        )
        return await kill(request, await find(request), _Mourner(on_death), lambda _: nullcontext())

    return _run(work())


def record(
    to: str | Path,
    declaration: Declaration | None = None,
    *,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Recording:
    """Keep in a folder what the service forgets after 30 days: who used what, by UTC day.

    Args:
        to: The folder of the history; one is begun where there is none.
        declaration: What names the accounts and the teams; None is the account of `NAGA_PROVISIONING_KEY`.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The days that are new or corrected and those that are lost, by account; the `unread` accounts, each with its
        error; the paths of the files that were written.

    Raises:
        UsageError: the folder is no history or one of another account, a line of it is not as it was written, a
            provisioning key is missing, or this was called from a running event loop.
        AccountError: the only account, or none of several, could be read, or it is just after midnight (UTC).
    """
    from reconciler.engine.recording import record_use

    return _run(record_use(Path(to), declaration, simulator=_path(simulator), credentials=credentials))


def list_keys(  # noqa: PLR0913  # by keyword, each with a default
    declaration: Declaration | None = None,
    *,
    environments: Collection[str] = (),
    days: int = LONGEST_DAYS,
    history: str | Path | None = None,
    since: date | None = None,
    until: date | None = None,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Inventory:
    """Read every live key, and every declared one that is missing, with what there is to know of it.

    Args:
        declaration: What is declared; without one, names are read as `environment/key`, and nothing counts as declared.
        environments: The names of those whose keys are listed; all, where none is named.
        days: The window of the spend, 1 to 30 days up to today (UTC).
        history: The folder of `record`, whose days take the place of `days`.
        since: The first of its days (UTC); None for as far back as it reaches.
        until: The last of its days (UTC); None for the last one that it has.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `keys`, by address; `errors` and `warnings` say in a line each what could not be read. USD are Decimals.

    Raises:
        UsageError: an environment is not declared, a provisioning key is missing, or this was called from a running
            event loop.
        AccountError: the only account, or none of several, could be read.
    """
    from reconciler.engine.inspect import list_keys as read_keys

    scope = _scope(declaration, environments, simulator, credentials, history, (since, until))
    return _run(read_keys(scope, days=_days(days)))


def show(
    key: str | int | Address,
    declaration: Declaration | None = None,
    *,
    environments: Collection[str] = (),
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> KeyDetail:
    """Read one key with all that is known of it, and what a plan would do with it.

    Args:
        key: An address like `production/api`, the id of a live key, or a live name.
        declaration: What is declared, as for `list_keys`.
        environments: Those in whose accounts the key is looked for; all, where none is named.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `key`, the `relatives` of its address, and the part of the `plan` that is about these, None without a
        declaration.

    Raises:
        UsageError: there is no such key, or several are meant; and as of `list_keys`.
        AccountError: as of `list_keys`, or the key may be in an account that could not be read.
    """
    from reconciler.engine.inspect import show_key

    return _run(show_key(_scope(declaration, environments, simulator, credentials), str(key)))


def balance(
    declaration: Declaration | None = None,
    *,
    environments: Collection[str] = (),
    minimum: Decimal | None = None,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> BalanceReport:
    """Read what is left on each account, how long it lasts, and what it is promised to.

    Args:
        declaration: What names the accounts; None is the account of `NAGA_PROVISIONING_KEY`.
        environments: Those whose accounts are meant; all, where none is named.
        minimum: What each account has to have, in USD: `suffices` tells.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `accounts`, each with its `amount` in USD, None where it could not be read, its `runways` and `limits`.

    Raises:
        UsageError: as of `list_keys`, and for environments without a declaration.
        AccountError: the only account could not be read.
    """
    from reconciler.engine.inspect import read_balance

    return _run(read_balance(_scope(declaration, environments, simulator, credentials), minimum))


def activity(  # noqa: PLR0913  # by keyword, each with a default
    declaration: Declaration | None = None,
    *,
    by: str = "day",
    days: int = LONGEST_DAYS,
    daily: bool = False,
    environments: Collection[str] = (),
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> ActivityReport:
    """Read what the accounts were used for: requests, cost in USD, tokens.

    Args:
        declaration: What names the accounts and the teams; None is the account of `NAGA_PROVISIONING_KEY`.
        by: What to add up by: `day`, `model`, `key`, `environment` or `team`, which needs a declaration.
        days: The window, 1 to 30 days up to today (UTC).
        daily: Tells each line day by day too; this reads as many windows as there are days.
        environments: Those that are told apart, the rest as one line; not by day or model.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `whole`, and the `accounts` each for itself, in lines that add up to the service's total.

    Raises:
        UsageError: as of `list_keys`, or the arguments do not fit together.
        AccountError: no account could be read.
    """
    from reconciler.engine.inspect import read_activity
    from reconciler.insight.activity import Question
    from reconciler.insight.breakdown import Grouping

    if by not in [*Grouping]:
        msg = f"by is one of {', '.join(Grouping)}, not {by!r}"
        raise UsageError(msg)
    scope = _scope(declaration, environments, simulator, credentials)
    return _run(read_activity(scope, Question(_days(days), Grouping(by), scope.environments, daily)))


def check(
    declaration: Declaration,
    *,
    check_destinations: bool = False,
    history: str | Path | None = None,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Verdict:
    """Judge the accounts by the alerts of the declaration, or by the usual ones where it has none.

    Args:
        declaration: What is declared, the alerts among it.
        check_destinations: Asks each destination that can tell whether it holds the secrets of the live keys.
        history: The folder of `record`: the days of `spend_spike` come from it, and so do `forecasts`. Without it,
            `spend_spike` has a window read for each of its days.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `alerts` that fire, the worst first, and those that are `unjudged`, since something could not be read.

    Raises:
        UsageError: a provisioning key is missing, the folder is no history or one of another account, or this was
            called from a running event loop.
        AccountError: the only account, or none of several, could be read.
    """
    from reconciler.engine.review import check as judge

    return _run(judge(_scope(declaration, (), simulator, credentials, history), check_destinations=check_destinations))


def report(  # noqa: PLR0913  # by keyword, each with a default
    declaration: Declaration | None = None,
    *,
    environments: Collection[str] = (),
    days: int = LONGEST_DAYS,
    daily: bool = False,
    history: str | Path | None = None,
    since: date | None = None,
    until: date | None = None,
    simulator: str | Path | None = None,
    credentials: Mapping[str, str] | None = None,
) -> Review:
    """Gather all that is known of the accounts: balance, spend, keys, alerts, and the plan of what waits.

    `to_html` makes a page of it, `to_openmetrics` what a monitoring system reads.

    Args:
        declaration: What is declared, as for `list_keys`.
        environments: Those whose keys and changes are meant; all, where none is named.
        days: The window of all spend, 1 to 30 days up to today (UTC).
        daily: Tells the spend of each environment day by day too; this reads as many windows as there are days.
        history: The folder of `record`, whose months are told side by side, and how spending goes on.
        since: The first of its days (UTC); None for the last twelve months.
        until: The last of its days (UTC); None for the last one that it has.
        simulator: Reads simulated accounts at this path in place of the service's.
        credentials: The provisioning keys by variable, in place of the environment.

    Returns:
        The `accounts`: an `AccountReport` each, an `UnreadAccount` with its reason for one that could not be read.

    Raises:
        UsageError: as of `list_keys`.
    """
    from reconciler.engine.review import review

    scope = _scope(declaration, environments, simulator, credentials, history, (since, until))
    return _run(review(scope, days=_days(days), daily=daily))


def to_dict(
    value: Plan | ApplyResult | RevokeResult | Inventory | KeyDetail | BalanceReport | ActivityReport | Verdict,
) -> dict[str, Any]:
    """Lay out what a function gave as its command does with `--format json`: values that JSON knows.

    `schemas/plan.schema.json` describes a plan; a result lacks the findings, which are the plan's.
    """
    from reconciler.planning import planfile
    from reconciler.render import activity, alerts, balance, inventory, revocation

    match value:
        case Plan():
            return planfile.plan_document(value, digest(value))
        case ApplyResult():
            return planfile.result_document(value)
        case RevokeResult():
            return revocation.result_document(value)
        case Inventory():
            return inventory.inventory_document(value)
        case KeyDetail():
            return inventory.detail_document(value)
        case BalanceReport():
            return balance.balance_document(value)
        case ActivityReport():
            return activity.activity_document(value)
        case Verdict():
            return alerts.alerts_document(value)
        case _:
            assert_never(value)


def to_html(value: Review, *, facts: Sequence[str] = ()) -> str:
    """Make the page of `reconciler report`, whole and without anything that it would have to load.

    Args:
        value: What `report` gave.
        facts: What else to say at the top, such as the name of the file.

    Raises:
        UsageError: the extra `report` is not installed.
    """
    from reconciler.installation import need_extra
    from reconciler.render.html import render_page
    from reconciler.render.report import report_page

    need_extra("report", "jinja2", "pygal")
    return render_page(report_page(value.accounts, value.days, value.now, facts))


def to_openmetrics(value: Review, *, max_keys: int = 1000) -> str:
    """Write the gauges of `reconciler metrics`, as text that OpenMetrics and Prometheus read.

    Args:
        value: What `report` gave, over 30 days.
        max_keys: How many declared keys of an account get series of their own.

    Raises:
        UsageError: the extra `metrics` is not installed.
    """
    from reconciler import __version__
    from reconciler.insight.metrics import gauges
    from reconciler.installation import need_extra
    from reconciler.render.metrics import render_metrics

    need_extra("metrics", "prometheus_client")
    return render_metrics(gauges(value.accounts, version=__version__, most_keys=max_keys))


def _scope(
    declaration: Declaration | None,
    environments: Collection[str],
    simulator: str | Path | None,
    credentials: Mapping[str, str] | None,
    history: str | Path | None = None,
    asked: tuple[date | None, date | None] = (None, None),
) -> Scope:
    from reconciler.engine.inspect import Scope

    if isinstance(environments, str):
        msg = f"environments are names, not one text: {environments!r}"
        raise UsageError(msg)
    return Scope(declaration, tuple(environments), _path(simulator), credentials, _path(history), asked)


def _days(days: int) -> int:
    if not 1 <= days <= LONGEST_DAYS:
        msg = f"the service tells 1 to {LONGEST_DAYS} days, not {days}"
        raise UsageError(msg)
    return days


async def _apply(
    apply_request: ApplyRequest, on_outcome: Callable[[Outcome], None] | None, reviewed: Plan | None
) -> ApplyResult:
    from reconciler.engine.applying import check_outset, execute_plans
    from reconciler.engine.planning import read_plan
    from reconciler.errors import GuardrailRefused

    if reviewed is not None and reviewed.errors:
        msg = f"the plan that was reviewed has {len(reviewed.errors)} finding(s) that forbid it; nothing was changed"
        raise GuardrailRefused(msg)
    readings = await read_plan(apply_request.request, sweeps=reviewed is None)
    check_outset(readings, apply_request)
    return await execute_plans(readings, apply_request, _Listener(on_outcome), lambda _: nullcontext())


class _Listener:
    """Hands outcomes on; what a person would be told goes to the log."""

    def __init__(self, on_outcome: Callable[[Outcome], None] | None) -> None:
        self._on_outcome = on_outcome

    def mask(self, secret: Secret) -> None:
        """Nothing is shown that could hold it."""

    def say(self, message: str) -> None:
        _log.info("%s", message)

    def replanned(self, variable: str, plan: AccountPlan) -> None:
        _log.info("The account of %s has changed since it was planned: %d actions now.", variable, len(plan.actions))

    def begin(self, variable: str, plan: AccountPlan) -> None:
        _log.debug("The account of %s: %d actions.", variable, len(plan.actions))

    def report(self, outcome: Outcome) -> None:
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def finished(self, result: ApplyResult) -> None:
        """The caller gets it anyway."""


class _Mourner:
    """Hands deaths on; what a person would be told goes to the log."""

    def __init__(self, on_death: Callable[[Death], None] | None) -> None:
        self._on_death = on_death

    def mask(self, secret: Secret) -> None:
        """Nothing is shown that could hold it."""

    def died(self, death: Death) -> None:
        if self._on_death is not None:
            self._on_death(death)

    def waiting(self, lock: LiveKey) -> None:
        _log.info("Another run has locked the account: key %d (%s).", lock.id, lock.name)


def _check(options: Options, declaration: Declaration, base: Declaration | None) -> None:
    """Raise UsageError for what would select, rotate or allow something else than was meant, or nothing."""
    for name, kind in (("allow", "tuple"), ("environments", "frozenset"), ("only", "tuple")):
        if isinstance(value := getattr(options, name), str):  # its letters would count, and a `*` lifts all guardrails
            msg = f"{name} is a {kind} of texts, not one text: {value!r}"
            raise UsageError(msg)
    if options.due and options.rotate:
        msg = "due leaves everything to the clock, so rotate does not go with it; leave one of them out"
        raise UsageError(msg)
    if unknown := {*options.environments} - {*declaration.environments, *(base.environments if base else ())}:
        msg = f"environment {min(unknown)} is not declared"
        raise UsageError(msg)
    declared, covers = {key.address for key in declaration.keys} if options.rotate else set(), options.selector()
    for address in options.rotate:
        if address not in declared:
            msg = f"{address} is not declared; rotate takes Address(environment, key) of declared keys"
            raise UsageError(msg)
        if not covers(address):
            msg = f"{address} is to be rotated and left out by environments or only; name it there as well"
            raise UsageError(msg)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _run(work: Coroutine[Any, Any, T]) -> T:
    # Not the task's own result: when the loop ends, the signal module asks for the task's repr, all keys included.
    results: list[T] = []

    async def collected() -> None:
        results.append(await work)

    if _in_a_loop():
        work.close()
        msg = "this blocks, and an event loop is running: call it in a thread, as with asyncio.to_thread"
        raise UsageError(msg)
    asyncio.run(collected())
    return results[0]


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
