"""The `aws-secrets-manager` destination: a secret a key, whose versions AWS keeps.

A delivery makes a new version, the one before stays as AWSPREVIOUS. Tags say which key the secret is of, since when,
and in which version: if another version is current, somebody else has written it. Values are never read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.destinations.aws_client import NO_REPLY, SERVICES, Reply, SecretsManager
from reconciler.destinations.base import Held
from reconciler.destinations.wording import one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.remote.retry import Passing, Timing, with_retries
from reconciler.units import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.destinations.base import Consignment
    from reconciler.model import Target

LARGEST: Final = 65_536
"""Bytes that a secret may have."""

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}", re.ASCII)
_MISSING: Final = "ResourceNotFoundException"
_TAG: Final = "naga:"
_KEY: Final = secrets.token_bytes(32)
"""Keys the request tokens of this process: AWS shows them, and they must tell nothing about the secrets."""


class _Delivery:
    """A secret on its way: whether AWS has taken it, and whether it may have without saying so."""

    def __init__(self, consignment: Consignment) -> None:
        """Derive what every attempt repeats, so that many make one version."""
        self.name = consignment.name
        self.stored = False
        self.maybe_stored = False
        parts = (str(consignment.address), str(consignment.key_id), self.name, consignment.secret.reveal())
        self.version = hmac.new(_KEY, "\0".join(parts).encode(), hashlib.sha256).hexdigest()
        self.value = {"SecretString": consignment.secret, "ClientRequestToken": self.version}
        notes = {
            "key-id": str(consignment.key_id),
            "address": str(consignment.address),
            "since": format_instant(datetime.now(UTC).replace(microsecond=0)),
            "version": self.version,
        }
        self.tags = [{"Key": f"{_TAG}{name}", "Value": value} for name, value in notes.items()]


class AwsSecretsManager:
    """The secrets of one region; see `Destination`."""

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's `region` and `kms_key_id`; nothing is touched yet."""
        settings = {name: value for name, value in target.settings if isinstance(value, str)}
        self._region = settings.get("region")
        self._kms = {"KmsKeyId": settings["kms_key_id"]} if "kms_key_id" in settings else {}
        self._timing = timing or Timing()
        self._service: SecretsManager | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the credentials, and each secret as far as AWS tells; see `Destination`."""
        usable = sorted({name for name in names if _NAME.fullmatch(name)})
        problems = [
            f"{name!r} is no name for a secret (letters, digits and / _ + = . @ -)" for name in _unusable(names)
        ]
        problems += repeated(names)
        problems += await self._obstacles(usable)
        if problems:
            raise DestinationError(one_line(f"AWS Secrets Manager: {'; '.join(problems)}"))

    async def deliver(self, consignment: Consignment) -> None:
        """Store the secret as the current version of its name; see `Destination`."""
        if refused := _refused(consignment):
            raise DestinationError(one_line(f"{consignment.name} was not stored in AWS Secrets Manager: {refused}"))
        delivery = _Delivery(consignment)
        try:
            await with_retries(lambda: self._attempt(delivery), self._timing)
        except DestinationError as error:
            why = str(error)
        else:
            return
        uncertain = delivery.stored or delivery.maybe_stored
        word = "is stored but not tagged" if delivery.stored else "may not be stored" if uncertain else "was not stored"
        msg = one_line(f"{consignment.name} {word} in AWS Secrets Manager: {why}")
        raise DestinationError(msg, uncertain=uncertain)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Say which of the secrets there are, by their tags; see `Describing`."""
        found = await asyncio.gather(*(self._held(name) for name in names))
        return {name: held for name, held in zip(names, found, strict=True) if held is not None}

    async def aclose(self) -> None:
        """Close the connections, for all who share them; see `Closing`."""
        service, self._service = self._service, None
        if service is not None:
            service.close()

    def _connected(self) -> SecretsManager:
        service = SERVICES.get(self._region, lambda: SecretsManager(self._region))
        self._service = service
        return service

    async def _attempt(self, delivery: _Delivery) -> None:
        """Store and tag; may be repeated, since AWS knows the version by its token."""
        reply = await self._store(delivery)
        if reply.code == _MISSING:
            reply = await self._call(
                delivery, "create_secret", Name=delivery.name, Tags=delivery.tags, **self._kms, **delivery.value
            )
            if reply.code == "ResourceExistsException":  # made by somebody else, or by an attempt whose answer got lost
                raise Passing(DestinationError(reply.said))
            _expect(reply)
            return
        _expect(reply)
        delivery.stored = True
        _expect(await self._call(delivery, "tag_resource", SecretId=delivery.name, Tags=delivery.tags))

    async def _store(self, delivery: _Delivery) -> Reply:
        # Only an update changes the key that a secret is encrypted with.
        operation = "update_secret" if self._kms else "put_secret_value"
        return await self._call(delivery, operation, SecretId=delivery.name, **self._kms, **delivery.value)

    async def _call(self, delivery: _Delivery, operation: str, **parameters: object) -> Reply:
        reply = await self._connected().call(operation, **parameters)
        delivery.maybe_stored = delivery.maybe_stored or reply.maybe_done
        return reply

    async def _read(self, operation: str, name: str) -> Reply:
        """Ask for something that changes nothing, until there is a reply that does not look passing."""

        async def attempt() -> Reply:
            reply = await self._connected().call(operation, SecretId=name)
            if reply.passing or reply.code == NO_REPLY:
                _expect(reply)
            return reply

        return await with_retries(attempt, self._timing)

    async def _obstacles(self, names: Sequence[str]) -> list[str]:
        """Say what keeps secrets of these names from being stored."""
        found: dict[str, None] = {}
        try:
            # One first: where there is no way to AWS at all, the others need not find out again.
            for group in (names[:1], names[1:]):
                for problems in await asyncio.gather(*map(self._obstacles_of, group)):
                    found.update(dict.fromkeys(problems))
        except DestinationError as error:
            found[str(error)] = None
        return list(found)

    async def _obstacles_of(self, name: str) -> list[str]:
        described = await self._read("describe_secret", name)
        if described.code not in {"", _MISSING}:
            return [described.said]
        found = list(_states(name, described.body, await self._connected().region()))
        if self._kms:  # delivered by an update, and one without a value is carried out
            return found
        # A put without a value can't be carried out; AWS looks at the permission before it says so.
        probe = await self._read("put_secret_value", name)
        return [*found, probe.said] if probe.denied else found

    async def _held(self, name: str) -> Held | None:
        reply = await self._read("describe_secret", name)
        if reply.code == _MISSING:
            return None
        _expect(reply)
        stages: Mapping[str, Sequence[str]] = reply.body.get("VersionIdsToStages", {})
        current = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
        if not current or reply.body.get("DeletedDate"):
            return None
        tags = {tag["Key"]: tag["Value"] for tag in reply.body.get("Tags", [])}
        return _noted(tags) if tags.get(f"{_TAG}version") in current else Held(None, None)


def _expect(reply: Reply) -> None:
    """Let a success through; raises Passing or DestinationError for anything else."""
    if not reply.code:
        return
    failure = DestinationError(reply.said)
    if reply.passing:
        raise Passing(failure, reply.retry_after)
    raise failure


def _refused(consignment: Consignment) -> str:
    """Say why a secret cannot be stored; empty when it can."""
    content = utf8(consignment.secret)
    if not _NAME.fullmatch(consignment.name):
        return "it is no name for a secret"
    if content is None:
        return "the secret is no text"
    return f"the secret is larger than {LARGEST} bytes" if len(content) > LARGEST else ""


def _unusable(names: Sequence[str]) -> list[str]:
    return [name for name in sorted(set(names)) if not _NAME.fullmatch(name)]


def _states(name: str, described: Mapping[str, Any], region: str) -> Iterator[str]:
    """Say what about an existing secret would refuse a new version."""
    if described.get("DeletedDate"):
        yield f"{name} is scheduled for deletion; restore it with `aws secretsmanager restore-secret`, or wait"
    if owner := described.get("OwningService"):
        yield f"{name} belongs to the AWS service {owner}"
    if described.get("PrimaryRegion", region) != region:
        yield f"{name} is a replica; deliver to {described['PrimaryRegion']}, where it comes from"


def _noted(tags: Mapping[str, str]) -> Held:
    key_id, since = None, None
    with suppress(KeyError, ValueError):
        key_id = int(tags[f"{_TAG}key-id"])
    with suppress(KeyError, ValueError):
        since = parse_instant(tags[f"{_TAG}since"])
    return Held(key_id, since)
