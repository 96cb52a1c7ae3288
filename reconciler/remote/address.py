"""Where a credential may travel."""

from __future__ import annotations

from urllib.parse import urlsplit


def unencrypted(url: str) -> bool:
    """Tell whether a secret would travel in the clear: over anything but https, and plain http to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    loopback = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    return not loopback and not (parts.scheme == "https" and parts.hostname)
