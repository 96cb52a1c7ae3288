"""Where GitHub's API is: as the environment says, never a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.errors import GitHubError
from reconciler.remote.address import unencrypted

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL: Final = "https://api.github.com"
REPOSITORY: Final = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,100}", re.ASCII)
"""A repository like acme/api, which is nothing else in a path."""

_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_TOKEN: Final = re.compile(r"[!-~]+", re.ASCII)


def base_url(environment: Mapping[str, str]) -> str:
    """Give the address of the API: GITHUB_API_URL where there is one, as on a GitHub Enterprise server.

    Raises:
        GitHubError: a token must not be sent there.
    """
    url = environment.get("GITHUB_API_URL", "").strip() or DEFAULT_URL
    if not _URL.fullmatch(url) or unencrypted(url):
        msg = "GITHUB_API_URL must be an https address, as in https://github.example.com/api/v3"
        raise GitHubError(msg)
    return url.rstrip("/")


def is_token(text: str) -> bool:
    """Tell whether a text can stand in a header as a token does."""
    return _TOKEN.fullmatch(text) is not None
