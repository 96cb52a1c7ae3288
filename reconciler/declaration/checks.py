"""What can only be seen over several keys: two of them must never want to be the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reconciler.declaration.nodes import Fields, Items
from reconciler.declaration.places import check_collisions
from reconciler.declaration.templates import ambiguities
from reconciler.declaration.wording import shown
from reconciler.model import DeclaredKey
from reconciler.plan.names import LONGEST_LIVE_NAME, LONGEST_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.declaration.nodes import Report
    from reconciler.model import Environment

Resolved = tuple[DeclaredKey, Fields]
"""A key, and the mapping of the file that it comes from."""


def check_environments(naming: str, environments: Fields, report: Report) -> None:
    """Report environments whose live names could be taken for another's."""
    for longer, shorter, key in ambiguities(naming, sorted(environments)):
        words = f"live names of environment '{longer}' can be read as those of '{shorter}': its key 'a' as '{key}'"
        hint = "put a character between {environment} and {key} in naming that no name can hold, such as '/'"
        report.error(environments.key_marks[longer], f"{words}; {hint}")


def check_live_names(keys: Sequence[Resolved], report: Report) -> None:
    """Report live names that are too long, and earlier names that are still somebody's."""
    longest = LONGEST_LIVE_NAME - LONGEST_SUFFIX
    owners = {key.name: key for key, _ in keys}
    for key, node in keys:
        if len(key.name) > longest:
            words = (
                f"the live name of {key.address} has {len(key.name)} characters by naming, and {longest} are the most"
            )
            report.error_at(key.source, words)
        for index, name in enumerate(key.renamed_from):
            if name in owners:
                owner = owners[name]
                whose = "this key itself" if owner is key else f"{owner.address}, declared at {owner.source}"
                mark = cast("Items", node["renamed_from"]).marks[index]
                report.error(mark, f"renamed_from must name earlier live names, and '{shown(name)}' is that of {whose}")


def check_keys(keys: Sequence[Resolved], environments: Mapping[str, Environment], report: Report) -> None:
    """Report two keys that claim one live key, or one name in one destination."""
    claims: dict[tuple[str, str, int | str], list[Resolved]] = {}
    for key, node in keys:
        if key.id is None and not key.renamed_from:
            continue
        account = environments[key.address.environment].provisioning_key_env
        if key.id is not None:
            claims.setdefault((account, "id", key.id), []).append((key, node))
        for name in key.renamed_from:
            claims.setdefault((account, "renamed_from", name), []).append((key, node))
    for (_, field, claimed), claimants in claims.items():
        (first, _), *others = sorted(claimants, key=lambda claimant: claimant[0].source)
        for _, node in others:
            words = f"{field} {shown(str(claimed))} is claimed by {first.address} too, at {first.source}"
            report.error(node.value_marks[field], f"{words}; a live key belongs to one place only")
    check_collisions((key for key, _ in keys), report)
