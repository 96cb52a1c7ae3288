"""`reconciler import`: from a live account to a file, or to more of a file."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.declaration import load
from reconciler.engine.accounts import open_account
from reconciler.engine.planning import read_inputs
from reconciler.simulator import State
from support.builders import declaration
from support.command import on_a_file, on_a_socket, started
from support.simulation import PROVISIONING
from support.writing import without_places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.command import Front


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with on_a_file(tmp_path, monkeypatch) as front:
        yield front


def create(state: State, *names: str) -> None:
    for name in names:
        state.create_key(name, Decimal(5), None)


def test_an_account_is_declared_as_it_is_and_planning_that_proposes_the_renames(front: Front) -> None:
    create(front.state, "production/api", "Legacy key", "ci/tests")
    front.state.update_key(3, is_enabled=False)
    done = front("import")
    assert done.code == 0
    assert done.out == (
        "Added 3 keys in 3 environments: keys.yaml\n"
        "\n"
        "The next apply renames 1 key; no secret changes:\n"
        '  "Legacy key" (id 2) → imported/legacy-key\n'
        "\n"
        "Next:\n"
        "  reconciler plan --simulator sim.db     # proposes these renames\n"
        "  reconciler apply --simulator sim.db    # renames them\n"
    )
    text = Path("keys.yaml").read_text("utf-8")
    assert "      api: {credit_limit: 5, deliver: []}  # id 1, created " in text
    assert "      tests: {credit_limit: 5, is_enabled: false, deliver: []}  # id 3, created " in text
    assert '      legacy-key: {credit_limit: 5, id: 2}  # was "Legacy key", created ' in text
    assert text.count(", never used\n") == 3
    assert front("plan").out.endswith("Plan: 1 to rename; 2 unchanged.\nLimits: $15 (unchanged); balance: $100\n")
    assert front("apply", "--auto-approve").code == 0
    assert front.names() == ["ci/tests", "imported/legacy-key", "production/api"]
    assert front("plan", "--detailed-exitcode").code == 0


def test_a_new_file_has_a_net_and_one_that_somebody_wrote_keeps_its_own(front: Front) -> None:
    create(front.state, *(f"ci/{key}" for key in "abc"), "production/api")
    assert front("import").code == 0
    found = load(Path("keys.yaml"))
    guarded = found.guardrails
    assert guarded.max_deletions is not None
    assert guarded.max_deletions.value == 2
    assert guarded.protect_active is not None
    assert {each.deletion_grace for each in found.environments.values()} == {timedelta(days=7)}
    create(front.state, "later/api")
    text = "version: 1\nenvironments: {ci: {keys: {}}}\n"
    front.write(text)
    assert front("import").code == 0
    found = load(Path("keys.yaml"))
    assert found.guardrails.max_deletions is None
    assert found.environments["ci"].deletion_grace is None
    assert found.environments["later"].deletion_grace == timedelta(days=7)


def test_emptying_an_imported_file_is_refused(front: Front) -> None:
    create(front.state, *(f"ci/{key}" for key in "abc"))
    assert front("import").code == 0
    text = Path("keys.yaml").read_text("utf-8")
    front.write(text[: text.index("    keys:")] + "    keys: {}\n")
    refused = front("apply", "--auto-approve")
    assert refused.code == 3
    assert front.names() == ["ci/a", "ci/b", "ci/c"]


def test_patterns_say_where_names_belong(front: Front) -> None:
    create(front.state, "web-prod", "Batch job-prod", "old one", "x", "production/api")
    done = front("import", "--map", "*-prod=production", "--map", "old one=ci/tests", "--map", "*=rest")
    assert done.code == 0
    keys = {str(key.address): key.id for key in load(Path("keys.yaml")).keys}
    assert keys == {
        "production/web": 1,
        "production/batch-job": 2,
        "ci/tests": 3,
        "rest/x": 4,
        "production/api": None,
    }
    assert front("apply", "--auto-approve").code == 0
    assert front("plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--map", "*-prod"), "is not PATTERN=ENV or PATTERN=ENV/KEY"),
        (("--map", "*-prod=Production"), "is not PATTERN=ENV or PATTERN=ENV/KEY"),
        (("--map", "=production"), "is not PATTERN=ENV or PATTERN=ENV/KEY"),
        (("--map", "*=production/"), "is not PATTERN=ENV or PATTERN=ENV/KEY"),
        (("--map", "*-prd=production"), "web-prod?"),
        (("--map", "*=production", "--keep-names"), "leave one of them out"),
    ],
    ids=" ".join,
)
def test_a_pattern_that_is_none_or_matches_nothing_is_an_error(front: Front, words: tuple[str, ...], said: str) -> None:
    create(front.state, "web-prod")
    ended = front("import", *words)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert not Path("keys.yaml").exists()


def test_names_can_be_kept(front: Front) -> None:
    create(front.state, "production/api", "team [a] *\n")
    done = front("import", "--keep-names")
    assert '  "team [a] *\\n" (id 2)\n' in done.out
    assert done.out.endswith("  reconciler plan --simulator sim.db     # proposes no change\n")
    assert load(Path("keys.yaml")).ignore == ("team [[]a] [*]\n",)
    assert front("plan", "--detailed-exitcode").code == 0


def test_a_name_that_would_fit_is_ignored_with_the_reason(front: Front) -> None:
    create(front.state, "production/api", "production/two", "production/two")
    done = front("import", "--keep-names")
    assert done.out.startswith("Added 3 keys to ignore: keys.yaml\n")
    why = "its environment would own key 2 (production/two) too, and 2 live keys are called production/two"
    assert f"  production/api (id 1): {why}\n" in done.out


def test_a_folder_gets_a_file_for_each_environment(front: Front) -> None:
    create(front.state, "production/api", "ci/tests", "x y")
    done = front("import", "-f", "keys", "--into", "ci")
    assert done.out.startswith("Added 3 keys in 2 environments: keys/ci.yaml keys/production.yaml keys/settings.yaml\n")
    assert "  reconciler apply -f keys --simulator sim.db    # renames them\n" in done.out
    assert [str(key.address) for key in load(Path("keys")).keys] == ["ci/tests", "ci/x-y", "production/api"]
    create(front.state, "ci/later", "dev/later")
    assert front("import", "-f", "keys", "--keep-names").out.startswith(
        "Added 2 keys in 2 environments: keys/ci.yaml keys/dev.yaml\n"
    )


def test_a_folder_may_stand_in_folders_that_are_not_there_yet(front: Front) -> None:
    create(front.state, "ci/tests")
    assert front("import", "-f", "infrastructure/naga/keys").code == 0
    assert [str(key.address) for key in load(Path("infrastructure/naga/keys")).keys] == ["ci/tests"]


def test_an_empty_folder_and_an_empty_account_make_an_empty_declaration(front: Front) -> None:
    Path("keys").mkdir()
    assert front("import", "-f", "keys").code == 0
    assert load(Path("keys/settings.yaml")).keys == ()


THERE = """\
version: 1  # as it is
ignore: [dashboard]
defaults: {is_enabled: false, rotate_every: 1d, expires_at: 2999-01-01T00:00:00Z}
destinations: {local: {type: dotenv, path: a.env}}
environments:
  # ours
  production:
    deliver: [{to: local, as: KEY}]
    keys:
      api: {credit_limit: 5}  # the one
      # more to come
"""


def test_a_file_that_is_there_keeps_what_it_has_and_gets_what_it_lacks(front: Front) -> None:
    create(front.state, "production/api", "production/owned", "dashboard", "other")
    front.state.travel(timedelta(hours=1))
    front.write(THERE)
    before = load(Path("keys.yaml"))
    assert front("import", "--into", "production").code == 0
    text = Path("keys.yaml").read_text("utf-8")
    assert text.startswith(THERE.partition("destinations:")[0])
    assert (
        "      api: {credit_limit: 5}  # the one\n      other: {credit_limit: 5, is_enabled: true, expires_at: null, "
        in text
    )
    assert "expires_at: null, deliver: [], rotate_every: null, id: 4}  # was" in text
    after = load(Path("keys.yaml"))
    assert set(map(without_places, before.keys)) < set(map(without_places, after.keys))
    assert [str(key.address) for key in after.keys] == ["production/api", "production/other", "production/owned"]
    assert front("import", "--into", "production").out == (
        "Nothing to add: keys.yaml declares, owns or ignores every key that it can.\n"
        "\n"
        "A plan proposes 2 changes more, to keys that the file has or owns already or that reconciler named: "
        "look at it before you apply.\n"
        "\n"
        "Next:\n"
        "  reconciler plan --simulator sim.db     # proposes 2 changes\n"
    )
    assert "Plan: 1 to update, 1 to rename; 1 unchanged.\n" in front("plan").out
    assert Path("keys.yaml").read_text("utf-8") == text


def test_a_key_that_a_plan_would_have_deleted_is_declared_and_that_is_said(front: Front) -> None:
    create(front.state, "production/api", "production/by-hand", "other")
    front.write("version: 1\nenvironments: {production: {keys: {api: {credit_limit: 5}}}}\n")
    assert front("import").out.startswith(
        "Added 2 keys in 2 environments: keys.yaml\n"
        "A plan would have removed 1 of them: the file had their environments, and did not declare them.\n"
    )
    assert "Plan: 1 to rename; 2 unchanged.\n" in front("plan").out


def test_a_change_that_the_file_asks_for_already_is_said_where_the_renames_are_proposed(front: Front) -> None:
    create(front.state, "production/api", "other")
    front.write("version: 1\nenvironments: {production: {keys: {api: {credit_limit: 6}}}}\n")
    assert front("import").out.endswith(
        "\nA plan proposes 1 change more, to keys that the file has or owns already or that reconciler named: "
        "look at it before you apply.\n"
        "\n"
        "Next:\n"
        "  reconciler plan --simulator sim.db     # proposes these renames and 1 change\n"
        "  reconciler apply --simulator sim.db    # makes all of these\n"
    )
    assert "Plan: 1 to update, 1 to rename.\n" in front("plan").out


def test_what_no_file_can_declare_and_a_plan_would_remove_is_said(front: Front) -> None:
    create(front.state, "ci/tests", "ci/odd", "ci/twice", "ci/twice")
    front.state.update_key(2, credit_limit=Decimal(10**12))
    front.write("version: 1\nenvironments: {ci: {keys: {}}}\n")
    done = front("import", "--keep-names", "--dry-run")
    assert "+      tests: {credit_limit: 5, deliver: []}  # id 1, created " in done.out
    assert "from 0 to under 10^12; its environment is declared, so a plan removes it\n" in done.err
    assert done.err.count("2 live keys are called ci/twice; its environment is declared, so a plan removes it\n") == 2
    assert "+      twice-3: " in front("import", "--dry-run").out


def test_a_file_that_cannot_be_applied_is_not_said_to_be(front: Front) -> None:
    create(front.state, "Legacy", "other")
    front.write("version: 1\nenvironments: {ci: {keys: {legacy: {credit_limit: 5, id: 1}}}}\n")
    create(front.state, "ci/legacy")
    done = front("import")
    assert "  Legacy (id 1): ci/legacy has its id\n" in done.out
    assert done.out.endswith(
        "\nNothing can be applied yet:\n"
        "  ci/legacy: id 1 belongs to Legacy, but ci/legacy is key 3; correct the id or remove it (wrong-id)\n"
        "\n"
        "Next:\n"
        "  reconciler plan --simulator sim.db     # says what to resolve first\n"
    )
    assert front("plan").code == 3


def test_what_no_file_can_declare_is_left_alone_and_said(front: Front) -> None:
    create(front.state, "ci/tests", "odd")
    front.state.update_key(2, credit_limit=Decimal(10**12))
    done = front("import")
    assert (
        "Not declared:\n"
        "  odd (id 2): no file can declare the limit of key 2 (odd): at most 6 decimals, from 0 to under 10^12\n"
    ) in done.out


def test_what_no_file_can_declare_and_a_plan_deletes_as_unmanaged_is_said(front: Front) -> None:
    create(front.state, "ci/tests", "odd", "gone/a~next", "ci/b~next", "mine")
    front.state.update_key(2, credit_limit=Decimal(10**12))
    front.write("version: 1\nunmanaged: delete\nignore: [mine]\nenvironments: {ci: {keys: {b: {credit_limit: 5}}}}\n")
    done = front("import")
    assert (
        "from 0 to under 10^12; unmanaged is delete, so a plan deletes it\n"
        "\n"
        "Not declared: reconciler itself gave them their names, and goes on with those of declared environments:\n"
        "  ci/b~next (id 4)\n"
        "  gone/a~next (id 3): unmanaged is delete, so a plan deletes it\n"
    ) in done.out
    plan = front("plan", "--format", "json").document
    doomed = [change["key_id"] for change in plan["changes"] if change["action"] == "delete"]
    assert doomed == [3, 2]
    assert done.out.count("a plan deletes it") == len(doomed)


def test_what_the_engine_has_named_is_said(front: Front) -> None:
    create(front.state, "ci/tests~next", "reconciler~lock.0123456789abcdef")
    assert "\n  ci/tests~next (id 1)\n  reconciler~lock.0123456789abcdef (id 2)\n" in front("import").out
    assert "\n  ci/tests~next (id 1)\n" in front("import", "--into", "ci").out


def test_that_a_plan_deletes_what_looks_like_the_engines_is_said(front: Front) -> None:
    create(front.state, "ci/api", "ci/tests~next")
    said = front("import").out
    assert "\nA plan proposes 1 change more, to keys that " in said
    assert " or that reconciler named, and removes 1 key: look at it before you apply.\n" in said
    assert "Plan: 1 to retire; 1 unchanged." in front("plan").out


def test_a_dry_run_writes_nothing(front: Front) -> None:
    create(front.state, "ci/tests")
    done = front("import", "--dry-run")
    assert done.out.startswith("--- /dev/null\n+++ keys.yaml\n")
    assert done.err == "Would add 1 key in 1 environment: keys.yaml\n"
    assert not Path("keys.yaml").exists()
    front.write("version: 1\nenvironments: {}\n")
    assert front("import", "--dry-run").out.startswith("--- keys.yaml\n+++ keys.yaml\n")


def test_a_new_file_can_go_to_standard_output(front: Front) -> None:
    create(front.state, "ci/tests")
    front.write("version: 1\nenvironments: {}\n")
    done = front("import", "-f", "-")
    assert "tests: {credit_limit: 5, deliver: []}" in done.out
    assert done.err.startswith("Added 1 key in 1 environment: standard output\n")
    assert done.err.endswith("  reconciler plan --simulator sim.db     # proposes no change\n")


def test_a_dry_run_to_standard_output_adds_nothing_anywhere(front: Front) -> None:
    create(front.state, "ci/tests")
    done = front("import", "-f", "-", "--dry-run")
    assert done.out.startswith("--- /dev/null\n+++ keys.yaml\n")
    assert done.err == "Would add 1 key in 1 environment: standard output\n"


def test_an_environment_has_to_have_a_valid_name(front: Front) -> None:
    done = front("import", "--into", "Prod")
    assert done.code == 1
    assert done.err == "error: --into Prod is no name of an environment: it must match [a-z0-9][a-z0-9._-]*\n"


AGAIN = "write it out, and import again"
WOULD_CHANGE = f"nothing is written: {{}} would change, because an alias or << stands there; {AGAIN}"


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (
            "ci: {keys: *none}",
            f"the keys of environment ci in keys.yaml can't be added to, because an alias stands there; {AGAIN}",
        ),
        (
            "ci: {keys: &all {}}\n  dev: {keys: *all}",
            WOULD_CHANGE.format("environment dev"),
        ),
        (
            "dev: &base {keys: {a: {credit_limit: 1}}}\n  ci: {<<: *base, deletion_grace: 7d}",
            WOULD_CHANGE.format("environment ci"),
        ),
        (
            "<<: {ci: {keys: {a: {credit_limit: 1}}}}\n  dev: {keys: {}}",
            WOULD_CHANGE.format("environment ci"),
        ),
    ],
)
def test_what_an_anchor_repeats_is_not_added_to(front: Front, keys: str, what: str) -> None:
    create(front.state, "x")
    text = f"version: 1\ndefaults: &none {{}}\nenvironments:\n  {keys}\n"
    front.write(text)
    done = front("import", "--into", "ci")
    assert done.code == 1
    assert done.err == f"error: {what}\n"
    assert Path("keys.yaml").read_text("utf-8") == text


def test_what_would_not_be_valid_is_not_written(front: Front) -> None:
    create(front.state, "odd")
    text = 'version: 1\nnaming: "{environment}-{key}"\nenvironments: {prod-eu: {keys: {}}}\n'
    front.write(text)
    done = front("import", "--into", "prod")
    assert done.code == 1
    why = "live names of environment 'prod-eu' can be read as those of 'prod': "
    assert done.err.startswith(f"error: nothing is written, because the result would not be valid: {why}")
    assert Path("keys.yaml").read_text("utf-8") == text


def test_what_is_ignored_by_way_of_a_merge_is_not_forgotten(front: Front) -> None:
    create(front.state, "legacy", "odd")
    text = "version: 1\n<<: {ignore: [legacy]}\nenvironments: {}\n"
    front.write(text)
    done = front("import", "--keep-names")
    assert done.code == 1
    assert done.err == f"error: {WOULD_CHANGE.format('ignore')}\n"
    assert Path("keys.yaml").read_text("utf-8") == text


def test_an_anchor_that_nothing_of_the_additions_reaches_is_no_obstacle(front: Front) -> None:
    create(front.state, "x")
    front.write("version: 1\nenvironments:\n  ci: &base {keys: {}, deliver: []}\n  dev: {<<: *base, keys: {}}\n")
    assert front("import", "--into", "ci").code == 0
    assert [str(key.address) for key in load(Path("keys.yaml")).keys] == ["ci/x"]


def test_a_name_that_another_key_had_earlier_is_not_declared_again(front: Front) -> None:
    create(front.state, "ci/api", "ci/old", "ci/new")
    text = "version: 1\nenvironments: {ci: {keys: {api: {credit_limit: 5, renamed_from: [ci/old]}}}}\n"
    front.write(text)
    done = front("import")
    assert done.code == 0
    assert "The next apply renames 1 key; no secret changes:\n  ci/old (id 2) → ci/old-2\n" in done.out
    assert front("plan").out.endswith("Plan: 1 to rename; 2 unchanged.\nLimits: $15 (unchanged); balance: $100\n")
    front.write(text)
    kept = front("import", "--keep-names")
    why = "renamed_from of ci/api has its name; its environment is declared, so a plan removes it"
    assert f"Not declared:\n  ci/old (id 2): {why}\n" in kept.out


def test_the_environment_for_the_others_may_own_nothing_that_is_ignored(front: Front) -> None:
    create(front.state, "imported-foo", "odd")
    front.write('version: 1\nnaming: "{environment}-{key}"\nignore: ["imported-*"]\nenvironments: {}\n')
    done = front("import")
    why = "its environment would own key 1 (imported-foo) too, and that one is not to be declared"
    assert f"Not declared:\n  odd (id 2): {why}\n" in done.out
    assert done.out.endswith("# proposes no change\n")
    assert "odd (id 2) → other/odd" in front("import", "--into", "other").out
    assert "DELETE" not in front("plan").out


@pytest.mark.parametrize("name", [".draft.yaml", ".#keys.yaml"])
def test_a_folder_with_hidden_files_only_is_an_empty_one(front: Front, name: str) -> None:
    create(front.state, "ci/tests")
    Path("keys").mkdir()
    Path("keys", name).write_text("{", "utf-8")
    assert front("import", "-f", "keys").out.startswith(
        "Added 1 key in 1 environment: keys/ci.yaml keys/settings.yaml\n"
    )


def test_the_account_is_the_one_of_the_file(front: Front) -> None:
    front.write("version: 1\nenvironments:\n  ci: {provisioning_key_env: NAGA_OTHER, keys: {}}\n")
    other = front("import", "--into", "ci")
    assert "Nothing to add" in other.out
    assert Path("sim.naga_other.db").exists()
    create(front.state, "x")
    two = "version: 1\nenvironments:\n  ci: {provisioning_key_env: NAGA_OTHER, keys: {}}\n  dev: {keys: {}}\n"
    front.write(two)
    assert "x (id 1) → imported/x" in front("import").out
    front.write(two.replace("  dev: {keys: {}}\n", ""))
    with State("sim.naga_other.db") as state:
        create(state, "staging/y")
    assert front("import").code == 0
    staging = load(Path("keys.yaml")).environments["staging"]
    assert staging.provisioning_key_env == "NAGA_OTHER"


def test_of_several_accounts_the_one_that_was_read_is_named_and_nothing_is_promised_for_the_others(
    front: Front,
) -> None:
    front.write("version: 1\nenvironments:\n  ci: {provisioning_key_env: NAGA_OTHER, keys: {}}\n  dev: {keys: {}}\n")
    create(front.state, "dev/undeclared")
    with State("sim.naga_other.db") as state:
        create(state, "x")
    done = front("import", "--into", "ci")
    read = "Only the account of NAGA_OTHER was read; --into with an environment of another account reads that one.\n"
    assert done.out.startswith("Added 1 key in 1 environment: keys.yaml\n\nThe next apply renames 1 key; ")
    assert f"\n\n{read}" in done.out
    assert "# proposes these renames; what the other accounts need comes on top\n" in done.out
    assert "# renames them; what the other accounts need comes on top\n" in done.out
    assert "1 to rename, 1 to delete" in front("plan").out
    again = front("import", "--into", "ci").out
    assert again.startswith(f"Nothing to add: keys.yaml declares, owns or ignores every key that it can.\n\n{read}")
    assert "# proposes 1 change; what the other accounts need comes on top\n" in again
    assert "Only the account" not in front("import", "-f", "new.yaml").out


def test_spend_that_cannot_be_read_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_a_socket(tmp_path, monkeypatch, "GET /v1/account/activity status=403") as front:
        create(front.state, "ci/tests")
        done = front("import")
    assert done.code == 0
    assert done.err.startswith("warning: ")
    assert "GET /v1/account/activity" in done.err
    assert "days" not in Path("keys.yaml").read_text("utf-8")


@pytest.mark.usefixtures("front")
def test_an_interruption_before_the_requests_have_started_is_no_warning() -> None:
    async def interrupted() -> None:
        async with open_account(Path("sim.db"), variable="NAGA_PROVISIONING_KEY") as account:
            reading = asyncio.create_task(read_inputs("NAGA_PROVISIONING_KEY", account, declaration()))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        asyncio.run(interrupted())
        gc.collect()
    assert [str(each.message) for each in found if "never awaited" in str(each.message)] == []


def test_where_the_keys_cannot_be_read_nothing_else_is_said_than_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        on_a_socket(tmp_path, monkeypatch, "GET /v1/account/keys status=401"),
        started("import", NAGA_BASE_URL=os.environ["NAGA_BASE_URL"], NAGA_PROVISIONING_KEY=PROVISIONING) as process,
    ):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("error: GET /v1/account/keys: 401")
    assert err.count("\n") == 1


def test_what_is_ignored_for_its_name_is_not_listed_twice(front: Front) -> None:
    create(front.state, "odd", "ci/a", "claimed")
    front.write("version: 1\nenvironments: {dev: {keys: {api: {credit_limit: 1, id: 3}}}}\n")
    front.state.create_key("dev/api", Decimal(1), None)
    done = front("import", "--keep-names")
    assert done.out.count("(id 1)") == 1
    assert "Not declared:\n  claimed (id 3): dev/api has its id\n" in done.out
