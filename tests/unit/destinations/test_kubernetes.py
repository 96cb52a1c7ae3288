"""What the contract of destinations does not say of Kubernetes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from reconciler.destinations.base import Held, SecretDelivery
from reconciler.destinations.kubernetes import Kubernetes
from reconciler.errors import DestinationError
from reconciler.http.retry import Timing
from reconciler.model import Address, Target
from reconciler.secret import Secret
from reconciler.units import parse_instant
from support.places.kubernetes import KUBECONFIG, TIME, FakeCluster, lead_to, target, workload

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

SECRET = "ng-THISMUSTNEVERBESHOWN0000000000000"


class Clock:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def timing(self) -> Timing:
        return Timing(sleep=self.sleep, monotonic=lambda: self.now, machine=lambda: parse_instant(TIME))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster()
    lead_to(cluster, tmp_path, monkeypatch)
    return cluster


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def opened(*restart: str) -> Kubernetes:
    return Kubernetes(target(*restart), Clock().timing())


def delivered(*restart: str, name: str = "NAGA_API", key_id: int = 7, secret: str = SECRET) -> None:
    async def deliver() -> None:
        destination = opened(*restart)
        await destination.deliver(SecretDelivery(Address("production", "api"), key_id, name, Secret(secret)))
        await destination.aclose()
        await destination.aclose()

    run(deliver())


def failure(*restart: str, secret: str = SECRET) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        delivered(*restart, secret=secret)
    assert SECRET not in str(caught.value)
    return caught.value


def refusal(*restart: str) -> str:
    with pytest.raises(DestinationError) as caught:
        run(opened(*restart).preflight(["NAGA_API"]))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("namespace", "../x"),
        ("secret", "a/b"),
        ("secret", None),
        ("restart", ("job/x",)),
        ("restart", ("deployment/a/b",)),
        ("restart", "deployment/a"),
    ],
)
def test_settings_that_lead_elsewhere_are_refused(name: str, value: Any) -> None:
    settings = {"namespace": "shop", "secret": "naga", name: value}
    with pytest.raises(DestinationError, match=name):
        Kubernetes(Target("cluster", "kubernetes", tuple(settings.items())))


def test_entries_of_others_stay_theirs(cluster: FakeCluster) -> None:
    cluster.holds("PASSWORD", "x", "kubectl-create")
    delivered(name="NAGA_API")
    delivered(name="NAGA_JOBS", key_id=8)
    assert sorted(cluster.data) == ["NAGA_API", "NAGA_JOBS", "PASSWORD"]
    since = parse_instant(TIME)
    held = run(opened().describe(["NAGA_API", "NAGA_JOBS", "PASSWORD", "NAGA_NONE"]))
    assert held == {"NAGA_API": Held(7, since), "NAGA_JOBS": Held(8, since), "PASSWORD": Held(None, since)}
    assert SECRET not in str(cluster.annotations)


def test_an_entry_that_somebody_wrote_since_is_of_no_known_key(cluster: FakeCluster) -> None:
    delivered()
    cluster.holds("NAGA_API", "theirs", "kubectl-edit")
    assert run(opened().describe(["NAGA_API"])) == {"NAGA_API": Held(None, parse_instant(TIME))}
    cluster.owners["NAGA_API"] = ["naga-reconciler.NAGA_API"]
    cluster.annotations["naga-reconciler/NAGA_API"] = "key_id=7 since=x sha256=" + "0" * 64 + " address=a"
    assert run(opened().describe(["NAGA_API"])) == {"NAGA_API": Held(7, None)}


def test_a_secret_that_is_not_there_holds_nothing(cluster: FakeCluster) -> None:
    assert run(opened().describe(["NAGA_API"])) == {}
    cluster.mishap = lambda _: 403
    with pytest.raises(DestinationError, match="403"):
        run(opened().describe(["NAGA_API"]))


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_what_reads_it_is_restarted_once_for_each_key(cluster: FakeCluster, kind: str) -> None:
    cluster.workloads[f"{kind}s/api"] = workload()
    restart = f"{kind}/api"
    run(opened(restart).preflight(["NAGA_API"]))
    assert cluster.written == []
    delivered(restart)
    delivered(restart)
    delivered(restart, key_id=8)
    assert cluster.written.count(f"restart {kind}s/api") == 2


def test_a_workload_of_no_pods_need_not_come_up(cluster: FakeCluster) -> None:
    cluster.workloads["deployments/api"] = workload(replicas=0)
    delivered("deployment/api")


def test_a_rollout_that_fails_or_never_ends_leaves_the_delivery_open(cluster: FakeCluster) -> None:
    cluster.workloads["deployments/api"] = workload()
    cluster.rolls = False
    error = failure("deployment/api")
    assert error.uncertain
    assert "900 s" in str(error)
    cluster.workloads["deployments/api"]["status"]["conditions"] = [
        {"type": "Available", "reason": "MinimumReplicasUnavailable"},
        {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "api-1 has timed out"},
    ]
    error = failure("deployment/api")
    assert error.uncertain
    assert "api-1 has timed out" in str(error)


@pytest.mark.parametrize("mishap", [403, 503, httpx2.ReadError("gone")])
def test_a_restart_that_is_refused_leaves_the_delivery_open(cluster: FakeCluster, mishap: int | Exception) -> None:
    cluster.workloads["deployments/api"] = workload()
    cluster.mishap = lambda request: mishap if "deployments" in request.url.path else None
    assert failure("deployment/api").uncertain


def test_preflight_tries_all_of_it_without_doing_it(cluster: FakeCluster) -> None:
    assert "deployment/api" in refusal("deployment/api")
    cluster.workloads["deployments/api"] = workload(paused=True)
    assert "paused" in refusal("deployment/api")
    cluster.workloads["statefulsets/api"] = workload(updateStrategy={"type": "OnDelete"})
    assert "OnDelete" in refusal("statefulset/api")
    cluster.workloads["deployments/api"] = workload()
    cluster.mishap = lambda request: 403 if request.method == "PATCH" else None
    assert refusal("deployment/api").count("403") == 2
    cluster.mishap = lambda _: 503
    assert "503" in refusal()
    assert cluster.written == []


@pytest.mark.parametrize("mishap", [429, 503, httpx2.ReadError("gone"), httpx2.ConnectError("refused")])
def test_what_passes_is_tried_again(cluster: FakeCluster, mishap: int | Exception) -> None:
    once = [mishap]
    cluster.mishap = lambda _: once.pop() if once else None
    delivered()
    assert [*cluster.data] == ["NAGA_API"]


@pytest.mark.parametrize(
    ("mishap", "uncertain"),
    [(403, False), (503, True), (httpx2.ReadError(""), True), (httpx2.ConnectError(""), False)],
)
def test_a_failure_says_whether_the_secret_may_be_there(
    cluster: FakeCluster, mishap: int | Exception, *, uncertain: bool
) -> None:
    cluster.mishap = lambda _: mishap
    assert failure().uncertain is uncertain


def test_an_answer_may_ask_to_wait_and_be_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        httpx2.Response(429, headers={"Retry-After": "7"}, content=b"<html>"),
        httpx2.Response(503, headers={"Retry-After": "soon"}, content=b"[]"),
        httpx2.Response(200, json={}),
    ]
    cluster: Any = lambda _: answers.pop(0)  # noqa: E731  # it stands for a cluster
    lead_to(cluster, tmp_path, monkeypatch)
    clock = Clock()
    what = SecretDelivery(Address("ci", "a"), 7, "A", Secret(SECRET))
    run(Kubernetes(target(), clock.timing()).deliver(what))
    assert clock.now >= 7
    assert answers == []


def test_a_secret_that_is_no_text_is_not_sent(cluster: FakeCluster) -> None:
    assert not failure(secret="\ud800").uncertain
    assert cluster.written == []


@pytest.mark.parametrize(
    "config",
    [
        "no: [yaml",
        "{}",
        KUBECONFIG.replace("https://", "http://"),
        KUBECONFIG.replace(", user: test}", "}"),
        KUBECONFIG.replace("current-context: test", "current-context: other"),
    ],
    ids=["not yaml", "empty", "in the clear", "nobody", "no such context"],
)
def test_without_a_login_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    cluster = FakeCluster()
    lead_to(cluster, tmp_path, monkeypatch, config)
    assert "kubeconfig" in refusal().lower()
    assert not failure().uncertain


LOGIN = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump(dict(os.environ), file)
print(json.dumps({"kind": "ExecCredential", "status": {"token": "the-token"}}))
"""


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_login_program_gets_no_provisioning_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    cluster, seen = FakeCluster(), tmp_path / "seen.json"
    program: dict[str, Any] = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": sys.executable}
    program |= {"args": ["-c", LOGIN, str(seen)], "env": [{"name": "OURS", "value": "x"}]}
    lead_to(cluster, tmp_path, monkeypatch, KUBECONFIG.replace("{token: the-token}", json.dumps({"exec": program})))
    monkeypatch.setenv("NAGA_PROVISIONING_KEY", "a-provisioning-key")
    monkeypatch.setenv("NAGA_STAGING", "another-key")
    delivered()
    given = json.loads(seen.read_text("utf-8"))
    assert sorted(cluster.data) == ["NAGA_API"]
    assert [name for name, value in given.items() if "-key" in value] == []
    assert given["OURS"] == "x"
    assert json.loads(given["KUBERNETES_EXEC_INFO"])["apiVersion"] == program["apiVersion"]
