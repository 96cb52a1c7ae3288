"""Calls to AWS Secrets Manager and what came of them, as values.

boto3 is synchronous, so its calls run in threads; no exception of it gets out, for they may hold what was sent.
"""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore import exceptions
from botocore.config import Config

from reconciler.destinations.shared import Memo, PerRun, Threads
from reconciler.remote.address import unencrypted
from reconciler.remote.quoting import harmless
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_secretsmanager import SecretsManagerClient

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
        self._clients: Memo[SecretsManagerClient | Reply] = Memo()

    async def call(self, operation: str, **parameters: object) -> Reply:
        """Call an operation by its name in boto3 (`put_secret_value`); secrets stand in the parameters as such."""
        client = await self._clients.get("client", self._connect)
        if isinstance(client, Reply):
            return client
        return await self._in_thread(lambda: _call(client, operation, parameters))

    async def region(self) -> str:
        """Give the region that calls go to; empty when there is no client."""
        client = await self._clients.get("client", self._connect)
        return "" if isinstance(client, Reply) else client.meta.region_name

    def close(self) -> None:
        """Close all connections."""
        client = self._clients.known("client")
        if client is not None and not isinstance(client, Reply):
            client.close()

    async def _connect(self) -> SecretsManagerClient | Reply:
        return await self._in_thread(lambda: _client(self._region))

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result | Reply:
        with suppress(TimeoutError):
            return await self._threads.run(work, WHOLE_SECONDS)
        return Reply(NO_REPLY, said=f"no answer within {WHOLE_SECONDS:g} s", passing=True, maybe_done=True)


SERVICES: Final[PerRun[SecretsManager]] = PerRun()


def _client(region: str | None) -> SecretsManagerClient | Reply:
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
    return client


def _call(client: SecretsManagerClient, operation: str, parameters: Mapping[str, object]) -> Reply:
    started = time.monotonic()
    held = {name: value for name, value in parameters.items() if isinstance(value, Secret)}
    try:
        revealed = {name: value.reveal() for name, value in held.items()}
        body = getattr(client, operation)(**{**parameters, **revealed})
        # botocore takes any 200 for a success, even that of a page which a proxy shows.
        reply = Reply(body=body) if "ARN" in body or operation in _SILENT else _NO_ANSWER
    except exceptions.ClientError as error:
        reply = _refusal(error, list(held.values()))
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
        said=harmless(f"{error.operation_name}: {code}: {details.get('Message', '')}", secrets),
        maybe_done=internal,
        passing=internal or status == 429 or code in _THROTTLED,  # noqa: PLR2004  # too many requests
        denied=status == 403 or code.startswith("AccessDenied"),  # noqa: PLR2004  # forbidden, as proxies say it
        retry_after=float(asked) if _SECONDS.fullmatch(asked) else 0.0,
    )


def _no_reply(error: Exception) -> Reply:
    """Say why there is no reply, in words of our own: those of the library hold parameters and addresses."""
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
