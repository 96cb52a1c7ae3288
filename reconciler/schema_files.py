"""The JSON schemas that ship with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_FOLDERS: Final = (_HERE / "schemas", _HERE.parent / "schemas")  # in the wheel; in a checkout


def read(name: str) -> bytes:
    """Give the bytes of a schema, `keys.schema.json` for instance; raises StopIteration for one that isn't shipped."""
    return next(path for folder in _FOLDERS if (path := folder / name).is_file()).read_bytes()
