"""Destinations against systems of others: a server that plays Google's, and the client that Kubernetes has itself."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2
import pytest
from google.oauth2.credentials import Credentials

from reconciler.destinations import gcp
from reconciler.destinations.base import Held, SecretDelivery
from reconciler.destinations.gcp import GcpSecretManager
from reconciler.destinations.kubernetes import Kubernetes
from reconciler.model import Address, Target
from reconciler.secret import Secret
from support.places.kubernetes import SECRET, FakeCluster, lead_to, served, target
from support.servers import drongo

if TYPE_CHECKING:
    from collections.abc import Coroutine

BIN: Final = Path(sys.executable).parent


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def secret_delivery(secret: str, name: str = "NAGA_API") -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


@pytest.mark.proof
def test_another_server_of_secret_manager_takes_versions_as_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    url = drongo()
    monkeypatch.setenv(gcp.ENDPOINT, url)
    credentials: Any = Credentials
    monkeypatch.setattr("google.auth.default", lambda scopes: (credentials(token="ya29", scopes=scopes), None))

    async def deliver(secret: str) -> object:
        destination = GcpSecretManager(Target("google", "gcp-secret-manager", (("project", "acme"),)))
        await destination.deliver(secret_delivery(secret))
        held = await destination.describe(["NAGA_API", "NAGA_NONE"])
        await destination.aclose()
        return held

    for number, secret in enumerate(("ng-secret-1", "ng-secret-2"), 1):
        held = run(deliver(secret))
        assert held.keys() == {"NAGA_API"}
        path = f"{url}/v1/projects/acme/secrets/NAGA_API/versions/{number}:access"
        with urllib.request.urlopen(path, timeout=30) as answer:  # noqa: S310  # http
            assert base64.b64decode(json.load(answer)["payload"]["data"]) == secret.encode()


class Cluster(FakeCluster):
    """Answers kubectl too: what there is, and values, which no destination asks for."""

    KINDS: Final = {"/api/v1": "Secret", "/apis/apps/v1": "Deployment"}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/api":
            return httpx2.Response(200, json={"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            version = {"groupVersion": "apps/v1", "version": "v1"}
            group = {"name": "apps", "versions": [version], "preferredVersion": version}
            return httpx2.Response(200, json={"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
        if path in self.KINDS:
            kind = self.KINDS[path]
            verbs = ["get", "patch", "create"]
            resource = {"name": f"{kind.lower()}s", "namespaced": True, "kind": kind, "verbs": verbs}
            of = path.partition("api")[2].removeprefix("s").removeprefix("/")
            listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": [resource]}
            return httpx2.Response(200, json=listed)
        if path == SECRET and request.method == "GET" and "PartialObjectMetadata" not in request.headers["Accept"]:
            whole = {"apiVersion": "v1", "kind": "Secret", "metadata": self._metadata(), "data": self.data}
            return httpx2.Response(200, json=whole)
        return super().__call__(request)


@pytest.mark.proof
def test_kubectl_sees_what_was_delivered_and_what_it_writes_stays_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    lead_to(cluster, tmp_path, monkeypatch)

    def deliver(secret: str) -> None:
        run(Kubernetes(target()).deliver(secret_delivery(secret)))

    deliver("ng-secret-1")
    with served(cluster) as url:
        server = ["--server", url, "--namespace", "shop", f"--cache-dir={tmp_path}"]

        def kubectl(*words: str, stdin: str = "") -> str:
            command = [str(BIN / "kubectl"), *server, *words]
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout

        shown = json.loads(kubectl("get", "secret", "naga", "--output", "json"))
        assert base64.b64decode(shown["data"]["NAGA_API"]) == b"ng-secret-1"
        theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "naga"}, "data": {"PASSWORD": "eA=="}}
        apply = ("apply", "--server-side", "--force-conflicts", "--validate=false", "--filename", "-")
        kubectl(*apply, stdin=json.dumps(theirs))
        deliver("ng-secret-2")
        shown = json.loads(kubectl("get", "secret", "naga", "--output", "json", "--show-managed-fields"))
    assert {name: base64.b64decode(value) for name, value in shown["data"].items()} == {
        "NAGA_API": b"ng-secret-2",
        "PASSWORD": b"x",
    }
    held = run(Kubernetes(target()).describe(["NAGA_API", "PASSWORD"]))
    assert (held["NAGA_API"].key_id, held["PASSWORD"]) == (7, Held(None, held["PASSWORD"].since))
