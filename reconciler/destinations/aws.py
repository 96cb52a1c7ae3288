"""The `aws-secrets-manager` destination: a secret a key, whose versions AWS keeps.

A delivery makes a new version, the one before stays as AWSPREVIOUS. Tags say which key the secret is of, since when,
and in which version: if another version is current, somebody else has written it. Values are never read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore import exceptions
from botocore.config import Config

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, fingerprint, text_setting
from reconciler.destinations.shared import Memo, PerRun, Threads, one_line, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.http.address import unencrypted
from reconciler.http.redact import quote
from reconciler.http.retry import Passing, Timing, with_retries
from reconciler.secret import Secret
from reconciler.units import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from types_boto3_secretsmanager import SecretsManagerClient

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target


# Calls to AWS Secrets Manager and what came of them, as values.
#
# boto3 is synchronous, so its calls run in threads; no exception of it gets out, for they may hold what was sent.

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
WHOLE_SECONDS: Final = 120.0
CONNECTIONS: Final = 8
NO_REPLY: Final = "none"

_SILENT: Final = frozenset({"tag_resource"})
_THROTTLED: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)
_Result = TypeVar("_Result")
_log = logging.getLogger("reconciler.destinations")


@dataclass(frozen=True, slots=True)
class _Connection:
    """A client, and the session that has its credentials, which an error may repeat."""

    client: SecretsManagerClient
    session: boto3.session.Session

    def credentials(self) -> Iterator[Secret]:
        """Yield what of the credentials is secret; nothing where they cannot be had any more."""
        with suppress(Exception):  # whatever the configuration makes it raise: the call itself has told of it
            found: Any = self.session.get_credentials()
            _, key, token, *_ = found.get_frozen_credentials()
            yield from (Secret(part) for part in (key, token) if part)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply; its code is empty for a success, AWS's own for a refusal and NO_REPLY when there was no reply.

    `said` is why it is no success, fit to be shown; `maybe_done` that AWS may have done as it was asked although it
    does not say so; `denied` that these credentials may not ask for it; `passing` that another attempt may go better,
    `retry_after` seconds from now.
    """

    code: str = ""
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    said: str = ""
    maybe_done: bool = False
    passing: bool = False
    denied: bool = False
    retry_after: float = 0.0


class SecretsManager:
    """The service in one region as one run knows it: one client for all, at most CONNECTIONS calls at a time."""

    def __init__(self, region: str | None) -> None:
        """Take the region, None for the one of the environment; nothing is sent yet."""
        self._region = region
        self._threads = Threads(CONNECTIONS, "aws")
        self._clients: Memo[_Connection | Reply] = Memo()

    async def call(self, operation: str, **parameters: object) -> Reply:
        """Call an operation by its name in boto3 (`put_secret_value`); secrets stand in the parameters as such."""
        connection = await self._clients.get("client", self._connect)
        if isinstance(connection, Reply):
            return connection
        return await self._in_thread(lambda: _call(connection, operation, parameters))

    async def region(self) -> str:
        """Return the region that calls go to; empty when there is no client."""
        connection = await self._clients.get("client", self._connect)
        return "" if isinstance(connection, Reply) else connection.client.meta.region_name

    def close(self) -> None:
        """Close all connections."""
        connection = self._clients.known("client")
        if isinstance(connection, _Connection):
            connection.client.close()

    async def _connect(self) -> _Connection | Reply:
        return await self._in_thread(lambda: _client(self._region))

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result | Reply:
        with suppress(TimeoutError):
            return await self._threads.run(work, WHOLE_SECONDS)
        return Reply(NO_REPLY, said=f"no answer within {WHOLE_SECONDS:g} s", passing=True, maybe_done=True)


SERVICES: Final[PerRun[SecretsManager]] = PerRun()


def _client(region: str | None) -> _Connection | Reply:
    # At DEBUG, botocore logs whole requests, with the secrets in them.
    logging.getLogger("botocore").setLevel(logging.INFO)
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"total_max_attempts": 1},  # when another attempt is made is decided where its outcome is known
    )
    try:
        session = boto3.session.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        client = session.client("secretsmanager", config=config)
    except Exception as error:  # noqa: BLE001  # whatever the environment and the AWS configuration make it raise
        return _no_reply(error)
    if unencrypted(client.meta.endpoint_url):
        client.close()
        return Reply(NO_REPLY, said="AWS_ENDPOINT_URL must be https (or http to this machine)")
    return _Connection(client, session)


def _call(connection: _Connection, operation: str, parameters: Mapping[str, object]) -> Reply:
    started = time.monotonic()
    held = {name: value for name, value in parameters.items() if isinstance(value, Secret)}
    try:
        revealed = {name: value.reveal() for name, value in held.items()}
        body = getattr(connection.client, operation)(**{**parameters, **revealed})
        # botocore takes any 200 for a success, even that of a page which a proxy shows.
        reply = Reply(body=body) if "ARN" in body or operation in _SILENT else _NO_ANSWER
    except exceptions.ClientError as error:
        reply = _refusal(error, [*held.values(), *connection.credentials()])
    except Exception as error:  # noqa: BLE001  # whatever it is, it may hold the secret
        reply = _no_reply(error)
    took = round((time.monotonic() - started) * 1000)
    _log.debug("%s: %s in %d ms", operation, reply.said or "done", took)
    return reply


def _refusal(error: exceptions.ClientError, secrets: list[Secret]) -> Reply:
    details, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code, status = details.get("Code", "unknown"), meta.get("HTTPStatusCode", 0)
    asked = str(meta.get("HTTPHeaders", {}).get("retry-after", ""))
    internal = status >= 500 or code == "InternalServiceError"  # noqa: PLR2004  # the 5xx
    return Reply(
        code,
        said=quote(f"{error.operation_name}: {code}: {details.get('Message', '')}", secrets),
        maybe_done=internal,
        passing=internal or status == 429 or code in _THROTTLED,  # noqa: PLR2004  # too many requests
        denied=status == 403 or code.startswith("AccessDenied"),  # noqa: PLR2004  # forbidden, as proxies say it
        retry_after=float(asked) if _SECONDS.fullmatch(asked) else 0.0,
    )


def _no_reply(error: Exception) -> Reply:
    """Return why there is no reply, in words of our own: those of the library hold parameters and addresses."""
    for kind, reply in _NO_REPLIES.items():
        if isinstance(error, kind):
            return reply
    if isinstance(error, exceptions.BotoCoreError):
        return Reply(NO_REPLY, said=f"the configuration or the credentials cannot be used ({type(error).__name__})")
    return Reply(NO_REPLY, said=f"unexpected {type(error).__name__}", maybe_done=True)


_NO_ANSWER: Final = Reply(NO_REPLY, said="no answer that Secrets Manager gives", maybe_done=True)
_NO_CREDENTIALS: Final = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give a role"
_NO_REPLIES: Final[dict[type[Exception], Reply]] = {  # the first that fits counts
    exceptions.NoCredentialsError: Reply(NO_REPLY, said=_NO_CREDENTIALS),
    exceptions.PartialCredentialsError: Reply(NO_REPLY, said=_NO_CREDENTIALS),
    exceptions.NoRegionError: Reply(NO_REPLY, said="no region is known: set AWS_REGION, or `region` in the file"),
    exceptions.ConnectTimeoutError: Reply(NO_REPLY, said=f"no connection within {CONNECT_SECONDS:g} s", passing=True),
    exceptions.ReadTimeoutError: Reply(
        NO_REPLY, said=f"no answer within {READ_SECONDS:g} s", passing=True, maybe_done=True
    ),
    exceptions.SSLError: Reply(NO_REPLY, said="no trust in the certificate (AWS_CA_BUNDLE can name its authority)"),
    exceptions.ConnectionError: Reply(NO_REPLY, said="the service cannot be reached", passing=True),
    exceptions.ConnectionClosedError: Reply(NO_REPLY, said="the connection broke", passing=True, maybe_done=True),
    exceptions.HTTPClientError: Reply(NO_REPLY, said="the answer cannot be read", passing=True, maybe_done=True),
}


LARGEST: Final = 65_536
"""Bytes that a secret may have."""

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}", re.ASCII)
_MISSING: Final = "ResourceNotFoundException"
_TAG: Final = "naga:"
_KEY: Final = secrets.token_bytes(32)
"""Keys the request tokens of this process: AWS shows them, and they must tell nothing about the secrets."""


class _Delivery:
    """A secret on its way: whether AWS has taken it, and whether it may have without saying so."""

    def __init__(self, secret_delivery: SecretDelivery) -> None:
        """Derive what every attempt repeats, so that many make one version."""
        self.name = secret_delivery.name
        self.stored = False
        self.maybe_stored = False
        parts = (str(secret_delivery.address), str(secret_delivery.key_id), self.name, secret_delivery.secret.reveal())
        self.version = hmac.new(_KEY, "\0".join(parts).encode(), hashlib.sha256).hexdigest()
        self.value = {"SecretString": secret_delivery.secret, "ClientRequestToken": self.version}
        notes = {
            "key-id": str(secret_delivery.key_id),
            "address": str(secret_delivery.address),
            "since": format_instant(datetime.now(UTC).replace(microsecond=0)),
            "version": self.version,
            "sha256": fingerprint(secret_delivery.secret),
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

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Store the secret as the current version of its name; see `Destination`."""
        if refused := _refused(secret_delivery):
            raise DestinationError(one_line(f"{secret_delivery.name} was not stored in AWS Secrets Manager: {refused}"))
        delivery = _Delivery(secret_delivery)
        try:
            await with_retries(lambda: self._attempt(delivery), self._timing)
        except DestinationError as error:
            why = str(error)
        else:
            return
        uncertain = delivery.stored or delivery.maybe_stored
        word = "is stored but not tagged" if delivery.stored else "may not be stored" if uncertain else "was not stored"
        msg = one_line(f"{secret_delivery.name} {word} in AWS Secrets Manager: {why}")
        raise DestinationError(msg, uncertain=uncertain)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return which of the secrets there are, by their tags; see `Describing`."""
        found = await asyncio.gather(*(self._held(name) for name in names))
        return {name: held for name, held in zip(names, found, strict=True) if held is not None}

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare the fingerprints in the tags of the current versions, without reading a secret; see `Searching`."""
        wanted = fingerprint(secret)
        found = await asyncio.gather(*(self._tags(name) for name in names))
        return [name for name, tags in zip(names, found, strict=True) if tags and tags.get(f"{_TAG}sha256") == wanted]

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
        """Return what keeps secrets of these names from being stored."""
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
        tags = await self._tags(name)
        return None if tags is None else _noted(tags)

    async def _tags(self, name: str) -> Mapping[str, str] | None:
        """Read the tags of a secret, none where they are of another version; None where there is no secret."""
        reply = await self._read("describe_secret", name)
        if reply.code == _MISSING:
            return None
        _expect(reply)
        stages: Mapping[str, Sequence[str]] = reply.body.get("VersionIdsToStages", {})
        current = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
        if not current or reply.body.get("DeletedDate"):
            return None
        tags = {tag["Key"]: tag["Value"] for tag in reply.body.get("Tags", [])}
        return tags if tags.get(f"{_TAG}version") in current else {}


def _expect(reply: Reply) -> None:
    """Let a success through; raises Passing or DestinationError for anything else."""
    if not reply.code:
        return
    failure = DestinationError(reply.said)
    if reply.passing:
        raise Passing(failure, reply.retry_after)
    raise failure


def _refused(secret_delivery: SecretDelivery) -> str:
    """Return why a secret cannot be stored; empty when it can."""
    content = utf8(secret_delivery.secret)
    if not _NAME.fullmatch(secret_delivery.name):
        return "it is no name for a secret"
    if content is None:
        return "the secret is no text"
    return f"the secret is larger than {LARGEST} bytes" if len(content) > LARGEST else ""


def _unusable(names: Sequence[str]) -> list[str]:
    return [name for name in sorted(set(names)) if not _NAME.fullmatch(name)]


def _states(name: str, described: Mapping[str, Any], region: str) -> Iterator[str]:
    """Yield what about an existing secret would refuse a new version."""
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


DESCRIPTION: Final = Description(
    create=AwsSecretsManager,
    type="aws-secrets-manager",
    extra="aws",
    summary="A secret a key in AWS Secrets Manager.",
    title="Secrets of AWS Secrets Manager",
    description=(
        "A secret a key, named by `as`; each delivery is a new version, AWSPREVIOUS keeps the one before. Credentials "
        "come from the environment, a profile or a role, as for every AWS tool."
    ),
    settings={
        "region": text_setting(
            "The region of the secrets; that of the environment where nothing is said.",
            "a region like eu-central-1",
            "eu-central-1",
            pattern=r"^[a-z0-9{}A-Z_-]+$",
            most=64,
        ),
        "kms_key_id": text_setting(
            "The key that AWS encrypts the secrets with: an id, an ARN or an alias; AWS's own where nothing is said.",
            "the id, the ARN or the alias of a KMS key",
            "alias/naga",
            most=2048,
            title="KMS key id",
        ),
    },
    kind=Kind(
        names=r"(?a)[A-Za-z0-9/_+=.@-]{1,512}",
        words="the name of a secret (letters, digits and / _ + = . @ -)",
        ambient={"region": ("AWS_REGION", "AWS_DEFAULT_REGION", "aws config: region")},
        manner=("kms_key_id",),
        caseless=True,  # a region has no capitals, and names are not settings
    ),
)
