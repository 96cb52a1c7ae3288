from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from reconciler.destinations.age import Age
from reconciler.destinations.base import Describing, SecretDelivery
from reconciler.errors import DestinationError
from reconciler.model import Address, Setting, Target
from reconciler.secret import Secret
from support.age_tools import KeyPair, ed25519_pair, open_with_pyrage, opens_with_sops, rsa_pair, x25519_pair
from support.leaks import everything_shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "ng-0123456789abcdefghijklmnopqrs"  # 32 bytes: see opens_with_sops


def opens_with_age(file: Path, pair: KeyPair, expected: bytes, folder: Path) -> bool:
    (folder / "private").write_text(pair.private)
    (folder / "private").chmod(0o600)
    command = ["age", "--decrypt", "-i", str(folder / "private"), str(file)]
    return subprocess.run(command, capture_output=True, check=False).stdout == expected


def opens_with_pyrage(file: Path, pair: KeyPair, expected: bytes, _folder: Path) -> bool:
    return open_with_pyrage(file, pair) == expected


READERS: dict[str, Callable[[Path, KeyPair, bytes, Path], bool]] = {
    "pyrage": opens_with_pyrage,
    "age in sops": opens_with_sops,
    **({"age": opens_with_age} if shutil.which("age") else {}),
}
PAIRS = {"x25519": x25519_pair(), "ssh-ed25519": ed25519_pair(), "ssh-rsa": rsa_pair()}
ALICE, BOB = PAIRS["x25519"], PAIRS["ssh-ed25519"]


def age(path: Path | str, *recipients: str, recipients_file: Path | None = None) -> Age:
    settings: tuple[tuple[str, Setting], ...] = (("path", str(path)),)
    if recipients:
        settings += (("recipients", recipients),)
    if recipients_file:
        settings += (("recipients_file", str(recipients_file)),)
    return Age(Target("files", "age", settings))


def secret_delivery(secret: str = SECRET, *, name: str = "NAGA_API") -> SecretDelivery:
    return SecretDelivery(Address("production", "api"), 7, name, Secret(secret))


def deliver(destination: Age, what: SecretDelivery | None = None) -> None:
    asyncio.run(destination.deliver(what or secret_delivery()))


def refusal(destination: Age, *names: str) -> str:
    with pytest.raises(DestinationError) as caught:
        asyncio.run(destination.preflight(names or ("NAGA_API",)))
    return str(caught.value)


def failure(destination: Age, what: SecretDelivery | None = None) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        deliver(destination, what)
    shown = everything_shown(caught.value)
    assert (what or secret_delivery()).secret.reveal() not in shown
    assert not caught.value.uncertain
    return caught.value


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", PAIRS)
def test_every_reader_of_age_files_finds_exactly_the_secret(kind: str, reader: str, tmp_path: Path) -> None:
    file = tmp_path / "production" / "api.age"
    deliver(age(file, PAIRS[kind].public))
    assert READERS[reader](file, PAIRS[kind], SECRET.encode(), tmp_path)


def test_each_of_many_recipients_can_read_it_and_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "api.age"
    listed = tmp_path / "recipients.txt"
    listed.write_text(f"# ops\n\n  {PAIRS['ssh-rsa'].public}  \n{ALICE.public}\n", encoding="utf-8")
    destination = age(file, ALICE.public, BOB.public, recipients_file=listed)
    asyncio.run(destination.preflight(["NAGA_API"]))
    deliver(destination)
    assert [open_with_pyrage(file, pair) for pair in PAIRS.values()] == [SECRET.encode()] * 3
    with pytest.raises(pyrage.DecryptError):
        open_with_pyrage(file, x25519_pair())
    assert file.read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")


def test_a_recipient_said_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def encrypt(_plain: bytes, recipients: list[object], **_options: Any) -> bytes:
        counts.append(len(recipients))
        return b""

    monkeypatch.setattr(pyrage, "encrypt", encrypt)
    deliver(age(tmp_path / "api.age", ALICE.public, f" {ALICE.public}", BOB.public))
    assert counts == [2]


def test_recipients_may_all_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "recipients.txt").write_text(ALICE.public)
    destination = age(tmp_path / "api.age", recipients_file=tmp_path / "recipients.txt")
    asyncio.run(destination.preflight(["NAGA_API"]))
    deliver(destination)
    assert open_with_pyrage(tmp_path / "api.age", ALICE) == SECRET.encode()


def test_a_name_in_the_path_makes_a_file_a_secret(tmp_path: Path) -> None:
    destination = age(tmp_path / "{name}.age", ALICE.public)
    asyncio.run(destination.preflight(["NAGA_A", "NAGA_B"]))
    deliver(destination, secret_delivery("ng-a", name="NAGA_A"))
    deliver(destination, secret_delivery("ng-b", name="NAGA_B"))
    assert open_with_pyrage(tmp_path / "NAGA_A.age", ALICE) == b"ng-a"
    assert open_with_pyrage(tmp_path / "NAGA_B.age", ALICE) == b"ng-b"


def test_two_secrets_in_one_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    message = refusal(age(tmp_path / "api.age", ALICE.public), "NAGA_A", "NAGA_B")
    assert "2 keys would be written to this one file; put {key} or {name} into its path" in message


def test_what_is_written_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "api.age"
    deliver(age(file, ALICE.public))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_another_encryption_of_the_same_name_replaces_the_first(tmp_path: Path) -> None:
    destination = age(tmp_path / "api.age", ALICE.public)
    deliver(destination, secret_delivery("ng-first"))
    asyncio.run(destination.preflight(["NAGA_API"]))
    deliver(destination, secret_delivery("ng-second"))
    assert open_with_pyrage(tmp_path / "api.age", ALICE) == b"ng-second"


@pytest.mark.parametrize("content", [b"version: 1\n", b"\0"])
def test_a_file_of_something_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_bytes(content)
    destination = age(file, ALICE.public)
    words = "is there already and is not encrypted with age, so it is left as it is"
    assert words in refusal(destination)
    assert words in str(failure(destination))
    assert file.read_bytes() == content


def test_an_empty_file_and_one_that_is_not_armored_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "api.age"
    for content in (b"", pyrage.encrypt(b"ng-old", [pyrage.x25519.Recipient.from_str(ALICE.public)])):
        file.write_bytes(content)
        asyncio.run(age(file, ALICE.public).preflight(["NAGA_API"]))
        deliver(age(file, ALICE.public))
        assert open_with_pyrage(file, ALICE) == SECRET.encode()


@pytest.mark.parametrize(
    ("recipient", "words"),
    [
        ("age1abc", "entry 2 of recipients is no public key of the kinds age1…, ssh-ed25519 … or ssh-rsa …"),
        ("ssh-ed25519 abc", "entry 2 of recipients is no public key"),
        ("ecdsa-sha2-nistp256 abc", "entry 2 of recipients is no public key"),
        (" ", "entry 2 of recipients is no public key"),
        (ALICE.private, "entry 2 of recipients is a private key; it must be the public one"),
        (BOB.private, "entry 2 of recipients is a private key; it must be the public one"),
    ],
    ids=["no key", "no ssh key", "another kind", "blank", "private", "private ssh"],
)
def test_a_recipient_that_is_no_public_key_is_named_by_its_place(recipient: str, words: str, tmp_path: Path) -> None:
    destination = age(tmp_path / "api.age", ALICE.public, recipient)
    for message in (refusal(destination), str(failure(destination))):
        assert words in message
        assert "\n" not in message
        assert "AGE-SECRET-KEY" not in message
        assert "PRIVATE KEY" not in message
    assert not (tmp_path / "api.age").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "there is no recipient"),
        (b"# nobody\n\n", "there is no recipient"),
        (f"# me\n{ALICE.private}\n".encode(), "is a private key; it must be the public one"),
        (b"\n\xff\xfe\n", "line 2 of "),
    ],
    ids=["missing", "empty", "comments only", "private", "no text"],
)
def test_a_recipients_file_that_is_no_use_says_why(content: bytes | None, words: str, tmp_path: Path) -> None:
    listed = tmp_path / "recipients.txt"
    if content is not None:
        listed.write_bytes(content)
    destination = age(tmp_path / "api.age", recipients_file=listed)
    for message in (refusal(destination), str(failure(destination))):
        assert words in message
        assert ALICE.private not in message


def test_a_recipients_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "recipients.txt").mkdir()
    message = refusal(age(tmp_path / "api.age", recipients_file=tmp_path / "recipients.txt"))
    assert f"recipients_file {tmp_path}/recipients.txt: it is a folder, not a regular file" in message


def test_nobody_to_encrypt_for_is_found_before_anything_is_written(tmp_path: Path) -> None:
    assert "there is no recipient" in refusal(age(tmp_path / "api.age"))


def test_what_keeps_files_from_being_written_is_said_once_for_all(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file")
    message = refusal(age(tmp_path / "secrets" / "{name}.age", ALICE.public), "NAGA_A", "NAGA_B")
    assert message.count("is a file where a folder is needed") == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "NAGA_B.age").mkdir()
    message = refusal(age(tmp_path / "{name}.age", ALICE.public), "NAGA_A", "NAGA_B")
    assert message == f"{tmp_path}/{{name}}.age: NAGA_B.age: it is a folder, not a regular file"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_that_would_leave_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    destination = age(tmp_path / "secrets" / "{name}", ALICE.public)
    assert "is no name for a file" in refusal(destination, name)
    assert "it is no name for a file" in str(failure(destination, secret_delivery(name=name)))
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_is_no_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    error = failure(age(tmp_path / "api.age", ALICE.public), secret_delivery("ng-\ud800"))
    assert str(error).endswith("the secret is no text that UTF-8 can hold")


def test_a_library_that_fails_with_the_secret_in_its_words_gives_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plaintext: bytes, *_arguments: Any, **_more: Any) -> bytes:
        msg = f"cannot encrypt {plaintext.decode()}"
        raise pyrage.EncryptError(msg)

    monkeypatch.setattr(pyrage, "encrypt", fail)
    assert str(failure(age(tmp_path / "api.age", ALICE.public))).endswith("api.age: cannot encrypt <secret>")


def test_a_disk_that_fails_gives_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert str(failure(age(tmp_path / "api.age", ALICE.public))).endswith("api.age: Input/output error")


@pytest.mark.parametrize(
    "settings",
    [
        (),
        (("path", ""),),
        (("path", "a\0b"),),
        (("path", 5),),
        (("path", "x"), ("recipients", "age1")),
        (("path", "x"), ("recipients_file", 5)),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: tuple[tuple[str, Setting], ...]) -> None:
    with pytest.raises(DestinationError, match="the age destination 'files' needs"):
        Age(Target("files", "age", settings))


def test_an_age_file_cannot_say_whose_secret_it_holds() -> None:
    assert not isinstance(age("x", ALICE.public), Describing)


def test_a_recipients_file_that_was_swapped_after_the_plan_gets_nothing(tmp_path: Path) -> None:
    recipients = tmp_path / "r.txt"
    recipients.write_text(ALICE.public)
    settings: tuple[tuple[str, Setting], ...] = (
        ("path", str(tmp_path / "x.age")),
        ("recipients_file", str(recipients)),
    )
    seen = hashlib.sha256(ALICE.public.encode()).hexdigest()
    destination = Age(Target("files", "age", settings, (("recipients_file sha256", seen),)))
    deliver(destination)
    recipients.write_text(BOB.public)
    assert "was changed after the plan was made" in refusal(destination)
    assert "was changed after the plan was made" in str(failure(destination))
    assert open_with_pyrage(tmp_path / "x.age", ALICE) == SECRET.encode()


@pytest.mark.parametrize("path", [".git/{name}", "link/{name}", "../{name}"])
def test_a_place_that_is_not_fit_gets_nothing(path: str, tmp_path: Path) -> None:
    tree = (tmp_path / "tree").resolve()
    tree.mkdir()
    (tree / "link").symlink_to("..")
    settings: tuple[tuple[str, Setting], ...] = (("path", str(tree / path)), ("recipients", (ALICE.public,)))
    destination = Age(Target("files", "age", settings, root=str(tree)))
    assert "NAGA_API" in refusal(destination)
    assert "was not written" in str(failure(destination))
    assert [each.name for each in tmp_path.rglob("*")] == ["tree", "link"]
