from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from reconciler.destinations.github_server import App, Token, find_login
from reconciler.errors import DestinationError
from reconciler.secret import Secret
from support.github import fake
from support.github.fake import TOKEN
from support.github.transport import Mishap
from support.github.world import ENVIRONMENT, LEAK, ORGANIZATION, REPOSITORY, World, secret_delivery
from support.leaks import everything_shown

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OF_ANOTHER_KIND = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with an App that is installed on the repository and the organisation, and no other login."""
    made = World(monkeypatch)
    made.fake.apps["4711"] = fake.App(PUBLIC, {"acme/api": 1, "acme": 2})
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("GITHUB_APP_ID", "4711")
    monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY", PEM)
    return made


# --- where the credentials are ----------------------------------------------------------------------------------------


def test_an_app_comes_before_a_token() -> None:
    assert find_login({"GITHUB_TOKEN": " ghp_1\n"}) == Token(Secret("ghp_1"))
    both = {"GITHUB_TOKEN": "ghp_1", "GITHUB_APP_ID": "4711", "GITHUB_APP_PRIVATE_KEY": "a\\nb"}
    assert find_login(both) == App("4711", Secret("a\nb"))


def test_the_private_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "app.pem"
    file.write_text(PEM)
    login = find_login({"GITHUB_APP_ID": "4711", "GITHUB_APP_PRIVATE_KEY_FILE": str(file)})
    assert login == App("4711", Secret(PEM))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"GITHUB_TOKEN": "two words"}, "GITHUB_TOKEN holds characters that no token has"),
        ({"GITHUB_APP_ID": "../x"}, "GITHUB_APP_ID is no id of a GitHub App"),
        (
            {"GITHUB_APP_ID": "1"},
            "GITHUB_APP_ID is set, but neither GITHUB_APP_PRIVATE_KEY nor GITHUB_APP_PRIVATE_KEY_FILE",
        ),
        (
            {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY_FILE": "/nowhere"},
            "GITHUB_APP_PRIVATE_KEY_FILE cannot be read: No such file or directory",
        ),
        (
            {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY_FILE": "a\0b"},
            "GITHUB_APP_PRIVATE_KEY_FILE cannot be read: it is no path",
        ),
    ],
)
def test_credentials_that_cannot_be_used_are_named_and_not_shown(environment: dict[str, str], words: str) -> None:
    with pytest.raises(DestinationError) as caught:
        find_login(environment)
    assert str(caught.value) == words
    assert "two words" not in str(caught.value)


# --- an App -----------------------------------------------------------------------------------------------------------


def test_an_app_delivers_with_a_token_for_no_more_than_it_needs(world: World) -> None:
    destinations = {
        REPOSITORY: world.repository(),
        ENVIRONMENT: world.repository(environment="production"),
        ORGANIZATION: world.open(organization="acme", visibility="all"),
    }

    async def run() -> None:
        for each in destinations.values():
            await each.preflight(["NAGA_API"])
            await each.deliver(secret_delivery())

    world.run(run())
    assert [world.fake.held(place) for place in destinations] == [{"NAGA_API": LEAK}] * 3
    assert world.fake.scoped == [
        {"permissions": {"secrets": "write"}, "repositories": ["api"]},
        {"permissions": {"environments": "write"}, "repositories": ["api"]},
        {"permissions": {"organization_secrets": "write"}},
    ]


def test_an_app_logs_in_once_for_many_secrets_and_gives_the_token_back(world: World) -> None:
    destination = world.repository()

    async def run() -> int:
        await asyncio.gather(*(destination.deliver(secret_delivery(f"NAGA_{number}")) for number in range(20)))
        before = len(world.fake.tokens)
        await destination.aclose()
        return before

    assert world.run(run()) == 2
    assert list(world.fake.tokens) == [TOKEN]
    assert sum("access_tokens" in line for line in world.fake.asked) == 1


def test_an_app_gets_a_new_token_before_the_old_one_ends(world: World) -> None:
    destination = world.repository()

    async def run() -> None:
        await destination.deliver(secret_delivery())
        for token in world.fake.tokens:
            if token != TOKEN:
                world.fake.tokens[token] = fake.Grant({})
        await asyncio.sleep(50 * 60)
        await asyncio.gather(*(destination.deliver(secret_delivery(f"NAGA_{number}")) for number in range(5)))

    world.run(run())
    assert len(world.fake.scoped) == 2
    assert len(world.fake.held(REPOSITORY)) == 6


@pytest.mark.parametrize("mishap", [Mishap(500), Mishap(error=RuntimeError("x"))])
def test_a_token_that_cannot_be_given_back_is_left_to_end_by_itself(world: World, mishap: Mishap) -> None:
    destination = world.repository()

    async def run() -> None:
        await destination.deliver(secret_delivery())
        world.way.expect("DELETE", mishap)
        await destination.aclose()

    world.run(run())
    assert world.way.closed == 1


def test_giving_a_token_back_does_not_keep_the_run(world: World) -> None:
    destination = world.repository()

    async def run() -> None:
        await destination.deliver(secret_delivery())
        world.way.hang = True
        await destination.aclose()

    world.run(run())
    assert world.way.closed == 1
    assert world.clock.seconds == 5


def test_an_app_that_is_not_installed_there_is_told_so(world: World) -> None:
    world.fake.repositories["acme/other"] = False
    message = world.refusal(world.open(repository="acme/other"))
    assert message == "acme/other: the GitHub App 4711 is not installed on acme/other"


def test_an_app_without_the_permission_is_told_which(world: World) -> None:
    world.fake.apps["4711"] = fake.App(PUBLIC, {"acme/api": 1}, {"secrets": "read"})
    message = world.refusal(world.repository())
    refused = "422 The permissions requested are not granted to this installation."
    assert message == (
        f"acme/api: the GitHub App 4711 gets no token for acme/api: {refused}; it needs the repository permission "
        "'Secrets: write', and every change of it to be accepted where the App is installed"
    )


def test_a_private_key_of_another_app_is_refused_in_words(world: World) -> None:
    world.fake.apps["4711"] = fake.App(PUBLIC.replace(b"A", b"B", 1), {"acme/api": 1})
    world.fake.apps.clear()
    message = world.refusal(world.repository())
    assert "the GitHub App 4711 is refused (401 A JSON web token could not be decoded)" in message
    assert "GITHUB_APP_ID and the private key must belong together" in message


@pytest.mark.parametrize("key", ["no key", PEM[:200], OF_ANOTHER_KIND, "é"])
def test_a_private_key_that_is_none_is_refused_and_not_shown(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY", key)
    error = world.failure(world.repository())
    assert "the private key of the GitHub App is no RSA key in PEM" in str(error)
    assert key.splitlines()[-1] not in everything_shown(error)


def test_an_empty_file_is_no_private_key(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "app.pem").touch()
    monkeypatch.delenv("GITHUB_APP_PRIVATE_KEY")
    monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY_FILE", str(tmp_path / "app.pem"))
    assert "is no RSA key in PEM" in world.refusal(world.repository())


@pytest.mark.parametrize(
    ("word", "mishap", "words"),
    [
        ("/installation", Mishap(503), "the GitHub App 4711 cannot be looked up: 503 (tried 6 times)"),
        ("access_tokens", Mishap(403, content='{"message": "suspended"}'), "no token for acme/api: 403 suspended"),
        ("access_tokens", Mishap(201), "no token for acme/api: the answer holds no token"),
    ],
)
def test_a_login_that_fails_is_the_failure_of_the_delivery(world: World, word: str, mishap: Mishap, words: str) -> None:
    world.way.expect(word, *[mishap] * 6)
    error = world.failure(world.repository())
    assert str(error).endswith(words)
    assert not error.uncertain
    assert LEAK not in everything_shown(error)


def test_neither_the_private_key_nor_a_token_is_shown(world: World) -> None:
    destination = world.repository()
    world.way.expect("PUT", Mishap(400, content=f'{{"message": "ghs_{1:030}"}}'))
    error = world.failure(destination)
    shown = f"{everything_shown(error)} {destination!r} {destination._github!r}"
    assert f"ghs_{1:030}" not in shown
    assert PEM.splitlines()[3] not in shown
