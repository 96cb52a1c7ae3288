"""The files of a history: written sorted, for git and for other programs, and read back strictly.

    history.json               the format, and by account which days were recorded
    keys.csv                   every key that was ever seen, as it was seen last
    usage/2026-11.csv          a line for each UTC day and key that was used
    usage/2026-11.models.csv   a line for each UTC day and model that was used

The files of a month say in their last column of which account a line is, by the variable with its provisioning key;
it is empty for NAGA_PROVISIONING_KEY. The same use always makes the same bytes, so two jobs that record the same day
write the same lines. Reading refuses whatever would not have been written: lines out of order or given twice, a line
that was cut off, an amount in another spelling, a day of another month.
"""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from reconciler.errors import UsageError
from reconciler.files import link_out, why_unfit
from reconciler.formatting.files import write_files
from reconciler.insight.history import History, KeyDay, KnownKey, ModelDay, Span
from reconciler.model import KEY_VARIABLE, Tally
from reconciler.units import format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

FORMAT_VERSION: Final = 1
MARKER: Final = "history.json"
_KEYS: Final = "keys.csv"
_FIGURES: Final = ("requests", "cost_usd", "input_tokens", "output_tokens")
USAGE_FIELDS: Final = ("date", "address", "environment", "team", "key_id", "name", *_FIGURES, "account")
MODEL_FIELDS: Final = ("date", "model", *_FIGURES, "account")
KEY_FIELDS: Final = ("key_id", "created_at", "name", "address", "environment", "team", "account")
_MONTH: Final = re.compile(r"(\d{4}-\d\d)\.(models\.)?csv", re.ASCII)
_NUMBER: Final = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

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
    """Give the months, like 2026-11, that a history has files of."""
    names = [each.name for each in (folder / "usage").glob("*.csv")] if (folder / "usage").is_dir() else []
    return tuple(sorted({found[1] for name in names if (found := _MONTH.fullmatch(name))}))


def read_history(
    folder: Path, months: Collection[str] | None = None, *, models: bool = True
) -> tuple[History, dict[Path, bytes]]:
    """Read a history, and give the bytes of its files too, by path.

    Args:
        folder: Where `record` keeps it.
        months: The months to read the use of; None for all.
        models: Whether the use of models is wanted.

    Raises:
        UsageError: there is no history, it is of a newer format, or a line is not as it was written: with its place.
    """
    if not exists(folder):
        msg = f"{folder} is not a history: it has no {MARKER}; `reconciler record --to {folder}` begins one"
        raise UsageError(msg)
    read: dict[Path, bytes] = {}
    spans = _read(folder / MARKER, read, _spans)
    keys = _read(folder / _KEYS, read, lambda text: tuple(_rows(text, KEY_FIELDS, _known_key, _key_order)))
    usage: list[KeyDay] = []
    used: list[ModelDay] = []
    for month in months_of(folder):
        if months is not None and month not in months:
            continue
        usage += _read(folder / "usage" / f"{month}.csv", read, _month(month, USAGE_FIELDS, _key_day, _usage_order))
        if models:
            path = folder / "usage" / f"{month}.models.csv"
            used += _read(path, read, _month(month, MODEL_FIELDS, _model_day, _model_order))
    return History(spans, keys, tuple(usage), tuple(used)), read


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
    document = {
        "format_version": FORMAT_VERSION,
        "accounts": {
            account: [{"since": str(span.since), "until": str(span.until)} for span in spans]
            for account, spans in sorted(history.spans.items())
        },
    }
    files = {
        folder / MARKER: (json.dumps(document, indent=2) + "\n").encode(),
        folder / _KEYS: _written(KEY_FIELDS, sorted(map(_key_row, history.keys), key=_key_order)),
    }
    usage: dict[str, list[Row]] = {}
    models: dict[str, list[Row]] = {}
    for line in history.usage:
        usage.setdefault(str(line.day)[:7], []).append(_usage_row(line))
    for each in history.models:
        models.setdefault(str(each.day)[:7], []).append(_model_row(each))
    read = {path.name[:7] for path in before if path.parent == folder / "usage"}
    for month in sorted({*usage, *models, *read}):
        path = folder / "usage" / f"{month}.csv"
        files[path] = _written(USAGE_FIELDS, sorted(usage.get(month, ()), key=_usage_order))
        path = folder / "usage" / f"{month}.models.csv"
        files[path] = _written(MODEL_FIELDS, sorted(models.get(month, ()), key=_model_order))
    return files


def _written(fields: Sequence[str], rows: Iterable[Row]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
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


def _usage_order(row: Row) -> tuple[object, ...]:
    """Order by day, account and key; what belongs to no address comes last."""
    return (row[0], row[10], not row[1], row[1], int(row[4] or -1), row[5])


def _model_order(row: Row) -> tuple[object, ...]:
    return (row[0], row[6], row[1])


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


def _spans(text: str) -> dict[str, tuple[Span, ...]]:
    try:
        document = json.loads(text)
        version = document["format_version"]
        accounts = document["accounts"] if version == FORMAT_VERSION else {}
        found = {
            str(account): tuple(Span(_day(each["since"]), _day(each["until"])) for each in spans)
            for account, spans in accounts.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, _Wrong):
        msg = ": not as `record` wrote it; take back what was changed by hand"
        raise _Wrong(msg) from None
    if version != FORMAT_VERSION:
        _wrong(f": it has format {version!r}, and this version knows {FORMAT_VERSION}: use a newer reconciler")
    return found


def _rows(
    text: str,
    fields: Sequence[str],
    parse: Callable[[Row], T],
    order: Callable[[Row], tuple[object, ...]],
    identity: Callable[[Row], Row] = lambda row: row,
) -> Iterator[T]:
    """Read a table, row by row; raises _Wrong with the line for what would not have been written."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    last: tuple[object, ...] = ()
    seen: set[Row] = set()
    try:
        if next(reader, []) != [*fields]:
            _wrong(f"the first line has to be {','.join(fields)}")
        for cells in reader:
            row = tuple(cells)
            if len(row) != len(fields):
                _wrong(f"{len(row)} fields in place of {len(fields)}: it was cut off or changed by hand")
            value = parse(row)
            if (mine := identity(row)) in seen:
                _wrong("a second line for the same day and key or model")
            seen.add(mine)
            if (place := order(row)) < last:
                _wrong("not in order: it belongs further up")
            last = place
            yield value
        if not text.endswith("\n"):
            _wrong("the last line was cut off")
    except (csv.Error, _Wrong) as error:
        msg = f":{reader.line_num}: {error}"
        raise _Wrong(msg) from None


def _wrong(what: str) -> NoReturn:
    raise _Wrong(what)


def _month(
    month: str,
    fields: Sequence[str],
    parse: Callable[[Row], T],
    order: Callable[[Row], tuple[object, ...]],
) -> Callable[[str], list[T]]:
    account = len(fields) - 1

    def identity(row: Row) -> Row:
        """Give what only one line may be about: a day, an account, and a key by its id, else by name; or a model."""
        if fields is MODEL_FIELDS:
            return (row[0], row[account], row[1])
        return (row[0], row[account], row[4], "" if row[4] else row[5])

    def dated(row: Row) -> T:
        if row[0][:7] != month:
            _wrong(f"{row[0]!r} is no day of {month}")
        return parse(row)

    return lambda text: [*_rows(text, fields, dated, order, identity)]


def _key_day(row: Row) -> KeyDay:
    day, address, environment, team, key_id, name, *figures, account = row
    if address.partition("/")[0] != environment:
        _wrong(f"the address {address!r} is not in the environment {environment!r}")
    tally = _tally(figures, nobodys=not (key_id or name))
    return KeyDay(
        _day(day), _variable(account), address, environment, team, _number(key_id) if key_id else None, name, tally
    )


def _model_day(row: Row) -> ModelDay:
    day, model, *figures, account = row
    return ModelDay(_day(day), _variable(account), model, _tally(figures, nobodys=not model))


def _known_key(row: Row) -> KnownKey:
    key_id, created_at, name, address, environment, team, account = row
    if not _INSTANT.fullmatch(created_at):
        _wrong(f"{created_at!r} is no instant like 2026-01-20T00:00:00Z")
    return KnownKey(_variable(account), _number(key_id), created_at, name, address, environment, team)


def _variable(account: str) -> str:
    return account or KEY_VARIABLE


def _tally(figures: Sequence[str], *, nobodys: bool) -> Tally:
    requests, cost, input_tokens, output_tokens = figures
    try:
        amount = Decimal(cost)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or format_money(amount) != cost:
        _wrong(f"{cost!r} is no amount of USD as it is written, like 12.5")
    tally = Tally(_number(requests), amount, _number(input_tokens), _number(output_tokens))
    if not nobodys and (amount < 0 or min(tally.requests, tally.input_tokens, tally.output_tokens) < 0):
        _wrong("the use of a key or a model is below zero")
    return tally


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        _wrong(f"{text!r} is no whole number as it is written, like 12")
    return int(text)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if str(day) != text:
        _wrong(f"{text!r} is no day like 2026-01-20")
    return day
