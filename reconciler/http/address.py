"""Checks where a credential may be sent."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from reconciler.errors import UsageError


def unencrypted(url: str) -> bool:
    """Return whether a secret would travel in the clear: over anything but https, and plain http to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    if parts.scheme == "http":
        return not _this_machine(parts.hostname or "")
    return parts.scheme != "https" or not parts.hostname


# Where the provisioning key may be sent.

DEFAULT_BASE_URL: Final = "https://api.naga.ac/v1"

_HOST_NAME: Final = re.compile(r"(?!.{254})[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.ASCII)
_PATH: Final = re.compile(r"[A-Za-z0-9._~/-]*", re.ASCII)
_LOOPBACK_4: Final = IPv4Network("127.0.0.0/8")


def check_base_url(url: str) -> str:
    """Return the URL in its normal form, without a slash at the end.

    Raises UsageError unless it is https, or plain http to this machine, with nothing but host, port and path. The
    message never repeats the URL: what stands in the wrong place may be a secret.
    """
    if not url.isascii() or not url.isprintable() or any(character in url for character in " \\?#%"):
        _refuse("holds a character that has no place there (a space, a query, a fragment, a percent sign, not ASCII)")
    parts, port = _split(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        _refuse("does not start with https:// and a host")
    if "@" in parts.netloc:
        _refuse("must not hold a user name or a password")
    host = _host(parts.hostname)
    if parts.scheme == "http" and not _this_machine(parts.hostname):
        _refuse(f"sends the provisioning key to {host} unencrypted; plain http is for this machine only")
    if not _PATH.fullmatch(parts.path) or {".", ".."} & set(parts.path.split("/")):
        _refuse("has a path with other than letters, digits and . _ ~ -")
    authority = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{authority}{parts.path.rstrip('/')}"


def _split(url: str) -> tuple[SplitResult, int | None]:
    with suppress(ValueError):  # its message repeats the URL
        parts = urlsplit(url)
        return parts, parts.port
    return _refuse("is not a URL")


def _host(text: str) -> str:
    """Return the host as it stands in a URL."""
    address = _address(text)
    if address is None:
        if not _HOST_NAME.fullmatch(text):
            _refuse("has no valid host name")
        return text
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def _this_machine(host: str) -> bool:
    """Return whether what is sent to a host stays on this machine; a name is taken at its word only if all know it."""
    address = _address(host)
    if isinstance(address, IPv4Address):
        return address in _LOOPBACK_4
    return host == "localhost" if address is None else str(address) == "::1"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text)
    return None


def _refuse(why: str) -> NoReturn:
    msg = f"NAGA_BASE_URL {why}; it looks like {DEFAULT_BASE_URL}"
    raise UsageError(msg)
