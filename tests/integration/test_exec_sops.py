"""The recipes of the guide for sops, carried out by the real program."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from reconciler.declaration import load
from reconciler.destinations.base import SecretDelivery
from reconciler.destinations.registry import Registry
from reconciler.errors import DestinationError
from reconciler.secret import Secret
from support import pages
from support.age_tools import SOPS, x25519_pair
from support.leaks import everything_shown

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model import DeclaredKey

GUIDE = "docs/destinations.md"
KEYS = """
environments:
  production:
    defaults: {credit_limit: 1, deliver: [{to: DESTINATION, as: "naga-{key}"}]}
    keys: {api: {}, worker: {}, batch: {}}
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pair = x25519_pair()
    (tmp_path / "key.txt").write_text(pair.private)
    (tmp_path / ".sops.yaml").write_text(f"creation_rules: [{{path_regex: ^secrets/, age: {pair.public}}}]\n")
    (tmp_path / "secrets" / "production").mkdir(parents=True)
    (tmp_path / "deliver").mkdir()
    script = tmp_path / "deliver" / "sops-set.sh"
    (text,) = (block for block in pages.blocks(pages.read(GUIDE), "bash") if "sops set" in block)
    script.write_text(text)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{SOPS.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "key.txt"))
    return tmp_path


def declared(folder: Path, destination: str) -> tuple[DeclaredKey, ...]:
    (recipes,) = (block for block in pages.blocks(pages.read(GUIDE), "yaml") if "gcloud" in block)
    keys = KEYS.replace("DESTINATION", destination)
    (folder / "keys.yaml").write_text(recipes.replace("environments: {}\n", keys))
    return load(folder / "keys.yaml").keys


async def deliver(keys: tuple[DeclaredKey, ...], prefix: str) -> None:
    registry = Registry(allow_exec=True)
    for key in keys:
        await registry.open(key.deliver[0].target).preflight([key.deliver[0].name])
    async with asyncio.TaskGroup() as group:
        for key in keys:
            what = SecretDelivery(key.address, 7, key.deliver[0].name, Secret(f"{prefix}{key.address.key}"))
            group.create_task(registry.open(key.deliver[0].target).deliver(what))
    await registry.aclose()


def decrypted(folder: Path, *arguments: str) -> str:
    return subprocess.check_output([SOPS, "decrypt", *arguments], cwd=folder, text=True)


def test_a_file_a_secret_holds_exactly_the_secret(repository: Path) -> None:
    keys = declared(repository, "sops")
    for prefix in ("ng-first-", "ng-second-"):
        asyncio.run(deliver(keys, prefix))
        for key in ("api", "worker", "batch"):
            file = f"secrets/production/naga-{key}.enc"
            assert prefix not in (repository / file).read_text()
            assert decrypted(repository, file) == f"{prefix}{key}"


def test_many_secrets_in_one_file_do_not_get_lost_to_each_other(repository: Path) -> None:
    file = repository / "secrets" / "production.yaml"
    file.write_text("other: value\n")
    subprocess.run([SOPS, "encrypt", "--in-place", str(file)], cwd=repository, check=True)
    asyncio.run(deliver(declared(repository, "sops-yaml"), "ng-"))
    assert decrypted(repository, str(file)).splitlines() == [
        "other: value",
        "naga-api: ng-api",
        "naga-batch: ng-batch",
        "naga-worker: ng-worker",
    ]


def test_what_sops_says_about_a_failure_is_passed_on_without_the_secret(repository: Path) -> None:
    (repository / ".sops.yaml").write_text("creation_rules: []\n")
    (key, *_) = declared(repository, "sops")
    destination = Registry(allow_exec=True).open(key.deliver[0].target)
    what = SecretDelivery(key.address, 7, "naga-api", Secret("ng-THISMUSTNEVERBESHOWN"))
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.deliver(what))
    assert str(caught.value).startswith("naga-api may not be stored: sops ended with status 1: ")
    assert "no matching creation rules" in str(caught.value)
    shown = everything_shown(caught.value)
    assert "THISMUSTNEVERBESHOWN" not in shown
