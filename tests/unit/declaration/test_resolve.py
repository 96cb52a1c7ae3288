from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler.model import Address, DeclaredKey, Target, Unmanaged
from support.declarations import FOLDER, errors, keys_file, loaded

LOCAL = 'destinations: {local: {type: dotenv, path: "{environment}.env"}}'


def only_key(content: str) -> DeclaredKey:
    (key,) = loaded(content).keys
    return key


def test_a_key_that_says_nothing_more_than_its_limit() -> None:
    declaration = loaded(keys_file("{a: {credit_limit: 5.50}}"))
    (key,) = declaration.keys
    assert str(key.source) == "0.yaml:5:12"
    assert str(declaration.environments["e"].source) == "0.yaml:4:3"
    assert str(declaration.source) == "0.yaml:1:1"
    assert key == DeclaredKey(
        Address("e", "a"), "e/a", Decimal("5.50"), is_enabled=True, expires_at=None, source=key.source
    )
    assert declaration.naming == "{environment}/{key}"
    assert declaration.unmanaged is Unmanaged.REPORT
    assert declaration.ignore == ()


def test_a_key_that_says_everything() -> None:
    key = only_key(
        keys_file(
            "{a: {credit_limit: null, is_enabled: false, expires_at: 2027-01-01T01:00:00+01:00, description: d, "
            "team: t, protected: true, rotate_every: 90d, rotation_overlap: 36h, verify: false, id: 12, "
            "renamed_from: [b, c], "
            "deliver: [{to: local, as: 'N_{KEY}'}]}}",
            top=LOCAL,
        )
    )
    (delivery,) = key.deliver
    assert key == DeclaredKey(
        address=Address("e", "a"),
        name="e/a",
        credit_limit=None,
        is_enabled=False,
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
        source=key.source,
        deliver=(delivery,),
        description="d",
        team="t",
        protected=True,
        rotate_every=timedelta(days=90),
        rotation_overlap=timedelta(hours=36),
        verify=False,
        id=12,
        renamed_from=("b", "c"),
    )
    assert delivery.target == Target("local", "dotenv", (("path", "folder/e.env"),))
    assert delivery.name == "N_A"


TOP = "defaults: {credit_limit: 1, team: top, description: top, rotate_every: 1d, deliver: [{to: local, as: TOP}]}"
ENVIRONMENT = """\
defaults: {credit_limit: 2, team: null, protected: true, deliver: [{to: local, as: DEFAULT}]}
protected: false
deliver: [{to: local, as: ENVIRONMENT}]
"""


@pytest.mark.parametrize(
    ("top", "environment", "key", "field", "value"),
    [
        (TOP, "", "{}", "credit_limit", Decimal(1)),
        (TOP, ENVIRONMENT, "{}", "credit_limit", Decimal(2)),
        (TOP, ENVIRONMENT, "{credit_limit: null}", "credit_limit", None),
        (TOP, ENVIRONMENT, "{}", "description", "top"),
        (TOP, ENVIRONMENT, "{}", "team", None),
        (TOP, "", "{}", "team", "top"),
        (TOP, "", "{}", "rotate_every", timedelta(days=1)),
        (TOP, "", "{rotate_every: null}", "rotate_every", None),
        (TOP, "defaults: {protected: true}", "{}", "protected", True),
        (TOP, ENVIRONMENT, "{}", "protected", False),
        (TOP, ENVIRONMENT, "{protected: true}", "protected", True),
        (TOP, "protected: true", "{}", "protected", True),
        (TOP, "", "{}", "is_enabled", True),
        (TOP, "", "{}", "verify", True),
        ("defaults: {credit_limit: 1, is_enabled: false, verify: false}", "", "{}", "is_enabled", False),
        ("defaults: {credit_limit: 1, is_enabled: false, verify: false}", "", "{}", "verify", False),
    ],
)
def test_the_nearest_that_says_something_counts(top: str, environment: str, key: str, field: str, value: Any) -> None:
    found = only_key(keys_file(f"{{a: {key}}}", top=f"{LOCAL}\n{top}", environment=environment))
    assert getattr(found, field) == value


@pytest.mark.parametrize(
    ("environment", "key", "names"),
    [
        ("", "{}", ["TOP"]),
        ("defaults: {deliver: [{to: local, as: DEFAULT}]}", "{}", ["DEFAULT"]),
        (ENVIRONMENT, "{}", ["ENVIRONMENT"]),
        (ENVIRONMENT, "{deliver: [{to: local, as: A}, {to: local, as: B}]}", ["A", "B"]),
        (ENVIRONMENT, "{deliver: []}", []),
    ],
)
def test_a_list_replaces_the_list_it_would_inherit(environment: str, key: str, names: list[str]) -> None:
    found = only_key(keys_file(f"{{a: {key}}}", top=f"{LOCAL}\n{TOP}", environment=environment))
    assert [delivery.name for delivery in found.deliver] == names


def test_an_environment_says_what_outlives_its_keys() -> None:
    declaration = loaded(keys_file("{}", environment="protected: true\ndeletion_grace: 7d"))
    environment = declaration.environments["e"]
    assert environment.guardrails.protected
    assert environment.deletion_grace == timedelta(days=7)
    assert declaration.keys == ()
    assert loaded(keys_file("{}")).environments["e"].deletion_grace is None


def test_keys_stand_in_order_of_their_address() -> None:
    declaration = loaded(
        "version: 1\ndefaults: {credit_limit: 1}\nenvironments: {b: {keys: {z: {}, a: {}}}, a: {keys: {z: {}}}}"
    )
    assert [str(key.address) for key in declaration.keys] == ["a/z", "b/a", "b/z"]
    assert list(declaration.environments) == ["a", "b"]


def test_templates_are_filled_in_for_names_and_settings() -> None:
    declaration = loaded(
        keys_file(
            "{a-b.c_d: {credit_limit: 1}, x: {credit_limit: 1}}",
            top="""\
naming: "100%-{key}@{environment}"
destinations:
  per-key: {type: dotenv, path: "%s/{ENVIRONMENT}-{key}-{live_name}.env"}
  anything: {type: exec, folder: "kv-{environment}", parallelism: 5, command: ["{KEY}", plain]}
  shared: {type: vault, path: "{environment}"}
""",
            environment="""\
deliver:
  - {to: per-key, as: "A_{KEY}"}
  - {to: anything, as: "{live_name}"}
  - {to: shared, as: "{key}"}
""",
        )
    )
    first, second = declaration.keys
    assert first.name == "100%-a-b.c_d@e"
    assert [delivery.name for delivery in first.deliver] == ["A_A_B_C_D", "100%-a-b.c_d@e", "a-b.c_d"]
    assert [delivery.target.settings for delivery in first.deliver] == [
        (("path", "folder/%s/E-a-b.c_d-100%-a-b.c_d@e.env"),),
        (("command", ("A_B_C_D", "plain")), ("folder", "folder/kv-e"), ("parallelism", 5)),
        (("mount", "secret"), ("path", "e")),
    ]
    assert second.deliver[2].target is first.deliver[2].target


def test_an_absolute_path_stays_where_it_is() -> None:
    key = only_key(
        keys_file(
            "{a: {credit_limit: 1}}",
            top="destinations: {d: {type: dotenv, path: /etc/x.env, outside: true}}",
            environment="deliver: [{to: d, as: A}]",
        )
    )
    assert key.deliver[0].target.settings == (("outside", True), ("path", "/etc/x.env"))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("{a: {credit_limit: 1, rotate_every: 7d, rotation_overlap: 8d}}", "rotation_overlap must not be longer than"),
        ("{a: {credit_limit: 1, rotate_every: 0h}}", "rotate_every must be at least 1d, or null for never"),
        ("{a: {credit_limit: 1, rotate_every: 900w}}", "rotate_every must be a duration like 7d, not the text '900w'"),
        ("{a: {credit_limit: 1, expires_at: 2027-01-01}}", "expires_at must be a date-time with a time zone"),
        ("{a: {credit_limit: 1, expires_at: '9999-12-31T23:59:59-01:00'}}", "expires_at must be a date-time"),
        ("{a: {credit_limit: 0.1234567}}", "credit_limit must have at most 6 decimals, not the number 0.1234567"),
    ],
)
def test_what_makes_no_sense_is_refused(keys: str, expected: str) -> None:
    (found,) = errors(keys_file(keys))
    assert expected in found


def test_an_error_in_defaults_is_reported_there_and_once() -> None:
    found = errors(
        keys_file(
            "{a: {rotate_every: 1d}, b: {rotate_every: 1d}, c: {}}",
            top="defaults: {credit_limit: 1, rotation_overlap: 2d}",
        )
    )
    assert found == ["2:47 rotation_overlap must not be longer than rotate_every, which is 1d, not 2d"]
    found = errors(keys_file("{a: {}, b: {}}", environment="defaults: {credit_limit: 0.0000001}"))
    assert found == ["6:30 credit_limit must have at most 6 decimals, not the number 0.0000001"]


@pytest.mark.parametrize("where", ["defaults: [a]", "defaults: {credit_limit: x}", "defaults: {credit_limit: 0x1}"])
def test_a_limit_that_could_not_be_inherited_is_not_missing(where: str) -> None:
    assert len(errors(keys_file("{a: {}}", environment=where))) == 1
    assert len(errors(keys_file("{a: {}}", top=where))) == 1


def test_a_grace_that_is_too_long_is_refused() -> None:
    found = errors(keys_file("{}", environment="deletion_grace: 900w"))
    assert found == ["6:21 deletion_grace must be a duration like 7d, not the text '900w': longer than ten years"]


def test_keys_must_be_named_even_if_there_are_none() -> None:
    assert errors("version: 1\nenvironments: {e: {}}\n") == [
        "2:16 keys is missing in environment 'e'; write {} for none, which deletes those that are live"
    ]
    assert len(errors("version: 1\nenvironments: {e: {keys: 5}}\n")) == 1
    assert len(errors("version: 1\nenvironments: 5\n")) == 1


def test_environments_live_in_the_account_whose_variable_they_name() -> None:
    declaration = loaded(
        "version: 1\nenvironments: {a: {keys: {}}, b: {provisioning_key_env: NAGA_B, keys: {}}}\n",
    )
    assert {name: each.provisioning_key_env for name, each in declaration.environments.items()} == {
        "a": "NAGA_PROVISIONING_KEY",
        "b": "NAGA_B",
    }


def test_one_id_can_be_claimed_in_each_of_two_accounts() -> None:
    twice = """
version: 1
defaults: {credit_limit: 1}
environments:
  a: {keys: {k: {id: 7, renamed_from: [old]}}}
  b: {%s, keys: {k: {id: 7, renamed_from: [old]}}}
"""
    loaded(twice % "provisioning_key_env: NAGA_B")
    assert len(errors(twice % "protected: false")) == 2


@pytest.mark.parametrize("field", ["id: 7", "renamed_from: [old]"])
def test_a_key_is_claimed_by_its_id_alone_and_by_its_earlier_name_alone(field: str) -> None:
    claims = f"{{a: {{credit_limit: 1, {field}}}, b: {{credit_limit: 1, {field}}}, c: {{credit_limit: 1}}}}"
    (found,) = errors(keys_file(claims))
    second = f"    keys: {claims}".rindex(field) + field.index(" ") + 2
    assert found.startswith(f"5:{second} {field.partition(':')[0]} ")


def test_an_overlap_may_be_as_long_as_the_time_between_rotations() -> None:
    (key,) = loaded(keys_file("{a: {credit_limit: 1, rotate_every: 7d, rotation_overlap: 7d}}")).keys
    assert key.rotate_every == key.rotation_overlap == timedelta(days=7)


def test_several_files_are_one_declaration() -> None:
    declaration = loaded(
        "version: 1\nenvironments: {a: {keys: {x: {}}}}\n",
        f"version: 1\n{LOCAL}\ndefaults: {{team: t}}\n"
        "environments: {a: {deliver: [{to: local, as: NAME}]}, b: {keys: {}}}\n",
        "version: 1\ndefaults: {credit_limit: 3}\nguardrails: {max_deletions: 1}\n",
        "version: 1\nguardrails: {protect_active: 1d}\n"
        "environments: {b: {guardrails: {max_deletions: 1}, defaults: {team: b}}}\n",
    )
    (key,) = declaration.keys
    assert key.credit_limit == 3
    assert key.team == "t"
    assert str(key.source) == "0.yaml:2:27"
    assert [delivery.name for delivery in key.deliver] == ["NAME"]
    assert list(declaration.environments) == ["a", "b"]


def test_what_stands_in_two_files_names_both_places() -> None:
    assert errors(
        "version: 1\nenvironments: {a: {keys: {x: {credit_limit: 1}}}}\n",
        "version: 1\nenvironments: {a: {keys: {x: {credit_limit: 1}}}}\n",
    ) == ["1.yaml:2:27 key 'a/x' stands twice, first at 0.yaml:2:27; keep one"]


@pytest.mark.parametrize(
    ("field", "name", "column"),
    [
        ("deliver: []", "deliver", 20),
        ("protected: true", "protected", 20),
        ("defaults: {team: t}", "team", 31),
        ("guardrails: {max_deletions: 1}", "max_deletions", 33),
    ],
)
def test_what_stands_in_two_files_names_the_environment_that_it_is_of(field: str, name: str, column: int) -> None:
    file = f"version: 1\nenvironments: {{a: {{{field}}}}}\n"
    assert errors(file, file, "version: 1\nenvironments: {a: {keys: {}}}\n") == [
        f"1.yaml:2:{column} {name} of environment 'a' stands twice, first at 0.yaml:2:{column}; keep one"
    ]


def test_an_error_in_one_file_does_not_hide_those_of_another() -> None:
    found = errors(
        "version: 1\nenvironments: {a: {keys: {x: {credit_limit: 0x1}}}}\n",
        "version: 1\ndefaults: {credit_limit: x}\nenvironments: {a: {keys: {y: {}, z: {renamed_from: [a/x]}}}}\n",
    )
    assert [message[:12] for message in found] == ["0.yaml:2:45 ", "1.yaml:2:26 ", "1.yaml:3:53 "]


def test_a_file_that_cannot_be_read_stops_guesses_about_the_others() -> None:
    found = errors(
        "version: 1\nenvironments: {a: {keys: {x: {}}}}\n",
        "version: 1\ndefaults: {credit_limit: 1\n",
    )
    assert [message.split(" ")[0] for message in found] == ["1.yaml:2:11"]


def test_paths_are_relative_to_the_file_that_names_them() -> None:
    key = only_key(keys_file("{a: {credit_limit: 1}}", top=LOCAL, environment="deliver: [{to: local, as: A}]"))
    assert key.deliver[0].target.settings == (("path", str(FOLDER / "e.env")),)


def test_two_destinations_that_are_one_file_are_one_place() -> None:
    found = errors(
        keys_file(
            "{a: {credit_limit: 1, deliver: [{to: one, as: A}]}, b: {credit_limit: 1, deliver: [{to: two, as: A}]}, "
            "c: {credit_limit: 1, deliver: [{to: two, as: A}]}}",
            top="destinations: {one: {type: dotenv, path: s.env}, two: {type: dotenv, path: ./t/../s.env}}",
        )
    )
    where = "where e/a (0.yaml:5:12) goes too; use {KEY} and {ENVIRONMENT} in as or in the destination"
    assert found == [
        f"5:63 deliver puts e/b as A into 'two', {where}",
        f"5:114 deliver puts e/c as A into 'two', {where}",
    ]


def test_the_same_name_in_two_places_is_fine() -> None:
    declaration = loaded(
        keys_file(
            "{a: {credit_limit: 1, deliver: [{to: one, as: A}, {to: two, as: A}]}}",
            top="destinations: {one: {type: dotenv, path: s.env}, two: {type: dotenv, path: t.env}}",
        )
    )
    assert len(declaration.keys[0].deliver) == 2


def test_a_live_name_may_be_as_long_as_the_engine_leaves_room_for() -> None:
    naming = "x" * 229 + "{environment}/{key}"
    assert len(only_key(keys_file("{ab: {credit_limit: 1}}", top=f"naming: '{naming}'")).name) == 233
    (found,) = errors(keys_file("{abc: {credit_limit: 1}}", top=f"naming: '{naming}'"))
    assert found == "5:12 the live name of e/abc has 234 characters by naming, and 233 are the most"
