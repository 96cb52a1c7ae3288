"""Where the provisioning key may be sent, and where it may not."""

from __future__ import annotations

import pytest

from reconciler.errors import UsageError
from reconciler.http.address import DEFAULT_BASE_URL, check_base_url


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        (DEFAULT_BASE_URL, DEFAULT_BASE_URL),
        ("HTTPS://API.Naga.AC/v1/", "https://api.naga.ac/v1"),
        ("https://gateway.example:8443", "https://gateway.example:8443"),
        ("https://192.0.2.7/naga/v1//", "https://192.0.2.7/naga/v1"),
        ("https://[2001:DB8::1]:444/v1", "https://[2001:db8::1]:444/v1"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
        ("http://127.255.0.9/v1", "http://127.255.0.9/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("http://[0:0:0:0:0:0:0:1]/v1", "http://[::1]/v1"),
    ],
)
def test_https_and_this_machine_are_fine(url: str, normal: str) -> None:
    assert check_base_url(url) == normal


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://api.naga.ac/v1", "sends the provisioning key to api.naga.ac unencrypted"),
        ("http://10.0.0.1/v1", "unencrypted"),
        ("http://0.0.0.0/v1", "unencrypted"),
        ("http://128.0.0.1/v1", "unencrypted"),
        ("http://[::ffff:127.0.0.1]/v1", "unencrypted"),
        ("http://127.1/v1", "unencrypted"),
        ("http://2130706433/v1", "unencrypted"),
        ("http://localhost.evil.example/v1", "unencrypted"),
        ("http://localhost./v1", "no valid host name"),
        ("https://a..b/v1", "no valid host name"),
        ("https://exa_mple.c*m/v1", "no valid host name"),
        ("https://" + "a" * 300, "no valid host name"),
        ("https://[fe80::1%25eth0]/v1", "has no place there"),
        ("https://user:hunter2@api.naga.ac/v1", "must not hold a user name or a password"),
        ("https://@api.naga.ac/v1", "must not hold a user name or a password"),
        ("https://api.naga.ac/v1?token=hunter2", "a query, a fragment"),
        ("https://api.naga.ac/v1?", "a query, a fragment"),
        ("https://api.naga.ac/v1#hunter2", "a query, a fragment"),
        ("http://localhost\\@evil.example/", "has no place there"),
        ("https://api.naga.ac/v1\n", "has no place there"),
        ("https://api.nag\ta.ac/v1", "has no place there"),
        ("https://äpi.example/v1", "not ASCII"),
        ("https://api.naga.ac:x/v1", "is not a URL"),
        ("https://api.naga.ac:99999/v1", "is not a URL"),
        ("https://[::1/v1", "is not a URL"),
        ("https://api.naga.ac/../v1", "has a path"),
        ("https://api.naga.ac/a;b", "has a path"),
        ("https://api.naga.ac/%2e%2e/v1", "a percent sign"),
        ("ftp://api.naga.ac/v1", "does not start with https:// and a host"),
        ("api.naga.ac/v1", "does not start with https:// and a host"),
        ("https:///v1", "does not start with https:// and a host"),
        ("", "does not start with https:// and a host"),
    ],
)
def test_anything_else_is_refused_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_base_url(url)
    message = str(caught.value)
    assert why in message
    assert message.startswith("NAGA_BASE_URL ")
    assert "hunter2" not in message
    assert caught.value.__context__ is None
