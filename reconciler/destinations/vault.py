"""The `vault` destination: fields of a secret in a KV version 2 engine of Vault or OpenBao.

The field is patched into the secret with check-and-set, so that its other fields stay and nobody's write is lost; their
values are never read. Deliveries to one secret that arrive while it is being written wait and are then written
together. Which key a field is of, and since when, stands in the custom metadata of the secret, one entry a field.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, fingerprint, text_setting
from reconciler.destinations.shared import note, one_line, read_note, repeated, utf8
from reconciler.destinations.vault_server import SERVERS, Access, Server
from reconciler.errors import DestinationError
from reconciler.http.retry import Passing, Timing, with_retries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.http.reply import Reply
    from reconciler.model import Target
    from reconciler.secret import Secret

MOST_NOTES: Final = 64
"""Entries that the custom metadata of one secret can have."""

_NEEDED: Final = {"data": ("create", "patch", "update"), "metadata": ("patch", "read")}
_FIELD: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
_SEGMENTS: Final = re.compile(r"(?!\.{1,2}(/|$))[\w.@:=-]+(/(?!\.{1,2}(/|$))[\w.@:=-]+)*", re.ASCII)
_PLACES: Final = frozenset({"path", "mount", "namespace", "auth_mount"})
_CONFLICT: Final = "check-and-set"


@dataclass(slots=True)
class _Shipment:
    """What is written together, and how far it has come: `written` is when the server took it."""

    group: Mapping[str, SecretDelivery]
    maybe_there: bool = False
    written: str | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a shipment did not arrive, or may have."""

    why: str
    uncertain: bool


class Vault:
    """One secret of a KV version 2 engine; see `Destination`.

    A delivery that is cancelled while it waits is still written; what is written is whole in any case.
    """

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's settings; nothing is touched yet.

        Raises:
            DestinationError: they name no secret, or one that cannot be.
        """
        settings = dict(target.settings)
        texts = {name: value.strip("/") for name, value in settings.items() if isinstance(value, str)}
        self._mount, self._path = texts.get("mount", "secret"), texts.get("path", "")
        for name, value in {"path": "", "mount": "secret", **texts}.items():
            if name in _PLACES and not _SEGMENTS.fullmatch(value):
                allowed = "letters, digits and _ . @ : = - between slashes"
                msg = f"the setting {name} of {target.destination!r} must be a path of {allowed}, not {value!r}"
                raise DestinationError(one_line(msg))
        self._access = Access(texts.get("namespace"), texts.get("role"), texts.get("audience"), texts.get("auth_mount"))
        self._timing = timing or Timing()
        self._server: Server | None = None
        self._writing = asyncio.Lock()
        self._queued: dict[str, SecretDelivery] = {}
        self._commit: asyncio.Task[_Failure | None] | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the server, the login, the mount and what the login may do; see `Destination`."""
        problems = [f"{name!r} is no name for a field (letters, digits and _ . -)" for name in _unusable(names)]
        problems += repeated(names)
        try:
            problems += await self._obstacles(names)
        except DestinationError as error:
            problems.append(str(error))
        if problems:
            raise DestinationError(one_line(f"{self._place()}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Set the field to the secret and return when the server has it; see `Destination`."""
        failure = self._enlist(secret_delivery)
        if failure is None:
            # Shielded: a group is written for all who wait for it, whoever of them is cancelled.
            failure = await asyncio.shield(self._group())
        if failure is not None:
            word = "may not be in" if failure.uncertain else "was not written to"
            msg = one_line(f"{secret_delivery.name} {word} {self._place()}: {failure.why}")
            raise DestinationError(msg, uncertain=failure.uncertain)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return which of the fields there are, by what the custom metadata notes; see `Describing`."""
        fields = await self._known("subkeys", "subkeys")
        notes = (await self._known("metadata", "custom_metadata")) if fields else {}
        found = {name: read_note(notes.get(_note_name(name))) for name in names if name in fields}
        return {name: note.held if note else Held(None, None) for name, note in found.items()}

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare the fingerprints that the custom metadata notes, without reading a secret; see `Searching`."""
        wanted = fingerprint(secret)
        notes = await self._known("metadata", "custom_metadata")
        found = {name: read_note(notes.get(_note_name(name))) for name in names}
        return [name for name, note in found.items() if note is not None and note.sha256 == wanted]

    async def aclose(self) -> None:
        """Log out and close the connections, for all who share them; see `Closing`."""
        server, self._server = self._server, None
        if server is not None:
            await server.aclose()

    def _connected(self) -> Server:
        server = SERVERS.get(self._access, lambda: Server(self._access, os.environ, self._timing))
        self._server = server
        return server

    def _place(self) -> str:
        at = f" at {self._server.name}" if self._server else ""
        return f"{self._mount}/{self._path}{at}"

    def _at(self, kind: str) -> str:
        return quote(f"{self._mount}/{kind}/{self._path}")

    async def _obstacles(self, names: Sequence[str]) -> list[str]:
        server = self._connected()
        if trouble := await server.trouble():
            return [trouble]
        paths = {kind: f"{self._mount}/{kind}/{self._path}" for kind in _NEEDED}
        reply = await server.read("POST", "sys/capabilities-self", {"paths": list(paths.values())})
        if reply.status == HTTPStatus.FORBIDDEN:
            return ["the token is refused: it is wrong, expired or revoked, or lacks the policy `default`"]
        if not reply.ok:
            return [f"what the login may do cannot be found out: {reply.said}"]
        if trouble := await server.mount_trouble(self._mount):
            return [trouble]
        lacking = [
            f"the login lacks {' and '.join(missing)} on {path}"
            for kind, path in paths.items()
            if (missing := _missing(_NEEDED[kind], reply.part("data").get(path)))
        ]
        return lacking or await self._crowding(names)

    async def _crowding(self, names: Sequence[str]) -> list[str]:
        notes = await self._known("metadata", "custom_metadata")
        count = len({*notes, *map(_note_name, names)})
        if count <= MOST_NOTES:
            return []
        return [f"{count} fields are too many for one secret ({MOST_NOTES}); put {{key}} into `path`"]

    async def _known(self, kind: str, part: str) -> Mapping[str, Any]:
        """Read what is known of the secret without its values; nothing when there is no such secret."""
        reply = await self._connected().read("GET", self._at(kind))
        if reply.status == HTTPStatus.NOT_FOUND:
            return {}
        if not reply.ok:
            msg = one_line(f"{self._mount}/{kind}/{self._path} cannot be read: {reply.said}")
            raise DestinationError(msg)
        value = reply.part("data").get(part)
        return value if isinstance(value, dict) else {}

    def _enlist(self, secret_delivery: SecretDelivery) -> _Failure | None:
        if not _FIELD.fullmatch(secret_delivery.name):
            return _Failure("it is no name for a field", uncertain=False)
        if utf8(secret_delivery.secret) is None:
            return _Failure("the secret is no text", uncertain=False)
        if secret_delivery.name in self._queued:
            return _Failure("another secret of this name is being delivered at the same time", uncertain=False)
        # A copy: the group is written also for who is cancelled and wipes the secret.
        self._queued[secret_delivery.name] = replace(secret_delivery, secret=secret_delivery.secret.copy())
        return None

    def _group(self) -> asyncio.Task[_Failure | None]:
        if self._commit is None or self._commit.done():  # done: cancelled before it began
            self._commit = asyncio.create_task(self._write_queued())
        return self._commit

    async def _write_queued(self) -> _Failure | None:
        async with self._writing:
            shipment, self._queued, self._commit = _Shipment(self._queued), {}, None
            try:
                await with_retries(lambda: self._attempt(shipment), self._timing)
            except DestinationError as error:
                there = "it is there, but not what it is: " if shipment.written else ""
                return _Failure(f"{there}{error}", uncertain=shipment.maybe_there or shipment.written is not None)
            finally:
                for each in shipment.group.values():
                    each.secret.wipe()
            return None

    async def _attempt(self, shipment: _Shipment) -> None:
        """Go on from where the last attempt has come to; raises Passing or DestinationError."""
        server = self._connected()
        if shipment.written is None:
            shipment.written = await self._write(shipment, server)
        notes = {_note_name(name): note(each, shipment.written) for name, each in shipment.group.items()}
        _expect(await server.ask("PATCH", self._at("metadata"), {"custom_metadata": notes}))

    async def _write(self, shipment: _Shipment, server: Server) -> str:
        """Write the fields; gives when the server took them."""
        version = await self._version(server)
        body = {
            "options": {"cas": version},
            "data": {name: each.secret for name, each in shipment.group.items()},
        }
        reply = None
        if version:
            reply = await server.ask("PATCH", self._at("data"), body)
        if reply is None or reply.status == HTTPStatus.NOT_FOUND:
            # There is no version with fields to keep: none at all, or the last one is deleted.
            reply = await server.ask("POST", self._at("data"), body)
        shipment.maybe_there = shipment.maybe_there or reply.maybe_done
        if reply.status == HTTPStatus.BAD_REQUEST and _CONFLICT in reply.said:
            msg = "somebody else keeps writing there at the same time"
            raise Passing(DestinationError(msg))
        data = _expect(reply).part("data")
        return f"{str(data.get('created_time'))[:19]}Z"

    async def _version(self, server: Server) -> int:
        reply = await server.ask("GET", self._at("metadata"))
        if reply.status == HTTPStatus.NOT_FOUND:
            return 0
        version = _expect(reply).part("data").get("current_version")
        return version if isinstance(version, int) else 0


def _expect(reply: Reply) -> Reply:
    """Let a success through; raises Passing or DestinationError for anything else."""
    if reply.ok:
        return reply
    failure = DestinationError(reply.said)
    if reply.setback is not None:
        raise Passing(failure, reply.wait)
    raise failure


def _unusable(names: Sequence[str]) -> list[str]:
    return [name for name in sorted(set(names)) if not _FIELD.fullmatch(name)]


def _missing(needed: Sequence[str], granted: object) -> list[str]:
    has = set(granted) if isinstance(granted, list) else set()
    return [] if "root" in has else [each for each in needed if each not in has]


def _note_name(field: str) -> str:
    return f"naga.{field}"


DESCRIPTION: Final = Description(
    create=Vault,
    type="vault",
    summary="A secret of Vault or OpenBao, one field a key.",
    title="A secret of Vault or OpenBao",
    description=(
        "A secret in a KV version 2 engine, one field a key. The server's address and the credentials come from the "
        "environment: VAULT_ADDR, and VAULT_TOKEN, VAULT_ROLE_ID with VAULT_SECRET_ID, or a JWT."
    ),
    settings={
        "path": text_setting(
            "The secret in the engine, without the mount and without data/. Its other fields stay.",
            "a path like naga/{environment}/{key}, of letters, digits and _ . @ : = - between slashes",
            "naga/{environment}/{key}",
            "naga/{environment}",
            pattern=r"^[A-Za-z0-9_.@:={}-]+(/[A-Za-z0-9_.@:={}-]+)*$",
            most=512,
        ),
        "mount": text_setting(
            "Where the KV version 2 engine is mounted.",
            "a path like secret, of letters, digits and _ . @ : = - between slashes",
            "secret",
            "team/kv",
            pattern=r"^[A-Za-z0-9_.@:={}-]+(/[A-Za-z0-9_.@:={}-]+)*$",
            most=512,
            default="secret",
        ),
        "namespace": text_setting(
            "The namespace of the engine and of the login; VAULT_NAMESPACE where nothing is said.",
            "a path like team, of letters, digits and _ . @ : = - between slashes",
            "team",
            pattern=r"^[A-Za-z0-9_.@:={}-]+(/[A-Za-z0-9_.@:={}-]+)*$",
            most=512,
        ),
        "role": text_setting(
            "The role of the JWT login: by VAULT_JWT, or in GitHub Actions by the job's own OIDC token.",
            "the name of a role",
            "reconciler",
        ),
        "audience": text_setting(
            "The audience to ask GitHub's OIDC token for; GitHub's own default where nothing is said.",
            "the audience of a token",
            "https://vault.example.com",
        ),
        "auth_mount": text_setting(
            "Where the login method is mounted; approle or jwt where nothing is said.",
            "a path like github, of letters, digits and _ . @ : = - between slashes",
            "github",
            pattern=r"^[A-Za-z0-9_.@:={}-]+(/[A-Za-z0-9_.@:={}-]+)*$",
            most=512,
        ),
    },
    required=("path",),
    kind=Kind(
        names=r"(?a)[A-Za-z0-9_.-]{1,100}",
        words="the name of a field (letters, digits and _ . -, at most 100)",
        defaults={"mount": "secret"},
        ambient={"namespace": ("VAULT_NAMESPACE",)},
        joined=("namespace", "mount", "path"),
        manner=("audience", "auth_mount", "role"),
    ),
)
