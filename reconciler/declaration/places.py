"""Where deliveries lead in truth: behind links, outside of the repository, or to one place by two ways."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Final

from reconciler.declaration.kinds import kind_of
from reconciler.declaration.wording import shown
from reconciler.files import real_path, repository_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from reconciler.declaration.nodes import Report
    from reconciler.model import DeclaredKey, Delivery, Setting, Target

LARGEST_READ: Final = 1024 * 1024
"""The most bytes that a file which a destination reads may have."""

_Takers = list[tuple["DeclaredKey", "Delivery"]]


class Ground:
    """The folder of a file of the declaration, and what the paths in it really are."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; the file system is asked when the first path is."""
        self._folder = folder
        self._parents: dict[str, str] = {}
        self._files: dict[str, str] = {}

    @cached_property
    def root(self) -> str:
        """The real path of the repository that the folder is in, or of the folder itself."""
        return repository_of(self._folder) or real_path(self._folder)

    def joined(self, path: str) -> str:
        """Give a path of the file as this process can open it."""
        return str(self._folder / path)

    def real(self, path: str) -> str:
        """Give the real path of one that has been joined; each file and each folder is looked at once."""
        if path not in self._files:
            self._files[path] = self._look(path)
        return self._files[path]

    def _look(self, path: str) -> str:
        parent, name = os.path.split(path)
        if name in {"", ".", ".."}:
            return real_path(path)
        if parent not in self._parents:
            self._parents[parent] = real_path(parent)
        whole = os.path.join(self._parents[parent], name)  # noqa: PTH118  # text is faster, and there may be many
        return real_path(whole) if os.path.islink(whole) else whole  # noqa: PTH114

    def portable(self, real: str) -> str:
        """Give a real path as it is on every machine: relative to the root inside of it."""
        return real.removeprefix(f"{self.root.rstrip('/')}/")


def resolved(type_: str, settings: Mapping[str, Setting], ground: Ground) -> tuple[tuple[str, Setting], ...]:
    """Give the settings of a target as they are in truth; see `Target`."""
    kind = kind_of(type_)
    found: dict[str, Setting] = dict(settings)
    for name in kind.paths & settings.keys():
        real = ground.real(str(settings[name]))
        found[name] = ground.portable(real)
        if name in kind.reads:
            found[f"{name} sha256"] = _fingerprint(real)
    return tuple(sorted(found.items()))


def _fingerprint(path: str) -> str:
    """Give the SHA-256 of a regular file's content; empty where there is none, or one that is too large to be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = file.read(LARGEST_READ + 1) if is_regular else None
    except OSError:
        return ""
    return "" if content is None or len(content) > LARGEST_READ else hashlib.sha256(content).hexdigest()


def file_written(target: Target, name: str, ground: Ground) -> str | None:
    """Give the real path of the file that a secret of this name is written to; None for what is no file."""
    setting = kind_of(target.type).writes
    return None if setting is None else ground.real(str(dict(target.settings)[setting]).replace("{name}", name))


def check_collisions(keys: Iterable[DeclaredKey], report: Report) -> None:
    """Report two deliveries of which one would put its secret over that of the other, whatever the way there."""
    deliveries = [(key, delivery) for key in keys for delivery in key.deliver]
    # A file that is one secret as a whole has no room for anything else.
    whole = {
        _one_spelling(each.file)
        for _, each in deliveries
        if each.file is not None and kind_of(each.target.type).is_file_per_secret
    }
    defaults: dict[str, str] = {}
    ways: dict[int, object] = {}  # by id(): keys share targets, and hashing one takes longer than the rest
    taken: dict[object, _Takers] = {}
    for key, delivery in deliveries:
        if delivery.file is not None:
            file = _one_spelling(delivery.file)
            place: object = file if file in whole else (file, delivery.name)
        else:
            target = delivery.target
            if id(target) not in ways:
                ways[id(target)] = _way(target, defaults)
            place = (ways[id(target)], delivery.name)
        taken.setdefault(place, []).append((key, delivery))
    for takers in taken.values():
        if len(takers) > 1:
            _report_collision(takers, report)


def _one_spelling(path: str) -> str:
    """Make paths equal that differ in case or composition only: on macOS and on Windows they are one file."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _way(target: Target, defaults: dict[str, str]) -> object:
    """Give what targets have in common that lead to one place; `defaults` keeps what the environment says."""
    kind = kind_of(target.type)
    settings = dict(target.resolved)
    for name, default in kind.ambient.items():
        if name not in settings:
            if name not in defaults:
                defaults[name] = default()
            settings[name] = defaults[name]
    if kind.joined:
        # A namespace can be the first part of a path, and the mount its last one: only all of it says where it is.
        settings["path"] = "/".join(filter(None, (str(settings.pop(name)).strip("/ ") for name in kind.joined)))
    places = sorted((name, value) for name, value in settings.items() if name not in kind.manner)
    if kind.caseless:
        places = [(name, value.lower() if isinstance(value, str) else value) for name, value in places]
    return (target.type, *places)


def _report_collision(takers: _Takers, report: Report) -> None:
    (first, _), *others = sorted(takers, key=lambda taker: (taker[0].source, taker[1].source))
    for key, delivery in others:
        name, to = shown(delivery.name), delivery.target.destination
        if key is first:
            report.error_at(delivery.source, f"deliver puts {key.address} twice as {name} into '{to}'; keep one")
        else:
            words = f"deliver puts {key.address} as {name} into '{to}', where {first.address} ({first.source}) goes too"
            report.error_at(key.source, f"{words}; use {{KEY}} and {{ENVIRONMENT}} in as or in the destination")
