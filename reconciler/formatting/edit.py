"""Adds keys and globs to files that somebody wrote, and keeps every comment and the order of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.declaration.loader import SourceFile, read
from reconciler.declaration.parser import Fields, Report, shown
from reconciler.declaration.resolve import merged
from reconciler.errors import UsageError
from reconciler.formatting.canonical import formatted, read_tree
from reconciler.formatting.printer import printed
from reconciler.formatting.tree import Collection, Document, Scalar, field
from reconciler.planning.actions import used_lately
from reconciler.planning.budgets import allowance, renews_like
from reconciler.units import format_instant, format_money, parse_instant

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from reconciler.formatting.tree import Entry, Value
    from reconciler.model import Usage
    from reconciler.planning.importing import Adopted


_START: Final = "version: 1\nenvironments: {}\n"
SETTINGS: Final = "settings.yaml"


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key to write: its name, its fields, and what a comment says of it, on one line and all of it visible."""

    name: str
    fields: Mapping[str, Value]
    comment: str


@dataclass(frozen=True, slots=True)
class Additions:
    """Keys by environment and globs for `ignore`.

    `variable` is what new environments name, `grace` their `deletion_grace`, `title` heads new files. `guardrails`
    (name, value and comment of each) go into a declaration that is all new; what somebody wrote decides that itself.
    """

    keys: Mapping[str, Sequence[KeyText]]
    ignore: Sequence[str] = ()
    variable: str | None = None
    grace: str | None = None
    guardrails: Sequence[tuple[str, str, str]] = ()
    title: str = "Declared by reconciler."


def added(sources: Sequence[SourceFile], additions: Additions, place: Path, *, is_folder: bool) -> list[SourceFile]:
    """Return the files that change, with what is added to them; one that is not there yet is among them.

    In a folder, a key goes into the file that has its environment's keys, or into a file of its environment's name.

    Raises:
        UsageError: what would have to be added to is an alias, what is there would come to mean something else because
            of one, or a file can't be written anew.
    """
    shelf = _Shelf(sources, place, additions.title, is_folder=is_folder)
    for environment, keys in additions.keys.items():
        name = shelf.home_of(environment)
        document = shelf.documents[name]
        shelf.documents[name] = _with_keys(document, environment, keys, _of_new_environments(additions), name)
    if additions.ignore:
        name = shelf.home_of_ignore()
        shelf.documents[name] = _with_globs(shelf.documents[name], additions.ignore, name)
    if not sources and additions.guardrails:
        name = shelf.new(SETTINGS)
        shelf.documents[name] = _with_guardrails(shelf.documents[name], additions.guardrails)
    if not shelf.documents:
        shelf.new(SETTINGS)
    changed = shelf.changed()
    _check_the_rest(root_of(sources), root_of(changed_in(sources, changed)), additions)
    return changed


def changed_in(sources: Sequence[SourceFile], changed: Sequence[SourceFile]) -> list[SourceFile]:
    """Return all files as they are with these changed."""
    return [*{source.name: source for source in (*sources, *changed)}.values()]


def root_of(sources: Sequence[SourceFile]) -> Fields | None:
    """Read what valid files hold together, aliases and `<<` followed; None from no files."""
    report = Report()
    documents = [document for source in sources if (document := read(source, report)) is not None]
    return merged(documents, report) if documents else None


def _check_the_rest(before: Fields | None, after: Fields | None, additions: Additions) -> None:
    """See that nothing but the additions is new: an alias repeats them, and they hide what `<<` puts in their place."""
    if before is None or after is None:
        return
    globs = [*_items(before), *additions.ignore]
    differing = ["ignore"] if _items(after) != globs else []
    old, new = (cast("dict[str, Any]", root["environments"]) for root in (before, after))
    for name, node in old.items():
        added_here = {key.name for key in additions.keys.get(name, ())}
        keys = {key: fields for key, fields in new[name]["keys"].items() if key not in added_here}
        if {**new[name], "keys": keys} != node:
            differing.append(f"environment {name}")
    if differing:
        what = f"{' and '.join(differing)} would change, because an alias or << stands there"
        msg = f"nothing is written: {what}; write it out, and import again"
        raise UsageError(msg)


def _items(root: Fields) -> list[Any]:
    return cast("list[Any]", root.get("ignore", []))


class _Shelf:
    """The files by name, as they are written, and those that are still to be made."""

    def __init__(self, sources: Sequence[SourceFile], place: Path, title: str, *, is_folder: bool) -> None:
        self._sources = {source.name: source for source in sources}
        self._place = place
        self._title = title
        self._is_folder = is_folder
        self._before = {source.name: read_tree(source) for source in sources}
        self.documents = dict(self._before)

    def home_of(self, environment: str) -> str:
        """Name the file that an environment's keys go to."""
        having = [name for name, document in self.documents.items() if _environment(document, environment)]
        with_keys = [name for name in having if "keys" in _names(_environment(self.documents[name], environment))]
        return next(iter([*with_keys, *having]), None) or self.new(f"{environment}.yaml")

    def home_of_ignore(self) -> str:
        """Name the file that says what to ignore, or should."""
        having = [name for name, document in self.documents.items() if document.root.find("ignore")]
        return next(iter(having), None) or self.new(SETTINGS)

    def new(self, name: str) -> str:
        """Open a file of a folder, or the one that there is without a folder; start it if it is not there."""
        path = str(self._place / name if self._is_folder else self._place)
        if path not in self._sources:
            folder = self._place if self._is_folder else self._place.parent
            self._sources[path] = SourceFile(path, folder, f"# {self._title}\n\n{_START}".encode())
            self.documents[path] = read_tree(self._sources[path])
        return path

    def changed(self) -> list[SourceFile]:
        """Return what is different now, or new; what is new is in its canonical form."""
        files = []
        for name, document in self.documents.items():
            if document is self._before.get(name):
                continue
            file = replace(self._sources[name], content=printed(document).encode())
            files.append(file if name in self._before else replace(file, content=formatted(file)))
        return files


def _environment(document: Document, name: str) -> Value | None:
    environments = document.root.find("environments")
    return environments.find(name) if isinstance(environments, Collection) else None


def _names(value: Value | None) -> set[str]:
    return {entry.name.text for entry in value.entries if entry.name} if isinstance(value, Collection) else set()


def _of_new_environments(additions: Additions) -> list[Entry]:
    named = (("provisioning_key_env", additions.variable), ("deletion_grace", additions.grace))
    return [field(name, Scalar(value)) for name, value in named if value is not None]


def _with_guardrails(document: Document, guardrails: Sequence[tuple[str, str, str]]) -> Document:
    entries = tuple(field(name, Scalar(value), beside=f"# {why}") for name, value, why in guardrails)
    return replace(document, root=_with(document.root, "guardrails", Collection(is_mapping=True, entries=entries)))


def _with_keys(
    document: Document, environment: str, keys: Sequence[KeyText], new: Sequence[Entry], file: str
) -> Document:
    """Put keys into an environment, which is made with the fields `new` if it is missing."""
    entries = [field(key.name, _on_one_line(key.fields), beside=f"# {key.comment}") for key in keys]
    environments = _opened(document.root.find("environments"), f"environments of {file}")
    found = environments.find(environment)
    inside = Collection(is_mapping=True, entries=tuple(new)) if found is None else found
    inside = _opened(inside, f"environment {environment} in {file}")
    held = _opened(inside.find("keys"), f"the keys of environment {environment} in {file}")
    held = replace(held, entries=(*held.entries, *entries))
    environments = _with(environments, environment, _with(inside, "keys", held))
    return replace(document, root=_with(document.root, "environments", environments))


def _with_globs(document: Document, globs: Sequence[str], file: str) -> Document:
    found = document.root.find("ignore")
    held = _opened(found, f"ignore in {file}", is_mapping=False)
    items = tuple(replace(field("", Scalar(glob, style='"')), name=None) for glob in globs)
    held = replace(held, entries=(*held.entries, *items))
    return replace(document, root=_with(document.root, "ignore", held))


def _opened(value: Value | None, what: str, *, is_mapping: bool = True) -> Collection:
    """Return a collection that takes more, a line each; an empty one where there is none."""
    if value is None:
        return Collection(is_mapping)
    if not isinstance(value, Collection):
        msg = f"{what} can't be added to, because an alias stands there; write it out, and import again"
        raise UsageError(msg)
    return replace(value, inline=False)


def _with(collection: Collection, name: str, value: Value) -> Collection:
    """Put a value under a name: where it was, or at the end."""
    if name not in _names(collection):
        return replace(collection, entries=(*collection.entries, field(name, value)))
    entries: list[Entry] = [
        replace(entry, value=value) if entry.name and entry.name.text == name else entry for entry in collection.entries
    ]
    return replace(collection, entries=tuple(entries))


def _on_one_line(fields: Mapping[str, Value]) -> Collection:
    entries = tuple(field(name, value) for name, value in fields.items())
    return Collection(is_mapping=True, entries=entries, inline=True)


# What is written of live keys that get declared: their fields, as far as they do not inherit them, and a comment.

Inherited = Callable[[str], Mapping[str, Any]]
"""Gives what a key of an environment has without saying so, as the file says it."""

Used = Callable[[int], "Usage | None"]
"""Says of a key's id what it was used for lately; None where that is not known."""

_EMPTY_LIST: Final = Collection(is_mapping=False)


def inheritance(sources: Sequence[SourceFile]) -> Inherited:
    """Read from valid files what their keys inherit; from no files, nothing."""
    root = root_of(sources)
    if root is None:
        return lambda _: {}

    def of(name: str) -> Mapping[str, Any]:
        environment = _group(_group(root, "environments"), name)
        return {**_group(root, "defaults"), **_group(environment, "defaults"), **environment}

    return of


def key_texts(adopted: Sequence[Adopted], inherited: Inherited, used: Used, now: datetime) -> dict[str, list[KeyText]]:
    """Write keys so that each is declared as it is, by environment."""
    texts: dict[str, list[KeyText]] = {}
    for key in adopted:
        environment, name = key.address
        text = KeyText(name, _fields(key, inherited(environment)), _comment(key, used, now))
        texts.setdefault(environment, []).append(text)
    return texts


def _fields(key: Adopted, inherited: Mapping[str, Any]) -> dict[str, Value]:
    live, limit, renew = key.live, allowance(key.live), renews_like(key.live)
    fields: dict[str, Value] = {"credit_limit": Scalar("null" if limit is None else format_money(limit))}
    if renew != inherited.get("renew"):
        fields["renew"] = Scalar(renew or "null")
    if inherited.get("raise") is not None:
        fields["raise"] = Scalar("null")  # the limit is what it is now
    if live.is_enabled != inherited.get("is_enabled", True):
        fields["is_enabled"] = Scalar(str(live.is_enabled).lower())
    expiry = inherited.get("expires_at")
    if live.expires_at != (None if expiry is None else parse_instant(expiry)):
        fields["expires_at"] = Scalar("null" if live.expires_at is None else format_instant(live.expires_at))
    if inherited.get("deliver") or not ("deliver" in inherited or key.renamed):
        fields["deliver"] = _EMPTY_LIST  # nobody can read the secret again, so it is in no destination
    if inherited.get("rotate_every") is not None:
        fields["rotate_every"] = Scalar("null")  # nor would anybody receive the next one
    if key.renamed:
        fields["id"] = Scalar(str(live.id))
    return fields


def _comment(key: Adopted, used: Used, now: datetime) -> str:
    """Return what the service knows of a key besides what is declared."""
    live = key.live
    parts = [f'was "{shown(live.name)}"' if key.renamed else f"id {live.id}"]
    parts.append(f"created {format_instant(live.created_at).partition('T')[0]}")
    usage = used(live.id)
    if usage is not None:
        parts.append(used_lately(live, usage, now))
    return ", ".join(parts)


def _group(node: Fields, name: str) -> Fields:
    return cast("Fields", node.get(name, Fields(node.mark)))
