"""Nothing that a command says holds a secret, a credential or a character that acts on a terminal."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.destinations.dotenv import Dotenv
from support.command import Ended, Front, call, on_a_file
from support.search import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.destinations.base import SecretDelivery

CREDENTIAL = "ng-provisioning-0123456789abcdefghij"
MASK = "::add-mask::"

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
hostile = st.sampled_from(
    [
        "\x1b[2J\x1b]0;title\x07",
        "a\nerror: forged",
        "\r[1/1] create ci/a done",
        "::error::forged",
        "\n::add-mask::x",
        "##[group]x",
        "\u202eevil\u2066",
        "\x9b31m",
        "\u2028\u2029\x85",
    ]
)
names = hostile | anything | st.builds("ci/{}".format, hostile | anything)
keys = st.dictionaries(
    st.sampled_from(["a", "b", "c-1", "d.e"]),
    st.fixed_dictionaries(
        {"credit_limit": st.none() | st.integers(0, 9)},
        optional={
            "description": anything | hostile,
            "team": anything | hostile,
            "is_enabled": st.booleans(),
            "renamed_from": st.lists(names, min_size=1, max_size=2, unique=True),
            "deliver": st.lists(st.fixed_dictionaries({"to": st.just("local"), "as": hostile}), min_size=1, max_size=1),
        },
    ),
    max_size=4,
)
documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "version": st.just(1) | st.just(1) | st.just(1) | hostile,
        "destinations": st.fixed_dictionaries(
            {"local": st.fixed_dictionaries({"type": st.just("dotenv"), "path": st.just("s.env") | hostile})}
        ),
        "environments": st.fixed_dictionaries(
            {
                "ci": st.fixed_dictionaries(
                    {"keys": keys, "deliver": st.just([{"to": "local", "as": "KEY_{KEY}"}])},
                    optional={"deletion_grace": st.just("7d")},
                )
            },
            optional={"x": st.just({"keys": {}})},
        ),
    },
    optional={"unmanaged": st.sampled_from(["report", "delete", "error", "ignore"]), "sur\x1bprise": hostile},
)


@contextmanager
def somewhere(name: str) -> Iterator[Front]:
    """Work in a folder of its own, with a declaration of this name."""
    with (
        TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as monkeypatch,
        on_a_file(Path(folder), monkeypatch) as front,
    ):
        monkeypatch.setenv("NAGA_PROVISIONING_KEY", CREDENTIAL)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        yield Front(front.state, "-f", name, *front.options)


def secrets_in(folder: Path) -> set[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".db", ".yaml")]
    return {value for path in files for value in dotenv_values(path).values() if value}


def check(ended: Ended, secrets: set[str]) -> None:
    """See that nothing got out: no secret but in its mask, no credential, nothing that acts on a terminal."""
    err = [line for line in ended.err.split("\n") if not line.startswith(MASK)]
    said = ended.out + "\n".join(err)
    assert all(character == "\n" or character.isprintable() for character in said)
    assert not [line for line in said.split("\n") if line.startswith("::")]
    assert "##[" not in said
    assert CREDENTIAL not in ended.out + ended.err
    assert not [secret for secret in secrets if secret in said]
    assert "Traceback" not in said


@settings(max_examples=examples(40))
@given(documents, st.lists(names, max_size=4), st.sampled_from(["keys.yaml", "k\x1b[2J\n.yaml"]), st.booleans())
def test_no_name_and_no_value_gets_out_as_it_must_not(
    document: dict[str, Any],
    live: list[str],
    file: str,
    as_json: bool,  # noqa: FBT001  # drawn
) -> None:
    with somewhere(file) as front:
        Path(file).write_text(json.dumps(document), encoding="utf-8")
        secrets = {front.state.create_key(name)[1].reveal() for name in live}
        output_format = ["--format", "json"] if as_json else []
        for words in (["plan"], ["apply", "--auto-approve"], ["plan"]):
            ended = front("-v", *words, *output_format)
            check(ended, secrets | secrets_in(Path.cwd()))
            if as_json and (words[0] == "apply" or ended.code in (0, 2, 3)):
                assert isinstance(ended.document, dict)


class Echoing(BaseHTTPRequestHandler):
    """A service, or a proxy before it, that repeats the credential in what it answers."""

    def do_GET(self) -> None:
        said = f"{self.headers['Authorization']}\x1b[2J\n::error::{CREDENTIAL}"
        self.send_response(400, "no")
        self.end_headers()
        self.wfile.write(json.dumps({"error": {"type": said, "message": said}}).encode())

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""


class Unmoved(HTTPServer):
    """Says nothing of those who do not wait for their answer, as who has been refused once does not."""

    def handle_error(self, *_: object) -> None:
        """Go on."""


def test_a_service_that_repeats_the_credential_is_not_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.yaml").write_text("{version: 1, environments: {ci: {keys: {}}}}")
    with Unmoved(("127.0.0.1", 0), Echoing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            monkeypatch.setenv("NAGA_PROVISIONING_KEY", CREDENTIAL)
            monkeypatch.setenv("NAGA_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
            ended = call("-v", "apply", "--format", "json")
        finally:
            server.shutdown()
            thread.join()
    assert ended.code == 1
    assert "400" in ended.document["note"]
    check(ended, set())


@pytest.mark.parametrize("where", ["deliver", "report"])
def test_not_even_a_bug_gives_a_secret_away(where: str) -> None:
    seen: list[str] = []

    async def deliver(_: Dotenv, secret_delivery: SecretDelivery) -> None:
        seen.append(secret_delivery.secret.reveal())
        if where == "deliver":
            raise ValueError(seen[0])

    def stumble(*_: object) -> None:
        raise ValueError(seen[0])

    with somewhere("keys.yaml") as front, patch.object(Dotenv, "deliver", deliver):
        front.declare("{a: {credit_limit: 1}}")
        with patch("reconciler.cli.apply.Progress.report", stumble) if where == "report" else patch.dict(os.environ):
            ended = front("-v", "apply", "--auto-approve")
    assert ended.code == 1
    assert "unexpected ValueError" in ended.out + ended.err
    assert len(seen) == 1
    check(ended, set(seen))
