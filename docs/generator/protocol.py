"""What a run does step by step, every point at which it can die, and what the next run makes of it.

The pictures and the tables of docs/protocol.md are made from this and from the table of stages in `planning/names.py`,
and tests/docs plans every one of these states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.planning.names import LIFE, STAGES, STEPS, Move, Role, Tail

if TYPE_CHECKING:
    from reconciler.planning.names import Stage


def shown(role: Role) -> str:
    """Write what the engine adds to a settled name in a stage, with `<until>` for an instant."""
    return STAGES[role].suffix.replace(Tail.UNTIL, ".<until>")


API: Final = "production/api"
NEW: Final = API + shown(Role.PENDING)
SENT: Final = API + shown(Role.DELIVERING)
NEXT: Final = API + shown(Role.SUCCESSOR)
OLD: Final = API + shown(Role.SUPERSEDED)
GONE: Final = API + shown(Role.RETIRED)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a run does."""

    does: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Crash:
    """A run that died here: what it left behind, and what the next plan says and does about it.

    `live` are the keys of the address, the oldest first; `delivered` says which destinations hold which secret.
    """

    mark: str
    live: tuple[str, ...]
    delivered: str
    next_plan: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """One kind of change, from its first step to its last, with the crash points between the steps."""

    name: str
    title: str
    declared: bool
    course: tuple[Step | Crash, ...]
    rotate_every: bool = False
    grace: bool = False

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """The points at which a run can die."""
        return tuple(stage for stage in self.course if isinstance(stage, Crash))


CREATE: Final = Protocol(
    "create",
    "Create",
    declared=True,
    course=(
        Step("Ask every destination whether it would take the secret", "preflight; nothing is written yet"),
        Crash("C1", (), "nothing", "create", "Nothing has happened."),
        Step(f"POST {NEW}", "the declared limit, and a lease: expires_at in 24 h"),
        Crash(
            "C2",
            (NEW,),
            "nothing",
            "create",
            "A new key under a new nonce. Nobody knows the first one's secret; it ends with its lease.",
        ),
        Step("Compare the answer with what was asked", "otherwise: delete the key, and fail"),
        Step("Deliver the secret to one destination after the other", "each delivery is durable before the next"),
        Crash(
            "C3",
            (NEW,),
            "the new secret in some or all",
            "create",
            "A new key, whose secret replaces the first one's everywhere. Who has read that one can use it until its"
            " lease ends.",
        ),
        Step(f"PATCH → {API}", "the declared expiry and state; compare the answer"),
        Crash("C4", (API,), "the secret in all", "nothing", "The key is complete."),
        Step("Read the account again", "it has to plan to nothing"),
    ),
)

ROTATE: Final = Protocol(
    "rotate",
    "Rotate, and finish",
    declared=True,
    rotate_every=True,
    course=(
        Step("Ask every destination whether it would take the secret", "preflight; nothing is written yet"),
        Crash("R1", (API,), "the old secret", "rotate", "Nothing has happened."),
        Step(f"POST {NEW}", "as in Create; compare the answer"),
        Crash(
            "R2",
            (API, NEW),
            "the old secret",
            "rotate",
            "Still due, so a new key under a new nonce. The first one reached nobody: by itself it moves nothing, and"
            " it ends with its lease.",
        ),
        Step("Try the new key: GET /v1/models", "refused three times: delete it, keep the old key, fail"),
        Step(f"PATCH ~new → {SENT}", "from here on a destination may hold its secret; the lease goes on"),
        Step("Deliver the secret to one destination after the other", "the old key still works"),
        Crash(
            "R3",
            (API, SENT),
            "the new secret in none, some or all",
            "rotate",
            "Rotated again at once: a destination may hold a secret that ends with its lease, and the old one cannot be"
            " read again.",
        ),
        Step(f"PATCH ~sent → {NEXT}", "permanent now: the declared expiry and state"),
        Crash("R4", (API, NEXT), "the new secret in all", "finish", "The old key retires, the new one takes over."),
        Step(f"PATCH old key → {OLD}", "expires_at = until: the end of the overlap"),
        Crash("R5", (OLD, NEXT), "the new secret in all", "finish", "The new key takes over."),
        Step(f"PATCH ~next → {API}"),
        Crash(
            "R6",
            (OLD, API),
            "the new secret in all",
            "nothing",
            "The rotation is complete. The first apply after <until> deletes the old key.",
        ),
        Step("Read the account again", "it has to plan to nothing"),
    ),
)

UPDATE: Final = Protocol(
    "update",
    "Update and rename",
    declared=True,
    course=(
        Crash("U1", ("production/api (limit 400)",), "the secret", "update", "Nothing has happened."),
        Step("PATCH what differs", "one request; compare the answer"),
        Crash("U2", (API,), "the secret", "nothing", "The change is complete."),
    ),
)

RETIRE: Final = Protocol(
    "retire",
    "Retire (with a deletion_grace)",
    declared=False,
    grace=True,
    course=(
        Crash("G1", (API,), "the secret", "retire", "Nothing has happened."),
        Step(f"PATCH → {GONE}, disabled", "one request; compare the answer"),
        Crash("G2", (GONE,), "the secret, refused", "nothing", "The key waits. It can be restored until <until>."),
        Crash("G3", ("production/api~gone.<past>",), "the secret, refused", "delete", "Its grace period is over."),
    ),
)

RESTORE: Final = Protocol(
    "restore",
    "Restore",
    declared=True,
    grace=True,
    course=(
        Crash("S1", (GONE,), "the secret, refused", "restore", "Nothing has happened."),
        Step(f"PATCH → {API}", "name, state, limit and expiry at once; compare the answer"),
        Crash("S2", (API,), "the secret, which works again", "nothing", "The same id, the same secret."),
    ),
)

DELETE: Final = Protocol(
    "delete",
    "Delete (without a deletion_grace)",
    declared=False,
    course=(
        Crash("D1", (API,), "the secret", "delete", "Nothing has happened."),
        Step("GET the key once more", "it must still be what the plan saw, otherwise it is kept"),
        Step("DELETE", "a 404 after a lost answer is our own success"),
        Crash("D2", (), "a secret that opens nothing", "nothing", "The key is gone."),
        Crash("D3", (NEW,), "perhaps a secret", "nothing", "Left to its lease: someone may have read it."),
        Crash("D4", (f"{API}~new.<nonce> (lease over)",), "perhaps a secret", "delete", "Its lease has run out."),
        Crash("D5", ("production/api~old.<past>",), "not its secret", "delete", "Its overlap is over."),
    ),
)

DRAWN: Final = (CREATE, ROTATE)
ALL: Final = (CREATE, ROTATE, UPDATE, RETIRE, RESTORE, DELETE)


def table(protocol: Protocol) -> str:
    """Write the crash points of a protocol as a Markdown table."""
    lines = ["| | Live keys, oldest first | Destinations hold | Next plan | |", "|---|---|---|---|---|"]
    for crash in protocol.crashes:
        live = ", ".join(f"`{name}`" for name in crash.live) or "none"
        lines.append(f"| {crash.mark} | {live} | {crash.delivered} | **{crash.next_plan}** | {crash.meaning} |")
    return "\n".join(lines)


_ENDS: Final = {"lease": "`expires_at`", "overlap": "the instant in its name", "grace": "the instant in its name"}
_LIFE_OF: Final = "api"


def stages() -> str:
    """Write the table of stages as Markdown, in the order in which they lead."""
    lines = [
        "| Live name | Stage | Who may hold its secret | Alone | Beside an older key | No longer declared | Ends |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, LIFE)])


def _line(stage: Stage) -> str:
    whose = "reconciler" if stage.role is Role.LOCK else "ci/agent" if stage.role is Role.LEASED else API
    what = f"**{stage.word}**: {stage.meaning}"
    of_address = stage.role not in {Role.LOCK, Role.LEASED}
    moves = [_move(stage.alone, "**create**"), _move(stage.beside, "nothing"), _leaves(stage)]
    end = "-" if stage.end is None else f"at {_ENDS[stage.end]}, then **delete**"
    return (
        f"| `{whose}{stage.suffix}` | {what} | {stage.holder} | {' | '.join(moves if of_address else '---')} | {end} |"
    )


def _move(move: Move, otherwise: str) -> str:
    return {Move.NOTHING: otherwise, Move.COMPARE: "what its fields and its age ask for"}.get(move, f"**{move}**")


def _leaves(stage: Stage) -> str:
    without, with_grace = stage.leaves
    if without is with_grace:
        return "nothing"
    return f"**{without}**; with a grace {_move(with_grace, 'nothing')}"


def life() -> str:
    """Draw the stages and the steps between them, as Mermaid does; what revoke does would hide the rest."""
    roles = [stage.role for stage in LIFE if stage.role not in {Role.LOCK, Role.LEASED} and stage is STAGES[stage.role]]
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{_LIFE_OF}{shown(role)}" as {role}' for role in roles]
    lines = [line.replace("<", "").replace(">", "") for line in lines]
    for step in STEPS:
        if step.when.startswith("revoke") or not {step.before, step.after} <= {*roles, None}:
            continue
        lines.append(f"    {step.before or '[*]'} --> {step.after or '[*]'}: {step.when.replace(':', ',')}")
    return "\n".join([*lines, "```"])
