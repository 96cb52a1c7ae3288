from __future__ import annotations

import pytest

from reconciler.http.address import unencrypted


@pytest.mark.parametrize(
    ("url", "in_the_clear"),
    [
        ("https://vault.example.com:8200", False),
        ("http://127.0.0.1:8200", False),
        ("http://127.9.9.9", False),
        ("http://localhost", False),
        ("http://[::1]:8200", False),
        ("http://vault.example.com", True),
        ("http://127.0.0.1.example.com", True),
        ("http://127.0.0.1@example.com", True),
        ("http://10.0.0.1", True),
        ("http://[::2]", True),
        ("http://", True),
        ("https://", True),
        ("https://[", True),
        ("ftp://localhost", True),
        ("vault.example.com", True),
        ("", True),
    ],
)
def test_secrets_travel_encrypted_or_not_at_all(url: str, *, in_the_clear: bool) -> None:
    assert unencrypted(url) is in_the_clear
