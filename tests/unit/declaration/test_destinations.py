from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.declarations import errors, keys_file, loaded

if TYPE_CHECKING:
    from reconciler.model import Setting, Target

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def targets(settings: str, name: str = "{key}") -> list[Target]:
    """Give the targets of the keys a and b in production."""
    keys = "{a: {credit_limit: 1}, b: {credit_limit: 1}}"
    top = f"destinations: {{there: {{{settings}}}}}"
    content = keys_file(keys, top=top, environment=f"deliver: [{{to: there, as: '{name}'}}]")
    return [delivery.target for key in loaded(content).keys for delivery in key.deliver]


def settings(target: Target) -> dict[str, Setting]:
    return dict(target.settings)


def test_age_files_of_an_environment_are_one_target_where_the_name_tells_them_apart() -> None:
    first, second = targets(
        f"type: age, path: 'secrets/{{environment}}/{{name}}.age', recipients: [{RECIPIENT}, 'ssh-rsa AAAA x']"
    )
    assert first is second
    assert settings(first) == {
        "path": "folder/secrets/e/{name}.age",
        "recipients": (RECIPIENT, "ssh-rsa AAAA x"),
    }


def test_an_age_file_may_be_told_apart_by_the_key_itself() -> None:
    first, second = targets("type: age, path: '{live_name}.age', recipients_file: '{environment}.txt'", name="same")
    assert [settings(each)["path"] for each in (first, second)] == ["folder/e/a.age", "folder/e/b.age"]
    assert settings(first)["recipients_file"] == "folder/e.txt"


def test_a_command_runs_in_the_folder_of_its_file_unless_it_says_otherwise() -> None:
    first, second = targets("type: exec, command: [store, '{environment}', '--as={name}', '100%', '%(name)s']")
    assert first is second
    assert settings(first) == {
        "command": ("store", "e", "--as={name}", "100%", "%(name)s"),
        "folder": "folder",
    }
    first, second = targets("type: exec, command: [store, '{KEY}'], folder: deploy, timeout: 2m, parallelism: 8")
    assert settings(second) == {"command": ("store", "B"), "folder": "folder/deploy", "parallelism": 8, "timeout": "2m"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{path: 'x/{name}.age'}", "{path: 'x/{environment}.age'}"),
        ("{path: 'x/{name}.age'}", "{path: './x/y/../{name}.age', recipients: [age1other]}"),
    ],
)
def test_one_age_file_takes_one_secret_whatever_leads_to_it(first: str, second: str) -> None:
    shared = "type: age, recipients_file: r.txt, "
    top = f"destinations: {{one: {{{shared}{first[1:]}, two: {{{shared}{second[1:]}}}"
    found = errors(
        keys_file(
            "{a: {credit_limit: 1, deliver: [{to: one, as: e}]}, b: {credit_limit: 1, deliver: [{to: two, as: e}]}}",
            top=top,
        )
    )
    (message,) = found
    assert "deliver puts e/b as e into 'two', where e/a (0.yaml:5:12) goes too" in message


def delivered_as_one_name(first: str, second: str) -> str:
    """Give a file whose two keys go to two destinations under one name."""
    return keys_file(
        "{a: {credit_limit: 1, deliver: [{to: one, as: E}]}, b: {credit_limit: 1, deliver: [{to: two, as: E}]}}",
        top=f"destinations: {{one: {{type: {first}}}, two: {{type: {second}}}}}",
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("vault, path: a, role: ci", "vault, path: a, role: cd"),
        ("vault, path: a", "vault, path: a, mount: secret, role: ci, audience: x, auth_mount: github"),
        ("vault, path: a, namespace: team, role: ci", "vault, path: a, namespace: team"),
        ("aws-secrets-manager, kms_key_id: alias/x", "aws-secrets-manager, kms_key_id: alias/y"),
        ("aws-secrets-manager, region: eu-west-1", "aws-secrets-manager, region: eu-west-1, kms_key_id: alias/y"),
        ("exec, command: [store, '{name}']", "exec, command: [store, '{name}'], timeout: 2m, parallelism: 4"),
        ("github-actions, repository: acme/api", "github-actions, repository: Acme/API"),
        (
            "github-actions, organization: acme, visibility: all",
            "github-actions, organization: acme, visibility: private",
        ),
        ("dotenv, path: x.env", "dotenv, path: y/../x.env"),
    ],
)
def test_one_place_takes_one_secret_of_a_name_whatever_the_way_there(first: str, second: str) -> None:
    (message,) = errors(delivered_as_one_name(first, second))
    assert "deliver puts e/b as E into 'two', where e/a (0.yaml:5:12) goes too" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("vault, path: a", "vault, path: b"),
        ("vault, path: a", "vault, path: a, mount: kv"),
        ("vault, path: a", "vault, path: a, namespace: team"),
        ("vault, path: a", "vault, path: A"),
        ("aws-secrets-manager, region: eu-west-1", "aws-secrets-manager, region: eu-west-2"),
        ("aws-secrets-manager", "aws-secrets-manager, region: eu-west-1"),
        ("exec, command: [store, '{name}']", "exec, command: [keep, '{name}']"),
        ("github-actions, repository: acme/api", "github-actions, repository: acme/api, environment: x"),
    ],
)
def test_what_may_be_two_places_may_take_two_secrets_of_a_name(first: str, second: str) -> None:
    assert len(loaded(delivered_as_one_name(first, second)).keys) == 2


def test_two_keys_of_other_names_in_one_age_file_are_found() -> None:
    found = errors(
        keys_file(
            "{a: {credit_limit: 1}, b: {credit_limit: 1}}",
            top=f"destinations: {{there: {{type: age, path: x.age, recipients: [{RECIPIENT}]}}}}",
            environment="deliver: [{to: there, as: '{key}'}]",
        )
    )
    assert len(found) == 1
    assert "deliver puts e/b as b into 'there', where e/a" in found[0]


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("age, path: '{name}', recipients_file: r", "a/b", "the name of a file, without a folder, not 'a/b'"),
        ("age, path: '{name}', recipients_file: r", "..", "the name of a file, without a folder, not '..'"),
        (
            "exec, command: [x]",
            "-f",
            "a name that does not begin with '-', which programs take for an option, not '-f'",
        ),
        ("dotenv, path: x", "1st", "a variable name (letters, digits and _, no digit first), not '1st'"),
    ],
)
def test_a_name_has_to_suit_its_destination(kind: str, name: str, words: str) -> None:
    content = keys_file(
        "{a: {credit_limit: 1}}",
        top=f"destinations: {{there: {{type: {kind}}}}}",
        environment=f"deliver: [{{to: there, as: '{name}'}}]",
    )
    assert errors(content) == [f"6:31 as must come out as {words}"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("type: age, path: x", ["recipients or recipients_file is missing in destination 'd'"]),
        ("type: age, path: x, recipient: [a]", ["unknown field 'recipient'"]),
        ("type: age, path: x, recipients: 0x1", ["recipients must not be written as '0x1'"]),
        ("type: age, path: x, recipients: []", ["recipients must be a list of public keys, at least one, not a list"]),
        ("type: age, path: x, recipients: ['']", ["recipients must be a list of public keys, none of them empty"]),
        ("type: age, recipients: [a], mode: 5", ["path is missing in destination 'd'", "unknown field 'mode'"]),
        ("type: exec", ["command is missing in destination 'd'"]),
        ("type: exec, command: 'rm -rf'", ["command must be a list of a program and its arguments, not the text"]),
        ("type: exec, command: []", ["command must be a list of a program and its arguments, not a list"]),
        ("type: exec, command: ['']", ["command must be a list of a program and its arguments, not an empty text"]),
        ("type: exec, command: [x, 5]", ["command must be a list of a program and its arguments, all of them texts"]),
        ("type: exec, command: [x, '{nmae}']", ["command must hold no other braces than {environment}, "]),
        ("type: exec, command: [x], folder: '{name}'", ["folder must hold no other braces than {environment}, "]),
        (
            "type: exec, command: [x], timeout: 999999999w",
            ["timeout must be a duration like 30s or 2m, not the text '999999999w': longer than ten years"],
        ),
        ("type: exec, command: [x], timeout: 0s", ["timeout must be a duration like 30s or 2m, not the text '0s'"]),
        ("type: exec, command: [x], parallelism: 0", ["parallelism must be at least 1, not the number 0"]),
        ("type: nothing, path: {}", ["path must be text, a whole number", "type must be age, "]),
        ("type: dotnev", ["type must be age, "]),
        ("type: 5", ["type must be age, "]),
        ("type: Acme.box", ["type must be small letters, digits and - between dots, as in acme.box, not the text"]),
        ("type: acme..box", ["type must be small letters, digits and - between dots, as in acme.box, not the text"]),
    ],
)
def test_settings_that_a_type_does_not_have_or_needs_are_named(written: str, expected: list[str]) -> None:
    found = errors(keys_file("{}", top=f"destinations: {{d: {{{written}}}}}"))
    starts = sorted(message.split(" ", 1)[1] for message in found)
    assert [message[: len(start)] for message, start in zip(starts, sorted(expected), strict=True)] == sorted(expected)
