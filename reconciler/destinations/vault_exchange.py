"""One request to a Vault or OpenBao server and what came of it, as values.

No exception of hvac, requests or urllib3 gets out, for they hold the request. For the same reason hvac's own methods
are not used (they raise the answer's text, and know no PATCH), only the adapter that they stand on.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectTimeout, ProxyError, ReadTimeout, RequestException, SSLError
from urllib3.exceptions import NewConnectionError

from reconciler.remote.quoting import harmless
from reconciler.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0

_PASSING: Final = frozenset({412, 429, 500, 502, 503, 504})  # 412: a replica that has not caught up yet
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)
_log = logging.getLogger("reconciler.destinations")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; its status is 0 when none arrived.

    `said` is why it is none or no success, fit to be shown; `maybe_done` that the server may have done as it was asked
    although it does not say so; `passing` that another attempt may go better, `retry_after` seconds from now.
    """

    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    said: str = ""
    maybe_done: bool = False
    passing: bool = False
    retry_after: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the server did as it was asked."""
        return self.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    @property
    def data(self) -> Mapping[str, Any]:
        """What the server has to tell."""
        return self.part("data")

    def part(self, name: str) -> Mapping[str, Any]:
        """Give a mapping of the body, empty when there is none."""
        value = self.body.get(name)
        return value if isinstance(value, dict) else {}


class Content:
    """A body on its way; `revealed` are the secrets in it, once it is written, for the answer to be searched for."""

    def __init__(self, body: object, *others: Secret) -> None:
        """Take the body, with the secrets in it as such, and other secrets that the request holds."""
        self._body = body
        self.revealed = list(others)

    def write(self) -> bytes | None:
        """Write the body as JSON."""
        return None if self._body is None else json.dumps(self._body, default=self._reveal).encode()

    def _reveal(self, value: object) -> str:
        if not isinstance(value, Secret):
            msg = f"{type(value).__name__} is nothing for JSON"
            raise TypeError(msg)
        self.revealed.append(value)
        return value.reveal()


def exchange(label: str, send: Callable[[bytes | None], requests.Response], content: Content) -> Answer:
    """Send a request and read its answer; never raises for what the network, the libraries or the server do."""
    started = time.monotonic()
    try:
        response = send(content.write())
        answer = _read(response, response.text, content.revealed)
    except Exception as error:  # noqa: BLE001  # whatever it is, it may hold the request
        answer = _no_answer(error)
    took = round((time.monotonic() - started) * 1000)
    _log.debug("%s: %s in %d ms", label, answer.status or answer.said, took)
    return answer


def _read(response: requests.Response, text: str, secrets: list[Secret]) -> Answer:
    status = response.status_code
    try:
        parsed = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        parsed = None
    body = parsed if isinstance(parsed, dict) else {}
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        place = urlsplit(response.headers.get("Location", ""))  # requests has read it before
        where = harmless(place.netloc.rpartition("@")[2], secrets)
        return Answer(status, said=f"{status}, a redirect{where and ' to ' + where}, which is never followed")
    if status >= HTTPStatus.BAD_REQUEST:
        return Answer(
            status,
            body,
            said=f"{status} {harmless(_complaint(body, text), secrets)}".strip(),
            maybe_done=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            passing=status in _PASSING,
            retry_after=_retry_after(response),
        )
    if parsed is None or status not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        return Answer(0, said=f"{status}, but no answer that Vault gives", maybe_done=True)
    return Answer(status, body)


def _complaint(body: Mapping[str, Any], text: str) -> str:
    errors = body.get("errors")
    if isinstance(errors, list):
        return ", ".join(map(str, errors))
    return "" if body else text


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else 0.0


def _no_answer(error: Exception) -> Answer:
    if any(isinstance(cause, NewConnectionError) for cause in _causes(error)):
        return Answer(0, said="it cannot be reached", passing=True)
    for kind, answer in _NO_ANSWERS.items():
        if isinstance(error, kind):
            return answer
    return Answer(0, said=f"unexpected {type(error).__name__}", maybe_done=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and those that the libraries wrapped in it."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None)):
        if isinstance(inner, BaseException):
            yield from _causes(inner)


_NO_ANSWERS: Final[dict[type[Exception], Answer]] = {  # the first that fits counts
    ConnectTimeout: Answer(0, said=f"no connection within {CONNECT_SECONDS:g} s", passing=True),
    ReadTimeout: Answer(0, said=f"no answer within {READ_SECONDS:g} s", passing=True, maybe_done=True),
    SSLError: Answer(0, said="no trust in its certificate, or no TLS at all (VAULT_CACERT can name its authority)"),
    ProxyError: Answer(0, said="the proxy does not connect to it", passing=True),
    requests.ConnectionError: Answer(0, said="the connection broke", passing=True, maybe_done=True),
    RequestException: Answer(0, said="the answer cannot be read", passing=True, maybe_done=True),
    OSError: Answer(0, said="a file of VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY is missing"),
}
"""Why there is no answer, in words of our own: those of the libraries hold addresses and headers."""
