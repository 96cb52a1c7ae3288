"""The `gitlab-ci` destination: a CI/CD variable of a project or a group.

A variable is masked in the logs of jobs and, unless the file says otherwise, hidden in the settings and given to
protected branches and tags only. Its description notes whose secret it is, since when, and its SHA-256: the value of a
hidden one is shown to nobody.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as quote_url

from reconciler.declaration.destinations import Kind
from reconciler.destinations.base import Description, Held, fingerprint, flag_setting, text_setting
from reconciler.destinations.shared import PerRun, note, one_line, read_note, repeated, utf8
from reconciler.errors import DestinationError, ReconcilerError
from reconciler.forge.gitlab import Client
from reconciler.http.retry import Timing
from reconciler.model import is_acted_on
from reconciler.secret import Secret
from reconciler.units import format_instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.destinations.base import SecretDelivery
    from reconciler.http.reply import Reply
    from reconciler.model import Target

LONGEST_DESCRIPTION: Final = 255
SHORTEST_MASKED: Final = 8

_NAMES: Final = r"(?a)(?!(?:CI|GITLAB)_)[A-Za-z_][A-Za-z0-9_]{0,254}"
_LIMITS: Final = "letters, digits and _, no digit first, not CI_… or GITLAB_…, at most 255"
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", re.ASCII)
_SCOPE: Final = re.compile(r"\*|[A-Za-z0-9_ /${}.*-]{1,255}", re.ASCII)
_MASKABLE: Final = re.compile(r"[A-Za-z0-9_:@.~+/=-]{8,}", re.ASCII)
_NEEDED: Final = "it takes a token with the scope api and the role Maintainer (of a group: Owner)"

Variable = dict[str, Any]


class GitLabCI:
    """Variables of one project or group and one environment scope; see `Destination`."""

    def __init__(self, target: Target, timing: Timing | None = None) -> None:
        """Take the target's settings; nothing is touched yet.

        Raises:
            DestinationError: they name no project or group, or both, or no scope that can be.
        """
        settings = dict(target.settings)
        homes = {kind: str(settings[kind]) for kind in ("project", "group") if kind in settings}
        if len(homes) != 1 or not all(map(_PATH.fullmatch, homes.values())):
            msg = f"the settings of {target.destination!r} must have a project or a group by its path, not {homes!r}"
            raise DestinationError(one_line(msg))
        ((self._kind, self._home),) = homes.items()
        self._scope = str(settings.get("environment_scope", "*"))
        if not _SCOPE.fullmatch(self._scope):
            wrong = f"not {self._scope!r}"
            msg = f"environment_scope of {target.destination!r} must be an environment like production, {wrong}"
            raise DestinationError(one_line(msg))
        self._hidden = settings.get("hidden", True) is True
        self._protected = settings.get("protected", True) is True
        self._timing = timing or Timing()
        self._client: Client | None = None

    async def preflight(self, names: Sequence[str]) -> None:
        """Check the names, the login, what it may do, and what is there already; see `Destination`."""
        problems = [
            f"{name!r} is no name for a variable ({_LIMITS})" for name in sorted({*names}) if not _is_name(name)
        ]
        problems += repeated(names)
        try:
            problems += await self._obstacles(names)
        except DestinationError as error:
            problems.append(str(error))
        if problems:
            raise DestinationError(one_line(f"{self._place()}: {'; '.join(problems)}"))

    async def deliver(self, secret_delivery: SecretDelivery) -> None:
        """Create or change the variable; return when GitLab shows it as it was asked for. See `Destination`."""
        failure, is_uncertain = await self._store(secret_delivery)
        if failure:
            # Raised here, from nothing: the frames that saw the secret are no part of the traceback.
            verb = "may not be in" if is_uncertain else "was not stored in"
            message = f"{secret_delivery.name} {verb} {self._place()}: {failure}"
            raise DestinationError(one_line(message), uncertain=is_uncertain)

    async def describe(self, names: Sequence[str]) -> Mapping[str, Held]:
        """Return whose the variables are, by their descriptions; see `Describing`.

        A description that does not fit the value, where that can be seen, tells nothing: somebody has changed it since.
        """
        variables = await self._variables()
        return {name: _held(variables[name]) for name in names if name in variables}

    async def holds(self, secret: Secret, names: Sequence[str]) -> Collection[str]:
        """Compare the values, or of hidden ones the fingerprints in their descriptions; see `Searching`."""
        wanted, variables = fingerprint(secret), await self._variables()
        return [name for name in names if name in variables and _fingerprint_of(variables[name]) == wanted]

    async def aclose(self) -> None:
        """Close the connections, for all who share them; see `Closing`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _connected(self) -> Client:
        try:
            client = CLIENTS.get("gitlab", lambda: Client(os.environ, self._timing))
        except ReconcilerError as error:
            raise DestinationError(str(error)) from None
        self._client = client
        return client

    def _place(self) -> str:
        at = f" at {self._client.host}" if self._client else ""
        scope = "" if self._scope == "*" else f", scope {self._scope}"
        return f"{self._kind} {self._home}{scope}{at}"

    def _path(self, name: str | None = None, scope: str | None = None) -> str:
        home = f"{self._kind}s/{quote_url(self._home, safe='')}/variables"
        return home if name is None else f"{home}/{name}?filter[environment_scope]={quote_url(scope or self._scope)}"

    async def _variables(self) -> dict[str, Variable]:
        """Read the variables of the scope by name; raises DestinationError."""
        reply = await self._connected().every(self._path())
        if not reply.ok:
            msg = one_line(f"{self._place()} cannot be read: {_words(reply)}")
            raise DestinationError(msg)
        return {
            str(each.get("key")): dict(each) for each in reply.items if each.get("environment_scope") == self._scope
        }

    async def _obstacles(self, names: Sequence[str]) -> list[str]:
        client = self._connected()
        home = await client.ask("GET", f"{self._kind}s/{quote_url(self._home, safe='')}")
        if not home.ok:
            return [_words(home)]
        if home.body.get("archived") is True:
            return ["the project is archived, so its variables cannot be changed"]
        token = await client.ask("GET", "personal_access_tokens/self")
        # Other kinds of tokens are not known there, and show what they may do when they are used.
        if token.ok and "api" not in token.body.get("scopes", ["api"]):
            return [f"the token lacks the scope api: {_NEEDED}"]
        variables = await self._variables()
        shown = [name for name in names if self._hidden and name in variables and not variables[name].get("hidden")]
        return [
            f"{name} is there and not hidden, which GitLab cannot change: delete it there, or say hidden: false"
            for name in sorted({*shown})
        ]

    async def _store(self, what: SecretDelivery) -> tuple[str, bool]:
        """Store a secret; gives what went wrong, and whether it may be there all the same."""
        if not _is_name(what.name):
            return "it is no name for a variable", False
        if utf8(what.secret) is None or not _MASKABLE.fullmatch(what.secret.reveal()):
            return f"the secret cannot be masked: that takes {SHORTEST_MASKED} characters of base64 or more", False
        try:
            client = self._connected()
        except DestinationError as error:
            return str(error), False
        known = await client.ask("GET", self._path(what.name))
        if not known.ok and known.status != HTTPStatus.NOT_FOUND:
            return _words(known), False
        if known.ok and self._hidden and not known.body.get("hidden"):
            return "it is there and not hidden, which GitLab cannot change: delete it there", False
        body = self._body(what)
        if known.ok:
            reply = await client.ask("PUT", self._path(what.name), body)
        else:
            reply = await client.ask(
                "POST", self._path(), {**body, "key": what.name, "masked_and_hidden": self._hidden}
            )
            if reply.status == HTTPStatus.BAD_REQUEST and reply.maybe_done:  # an earlier attempt has arrived
                reply = await client.ask("PUT", self._path(what.name), body)
        if not reply.ok:
            return _words(reply), reply.maybe_done
        return await self._differs(client, what.name, body, reply.body, is_new=not known.ok)

    def _body(self, what: SecretDelivery) -> dict[str, object]:
        since = format_instant(self._timing.machine().replace(microsecond=0))
        return {
            "value": what.secret,
            "masked": True,
            "protected": self._protected,
            "raw": True,  # a $ in it is one, and no reference to another variable
            "variable_type": "env_var",
            "environment_scope": self._scope,
            "description": note(what, since)[:LONGEST_DESCRIPTION],  # a long address is cut, and not read back
        }

    async def _differs(
        self, client: Client, name: str, asked: Mapping[str, object], stored: Mapping[str, Any], *, is_new: bool
    ) -> tuple[str, bool]:
        """Return what of a stored variable is not as it was asked for; a new one of that kind is taken away again.

        An edition of GitLab without scopes for groups, or one that cannot hide, leaves out what it does not know.
        """
        wanted: dict[str, object] = {each: asked[each] for each in ("environment_scope", "protected", "masked", "raw")}
        if is_new and self._hidden:
            wanted["hidden"] = True
        differing = [each for each, value in wanted.items() if stored.get(each) != value]
        if not differing:
            return "", False
        failure = f"this GitLab did not store it as asked: {', '.join(f'{e} is {stored.get(e)!r}' for e in differing)}"
        if not is_new:
            return failure, True
        gone = await client.ask("DELETE", self._path(name, str(stored.get("environment_scope"))))
        return failure, not (gone.ok or gone.status == HTTPStatus.NOT_FOUND)


CLIENTS: Final[PerRun[Client]] = PerRun()


def _is_name(name: str) -> bool:
    return re.fullmatch(_NAMES, name) is not None and not is_acted_on(name)


def _words(reply: Reply) -> str:
    """Return what a reply that is no success means, and what to do about it."""
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            return f"the token is refused ({reply.said}): it is wrong, expired or revoked"
        case HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
            return f"{reply.said}; {_NEEDED}, which the CI_JOB_TOKEN of a job never is"
        case _:
            return reply.said


def _held(variable: Variable) -> Held:
    found = read_note(variable.get("description"))
    if found is None or found.sha256 != _fingerprint_of(variable):
        return Held(None, None)
    return found.held


def _fingerprint_of(variable: Variable) -> str:
    """Return the SHA-256 of a value, or what is noted of one that is hidden."""
    value = variable.get("value")
    if isinstance(value, str) and not variable.get("hidden"):
        return fingerprint(Secret(value))
    found = read_note(variable.get("description"))
    return "" if found is None else found.sha256


_LEFT_OUT: Final = {"properties": {"group": False}, "errorMessage": "must be left out beside project"}
_EITHER: Final = "must have project or group"

DESCRIPTION: Final = Description(
    create=GitLabCI,
    type="gitlab-ci",
    summary="A CI/CD variable of a project or group of GitLab.",
    title="GitLab CI/CD variables",
    description=(
        "Variables of a project or a group: masked in logs, hidden in the settings, for protected branches and tags. "
        "The address of GitLab and the token come from the environment: GITLAB_URL, or CI_SERVER_URL of a job, and "
        "GITLAB_TOKEN."
    ),
    settings={
        "project": text_setting(
            "The project whose variables they are, by its whole path. It may not stand beside group.",
            "a project like acme/api, without the address of the server",
            "acme/api",
            pattern=r"^[A-Za-z0-9_{}][A-Za-z0-9_.{}-]*(/[A-Za-z0-9_{}][A-Za-z0-9_.{}-]*)+$",
        ),
        "group": text_setting(
            "The group whose projects all get them, by its whole path. It may not stand beside project.",
            "a group like acme or acme/team",
            "acme/team",
            pattern=r"^[A-Za-z0-9_{}][A-Za-z0-9_.{}-]*(/[A-Za-z0-9_{}][A-Za-z0-9_.{}-]*)*$",
        ),
        "environment_scope": text_setting(
            "The environments whose jobs get them, as GitLab has it: production, review/*. All where nothing is said. "
            "Of a group it takes GitLab Premium.",
            "an environment like production or review/*",
            "{environment}",
            pattern=r"^[A-Za-z0-9_ /${}.*-]+$",
            default="*",
        ),
        "protected": flag_setting(
            "false: jobs of branches and tags that are not protected get them too.", default=True
        ),
        "hidden": flag_setting(
            "false: maintainers can read them in the settings. It takes GitLab 17.4 to hide a variable, and only a new "
            "one can be.",
            default=True,
        ),
    },
    rules={
        "anyOf": [{"required": [name], "errorMessage": _EITHER} for name in ("project", "group")],
        "allOf": [{"if": {"required": ["project"]}, "then": _LEFT_OUT}],
    },
    kind=Kind(
        names=_NAMES,
        words=f"the name of a variable ({_LIMITS})",
        defaults={"environment_scope": "*"},
        manner=("hidden", "protected"),
        caseless=True,
        exported=True,
    ),
)
