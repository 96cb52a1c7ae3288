"""A cluster: Secrets with the fields that each manager owns, and workloads that roll at each look, or do not."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx2
from lightkube.config.client_adapter import ConnectionParams

from reconciler.destinations import kubernetes
from reconciler.model import Target
from support.descriptions import check
from support.servers import Answer, answering

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from email.message import Message
    from pathlib import Path

    import pytest

    from reconciler.model import Setting

SECRET: Final = "/api/v1/namespaces/shop/secrets/naga"
WORKLOADS: Final = "/apis/apps/v1/namespaces/shop/"
TIME: Final = "2026-11-28T11:00:00Z"
KUBECONFIG: Final = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: "https://cluster.example:6443"}}]
users: [{name: test, user: {token: the-token}}]
"""

Mishap = int | Exception
"""An answer in place of the real one; an exception comes after the request was carried out."""


class FakeCluster:
    """Answers as an API server does, as far as destinations ask; `mishap` may answer in its place."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.owners: dict[str, list[str]] = {}
        self.workloads: dict[str, dict[str, Any]] = {}
        self.written: list[str] = []
        self.rolls = True
        self.mishap: Callable[[httpx2.Request], Mishap | None] = lambda _: None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Authorization"] == "Bearer the-token"
        mishap = self.mishap(request)
        if isinstance(mishap, int):
            return _error(mishap, f"no, and you sent {request.content.decode()}")
        response = self._secret(request) if request.url.path == SECRET else self._workload(request)
        check("kubernetes", request, response)
        if isinstance(mishap, Exception):
            raise mishap
        return response

    def holds(self, entry: str, value: str, manager: str) -> None:
        """Have somebody else write an entry."""
        self.data[entry] = base64.b64encode(value.encode()).decode()
        self.owners[entry] = [manager]

    def _secret(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            assert "PartialObjectMetadata" in request.headers["Accept"], "nobody asks for values"
            return httpx2.Response(200, json={"metadata": self._metadata()}) if self.data else _error(404, "not found")
        assert (request.method, request.headers["Content-Type"]) == ("PATCH", "application/apply-patch+yaml")
        assert request.url.params["force"] == "true"
        manager, body = request.url.params["fieldManager"], json.loads(request.content)
        assert len(manager) <= 128
        if "dryRun" not in request.url.params:
            self.written.append(f"{manager} {sorted(body['data'])}")
            # What the manager applied before and does not now is removed.
            for entry in [entry for entry, owners in self.owners.items() if owners == [manager]]:
                del self.data[entry], self.owners[entry]
            self.data |= body["data"]
            self.owners |= {entry: [manager] for entry in body["data"]}
            self.annotations |= body["metadata"].get("annotations", {})
        return httpx2.Response(200, json={"apiVersion": "v1", "kind": "Secret", "metadata": self._metadata()})

    def _metadata(self) -> dict[str, object]:
        fields = [
            {"manager": owner, "time": TIME, "fieldsV1": {"f:data": {".": {}, f"f:{entry}": {}}}}
            for entry, owners in self.owners.items()
            for owner in owners
        ]
        return {"annotations": self.annotations, "managedFields": [*fields, {"manager": "labels", "fieldsV1": {}}]}

    def _workload(self, request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.removeprefix(WORKLOADS)
        if name not in self.workloads:
            return _error(404, f"{name} not found")
        workload = self.workloads[name]
        if request.method == "GET":
            if self.rolls:
                _roll(workload)
        elif "dryRun" not in request.url.params:
            assert request.headers["Content-Type"] == "application/strategic-merge-patch+json"
            patch = json.loads(request.content)["spec"]["template"]["metadata"]["annotations"]
            template = workload["spec"]["template"]["metadata"]["annotations"]
            if template != template | patch:
                template |= patch
                workload["metadata"]["generation"] += 1
                self.written.append(f"restart {name}")
        return httpx2.Response(200, json=_shown(name, workload))


def _shown(name: str, workload: dict[str, Any]) -> dict[str, Any]:
    """Show a workload with the fields of its kind: a daemonset counts nodes in place of replicas."""
    is_daemonset = name.startswith("daemonsets/")
    other = ("replicas", "Replicas") if is_daemonset else ("Scheduled", "numberAvailable")
    parts = {
        part: {field: value for field, value in workload[part].items() if not field.endswith(other)}
        for part in ("spec", "status")
    }
    return {**workload, **parts}


def workload(**spec: object) -> dict[str, Any]:
    made: dict[str, Any] = {
        "metadata": {"generation": 1},
        "spec": {"replicas": 2, "template": {"metadata": {"annotations": {}}}, **spec},
        "status": {},
    }
    _roll(made)
    return made


def _roll(made: dict[str, Any]) -> None:
    """Take one step of a rollout: the controller sees it first, and then the pods come."""
    status, generation, wanted = made["status"], made["metadata"]["generation"], made["spec"]["replicas"]
    if status.get("observedGeneration") != generation:
        status |= {"observedGeneration": generation, "updatedReplicas": 0, "updatedNumberScheduled": 0}
        return
    status |= dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), wanted)
    status |= dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"), wanted)


def _error(status: int, message: str) -> httpx2.Response:
    return httpx2.Response(status, json={"kind": "Status", "status": "Failure", "message": message, "code": status})


def served(cluster: FakeCluster) -> AbstractContextManager[str]:
    """Let other programs ask it, kubectl for instance; gives its address."""

    def answer(method: str, path: str, headers: Message, content: bytes) -> Answer:
        # kubectl sends a token over https only.
        sent = [("Authorization", "Bearer the-token"), *headers.items()]
        request = httpx2.Request(method, f"http://cluster{path}", headers=sent, content=content)
        response = cluster(request)
        return response.status_code, response.content, {}

    return answering(answer)


def lead_to(cluster: FakeCluster, folder: Path, monkeypatch: pytest.MonkeyPatch, config: str = KUBECONFIG) -> None:
    """Have kubectl's own configuration name this cluster."""
    file = folder / "kubeconfig"
    file.write_text(config, "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(file))
    transport = httpx2.MockTransport(cluster)
    monkeypatch.setattr(kubernetes, "ConnectionParams", partial(ConnectionParams, transport=transport))


def target(*restart: str) -> Target:
    settings: tuple[tuple[str, Setting], ...] = (("namespace", "shop"), ("secret", "naga"))
    return Target("cluster", "kubernetes", (*settings, ("restart", restart)) if restart else settings)


class KubernetesPlace:
    unusable_names = ("NAGA KEY", "NAGA:2")

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cluster = FakeCluster()
        lead_to(self._cluster, folder, monkeypatch)
        self.target = target()

    def held(self) -> dict[str, str]:
        return {entry: base64.b64decode(value).decode() for entry, value in self._cluster.data.items()}

    def traces(self) -> object:
        return list(self._cluster.written)

    def break_down(self) -> None:
        self._cluster.mishap = lambda _: 403
