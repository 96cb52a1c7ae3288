from __future__ import annotations

import pytest

from reconciler.errors import ForgeError
from reconciler.forge.github import base_url


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "https://api.github.com"),
        ({"GITHUB_API_URL": " "}, "https://api.github.com"),
        ({"GITHUB_API_URL": "https://github.example.com/api/v3/"}, "https://github.example.com/api/v3"),
        ({"GITHUB_API_URL": "https://github.example.com:8443/api/v3"}, "https://github.example.com:8443/api/v3"),
        ({"GITHUB_API_URL": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"GITHUB_API_URL": "http://[::1]:8000"}, "http://[::1]:8000"),
    ],
)
def test_the_address_of_the_api_is_that_of_the_environment(environment: dict[str, str], url: str) -> None:
    assert base_url(environment) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://github.example.com/api/v3",
        "http://127.0.0.1.example.com",
        "ftp://github.example.com",
        "github.example.com",
        "https://",
        "https://user:pass@github.example.com",
        "https://github.example.com/?x",
        "https://github.example.com/#x",
        "https://[:::",
        "https://github.example.com\\@evil.example.com",
    ],
)
def test_a_token_is_sent_nowhere_else(url: str) -> None:
    with pytest.raises(ForgeError) as caught:
        base_url({"GITHUB_API_URL": url})
    assert "must be an https address" in str(caught.value)
    assert "pass" not in str(caught.value)
