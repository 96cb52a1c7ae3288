"""The values that the rooms hand to each other: what is declared, and what is live."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import date, datetime, timedelta

    from reconciler.diagnostic import Location
    from reconciler.secret import Secret

_Value = TypeVar("_Value")

MOST_DELETIONS: Final = 5
"""How many keys one plan may delete where the file says nothing of it."""


class Address(NamedTuple):
    """What a declared key is called in the file: `environment/key`.

    A tuple, because every key is looked up by it several times and a tuple's hash costs next to nothing.
    """

    environment: str
    key: str

    def __str__(self) -> str:
        """Show as people write it."""
        return f"{self.environment}/{self.key}"


@dataclass(frozen=True, slots=True)
class KeyState:
    """The four fields of a key that the API lets us set; `credit_limit` None means no limit."""

    name: str
    is_enabled: bool
    credit_limit: Decimal | None
    expires_at: datetime | None


class Settable(Protocol):
    """Whatever has these four fields: a state, a live key, a declared key."""

    @property
    def name(self) -> str: ...  # noqa: D102  # see KeyState
    @property
    def is_enabled(self) -> bool: ...  # noqa: D102  # see KeyState
    @property
    def credit_limit(self) -> Decimal | None: ...  # noqa: D102  # see KeyState
    @property
    def expires_at(self) -> datetime | None: ...  # noqa: D102  # see KeyState


class KeyPatch(TypedDict, total=False):
    """The fields to change on a live key; a field left out stays as it is (None removes a limit or an expiry)."""

    name: str
    is_enabled: bool
    credit_limit: Decimal | None
    expires_at: datetime | None


# --- what is live -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key as `GET /account/keys` shows it."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime | None
    is_enabled: bool
    credit_limit: Decimal | None

    def __str__(self) -> str:
        """Show as messages call it; an id below 0 stands for one that is not known."""
        return f"key {self.name}" if self.id < 0 else f"key {self.id} ({self.name})"

    @property
    def state(self) -> KeyState:
        """The part of the key that can be changed."""
        return KeyState(self.name, self.is_enabled, self.credit_limit, self.expires_at)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys of the account at one instant; `now` is the service's own clock."""

    keys: tuple[LiveKey, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    """What `POST /account/keys` is asked for; the API cannot create a disabled key."""

    name: str
    credit_limit: Decimal | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """The answer to a POST: the key, and its secret, which is shown this one time."""

    key: LiveKey
    secret: Secret


# --- what is used -----------------------------------------------------------------------------------------------------

LONGEST_DAYS: Final = 30
"""How far back the service tells what was used, in days."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key was used for in the last `days` days; `cost` in USD."""

    days: int
    cost: Decimal
    requests: int

    def __bool__(self) -> bool:
        """Return whether the key was used at all."""
        return bool(self.requests or self.cost)


@dataclass(frozen=True, slots=True)
class Activity:
    """What the keys of the account were used for in the last `days` days; `by_key` leaves out those that were not."""

    days: int
    by_key: Mapping[int, Usage]

    def of(self, key_id: int) -> Usage:
        """Return the usage of a key, zero for one that was not used."""
        return self.by_key.get(key_id) or Usage(self.days, Decimal(0), 0)


@dataclass(frozen=True, slots=True)
class Tally:
    """What some requests came to; `cost` in USD."""

    requests: int = 0
    cost: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Take both together."""
        return Tally(
            self.requests + other.requests,
            self.cost + other.cost,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: Tally) -> Tally:
        """Take the other away; what is left may be below zero."""
        return Tally(
            self.requests - other.requests,
            self.cost - other.cost,
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class KeyTally:
    """What the service says was used under a key; `id` None where it belongs to no key any more."""

    id: int | None
    name: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that the service tells of the last `days` days, in its own order; `total` None where it does not say.

    Its parts may lag behind each other: nothing says that their sums are equal. `absent` names what the answer lacks.
    """

    days: int
    total: Tally | None
    by_day: tuple[tuple[date, Tally], ...]
    by_model: tuple[tuple[str, Tally], ...]
    by_key: tuple[KeyTally, ...]
    absent: tuple[str, ...] = ()


# --- what is declared -------------------------------------------------------------------------------------------------

KEY_VARIABLE: Final = "NAGA_PROVISIONING_KEY"
"""The environment variable with the provisioning key, where an environment names no other."""

Setting = str | bool | int | tuple[str, ...]

SHA256: Final = " sha256"
"""What stands behind the name of a setting where a Target has the fingerprint of what it leads to."""

PYTHON: Final = "python"
"""The type of destinations that hand secrets to a function of the program."""

EXEC: Final = "exec"
"""The type of destination that runs a command of the file."""


_ACTED_ON: Final = re.compile(
    r"""
      PATH | (?:CD|F|MAN|NODE_|CLASS|GCONV_|LOC)PATH | HOME | SHELL | USER | LOGNAME | TERM | TERMINFO | TERMCAP
    | TMPDIR | ENV | BASH_.* | IFS | PS[0-4] | PROMPT | RPROMPT | PROMPT_COMMAND | ZDOTDIR | SHELLOPTS | BASHOPTS
    | GLOBIGNORE | INPUTRC | HISTFILE | FCEDIT | EDITOR | VISUAL | PAGER | BROWSER | NULLCMD | READNULLCMD
    | FIGNORE | LD_.* | DYLD_.* | LC_.* | LANG | LANGUAGE | TZ | GLIBC_TUNABLES | MALLOC_.* | HOSTALIASES
    | LOCALDOMAIN | RES_OPTIONS | PYTHON.* | PIP_.* | UV_.* | VIRTUAL_ENV | NODE_OPTIONS | NODE_EXTRA_CA_CERTS
    | NODE_TLS_REJECT_UNAUTHORIZED | NPM_CONFIG_.* | PERL5.* | PERLLIB | PERL_UNICODE | RUBY.* | GEM_(?:HOME|PATH)
    | BUNDLE_.* | PHPRC | PHP_INI_SCAN_DIR | JAVA_TOOL_OPTIONS | _JAVA_OPTIONS | JDK_JAVA_OPTIONS | MAVEN_OPTS
    | GRADLE_OPTS | LUA_(?:INIT|PATH|CPATH).* | GIT_.* | SSH_ASKPASS | SSH_AUTH_SOCK | MAKEFLAGS | MAKEFILES
    | GNUMAKEFLAGS | CC | CXX | RUSTFLAGS | RUSTC.* | GOFLAGS | (?:HTTP|HTTPS|ALL|NO|FTP)_PROXY
    | SSL_CERT_(?:FILE|DIR) | OPENSSL_(?:CONF|MODULES|ENGINES) | (?:CURL|REQUESTS)_CA_BUNDLE
    | GITHUB_(?:ENV|PATH|OUTPUT|STATE|STEP_SUMMARY|TOKEN|WORKSPACE) | RUNNER_.* | ACTIONS_.*
    | NAGA_(?:BASE_URL|PROVISIONING_KEY)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def is_acted_on(variable: str) -> bool:
    """Return whether a variable of this name changes what shells and programs do, so that no secret may be in it.

    Small letters count too: zsh ties `path` to PATH, and every program reads `https_proxy`.
    """
    return _ACTED_ON.fullmatch(variable) is not None


class Place(NamedTuple):
    """Where a secret goes in truth: equal places are one, whatever the file calls them and links lead to.

    `settings` are the Target's `resolved`. `file` is the real path of what is written, where that is a file.
    """

    type: str
    settings: tuple[tuple[str, Setting], ...]
    name: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """One concrete place that takes secrets: a destination of the file with its templates filled in.

    Equal targets are the same place, so many keys can share one.

    `resolved` are the settings as they are in truth, the same on every machine: paths are real ones, behind all links,
    and relative to `root` inside of it; beside a file that the destination reads stands the SHA-256 of its content, as
    `NAME sha256`, empty for one that can't be read. `root` is the real path of the repository that the declaration is
    in (or of what stands for it), and empty where no setting is a path.

    `written` are the settings as the file has them, with their templates open: all targets of a destination share them.
    """

    destination: str
    type: str
    settings: tuple[tuple[str, Setting], ...]
    resolved: tuple[tuple[str, Setting], ...] = field(default=(), compare=False)
    root: str = field(default="", compare=False)
    written: tuple[tuple[str, Setting], ...] = field(default=(), compare=False)

    @property
    def reads(self) -> tuple[Setting, ...]:
        """The SHA-256 of what the destination reads, in the order of the settings."""
        return tuple(value for name, value in self.resolved if name.endswith(SHA256))


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a key's secret goes, and the name it has there.

    `file` is the real path, behind all links, of the file that the secret is written to; None where that is no file.
    `linked` says that there are links on the way to it. `new` says that the base file is known, and that the key's
    environment did not deliver there.
    """

    target: Target
    name: str
    source: Location
    file: str | None = field(default=None, compare=False)
    linked: bool = field(default=False, compare=False)
    new: bool = field(default=False, compare=False)

    @property
    def place(self) -> Place:
        """Where the secret goes in truth; what a plan's digest has to cover."""
        root, file = self.target.root.rstrip("/"), self.file
        if root and file is not None:
            file = file.removeprefix(f"{root}/")
        return Place(self.target.type, self.target.resolved or self.target.settings, self.name, file)


@dataclass(frozen=True, slots=True)
class Raise:
    """A limit in USD that counts in place of `credit_limit` until an instant.

    `then` is the limit after it, while the raise is in force; None until `budgets.as_of` has worked that out.
    """

    to: Decimal
    until: datetime
    then: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    """A key of the file with its defaults merged in; `name` is the live name that its address formats to.

    `rotate_every` None means that the key is not rotated by age; `id` and `renamed_from` find it under an earlier name.
    `delivers_nowhere` means that the file says so, with an empty `deliver`, rather than nothing. With `renew` (`month`,
    `week`, `day` or `Nd`) the limit is the allowance of a period, and `settled_name` is the live name that a new key
    gets, which tells its period; it is None until `budgets.as_of` has worked it out for an instant.
    """

    address: Address
    name: str
    credit_limit: Decimal | None
    is_enabled: bool
    expires_at: datetime | None
    source: Location
    deliver: tuple[Delivery, ...] = ()
    description: str | None = None
    team: str | None = None
    protected: bool = False
    rotate_every: timedelta | None = None
    rotation_overlap: timedelta | None = None
    verify: bool = True
    id: int | None = None
    renamed_from: tuple[str, ...] = ()
    delivers_nowhere: bool = False
    renew: str | None = None
    raised: Raise | None = None
    settled_name: str | None = None

    @property
    def settled(self) -> str:
        """The live name that a new key gets when it is delivered."""
        return self.settled_name or self.name

    @property
    def runs_command(self) -> bool:
        """Whether its secret is handed to a command of the file, which only `apply --allow-exec` runs."""
        return any(delivery.target.type == EXEC for delivery in self.deliver)

    @property
    def state(self) -> KeyState:
        """What the live key should look like."""
        return KeyState(self.settled, self.is_enabled, self.credit_limit, self.expires_at)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease of the file: what a key is given that lives as long as a command.

    `name` is what its address formats to, and begins the live name of each such key. `credit_limit` is in USD and None
    for no limit; `ttl` is how long a key works on after its command was killed; at most `max_open` are open at a time.
    """

    address: Address
    name: str
    credit_limit: Decimal | None
    ttl: timedelta
    max_open: int
    source: Location
    description: str | None = None
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Rule(Generic[_Value]):
    """What a guardrail allows, and where the file says so.

    `kept` marks one that only the base file has, or has in this strictness: the change that loosens it is still held
    to it.
    """

    value: _Value
    source: Location
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Guardrails:
    """What no plan may do; None is no rule. Money in USD; one that is declared `false` guards nothing and is None too.

    A `max_deletions` that is declared null is a rule without a value; where nothing is declared, MOST_DELETIONS counts.
    It and `credit_budget` hold for all keys of the account or of the environment together, the others for each key.
    """

    max_deletions: Rule[int | None] | None = None
    protected: Rule[Literal[True]] | None = None
    protect_active: Rule[timedelta] | None = None
    credit_budget: Rule[Decimal] | None = None
    max_credit_limit: Rule[Decimal] | None = None
    require_limit: Rule[Literal[True]] | None = None
    max_lifetime: Rule[timedelta] | None = None
    require_rotation: Rule[Literal[True]] | None = None
    limit_below_spend: Rule[Literal[True]] | None = None


@dataclass(frozen=True, slots=True)
class SpendSpike:
    """A day that costs more than `factor` times the median day of the `over` before it, and at least so much (USD)."""

    factor: Decimal
    over: timedelta
    at_least: Decimal


@dataclass(frozen=True, slots=True)
class Alerts:
    """What is worth a word, beside the plan; None, or one that is declared `false`, is no alert.

    `balance_below` in USD, `runway_below` how long the balance lasts, `key_spend_above` shares of the key's limit from
    0 to 1 in rising order: of several, the last one is an error.
    """

    balance_below: Rule[Decimal] | None = None
    runway_below: Rule[timedelta] | None = None
    key_spend_above: Rule[tuple[Decimal, ...]] | None = None
    spend_spike: Rule[SpendSpike] | None = None
    expiring_within: Rule[timedelta] | None = None
    rotation_overdue: Rule[Literal[True]] | None = None
    drift: Rule[Literal[True]] | None = None
    unmanaged: Rule[Literal[True]] | None = None
    undelivered: Rule[Literal[True]] | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What an environment says for itself; it outlives its keys.

    `provisioning_key_env` names the variable with the provisioning key of its account: those that name the same one
    live in one account.
    """

    name: str
    source: Location
    deletion_grace: timedelta | None = None
    guardrails: Guardrails = Guardrails()
    provisioning_key_env: str = KEY_VARIABLE


class Unmanaged(StrEnum):
    """What to do about live keys that no declared environment owns."""

    REPORT = "report"
    IGNORE = "ignore"
    ERROR = "error"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A whole declaration, merged from its files, valid, keys and leases in order of their address."""

    naming: str
    environments: Mapping[str, Environment]
    keys: tuple[DeclaredKey, ...]
    source: Location
    unmanaged: Unmanaged = Unmanaged.REPORT
    ignore: tuple[str, ...] = field(default=())
    guardrails: Guardrails = Guardrails()
    alerts: Alerts = Alerts()
    leases: tuple[Lease, ...] = ()


# --- where secrets go, in words ---------------------------------------------------------------------------------------

_PLAIN: Final = re.compile(r"(?![a-f]{7})[a-z_]+", re.ASCII)  # seven hexadecimal digits may be a commit on a forge


def place_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Return where a secret goes: `github-actions, repository acme/api, as NAGA_API`; `name` sets off the values."""
    return f"{target_words(delivery.target, name)}{link_words(delivery, name)}, as {name(delivery.name)}"


def link_words(delivery: Delivery, name: Callable[[str], str] = str) -> str:
    """Return which file links lead to, if any do: `, which leads to /etc/hosts`."""
    file = delivery.place.file if delivery.linked else None
    return "" if file is None else f", which leads to {name(file)}"


def target_words(target: Target, name: Callable[[str], str] = str) -> str:
    """Return what takes secrets: `github-actions, environment production, repository acme/api`."""
    settings = [
        f"{setting if _PLAIN.fullmatch(setting) else name(setting)} {name(setting_words(value))}"
        for setting, value in target.settings
    ]
    return ", ".join([name(target.type), *settings])


def setting_words(value: Setting) -> str:
    """Write a setting of a destination; the words of a list are joined, each quoted where it has a space."""
    if isinstance(value, tuple):
        return " ".join(map(shlex.quote, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- the accounts of a declaration ------------------------------------------------------------------------------------


def account_variables(declaration: Declaration, environments: Collection[str] = ()) -> tuple[str, ...]:
    """Name the variables with the provisioning keys of these environments' accounts, of all for none, in order.

    A declaration without an environment is about the account that stands for itself.
    """
    return variables_of(
        environment
        for name, environment in declaration.environments.items()
        if not environments or name in environments
    )


def part_of(declaration: Declaration, variable: str) -> Declaration:
    """Return what is declared for one account: its environments and their keys, and the rules, which hold for each."""
    if account_variables(declaration) == (variable,):
        return declaration
    return only_of(
        declaration, {n: e for n, e in declaration.environments.items() if e.provisioning_key_env == variable}
    )


def only_of(declaration: Declaration, environments: dict[str, Environment]) -> Declaration:
    """Return a declaration of some of its environments only, with the rules of the whole."""
    keys = tuple(key for key in declaration.keys if key.address.environment in environments)
    leases = tuple(lease for lease in declaration.leases if lease.address.environment in environments)
    return replace(declaration, environments=environments, keys=keys, leases=leases)


def variables_of(environments: Iterable[Environment]) -> tuple[str, ...]:
    """Return the variables of the accounts of environments, in order; of none, that of the usual account."""
    return tuple(sorted({environment.provisioning_key_env for environment in environments})) or (KEY_VARIABLE,)
