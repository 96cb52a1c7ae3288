"""The files of a history: written sorted, for git and for other programs, and read back strictly.

    history.json               the format
    days.csv                   which days were recorded
    keys.csv                   every key that was ever seen, as it was seen last
    usage/2026-11.csv          a line for each UTC day and key that was used
    usage/2026-11.models.csv   a line for each UTC day and model that was used
    .gitattributes             has git take the lines of both sides where two jobs wrote them

A table has a line for each fact, and no line depends on another. So git merges what two jobs wrote on days of their
own, by its built-in `union`, which takes both. The last column says of which account a line is, by the variable with
its provisioning key; it is empty for NAGA_PROVISIONING_KEY. The same use always makes the same bytes. Lines are sorted
by their columns; a merge may leave them otherwise, and the next run puts them in order.

Reading refuses what was never written: a line that was cut off, two for one day and key, an amount in another spelling,
a day of another month.
"""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from reconciler.errors import UsageError
from reconciler.files import link_out, why_unfit, write_files
from reconciler.insight.history import History, KeyDay, KnownKey, ModelDay, Span, joined
from reconciler.model import KEY_VARIABLE, Tally
from reconciler.units import format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

FORMAT_VERSION: Final = 1
MARKER: Final = "history.json"
_ATTRIBUTES: Final = ".gitattributes"
_MERGED: Final = b"*.csv -text merge=union\nhistory.json -text\n"
_DAYS: Final = "days.csv"
_KEYS: Final = "keys.csv"
_FIGURES: Final = ("requests", "cost_usd", "input_tokens", "output_tokens")
USAGE_FIELDS: Final = ("date", "address", "environment", "team", "key_id", "name", *_FIGURES, "account")
MODEL_FIELDS: Final = ("date", "model", *_FIGURES, "account")
KEY_FIELDS: Final = ("key_id", "created_at", "name", "address", "environment", "team", "account")
DAY_FIELDS: Final = ("date", "account")
_MONTH: Final = re.compile(r"(\d{4}-\d\d)\.(models\.)?csv", re.ASCII)
_ID: Final = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
_WHOLE: Final = r"(?:0|-?[1-9]\d{0,17})"
_MONEY: Final = r"(?:0|-?[1-9]\d*|-?(?:0|[1-9]\d*)\.\d*[1-9])"
_TALLY: Final = re.compile(f"{_WHOLE},{_MONEY},{_WHOLE},{_WHOLE}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_VARIABLE: Final = re.compile(r"NAGA_[A-Z0-9_]{1,250}", re.ASCII)

Row = tuple[str, ...]
T = TypeVar("T")


class _Wrong(Exception):
    """A line or a file is not as it was written; the message says how."""


def exists(folder: Path) -> bool:
    """True when there is a history in a folder, false when one can be begun there; raises UsageError for neither.

    What begins with a dot, as `.git` does, does not count.
    """
    if (folder / MARKER).is_file():
        return True
    try:
        others = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    except FileNotFoundError:
        return False
    except OSError as error:
        msg = f"{folder} can't be read: {error.strerror}"
        raise UsageError(msg) from error
    if others:
        msg = f"{folder} is not a history: it has {others[0]} and no {MARKER}; name an empty folder, or one of `record`"
        raise UsageError(msg)
    return False


def months_of(folder: Path) -> tuple[str, ...]:
    """Return the months, like 2026-11, that a history has files of."""
    names = [each.name for each in (folder / "usage").glob("*.csv")] if (folder / "usage").is_dir() else []
    return tuple(sorted({found[1] for name in names if (found := _MONTH.fullmatch(name))}))


def read_history(
    folder: Path,
    months: Callable[[History], Collection[str]] | None = None,
    *,
    keys: bool = True,
    models: bool = True,
) -> tuple[History, dict[Path, bytes]]:
    """Read a history, and give the bytes of its files too, by path.

    Args:
        folder: Where `record` keeps it.
        months: Says which months to read the use of, like 2026-11, given a history without any; None for all.
        keys: Whether the keys that were seen are wanted.
        models: Whether the use of models is wanted.

    Raises:
        UsageError: there is no history, it is of a newer format, or a line is not as it was written: with its place.
    """
    if not exists(folder):
        msg = f"{folder} is not a history: it has no {MARKER}; `reconciler record --to {folder}` begins one"
        raise UsageError(msg)
    read: dict[Path, bytes] = {}
    _read(folder / MARKER, read, _check_format)
    spans = _read(folder / _DAYS, read, _spans)
    known = _read(folder / _KEYS, read, _known_keys) if keys else ()
    history = History(spans, known)
    there = months_of(folder)
    wanted = there if months is None else sorted({*months(history)} & {*there})
    usage: list[KeyDay] = []
    used: list[ModelDay] = []
    for month in wanted:
        usage += _read(folder / "usage" / f"{month}.csv", read, _key_days(month))
        if models:
            used += _read(folder / "usage" / f"{month}.models.csv", read, _model_days(month))
    return History(spans, known, tuple(usage), tuple(used)), read


def write_history(folder: Path, history: History, before: dict[Path, bytes]) -> tuple[Path, ...]:
    """Write the files of a history that are not as they are wanted, as a whole or none; gives their paths.

    Args:
        folder: Where to; made where it is missing.
        history: What is wanted of the months that it has use of; the files of others are left alone.
        before: What was read of the files.

    Raises:
        UsageError: a file was changed meanwhile or can't be written, or a link leads out of the repository.
    """
    wanted = _files(folder, history, before)
    changed = {path: content for path, content in wanted.items() if before.get(path) != content}
    for path in changed:
        if link := link_out(path):
            msg = f"{path} is not written: {link} is a symbolic link out of its repository"
            raise UsageError(msg)
        if why := why_unfit(str(path), "", outside=True):
            msg = f"{path} {why}"
            raise UsageError(msg)
    try:
        (folder / "usage").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder} can't be written: {error.strerror}"
        raise UsageError(msg) from error
    write_files(changed, {path: content for path, content in before.items() if path in changed})
    return tuple(changed)


def _files(folder: Path, history: History, before: Iterable[Path]) -> dict[Path, bytes]:
    """Return the files in the order in which they are written: a day counts as recorded once its use is written."""
    files = {folder / _KEYS: _written(KEY_FIELDS, sorted(map(_key_row, history.keys), key=_key_order))}
    if not (folder / _ATTRIBUTES).exists():  # somebody may have put in more
        files[folder / _ATTRIBUTES] = _MERGED
    usage: dict[str, list[Row]] = {}
    models: dict[str, list[Row]] = {}
    for line in history.usage:
        usage.setdefault(str(line.day)[:7], []).append(_usage_row(line))
    for each in history.models:
        models.setdefault(str(each.day)[:7], []).append(_model_row(each))
    read = {path.name[:7] for path in before if path.parent == folder / "usage"}
    for month in sorted({*usage, *models, *read}):
        path = folder / "usage" / f"{month}.csv"
        files[path] = _written(USAGE_FIELDS, sorted(usage.get(month, ())))
        path = folder / "usage" / f"{month}.models.csv"
        files[path] = _written(MODEL_FIELDS, sorted(models.get(month, ())))
    days = {
        (str(span.since + timedelta(days=at)), _account(account))
        for account, spans in history.spans.items()
        for span in spans
        for at in range((span.until - span.since).days + 1)
    }
    files[folder / _DAYS] = _written(DAY_FIELDS, sorted(days))
    files[folder / MARKER] = (json.dumps({"format_version": FORMAT_VERSION}) + "\n").encode()
    return files


def _written(fields: Sequence[str], rows: Sequence[Row]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    if "\r" in stream.getvalue():  # the writer leaves a carriage return bare, which the reader takes for a line's end
        stream = io.StringIO()
        careful = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer = csv.writer(stream, lineterminator="\n")
        for row in (fields, *rows):
            (careful if "\r" in "".join(row) else writer).writerow(row)
    return stream.getvalue().encode()


# From values to rows.


def _account(variable: str) -> str:
    return "" if variable == KEY_VARIABLE else variable


def _figures(tally: Tally) -> Row:
    return (str(tally.requests), format_money(tally.cost), str(tally.input_tokens), str(tally.output_tokens))


def _usage_row(line: KeyDay) -> Row:
    key_id = "" if line.key_id is None else str(line.key_id)
    place = (str(line.day), line.address, line.environment, line.team, key_id, line.name)
    return (*place, *_figures(line.tally), _account(line.account))


def _model_row(line: ModelDay) -> Row:
    return (str(line.day), line.model, *_figures(line.tally), _account(line.account))


def _key_row(key: KnownKey) -> Row:
    named = (str(key.key_id), key.created_at, key.name, key.address, key.environment, key.team)
    return (*named, _account(key.account))


def _key_order(row: Row) -> tuple[object, ...]:
    return (row[6], int(row[0]))


# From rows to values, strictly.


def _read(path: Path, read: dict[Path, bytes], parse: Callable[[str], T]) -> T:
    """Read a file; raises UsageError that begins with its path and, if there is one, the line."""
    content = b""
    try:
        content = path.read_bytes()
        found = parse(content.decode())
    except OSError as error:
        msg = f"{path}: can't be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        msg = f"{path}:{line}: not UTF-8 text"
    except _Wrong as error:
        msg = f"{path}{error}"
    else:
        read[path] = content
        return found
    raise UsageError(msg)


def _check_format(text: str) -> None:
    try:
        version = json.loads(text)["format_version"]
    except (ValueError, KeyError, TypeError):
        msg = ": not as `record` wrote it; take back what was changed by hand"
        raise _Wrong(msg) from None
    if version != FORMAT_VERSION:
        _wrong(f": it has format {version!r}, and this version knows {FORMAT_VERSION}: use a newer reconciler")


def _table(text: str, fields: Sequence[str], parse: Callable[[list[str]], T]) -> Iterator[T]:
    """Read a table, row by row; raises _Wrong with the line for what was never written."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width = len(fields)
    try:
        if next(reader, []) != [*fields]:
            _wrong(f"the first line has to be {','.join(fields)}")
        for row in reader:
            if len(row) != width:
                _wrong(f"{len(row)} fields in place of {width}: it was cut off or changed by hand")
            yield parse(row)
        if not text.endswith("\n"):
            _wrong("the last line was cut off")
    except (csv.Error, _Wrong) as error:
        msg = f":{max(reader.line_num, 1)}: {error}"
        raise _Wrong(msg) from None


def _wrong(what: str) -> NoReturn:
    raise _Wrong(what)


def _spans(text: str) -> dict[str, tuple[Span, ...]]:
    days: dict[str, list[Span]] = {}

    def parse(row: list[str]) -> None:
        day = _day(row[0])
        days.setdefault(_variable(row[1]), []).append(Span(day, day))

    for _ in _table(text, DAY_FIELDS, parse):
        pass
    return {account: joined(each) for account, each in sorted(days.items())}


def _known_keys(text: str) -> tuple[KnownKey, ...]:
    """Read what is known of keys; of two lines about one, which a merge may leave, the last one counts."""
    found: dict[tuple[str, int], KnownKey] = {}

    def parse(row: list[str]) -> None:
        key_id, created_at, name, address, environment, team, account = row
        if not _INSTANT.fullmatch(created_at):
            _wrong(f"{created_at!r} is no instant like 2026-01-20T00:00:00Z")
        key = KnownKey(_variable(account), _number(key_id), created_at, name, address, environment, team)
        if found.setdefault((key.account, key.key_id), key).created_at != created_at:
            _wrong(f"another line says that key {key_id} was created at another time")
        found[key.account, key.key_id] = key

    for _ in _table(text, KEY_FIELDS, parse):
        pass
    return tuple(found.values())


# The files of a month have many lines, and most of them say of a key what another line said before: that is looked at
# once.


def _key_days(month: str) -> Callable[[str], list[KeyDay]]:
    days: dict[str, date] = {}
    keys: dict[Row, KeyDay] = {}
    seen: set[tuple[str, str, str, str]] = set()

    def parse(row: list[str]) -> KeyDay:
        day, address, environment, team, key_id, name, requests, cost, sent, received, account = row
        if day not in days:
            days[day] = _day_of(month, day)
        who = (address, environment, team, key_id, name, account)
        if who not in keys:
            if address.partition("/")[0] != environment:
                _wrong(f"the address {address!r} is not in the environment {environment!r}")
            number = _number(key_id) if key_id else None
            keys[who] = KeyDay(date.min, _variable(account), address, environment, team, number, name, Tally())
        # By its id, else by its name, just one line may be about a key.
        identity = (day, key_id, "" if key_id else name, account)
        if identity in seen:
            _wrong("a second line for the same day and key; leave one of them, `record` reads the day again")
        seen.add(identity)
        tally = _tally(requests, cost, sent, received, nobodys=not key_id and not name)
        known = keys[who]
        return KeyDay(days[day], *known[1:7], tally)

    return lambda text: [*_table(text, USAGE_FIELDS, parse)]


def _model_days(month: str) -> Callable[[str], list[ModelDay]]:
    seen: set[tuple[str, str, str]] = set()

    def parse(row: list[str]) -> ModelDay:
        day, model, *figures, account = row
        identity = (day, model, account)
        if identity in seen:
            _wrong("a second line for the same day and model; leave one of them, `record` reads the day again")
        seen.add(identity)
        return ModelDay(_day_of(month, day), _variable(account), model, _tally(*figures, nobodys=not model))

    return lambda text: [*_table(text, MODEL_FIELDS, parse)]


def _tally(requests: str, cost: str, sent: str, received: str, *, nobodys: bool) -> Tally:
    figures = f"{requests},{cost},{sent},{received}"
    if not _TALLY.fullmatch(figures):
        _wrong(f"{figures!r} are no requests, USD and tokens as they are written, like 3,12.5,2000,150")
    if "-" in figures and not nobodys:
        _wrong("the use of a key or a model is below zero")
    return Tally(int(requests), Decimal(cost), int(sent), int(received))


def _variable(account: str) -> str:
    if not account:
        return KEY_VARIABLE
    if account == KEY_VARIABLE or not _VARIABLE.fullmatch(account):
        _wrong(f"{account!r} is no account as it is written: NAGA_… for a variable, nothing for {KEY_VARIABLE}")
    return account


def _number(text: str) -> int:
    if not _ID.fullmatch(text):
        _wrong(f"{text!r} is no id of a key")
    return int(text)


def _day_of(month: str, text: str) -> date:
    if text[:7] != month:
        _wrong(f"{text!r} is no day of {month}")
    return _day(text)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if str(day) != text:
        _wrong(f"{text!r} is no day like 2026-01-20")
    return day
