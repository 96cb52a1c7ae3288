"""`-v`: what the program logs about itself, as notes on stderr."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.console import note

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Notes(logging.Handler):
    """Shows a record as a note, what acts on a terminal made visible."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def notes_of_the_log() -> Iterator[None]:
    """Show what reconciler logs, until left; what other libraries log may hold credentials and is not shown."""
    log = logging.getLogger("reconciler")
    before, handler = log.level, _Notes()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
