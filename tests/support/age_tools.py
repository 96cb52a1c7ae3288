"""Keys for age files, and two programs that open them: the library that wrote them, and age's own code in sops."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SOPS = Path(sys.executable).with_name("sops")


@dataclass(frozen=True)
class KeyPair:
    """The two halves of a key as people keep them; `variable` is where sops looks for the private one."""

    public: str
    private: str
    variable: str

    def identity(self) -> pyrage.x25519.Identity | pyrage.ssh.Identity:
        if self.private.startswith("AGE-SECRET-KEY-"):
            return pyrage.x25519.Identity.from_str(self.private)
        return pyrage.ssh.Identity.from_buffer(self.private.encode())


def x25519_pair() -> KeyPair:
    identity = pyrage.x25519.Identity.generate()
    return KeyPair(str(identity.to_public()), str(identity), "SOPS_AGE_KEY_FILE")


def ed25519_pair() -> KeyPair:
    return _ssh_pair(ed25519.Ed25519PrivateKey.generate())


def rsa_pair() -> KeyPair:
    return _ssh_pair(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _ssh_pair(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> KeyPair:
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return KeyPair(f"{public.decode()} someone@somewhere", private.decode(), "SOPS_AGE_SSH_PRIVATE_KEY_FILE")


def open_with_pyrage(file: Path, pair: KeyPair) -> bytes:
    return pyrage.decrypt(file.read_bytes(), [pair.identity()])


def opens_with_sops(file: Path, pair: KeyPair, expected: bytes, folder: Path) -> bool:
    """Tell whether age, as it is built into sops, finds exactly these 32 bytes in a file.

    A sops document keeps its data key in an age file. So the file becomes that of a document whose only value was
    encrypted with the expected bytes: sops can show the value if and only if they are what it finds.
    """
    assert len(expected) == 32
    nonce = secrets.token_bytes(32)
    sealed = AESGCM(expected).encrypt(nonce, b"opened", b"probe:")
    parts = {"data": sealed[:-16], "iv": nonce, "tag": sealed[-16:]}
    value = ",".join(f"{name}:{base64.b64encode(part).decode()}" for name, part in parts.items())
    document = {
        "probe": f"ENC[AES256_GCM,{value},type:str]",
        "sops": {
            "age": [{"recipient": pair.public, "enc": file.read_text()}],
            "lastmodified": "2026-01-01T00:00:00Z",
            "mac": "",
            "version": "3.11.0",
        },
    }
    (folder / "probe.json").write_text(json.dumps(document))
    (folder / "private").write_text(pair.private)
    command = [str(SOPS), "decrypt", "--ignore-mac", "probe.json"]
    environment = os.environ | {pair.variable: str(folder / "private"), "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode == 0 and json.loads(done.stdout) == {"probe": "opened"}
