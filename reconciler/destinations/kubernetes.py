"""The `kubernetes` destination: an entry of a Secret, and a restart of what reads it.

The entry is written by server-side apply with a field manager of its own, so that other entries, and whoever manages
them, are left alone. An annotation says which key it is of, since when, and the SHA-256 of its content; values are
never read. With `restart`, a delivery is done only once the rollout is: before that, something still works with the old
key.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import NameValue

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, fingerprint, text_setting
from reconciler.destinations.shared import Note, PerRun, instant, note, one_line, read_note, repeated, utf8
from reconciler.errors import DestinationError
from reconciler.http.address import unencrypted
from reconciler.http.redact import quote
from reconciler.http.retry import Passing, Timing, with_retries
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from lightkube.config.models import UserExec

    from reconciler.destinations.base import SecretDelivery
    from reconciler.model import Target
    from reconciler.secret import Secret

AT_A_TIME: Final = 8
WHOLE_SECONDS: Final = 120.0
ROLLOUT_SECONDS: Final = 900.0
"""How long a rollout may take; a deployment's own progressDeadlineSeconds, 600 unless it says so, ends it before."""

LOOK_SECONDS: Final = 2.0
PREFIX: Final = "naga-reconciler"

_DNS: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_OBJECT: Final = re.compile(_DNS, re.ASCII)
_ENTRY: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_WORKLOAD: Final = re.compile(rf"(deployment|statefulset|daemonset)/({_DNS})", re.ASCII)
_PASSING: Final = frozenset({409, 429, 500, 502, 503, 504})
_METADATA: Final = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
_APPLY: Final = {"Content-Type": "application/apply-patch+yaml"}
_MERGE: Final = {"Content-Type": "application/strategic-merge-patch+json"}
_EXEC_V1: Final = "client.authentication.k8s.io/v1"
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
LOGINS: Final = "it takes KUBECONFIG, ~/.kube/config, or in a pod its service account"


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came of a request: `said` is why it was not done, `maybe_done` that it may have been all the same."""

    status: int
    body: dict[str, Any]
    said: str = ""
    passing: bool = False
    retry_after: float = 0.0
    maybe_done: bool = False


class Kubernetes:
    """Entries of one Secret; see `Destination`."""

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's settings; nothing is touched yet.

        Raises:
            DestinationError: they name no Secret, or nothing that can be restarted.
        """
        settings = dict(target.settings)
        for name in ("namespace", "secret"):
            if not _OBJECT.fullmatch(str(settings.get(name))):
                wrong = f"not {settings.get(name)!r}"
                msg = f"the setting {name} of {target.destination!r} must be a name of Kubernetes, {wrong}"
                raise DestinationError(one_line(msg))
        self._namespace, self._secret = str(settings["namespace"]), str(settings["secret"])
        restart = settings.get("restart", ())
        workloads = [_WORKLOAD.fullmatch(each) for each in restart] if isinstance(restart, tuple) else [None]
        if None in workloads:
            msg = f"the setting restart of {target.destination!r} must be a list like [deployment/api], not {restart!r}"
            raise DestinationError(one_line(msg))
        self._workloads = [(match[1], match[2]) for match in workloads if match]
        self._timing = timing or Timing()
        self._cluster: Cluster | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names and try everything as a dry run; see `Destination`."""
        problems = [
            f"{name!r} is no name for an entry (letters, digits and . _ - between them)"
            for name in sorted(set(names))
            if not _ENTRY.fullmatch(name)
        ]
        problems += repeated(names)
        try:
            problems += [said async for said in self._obstacles()]
        except DestinationError as error:
            problems.append(str(error))
        if problems:
            raise DestinationError(one_line(f"{self._place()}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Write the entry, restart what reads it, and return when that runs; see `Destination`."""
        if not _ENTRY.fullmatch(secret_delivery.name):
            raise self._failed(secret_delivery.name, "it is no name for an entry")
        if utf8(secret_delivery.secret) is None:
            raise self._failed(secret_delivery.name, "the secret is no text")
        maybe_there: list[bool] = []
        try:
            await with_retries(lambda: self._write(secret_delivery, maybe_there), self._timing)
        except DestinationError as error:
            failure = str(error)
        else:
            failure = await self._restarted(secret_delivery)
            maybe_there.append(True)
        if failure:
            raise self._failed(secret_delivery.name, failure, uncertain=any(maybe_there))

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return whose the entries are, by annotations and field managers; asks for no values. See `Describing`."""
        return {name: note.held for name, note in (await self._noted(names)).items()}

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare the fingerprints in the annotations, without reading a value; see `Searching`."""
        wanted = fingerprint(secret)
        return [name for name, note in (await self._noted(names)).items() if note.sha256 == wanted]

    async def aclose(self) -> None:
        """Close the connections, for all who share them; see `Closing`."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.aclose()

    async def _noted(self, names: Sequence[str]) -> dict[str, Note]:
        """Return what is known of those entries that there are; an annotation counts while nobody else has written."""
        reply = await self._read(self._path(), _METADATA)
        if reply.status == HTTPStatus.NOT_FOUND:
            return {}
        if reply.said:
            raise DestinationError(one_line(f"{self._place()} cannot be read: {reply.said}"))
        metadata = reply.body.get("metadata", {})
        notes = metadata.get("annotations", {})
        managers = _managers(metadata)
        return {name: _note_of(name, managers[name], notes) for name in names if name in managers}

    def _connected(self) -> Cluster:
        cluster = CLUSTERS.get("default", Cluster)
        self._cluster = cluster
        return cluster

    def _place(self) -> str:
        return f"secret {self._namespace}/{self._secret}"

    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/secrets/{self._secret}"

    def _workload(self, kind: str, name: str) -> str:
        return f"/apis/apps/v1/namespaces/{self._namespace}/{kind}s/{name}"

    def _failed(self, name: str, why: str, *, uncertain: bool = False) -> DestinationError:
        word = "is not in use from" if uncertain else "was not written to"
        return DestinationError(one_line(f"{name} {word} {self._place()}: {why}"), uncertain=uncertain)

    async def _obstacles(self) -> AsyncIterator[str]:
        """Try what a delivery does without doing it: what forbids it, also by quota or admission, is told so."""
        probe = self._content("naga-reconciler.preflight", b"", "")
        reply = await self._asked("PATCH", f"{self._path()}?{_manager('preflight')}&dryRun=All", probe, _APPLY)
        if reply.said:
            yield reply.said
        for kind, name in self._workloads:
            reply = await self._read(self._workload(kind, name))
            if not reply.said and (never := _never_rolls(kind, reply.body)):
                yield f"{kind}/{name} {never}"
            elif not reply.said:
                path = f"{self._workload(kind, name)}?fieldManager={PREFIX}&dryRun=All"
                reply = await self._asked("PATCH", path, _restart_patch("preflight", 0), _MERGE)
            if reply.said:
                yield f"{kind}/{name}: {reply.said}"

    def _content(self, entry: str, value: bytes, note: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._secret, "annotations": {f"{PREFIX}/{entry}": note}},
            "data": {entry: base64.b64encode(value).decode()},
        }

    async def _write(self, what: SecretDelivery, maybe_there: list[bool]) -> None:
        """Apply the entry once; raises Passing or DestinationError."""
        since = format_instant(self._timing.machine().replace(microsecond=0))
        body = self._content(what.name, what.secret.reveal().encode(), note(what, since))
        path = f"{self._path()}?{_manager(what.name)}"
        reply = await self._connected().ask("PATCH", path, body, _APPLY, [what.secret])
        maybe_there.append(reply.maybe_done)
        _expect(reply)

    async def _restarted(self, what: SecretDelivery) -> str:
        """Roll everything that reads the secret, at the same time; gives what went wrong."""
        rolled = await asyncio.gather(*(self._rolled(kind, name, what) for kind, name in self._workloads))
        return "; ".join(filter(None, rolled))

    async def _rolled(self, kind: str, name: str, what: SecretDelivery) -> str:
        """Restart a workload and wait until all of it runs with the new secret; gives what went wrong."""
        path, said = self._workload(kind, name), f"{kind}/{name} does not run with it"
        try:
            reply = await self._asked(
                "PATCH", f"{path}?fieldManager={PREFIX}", _restart_patch(what.name, what.key_id), _MERGE
            )
            deadline = self._timing.monotonic() + ROLLOUT_SECONDS
            while not reply.said:
                if failure := _rollout_failure(reply.body):
                    return f"{said}: {failure}"
                if _rolled_out(kind, reply.body):
                    return ""
                if self._timing.monotonic() > deadline:
                    return f"{said}: the rollout was not done after {ROLLOUT_SECONDS:.0f} s"
                await self._timing.sleep(LOOK_SECONDS)
                reply = await self._read(path)
        except DestinationError as error:
            return f"{said}: {error}"
        return f"{said}: {reply.said}"

    async def _read(self, path: str, headers: Mapping[str, str] | None = None) -> _Reply:
        return await self._asked("GET", path, None, headers or {})

    async def _asked(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> _Reply:
        """Send what may be sent twice, until the reply does not look passing; raises DestinationError."""

        async def attempt() -> _Reply:
            reply = await self._connected().ask(method, path, body, headers)
            if reply.passing:
                raise Passing(DestinationError(reply.said), reply.retry_after)
            return reply

        return await with_retries(attempt, self._timing)


class Cluster:
    """Asks the API server that kubectl would ask, or in a pod the one of its cluster."""

    def __init__(self) -> None:
        """Log in as the environment says; nothing is sent yet.

        Raises:
            DestinationError: it says nothing that can be used.
        """
        failure, config = "", None
        try:
            config = KubeConfig.from_env().get()
        except Exception as error:  # noqa: BLE001  # whatever the file makes the library raise; its text may hold a token
            failure = type(error).__name__
        if failure or config is None:
            msg = f"cannot log in to Kubernetes ({failure}): {LOGINS}"
            raise DestinationError(msg)
        if unencrypted(config.cluster.server):
            msg = "the server of the kubeconfig must be https, or http to this machine"
            raise DestinationError(msg)
        if config.user is not None and config.user.exec is not None:
            _guard(config.user.exec, os.environ)
        try:
            self._client = AsyncClient(config, ConnectionParams(timeout=_TIMEOUT))
        except Exception as error:  # noqa: BLE001  # as above: no user, a certificate that is none
            failure = type(error).__name__
        if failure:
            msg = (
                f"cannot log in to Kubernetes ({failure}): the kubeconfig names no user or certificate that can be used"
            )
            raise DestinationError(msg)
        self._slots = asyncio.Semaphore(AT_A_TIME)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> _Reply:
        """Send one request once; never raises for what the network or the server does."""
        content = None if body is None else json.dumps(body).encode()
        failure: type[Exception] | None = None
        response: httpx2.Response | None = None
        async with self._slots:
            try:
                async with asyncio.timeout(WHOLE_SECONDS):
                    response = await self._client.request(method, path, content=content, headers=headers)
            except Exception as error:  # noqa: BLE001  # also what a login program does; it may hold what was sent
                failure = type(error)
        label = f"{method} {path.partition('?')[0]}"
        if response is None:
            name = "" if failure is None else failure.__name__
            return _Reply(0, {}, f"{label} had no answer ({name})", passing=True, maybe_done=name != "ConnectError")
        found = _parsed(response.content)
        if response.is_success:
            return _Reply(response.status_code, found)
        return _Reply(
            response.status_code,
            {},
            quote(f"{label} was answered {response.status_code} {found.get('message', '')}", secrets),
            passing=response.status_code in _PASSING,
            retry_after=_seconds(response.headers.get("Retry-After")),
            maybe_done=response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


CLUSTERS: Final[PerRun[Cluster]] = PerRun()


def _guard(program: UserExec, environment: Mapping[str, str]) -> None:
    """Keep from a login program what it needs least of all, the provisioning keys, and tell it what version it speaks.

    The library gives it the whole environment and what the kubeconfig adds to that. It refuses version v1, which
    differs from v1beta1 in what the program is told alone.
    """
    about = {"apiVersion": program.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    told = {"KUBERNETES_EXEC_INFO": json.dumps(about), **dict.fromkeys(filter(_is_ours, environment), "")}
    program.env = [*(program.env or ()), *(NameValue(name, value) for name, value in told.items())]
    if program.apiVersion == _EXEC_V1:
        program.apiVersion = f"{_EXEC_V1}beta1"


def _is_ours(variable: str) -> bool:
    return variable.startswith("NAGA_")


def _manager(entry: str) -> str:
    """Return the field manager of an entry: with one for all, applying an entry would remove the others."""
    return f"fieldManager={PREFIX}.{entry}&force=true"


def _restart_patch(entry: str, key_id: int) -> dict[str, object]:
    """Return what makes a workload roll once for each key, and not again for the same one."""
    annotations = {f"{PREFIX}/{entry}": f"key {key_id}"}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def _never_rolls(kind: str, workload: Mapping[str, Any]) -> str:
    """Return why a workload would not roll; empty where it would."""
    spec = workload.get("spec", {})
    if spec.get("paused"):
        return "is paused, so a restart would wait for ever: kubectl rollout resume"
    if kind != "deployment" and spec.get("updateStrategy", {}).get("type") == "OnDelete":
        return "replaces its pods only when they are deleted (updateStrategy OnDelete)"
    return ""


def _rollout_failure(workload: Mapping[str, Any]) -> str:
    for condition in workload.get("status", {}).get("conditions", ()):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return quote(f"its rollout has failed: {condition.get('message', condition['reason'])}")
    return ""


def _rolled_out(kind: str, workload: Mapping[str, Any]) -> bool:
    """True when all pods of a workload are of its newest template, and ready."""
    spec, status = workload.get("spec", {}), workload.get("status", {})
    if status.get("observedGeneration", 0) < workload.get("metadata", {}).get("generation", 0):
        return False
    if kind == "daemonset":
        wanted = status.get("desiredNumberScheduled", 0)
        counts = {status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)}
    else:
        wanted = spec.get("replicas", 1)
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {wanted}


def _managers(metadata: Mapping[str, Any]) -> dict[str, list[tuple[str, datetime | None]]]:
    """Return by entry who manages it, and since when."""
    found: dict[str, list[tuple[str, datetime | None]]] = {}
    for each in metadata.get("managedFields", ()):
        for entry in _entries(each):
            found.setdefault(entry, []).append((str(each.get("manager")), instant(each.get("time"))))
    return found


def _entries(managed: Mapping[str, Any]) -> Iterator[str]:
    for field in managed.get("fieldsV1", {}).get("f:data", {}):
        yield field.removeprefix("f:")


def _note_of(entry: str, managers: Sequence[tuple[str, datetime | None]], notes: Mapping[str, str]) -> Note:
    found = read_note(notes.get(f"{PREFIX}/{entry}"))
    if found and [name for name, _ in managers] == [f"{PREFIX}.{entry}"]:
        return found
    return Note(Held(None, managers[0][1]), "")


def _expect(reply: _Reply) -> None:
    """Let a success through; raises Passing or DestinationError for anything else."""
    if not reply.said:
        return
    failure = DestinationError(reply.said)
    if reply.passing:
        raise Passing(failure, reply.retry_after)
    raise failure


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0.0


DESCRIPTION: Final = Description(
    create=Kubernetes,
    type="kubernetes",
    extra="kubernetes",
    summary="An entry of a Secret in Kubernetes, and a restart of what reads it.",
    title="An entry of a Secret in Kubernetes",
    description=(
        "An entry of a Secret, and a restart of what reads it. The cluster and the login are those of kubectl "
        "(KUBECONFIG, ~/.kube/config), or in a pod its service account."
    ),
    settings={
        "namespace": text_setting(
            "The namespace of the Secret and of what is restarted.",
            "the name of a namespace",
            "{environment}",
            "shop",
            pattern=r"^[a-z0-9.{}A-Z_-]+$",
        ),
        "secret": text_setting(
            "The name of the Secret; its other entries stay. It is created where it is not there.",
            "the name of a Secret",
            "naga",
            pattern=r"^[a-z0-9.{}A-Z_-]+$",
        ),
        "restart": {
            "description": (
                "What reads the Secret: deployment/NAME, statefulset/NAME or daemonset/NAME. It is restarted, and the "
                "delivery is done when all of it runs with the new secret."
            ),
            "type": "array",
            "minItems": 1,
            "maxItems": 20,
            "items": {
                "title": "Workload",
                "description": "deployment/NAME, statefulset/NAME or daemonset/NAME.",
                "type": "string",
                "pattern": "^(deployment|statefulset|daemonset)/[a-zA-Z0-9.{}_-]+$",
                "maxLength": 255,
                "errorMessage": "must be a list of workloads like deployment/api, statefulset/api or daemonset/api",
            },
            "examples": [["deployment/api"]],
            "errorMessage": "must be a list of workloads like deployment/api, at least one",
        },
    },
    required=("namespace", "secret"),
    kind=Kind(
        names=r"(?a)[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?",
        words="the name of an entry (letters, digits and . _ - between them, at most 63)",
        manner=("restart",),
    ),
)
