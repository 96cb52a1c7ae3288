"""Signs tokens as GitHub Actions does for its jobs."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Mapping


class Issuer:
    """Has a key of its own; `public_key` is its public half as PEM."""

    name = "https://token.actions.example.com"

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        self.public_key = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, claims: Mapping[str, str]) -> str:
        """Make a token (ES256) that holds these claims for five minutes."""
        now = int(time.time())
        body = {"iss": self.name, "sub": "job", "iat": now, "nbf": now, "exp": now + 300, **claims}
        content = (
            f"{_encoded(json.dumps({'alg': 'ES256', 'typ': 'JWT'}).encode())}.{_encoded(json.dumps(body).encode())}"
        )
        r, s = decode_dss_signature(self._key.sign(content.encode(), ec.ECDSA(SHA256())))
        return f"{content}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
