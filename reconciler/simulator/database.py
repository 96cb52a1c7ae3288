"""The SQLite file that a simulated account lives in: opened, recognised, or refused untouched."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError

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
    """Say what is wrong with the file, judged by its first bytes alone; SQLite itself could leave files beside it."""
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
