"""Reads the destinations of a file: their types, their templates, and the places that deliveries lead to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from reconciler.declaration.parser import Fields, Items, described, location, shown, suggestion
from reconciler.files import is_within, not_ignored, real_path, repository_of, why_unfit
from reconciler.model import SHA256, Delivery, Target, is_acted_on
from reconciler.planning.names import NAME
from reconciler.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.declaration.parser import Mark, Report, Value
    from reconciler.diagnostic import Location
    from reconciler.model import Address, DeclaredKey, Setting


# What the types of destinations differ in while a file is read; the schema says which settings each has.


@dataclass(frozen=True)
class Kind:
    """A type of destinations.

    `names` is the pattern of what `as` must come out as, `words` says so to people. `paths` are the settings that are
    relative to the folder of the file, `reads` those of files that the destination reads, `writes` that of the file
    that it writes, with `is_file_per_secret` when it holds nothing else, `runs` the command that it runs. `named` are
    those in which the destination itself fills {name} in, `defaults` the settings to be filled in where the file says
    nothing, `ambient` those that the environment says then (see `_ambient`), `manner` those that say how secrets get
    there and are kept, and not where, `durations` those that are one. The settings `joined` name a place together, one
    behind the other. With `caseless`, small and capital letters name the same place. What is `exported` becomes a
    variable of the environment of programs. `own_name` is a setting that nobody writes: the destination's own name,
    where that tells places apart. `module` and `extra` are where the type comes from; empty for one of another package.
    """

    names: str = "(?s).+"
    words: str = "a name"
    paths: Sequence[str] = ()
    reads: Sequence[str] = ()
    writes: str | None = None
    is_file_per_secret: bool = False
    runs: str | None = None
    named: Sequence[str] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    ambient: Mapping[str, Sequence[str]] = field(default_factory=dict)
    manner: Sequence[str] = ()
    durations: Sequence[str] = ()
    joined: Sequence[str] = ()
    caseless: bool = False
    exported: bool = False
    own_name: str | None = None
    module: str = ""
    extra: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What `as` must come out as."""
        return re.compile(self.names)


OTHER: Final = Kind()
"""A type that nothing more is known about."""


@cache
def kinds() -> dict[str, Kind]:
    """Return our own types, as their modules describe them.

    No such module is imported for it: that takes the library of each system. `make pictures` writes them down.
    """
    known = json.loads(Path(__file__).with_suffix(".json").read_bytes())
    return {name: Kind(**described) for name, described in known.items()}


def kind_of(type_: str) -> Kind:
    """Return what is known about a type."""
    return kinds().get(type_, OTHER)


def _ambient(sources: Iterable[str]) -> str:
    """Return the first thing that the environment says: in a variable, or as a setting of AWS's own configuration."""
    said = (_of_aws(each.removeprefix(_AWS)) if each.startswith(_AWS) else os.environ.get(each, "") for each in sources)
    return next((found for each in said if (found := each.strip())), "")


_AWS: Final = "aws config: "


def _of_aws(setting: str) -> str:
    from configparser import ConfigParser, Error

    config = ConfigParser(interpolation=None, strict=False)
    try:
        with Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser().open(encoding="utf-8") as file:
            config.read_file(file)
    except (OSError, ValueError, RuntimeError, Error):  # RuntimeError: nobody has a home
        return ""
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    sections = (f"profile {profile}", profile)
    return next((found for each in sections if (found := config.get(each, setting, fallback=""))), "")


# Where deliveries lead in truth: behind links, outside of the repository, or to one place by two ways.

Fingerprint = Callable[[str], str]
"""Gives the SHA-256 of what a file holds by its real path, empty where there is none."""

NAME_FIELD: Final = "{name}"
"""What destinations themselves replace by the name of a secret."""

_DOTENV: Final = "dotenv"

_Takers = list[tuple["DeclaredKey", "Delivery"]]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What files were at an earlier time: what they held, and the links that have been changed since, by real paths."""

    fingerprint: Fingerprint
    changed_links: frozenset[str] = frozenset()


class Ground:
    """The folder of a file of the declaration, and what the paths in it really are."""

    def __init__(self, folder: Path, earlier: Earlier | None = None) -> None:
        """Take the folder, and what files were where that is not what they are now; no file is looked at yet."""
        self._folder = folder
        self._earlier = earlier or Earlier(fingerprint_of)
        self._fingerprints: dict[str, str] = {}
        self._lexicals: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._files: dict[str, str] = {}

    @cached_property
    def root(self) -> str:
        """The real path of the repository that the folder is in.

        Where there is none, it is that of the working directory if the folder is in it, and of the folder otherwise.
        """
        folder, working = real_path(self._folder), real_path("")
        return repository_of(folder) or (working if is_within(folder, working) else folder)

    @cached_property
    def _home(self) -> str:
        return real_path(self._folder)

    def written(self, path: str) -> str:
        """Return a path as the file has it, as it is on every machine; no link in it is followed."""
        return self.portable(os.path.normpath(os.path.join(self._home, path)))  # noqa: PTH118  # text, maybe with braces

    def is_linked(self, path: str, real: str) -> bool:
        """True when there are links on the way from the folder to the real path of one that has been joined."""
        return self._lexical(path) != real

    def was_linked_elsewhere(self, path: str, real: str) -> bool:
        """True when one that has been joined may have led elsewhere, since a link was changed on the way."""
        links, lexical = self._earlier.changed_links, self._lexical(path)
        return bool(links) and (lexical != real or any(f"{lexical}/".startswith(f"{link}/") for link in links))

    def _lexical(self, path: str) -> str:
        if path not in self._lexicals:
            inside = path.removeprefix(f"{self._folder}/")
            self._lexicals[path] = os.path.normpath(os.path.join(self._home, inside))  # noqa: PTH118  # text is faster
        return self._lexicals[path]

    def fingerprint(self, real: str) -> str:
        """Return the SHA-256 of what a file holds by its real path; empty where there is none. It is read once."""
        if real not in self._fingerprints:
            self._fingerprints[real] = self._earlier.fingerprint(real)
        return self._fingerprints[real]

    def joined(self, path: str) -> str:
        """Return a path of the file as this process can open it."""
        return str(self._folder / path)

    def real(self, path: str) -> str:
        """Return the real path of one that has been joined; each file and each folder is looked at once."""
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
        """Return a real path as it is on every machine: relative to the root inside of it."""
        return real.removeprefix(f"{self.root.rstrip('/')}/")


def resolved(type_: str, settings: Mapping[str, Setting], ground: Ground) -> tuple[tuple[str, Setting], ...]:
    """Return the settings of a target as they are in truth; see `Target`."""
    kind = kind_of(type_)
    found: dict[str, Setting] = dict(settings)
    for name in settings.keys() & kind.paths:
        real = ground.real(str(settings[name]))
        found[name] = ground.portable(real)
        if name in kind.reads:
            found[f"{name}{SHA256}"] = ground.fingerprint(real)
        if ground.was_linked_elsewhere(str(settings[name]), real):
            found[f"{name}{SHA256}"] = "through a link that was changed"
    if kind.runs is not None:
        command, folder = settings[kind.runs], str(settings["folder"])
        if isinstance(command, tuple) and any(scripts := _scripts(command, folder, ground)):
            found[f"{kind.runs}{SHA256}"] = scripts
    return tuple(sorted(found.items()))


def _scripts(command: tuple[str, ...], folder: str, ground: Ground) -> tuple[str, ...]:
    """Return the fingerprints of what a command runs and reads of the repository, where its words are paths there."""
    program, *arguments = command
    words = [program if "/" in program else "", *("" if each.startswith(("-", "/")) else each for each in arguments)]
    reals = [ground.real(os.path.join(folder, word)) if word else "" for word in words]  # noqa: PTH118  # text is faster
    return tuple(ground.fingerprint(real) if real and ground.portable(real) != real else "" for real in reals)


def fingerprint_of(path: str) -> str:
    """Return the SHA-256 of what a regular file holds now, whatever its size; empty where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return hashlib.file_digest(file, "sha256").hexdigest() if is_regular else ""
    except OSError:
        return ""


def file_written(target: Target, name: str, ground: Ground) -> tuple[str | None, bool]:
    """Return the real path of the file that a secret of this name is written to, and whether links lead there.

    None for what is no file.
    """
    setting = kind_of(target.type).writes
    if setting is None:
        return None, False
    path = str(dict(target.settings)[setting]).replace(NAME_FIELD, name)
    real = ground.real(path)
    return real, ground.is_linked(path, real)


def check_files(keys: Iterable[DeclaredKey], marks: Mapping[str, Mapping[str, Mark]], report: Report) -> None:
    """Report files that no secret may be written to, and variables that no secret may be in.

    `marks` holds, by destination, the places of its settings.
    """
    looked_at: dict[str, str | None] = {}
    for key in keys:
        for delivery in key.deliver:
            target, kind = delivery.target, kind_of(delivery.target.type)
            if kind.exported and is_acted_on(delivery.name):
                words = f"as must not come out as {delivery.name}, since shells and programs act on such a variable"
                report.error_at(delivery.source, words)
            if (setting := kind.writes) is None:
                continue
            settings = dict(target.settings)
            path = str(settings[setting]).replace(NAME_FIELD, delivery.name)
            if path not in looked_at:
                looked_at[path] = why_unfit(path, target.root, outside=settings.get("outside") is True)
            if unfit := looked_at[path]:
                report.error(marks[target.destination][setting], f"{setting} {shown(path)} {unfit}")


def exposed(keys: Iterable[DeclaredKey]) -> Iterator[tuple[Delivery, str]]:
    """Yield a delivery to each file of secrets that git would take into a commit, and what to do about it.

    Git is asked once for each repository, and not at all where no key is delivered to such a file.
    """
    files: dict[str, Delivery] = {}
    for key in keys:
        for each in key.deliver:
            if each.target.type == _DOTENV and each.file and dict(each.target.settings).get("tracked") is not True:
                files.setdefault(each.file, each)
    for path, why in not_ignored(files).items():
        yield files[path], why


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
    """Return what targets have in common that lead to one place; `defaults` keeps what the environment says."""
    kind = kind_of(target.type)
    settings = dict(target.resolved)
    for name, sources in kind.ambient.items():
        if name not in settings:
            if name not in defaults:
                defaults[name] = _ambient(sources)
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


# Texts with fields in braces: `NAGA_{KEY}`, `.secrets/{environment}.env`, `{environment}/{key}`.

NAMING_FIELDS: Final = ("environment", "key")
FIELDS: Final = ("environment", "key", "ENVIRONMENT", "KEY", "live_name")
DEFAULT_NAMING: Final = "{environment}/{key}"

_BRACES: Final = re.compile(r"\{([^{}]*)\}|[{}]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAME_PATTERN: Final = re.compile(NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class Template:
    """A text whose fields are known to be good; made by `parse_template`."""

    fields: tuple[str, ...]
    percent_format: str

    def fill(self, values: Mapping[str, str]) -> str:
        """Put the values in."""
        return self.percent_format % values


def parse_template(text: str, known: Collection[str] = FIELDS, kept: Collection[str] = ()) -> Template:
    """Read a template; raises ValueError, in words that follow the field's name, for braces that name nothing known.

    Fields to be `kept` are let through as they are, for somebody else to fill in.
    """
    if _CONTROL.search(text):
        msg = "must not hold line breaks or other control characters"
        raise ValueError(msg)
    fields: list[str] = []
    for match in _BRACES.finditer(text):
        if match[1] in kept:
            continue
        if match[1] not in known:
            choice = ", ".join(f"{{{field}}}" for field in (*known, *kept))
            msg = f"must hold no other braces than {choice}; '{shown(match[0])}' is none of them"
            raise ValueError(msg)
        fields.append(match[1])

    def opened(match: re.Match[str]) -> str:
        return match[0] if match[1] in kept else f"%({match[1]})s"

    return Template(tuple(fields), _BRACES.sub(opened, text.replace("%", "%%")))


def address_values(address: Address, live_name: str) -> dict[str, str]:
    """Return the values of all FIELDS for a key."""
    environment, key = address.environment, address.key
    return {
        "environment": environment,
        "key": key,
        "ENVIRONMENT": _upper(environment),
        "KEY": _upper(key),
        "live_name": live_name,
    }


def _upper(name: str) -> str:
    """Make a valid name fit for a variable; it holds nothing but letters, digits, `.`, `_` and `-`."""
    return name.upper().replace("-", "_").replace(".", "_")


def check_naming(text: str) -> None:
    """Raise ValueError, in words that follow the field's name, for a text that can't be `naming`."""
    fields = parse_template(text, NAMING_FIELDS).fields
    if sorted(fields) != sorted(NAMING_FIELDS):
        msg = "must hold {environment} and {key}, each once"
        raise ValueError(msg)
    if "~" in text:
        msg = "must not hold '~', which starts what reconciler itself adds to names"
        raise ValueError(msg)


def ambiguities(naming: str, environments: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Find environments whose live names can be read as another's: the one, the other, and such a key of the other.

    If a name of the longer environment reads as one of the shorter, the shorter is a proper prefix of the longer (a
    suffix where `{key}` comes first), and what lies between goes to the key. What follows in the key changes nothing
    then, so that the shortest key there is, one letter, finds every case.
    """
    declared = set(environments)
    key_first = naming.index("{key}") < naming.index("{environment}")
    between = _BRACES.split(naming)[2]
    for longer in environments:
        name = f"a{between}{longer}" if key_first else f"{longer}{between}a"
        for length in range(1, len(longer)):
            shorter = longer[-length:] if key_first else longer[:length]
            if shorter in declared:
                rest = f"{between}{shorter}" if key_first else f"{shorter}{between}"
                key = name.removesuffix(rest) if key_first else name.removeprefix(rest)
                if key != name and _NAME_PATTERN.fullmatch(key):
                    yield longer, shorter, key


# Destinations of the file, and what a key's `deliver` makes of them.

_PER_KEY: Final = frozenset({"key", "KEY", "live_name"})
_NAME: Final = "name"
_OPEN: Final = {field: f"{{{field}}}" for field in FIELDS}

_Pattern = Template | bool | int | tuple[Template, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination with its templates still open."""

    name: str
    type: str
    kind: Kind
    settings: tuple[tuple[str, _Pattern], ...]
    ground: Ground
    is_per_key: bool
    marks: Mapping[str, Mark]
    written: tuple[tuple[str, Setting], ...]
    _targets: dict[str, Target] = field(default_factory=dict)

    def target(self, values: Mapping[str, str]) -> Target:
        """Return the place that it is for a key; keys of one environment share it where the settings allow."""
        if self.is_per_key:
            return self._filled(values)
        environment = values["environment"]
        if environment not in self._targets:
            self._targets[environment] = self._filled(values)
        return self._targets[environment]

    def _filled(self, values: Mapping[str, str]) -> Target:
        settings = tuple((name, self._setting(name, pattern, values)) for name, pattern in self.settings)
        root = self.ground.root if self.kind.paths else ""
        return Target(
            self.name, self.type, settings, resolved(self.type, dict(settings), self.ground), root, self.written
        )

    def _setting(self, name: str, pattern: _Pattern, values: Mapping[str, str]) -> Setting:
        if isinstance(pattern, tuple):
            return tuple(template.fill(values) for template in pattern)
        if not isinstance(pattern, Template):
            return pattern
        text = pattern.fill(values)
        return self.ground.joined(text) if name in self.kind.paths else text


@dataclass(frozen=True, slots=True)
class Drop:
    """An item of `deliver`: the destination, and the name there with its template still open."""

    destination: Destination
    name: Template
    mark: Mark
    source: Location

    def delivery(self, values: Mapping[str, str]) -> Delivery:
        """Fill the templates in; raises ValueError, in words that follow `as`, for a name that can't be."""
        name = self.name.fill(values)
        kind = self.destination.kind
        if not kind.pattern.fullmatch(name):
            msg = f"must come out as {kind.words}, not '{shown(name)}'"
            raise ValueError(msg)
        target = self.destination.target(values)
        file, is_linked = file_written(target, name, self.destination.ground)
        return Delivery(target, name, self.source, file, is_linked)


def read_destinations(
    group: Fields, grounds: Mapping[str, Ground], naming: str, report: Report
) -> dict[str, Destination | None]:
    """Read all destinations; None stands for one with errors, which others may still name."""
    found: dict[str, Destination | None] = dict.fromkeys(group.broken)
    for name in group:
        node = cast("Fields", group[name])
        found[name] = _read_destination(name, node, grounds[group.key_marks[name].name], naming, report)
    return found


def _read_destination(name: str, node: Fields, ground: Ground, naming: str, report: Report) -> Destination | None:
    settings: list[tuple[str, _Pattern]] = []
    fields: set[str] = set()
    kind = kind_of(str(node.get("type")))
    own = {} if kind.own_name is None else {kind.own_name: name}
    values: dict[str, Value] = {**kind.defaults, **own, **node}
    for setting in sorted((values.keys() - {"type"}) - node.broken):
        try:
            if setting in kind.durations:
                _check_duration(str(values[setting]))
            pattern = _pattern(values[setting], (_NAME,) if setting in kind.named else ())
        except ValueError as error:
            report.error(node.value_marks[setting], f"{shown(setting)} {error}")
            node.discard(setting)
            continue
        settings.append((setting, pattern))
        templates = pattern if isinstance(pattern, tuple) else (pattern,)
        fields.update(field for template in templates if isinstance(template, Template) for field in template.fields)
    if node.broken:
        return None
    is_per_key = not fields.isdisjoint(_PER_KEY)
    written = tuple((setting, _written(setting, pattern, kind, ground, naming)) for setting, pattern in settings)
    marks = node.value_marks
    return Destination(name, str(node["type"]), kind, tuple(settings), ground, is_per_key, marks, written)


def _check_duration(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        msg = f"must be a duration like 30s or 2m, not {described(text)}: {error}"
        raise ValueError(msg) from None


def _written(setting: str, pattern: _Pattern, kind: Kind, ground: Ground, naming: str) -> Setting:
    """Return a setting with its templates open, but for the live name, of which `naming` decides what it is."""
    if isinstance(pattern, tuple):
        return tuple(template.fill({**_OPEN, "live_name": naming}) for template in pattern)
    if not isinstance(pattern, Template):
        return pattern
    text = pattern.fill({**_OPEN, "live_name": naming})
    return ground.written(text) if setting in kind.paths else text


def _pattern(value: Value, kept: Collection[str]) -> _Pattern:
    if isinstance(value, Items):
        return tuple(parse_template(str(text), kept=kept) for text in value)
    return parse_template(value, kept=kept) if isinstance(value, str) else cast("bool | int", value)


def read_deliver(items: Items, destinations: Mapping[str, Destination | None], report: Report) -> tuple[Drop, ...]:
    """Read a `deliver` list; leaves out what is reported, here or before."""
    drops = (_read_drop(node, destinations, report) for node in items if isinstance(node, Fields) and not node.broken)
    return tuple(drop for drop in drops if drop is not None)


def _read_drop(node: Fields, destinations: Mapping[str, Destination | None], report: Report) -> Drop | None:
    to = str(node["to"])
    if to not in destinations:
        hint = "" if report.is_full else suggestion(to, destinations)
        words = f"to must name a destination, and '{shown(to)}' is none{hint}"
        report.error(node.value_marks["to"], words)
    try:
        name = parse_template(str(node["as"]))
    except ValueError as error:
        report.error(node.value_marks["as"], f"as {error}")
        return None
    destination = destinations.get(to)
    if destination is None:
        return None
    return Drop(destination, name, node.value_marks["as"], location(node.mark))
