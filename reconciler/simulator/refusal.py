"""The error answers of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed",
    422: "invalid_request_error",
    429: "rate_limit_exceeded",
}
_CLIENTS_FAULT: Final = range(400, 500)


def error_type(status: int) -> str:
    """Name the `type` of an error status; those that the documentation leaves open are of our making."""
    return _TYPES.get(status, "invalid_request_error" if status in _CLIENTS_FAULT else "server_error")


def error_body(status: int, message: str) -> dict[str, dict[str, str]]:
    """Make the documented body of an error."""
    return {"error": {"type": error_type(status), "message": message}}


class Refusal(Exception):
    """A request that the service answers with an error status."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the status, what the service says, and the headers that go with it."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def bad_request(message: str) -> NoReturn:
    """Refuse a field or a value."""
    raise Refusal(400, message)


def unauthenticated(message: str) -> NoReturn:
    """Refuse a credential, or the lack of one."""
    raise Refusal(401, message, {"WWW-Authenticate": "Bearer"})


def no_such_key() -> NoReturn:
    """Refuse an id that belongs to no key."""
    message = "there is no such API key"
    raise Refusal(404, message)
