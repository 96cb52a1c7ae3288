"""`reconciler show`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from reconciler.account.client import Account
    from reconciler.cli.reading import KeysReading
    from reconciler.errors import ReconcilerError
    from reconciler.insight.inventory import InventoryKey, KeyDetail
    from reconciler.model import Declaration


@click.command("show")
@click.argument("key", metavar="ADDRESS|ID", shell_complete=options.addresses)
@file_option
@simulator_option
@environments_option("Look in the account of")
@format_option("text", "json")
@click.pass_context
def command(
    context: click.Context,
    *,
    key: str,
    file: Path,
    simulator: Path | None,
    environments: tuple[str, ...],
    output_format: str,
) -> int:
    """Show one key with all that is known of it, and what a plan would do with it.

    ADDRESS is environment/key; the id of a live key and a live name work too. Without a keys.yaml, names are read as
    environment/key, and nothing is known to be declared.

    \b
    Examples:
      reconciler show production/api
      reconciler show 4711 --format json
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show, use_color, width
    from reconciler.cli.reading import declaration_if_any, readings_or_raise
    from reconciler.render.inventory import detail_json, detail_text

    declaration = declaration_if_any(context, file)
    if declaration is None:
        note(f"note: there is no {file}, so names are read as environment/key and no key counts as declared")
    among = () if declaration is None else environments
    answers = console.run(find(key, declaration, simulator, among))
    finds, incomplete = readings_or_raise(answers)
    detail = the_one(key, finds, incomplete=incomplete)
    show(detail_json(detail) if output_format == "json" else detail_text(detail, color=use_color(), width=width()))
    return 0


@dataclass(frozen=True, slots=True)
class Find:
    """What an account has under a name: details of the keys that it means, and the names that there are."""

    details: tuple[KeyDetail, ...]
    names: tuple[str, ...]


async def find(
    text: str, declaration: Declaration | None, simulator: Path | None, environments: Sequence[str]
) -> dict[str, Find | ReconcilerError]:
    """Look for a key in the account of its address, and where it is not live there, in all others at the same time.

    One that is the only match in its account is read once more by its id.
    """
    from reconciler.cli.reading import (
        AT_A_TIME,
        accounts_of,
        keys_reading,
        read_insight,
        wanted_windows,
        warn_of_unread,
    )
    from reconciler.engine.accounts import refuse_same_credential
    from reconciler.engine.planning import read_all
    from reconciler.insight.inventory import matching
    from reconciler.planning.accounts import part_of

    async def look(variable: str, account: Account) -> Find:
        declared = None if declaration is None else part_of(declaration, variable)
        reading = await read_insight(variable, account, wanted_windows(declared))
        inventory = keys_reading(reading, declared)
        found = matching(inventory.keys, text)
        if len(found) == 1 and found[0].live is not None:
            fresh = await account.get_key(found[0].live.id)
            kept = (fresh if each.id == found[0].live.id else each for each in inventory.snapshot.keys)
            snapshot = replace(inventory.snapshot, keys=tuple(each for each in kept if each is not None))
            inventory = keys_reading(replace(reading, snapshot=snapshot), declared)
            found = matching(inventory.keys, text)
        warn_of_unread(inventory.inputs)
        return Find(details_of(found, inventory), _names(inventory.keys))

    everywhere = accounts_of(declaration, environments)
    if simulator is None:
        refuse_same_credential(everywhere)
    home = [variable for variable in everywhere if variable == _account_of(text, declaration)]
    answers = await read_all(home, look, simulator, parallelism=AT_A_TIME)
    if not any(map(_settles, answers.values())):
        others = [variable for variable in everywhere if variable not in answers]
        answers |= await read_all(others, look, simulator, parallelism=AT_A_TIME)
    return {variable: answers[variable] for variable in everywhere if variable in answers}


def _account_of(text: str, declaration: Declaration | None) -> str | None:
    """Name the account that an address is of; None for what is no address of a declared environment."""
    environment, slash, _ = text.partition("/")
    found = declaration.environments.get(environment) if declaration is not None and slash else None
    return None if found is None else found.provisioning_key_env


def _settles(answer: Find | ReconcilerError) -> bool:
    """Tell whether the account of an address leaves nothing to ask the others for."""
    return not isinstance(answer, Find) or any(each.key.live is not None for each in answer.details)


def details_of(found: Iterable[InventoryKey], inventory: KeysReading) -> tuple[KeyDetail, ...]:
    """Put together what there is to say of these keys, the plan of their account included."""
    from reconciler.insight.inventory import detail_of
    from reconciler.planning.planner import make_plan

    plan = None
    if inventory.declared is not None:
        plan = make_plan(inventory.declared, inventory.snapshot, inputs=inventory.inputs)
    return tuple(detail_of(each, inventory.keys, plan) for each in found)


def the_one(text: str, finds: Sequence[Find], *, incomplete: bool) -> KeyDetail:
    """Give the key that is meant; raises UsageError for none and for several, which are named by their ids.

    Where the finds are `incomplete`, there may be one in an account that is left out, and AccountError says so.
    """
    from reconciler.cli.options import refuse_unknown
    from reconciler.errors import AccountError, UsageError

    details = [detail for each in finds for detail in each.details]
    if not details and incomplete:
        msg = f"there is no key {text} in the accounts that were read; it may be in one that is left out"
        raise AccountError(msg)
    if not details:
        names = {name for each in finds for name in each.names}
        refuse_unknown(f"there is no key {text}, neither an address nor an id nor a live name", text, names)
    if len(details) > 1:
        several = len({each.key.account for each in details}) > 1
        ids = ", ".join(_which(each.key, several=several) for each in details)
        way_out = "choose an account with -e ENV, or show one by its id" if several else "show one by its id"
        msg = f"{text} means {len(details)} keys: {ids}; {way_out}"
        raise UsageError(msg)
    return details[0]


def _which(key: InventoryKey, *, several: bool) -> str:
    which = "missing" if key.live is None else f"id {key.live.id}"
    return f"{which} in the account of {key.account}" if several else which


def _names(keys: Iterable[InventoryKey]) -> tuple[str, ...]:
    """Give all that a key can be called by."""
    live = [key.live for key in keys if key.live is not None]
    return (*(key.name for key in keys), *(each.name for each in live), *(str(each.id) for each in live))
