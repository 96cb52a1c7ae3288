"""AWS Secrets Manager as moto's server has it, for the destinations' contract."""

from __future__ import annotations

import functools
import urllib.request
from typing import TYPE_CHECKING

import boto3
import botocore.loaders
import botocore.session

from reconciler.model import Target
from support.meddler import Say, shared_meddler
from support.servers import moto

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

    from support.meddler import Seen, Verdict

_REGION = "eu-central-1"
_DESCRIPTIONS = botocore.loaders.create_loader()


class AwsPlace:
    unusable_names = ("NAGA API", "NAGA#KEY")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read_descriptions_once(monkeypatch)
        self._front = shared_meddler()
        self._front.reset(moto())
        reset = urllib.request.Request(f"{moto()}/moto-api/reset", b"", method="POST")  # noqa: S310  # http
        urllib.request.urlopen(reset, timeout=60).close()  # noqa: S310  # http
        monkeypatch.setenv("AWS_ENDPOINT_URL", self._front.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        self.target = Target("aws", "aws-secrets-manager", (("region", _REGION),))

    def held(self) -> dict[str, str]:
        return {name: _owner().get_secret_value(SecretId=name)["SecretString"] for name in map(_name, self._secrets())}

    def traces(self) -> object:
        return self._secrets()

    def break_down(self) -> None:
        def rule(seen: Seen) -> Verdict:
            denied = b'{"__type": "AccessDeniedException", "Message": "not authorized"}'
            return Say(400, denied) if b"SecretString" in seen.body else None

        self._front.rule = rule

    def _secrets(self) -> list[SecretListEntryTypeDef]:
        return _owner().list_secrets(MaxResults=100)["SecretList"]


def read_descriptions_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore read its descriptions of AWS once, not once a client."""
    monkeypatch.setattr(botocore.session, "create_loader", lambda _path: _DESCRIPTIONS)


def _name(secret: SecretListEntryTypeDef) -> str:
    return secret.get("Name", "")


@functools.cache
def _owner() -> SecretsManagerClient:
    """Somebody who may do everything, past the meddler."""
    return boto3.session.Session(aws_access_key_id="owner", aws_secret_access_key="owner").client(
        "secretsmanager", region_name=_REGION, endpoint_url=moto()
    )
