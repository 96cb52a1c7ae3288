"""What a simulated account knows: its keys, balance, usage and clock, kept in SQLite."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import stat
import string
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self, TypedDict, Unpack

from reconciler.errors import UsageError
from reconciler.secret import Secret
from reconciler.units import format_instant, format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date


# The SQLite file that a simulated account lives in: opened, recognised, or refused untouched.

IN_MEMORY: Final = ":memory:"

_APPLICATION_ID: Final = 0x4E414741  # "NAGA", where SQLite's own header keeps it
_FORMAT: Final = 1
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_BUSY_SECONDS: Final = 30.0

# A deleted key stays as a tombstone: its secret is still known to be an inference key, and its spend keeps its name.
# The cost of usage is in millionths of a USD, so that SQL can sum it exactly; limits and the balance are decimal text.
_SCHEMA: Final = """
CREATE TABLE account (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    is_enabled INTEGER NOT NULL,
    credit_limit TEXT,
    secret_sha256 TEXT NOT NULL UNIQUE,
    deleted_at TEXT
);
CREATE TABLE usage (
    day TEXT NOT NULL,
    key_id INTEGER NOT NULL REFERENCES keys (id),
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, model)
) WITHOUT ROWID;
"""

# Beside the format, so that an account made before them has them from now on: what a key was before a change (a name of
# null: it was not there yet), for a list that lags, and the keys that come late. Instants are in microseconds.
_MEMORY: Final = """
CREATE TABLE IF NOT EXISTS past (
    at INTEGER NOT NULL,
    id INTEGER NOT NULL,
    name TEXT,
    created_at TEXT,
    expires_at TEXT,
    is_enabled INTEGER,
    credit_limit TEXT
);
CREATE TABLE IF NOT EXISTS late (
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    credit_limit TEXT,
    expires_at TEXT,
    secret_sha256 TEXT NOT NULL
);
"""


def connect(path: Path | str) -> sqlite3.Connection:
    """Open the account kept at `path`, or start one there (mode 0600); `:memory:` is one that nobody else sees.

    Raises:
        UsageError: the path is a folder, holds something else, or cannot be opened; what is there is left alone.
    """
    if str(path) != IN_MEMORY:
        _claim(Path(path))
    try:
        return _open(str(path))
    except sqlite3.Error as error:
        msg = f"cannot use {path} as a simulator's account: {error}"
        raise UsageError(msg) from error


def _claim(path: Path) -> None:
    """Make an empty file if there is none; refuse to go near a file that is not ours."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        msg = f"cannot keep a simulator's account in {path}: {error.strerror}"
        raise UsageError(msg) from error
    problem = _problem(path)
    if problem:
        msg = f"{path} {problem}; give the path of a file that the simulator made, or of none yet"
        raise UsageError(msg)


def _problem(path: Path) -> str | None:
    """Return what is wrong with the file, judged by its first bytes alone; SQLite could leave files beside it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a file"
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not header:
        return None
    if not header.startswith(_MAGIC) or int.from_bytes(header[68:72]) != _APPLICATION_ID:
        return "is not a simulator's account"
    if int.from_bytes(header[60:64]) != _FORMAT:
        return "was made by another version of reconciler"
    return None


def _open(path: str) -> sqlite3.Connection:
    # Threads may share the connection: State puts a lock around every use of it.
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # A killed process loses nothing without fsync, a power cut may: the trade that a simulator wants. The journal
        # stays SQLite's default, because it needs one file only and several processes may start it at once.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        for statement in _MEMORY.split(";"):
            connection.execute(statement)
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


# What a simulated account knows: its keys, its balance, its usage and its clock, kept in SQLite.

_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_LENGTH: Final = 32
_COLUMNS: Final = "id, name, created_at, expires_at, is_enabled, credit_limit"
_FIRST_BALANCE: Final = "100"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_REMEMBERED: Final = 50_000
_END_OF_TIME: Final = datetime(9001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the dashboard shows it; `credit_limit` (USD) and `expires_at` None mean that there is none."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime | None
    is_enabled: bool
    credit_limit: Decimal | None


class KeyChanges(TypedDict, total=False):
    """The fields to set on a key; one left out stays as it is."""

    name: str
    is_enabled: bool
    credit_limit: Decimal | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one key spent on one model in one day; `cost_micros` is in millionths of a USD."""

    day: date
    key_id: int
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Total:
    """A sum of usage under its day, its model or its key's name; `key_id` is 0 unless the sum is a key's."""

    key_id: int
    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    cost_micros: int


Grouping = Literal["day", "model", "key"]

_SUM: Final = "sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_micros) AS cost FROM usage"
_TOTALS: Final[dict[Grouping, str]] = {
    "day": f"SELECT 0, day, {_SUM} WHERE day BETWEEN ? AND ? GROUP BY day ORDER BY day",
    "model": f"SELECT 0, model, {_SUM} WHERE day BETWEEN ? AND ? GROUP BY model ORDER BY cost DESC, model",
    "key": (
        f"SELECT key_id, name, {_SUM} JOIN keys ON keys.id = key_id"
        " WHERE day BETWEEN ? AND ? GROUP BY key_id ORDER BY cost DESC, key_id"
    ),
}


def _system_clock() -> datetime:
    return datetime.now(UTC)


class State:
    """A simulated account at a path (`:memory:` for one that ends with this object).

    The methods are what a person does on the dashboard, so they check nothing that the API checks: a test may set an
    expiry in the past. Several processes may share a path, and several threads an object.
    """

    def __init__(self, path: Path | str, *, clock: Callable[[], datetime] = _system_clock) -> None:
        """Open the account or start one; raises UsageError for a path that cannot hold one."""
        self._clock = clock
        self._connection = connect(path)
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        """Return the account itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file; an account in memory is gone."""
        with self._lock:
            self._connection.close()

    # --- its clock ---

    def now(self) -> datetime:
        """Return the account's time: the real one, and how far it has travelled from it."""
        return self._clock() + self._offset()

    def travel(self, by: timedelta) -> None:
        """Move the account's clock, and leave it running; raises ValueError beyond the years 1 to 9000."""
        with self._writing() as connection:
            offset = self._moved(by)
            if offset is None:
                msg = "the account's clock cannot leave the years 1 to 9000"
                raise ValueError(msg)
            microseconds = offset // timedelta(microseconds=1)
            connection.execute("REPLACE INTO account VALUES ('clock_offset', ?)", [str(microseconds)])
            connection.execute("DELETE FROM past WHERE at > ?", [_micros(self._clock() + offset)])

    def _moved(self, by: timedelta) -> timedelta | None:
        try:
            offset = self._offset() + by
            return offset if self._clock() + offset < _END_OF_TIME else None
        except OverflowError:
            return None

    def _offset(self) -> timedelta:
        return timedelta(microseconds=int(self._setting("clock_offset", "0")))

    # --- its money ---

    def balance(self) -> Decimal:
        """Return what is left on the account, in USD."""
        return Decimal(self._setting("balance", _FIRST_BALANCE))

    def set_balance(self, balance: Decimal) -> None:
        """Set what is left on the account, in USD."""
        with self._writing() as connection:
            connection.execute("REPLACE INTO account VALUES ('balance', ?)", [format_money(balance)])

    # --- its keys ---

    def keys(self, *, ago: timedelta = timedelta(0)) -> tuple[Key, ...]:
        """List the keys in the order of their creation, as they are, or as they were a while ago."""
        with self._lock:
            self._settle()
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE deleted_at IS NULL ORDER BY id")  # noqa: S608  # a constant
            keys = tuple(_key(row) for row in rows)
            return self._undone(keys, self.now() - ago) if ago else keys

    def _undone(self, keys: tuple[Key, ...], since: datetime) -> tuple[Key, ...]:
        """Take back what has happened to the keys since an instant."""
        past = {key.id: key for key in keys}
        # The newest first, so that what a key was before its first change is what stays.
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM past WHERE at > ? ORDER BY rowid DESC",  # noqa: S608  # a constant
            [_micros(since)],
        )
        for row in rows:
            if row[1] is None:
                past.pop(row[0], None)
            else:
                past[row[0]] = _key(row)
        return tuple(past[key_id] for key_id in sorted(past))

    def key(self, key_id: int) -> Key | None:
        """Find a key; a deleted one is not found."""
        with self._lock:
            self._settle()
            row = self._connection.execute(
                f"SELECT {_COLUMNS} FROM keys WHERE id = ? AND deleted_at IS NULL",  # noqa: S608  # a constant
                [key_id],
            ).fetchone()
        return _key(row) if row else None

    def create_key(
        self,
        name: str,
        credit_limit: Decimal | None = None,
        expires_at: datetime | None = None,
        *,
        is_enabled: bool = True,
    ) -> tuple[Key, Secret]:
        """Issue a key and its secret, of which only the hash is kept."""
        secret = _new_secret()
        created_at = self.now().replace(microsecond=0)
        with self._writing() as connection:
            [(key_id,)] = connection.execute(
                "INSERT INTO keys VALUES (NULL, ?, ?, ?, ?, ?, ?, NULL) RETURNING id",
                [name, format_instant(created_at), _text(expires_at), is_enabled, _money(credit_limit), _hash(secret)],
            ).fetchall()
            self._remember(connection, key_id)
        return Key(key_id, name, created_at, expires_at, is_enabled, credit_limit), Secret(secret)

    def create_key_late(
        self, after: timedelta, name: str, credit_limit: Decimal | None = None, expires_at: datetime | None = None
    ) -> None:
        """Issue a key that comes to be only after a while, and whose secret nobody gets."""
        row = [_micros(self.now() + after), name, _money(credit_limit), _text(expires_at), _hash(_new_secret())]
        with self._writing() as connection:
            connection.execute("INSERT INTO late VALUES (?, ?, ?, ?, ?)", row)

    def _settle(self) -> None:
        """Bring the keys to be whose time has come; called while the lock is held."""
        # One look at a table that is nearly always empty: it costs every request.
        if self._connection.in_transaction or not self._connection.execute("SELECT 1 FROM late LIMIT 1").fetchone():
            return
        now = _micros(self.now())
        with self._writing() as connection:
            due = connection.execute("SELECT * FROM late WHERE at <= ? ORDER BY at, rowid", [now]).fetchall()
            for at, name, credit_limit, expires_at, secret in due:
                created_at = format_instant((_EPOCH + timedelta(microseconds=at)).replace(microsecond=0))
                [(key_id,)] = connection.execute(
                    "INSERT INTO keys VALUES (NULL, ?, ?, ?, TRUE, ?, ?, NULL) RETURNING id",
                    [name, created_at, expires_at, credit_limit, secret],
                ).fetchall()
                connection.execute("INSERT INTO past (at, id) VALUES (?, ?)", [at, key_id])
            connection.execute("DELETE FROM late WHERE at <= ?", [now])

    def _remember(self, connection: sqlite3.Connection, key_id: int, was: Key | None = None) -> None:
        """Keep what a key was before the change that is being made, None where it is new."""
        row: list[object] = [None] * 5
        if was is not None:
            created_at, expires_at = format_instant(was.created_at), _text(was.expires_at)
            row = [was.name, created_at, expires_at, was.is_enabled, _money(was.credit_limit)]
        row = [_micros(self.now()), key_id, *row]
        remembered = connection.execute("INSERT INTO past VALUES (?, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0
        connection.execute("DELETE FROM past WHERE rowid <= ?", [remembered - _MOST_REMEMBERED])

    def update_key(self, key_id: int, **changes: Unpack[KeyChanges]) -> Key | None:
        """Change a key and give it as it is now, or None when there is no such key."""
        with self._writing() as connection:
            old = self.key(key_id)
            if old is None:
                return None
            new = replace(old, **changes)
            connection.execute(
                "UPDATE keys SET name = ?, expires_at = ?, is_enabled = ?, credit_limit = ? WHERE id = ?",
                [new.name, _text(new.expires_at), new.is_enabled, _money(new.credit_limit), key_id],
            )
            self._remember(connection, key_id, old)
        return new

    def delete_key(self, key_id: int) -> bool:
        """Delete a key for good and tell whether there was one."""
        with self._writing() as connection:
            old = self.key(key_id)
            if old is None:
                return False
            now = format_instant(self.now())
            connection.execute("UPDATE keys SET deleted_at = ? WHERE id = ?", [now, key_id])
            self._remember(connection, key_id, old)
            return True

    def is_issued(self, secret: str) -> bool:
        """Return whether the account ever gave out this secret, deleted keys included."""
        return self._holder(secret) is not None

    def opens(self, secret: str) -> bool:
        """Return whether the service would serve this secret: its key exists, is enabled and has not expired."""
        holder = self._holder(secret)
        key = self.key(holder) if holder is not None else None
        return key is not None and key.is_enabled and (key.expires_at is None or key.expires_at > self.now())

    def _holder(self, secret: str) -> int | None:
        with self._lock:
            row = self._connection.execute("SELECT id FROM keys WHERE secret_sha256 = ?", [_hash(secret)]).fetchone()
        return row[0] if row else None

    # --- its usage ---

    def record(self, usage: Iterable[Usage]) -> None:
        """Write down what keys spent; a second row for the same key, model and day takes the first one's place."""
        rows = (
            (u.day.isoformat(), u.key_id, u.model, u.requests, u.input_tokens, u.output_tokens, u.cost_micros)
            for u in usage
        )
        with self._writing() as connection:
            connection.executemany("REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def totals(self, by: Grouping, since: date, until: date) -> list[Total]:
        """Sum up the usage of the days `since` to `until`, both included, by day, by model or by key."""
        with self._lock:
            rows = self._connection.execute(_TOTALS[by], [since.isoformat(), until.isoformat()]).fetchall()
        return [Total(*row) for row in rows]

    # --- how it is kept ---

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the only write transaction that any process has on this account."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _setting(self, name: str, default: str) -> str:
        with self._lock:
            row = self._connection.execute("SELECT value FROM account WHERE name = ?", [name]).fetchone()
        return str(row[0]) if row else default


def _new_secret() -> str:
    return "ng-" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format_money(amount)


def _key(row: tuple[int, str, str, str | None, int, str | None]) -> Key:
    key_id, name, created_at, expires_at, is_enabled, credit_limit = row
    return Key(
        key_id,
        name,
        datetime.fromisoformat(created_at),
        None if expires_at is None else datetime.fromisoformat(expires_at),
        bool(is_enabled),
        None if credit_limit is None else Decimal(credit_limit),
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
