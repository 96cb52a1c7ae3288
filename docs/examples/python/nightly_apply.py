"""Applies keys.yaml, after a look at what that would do: a nightly job that never deletes.

Run it where the command would run: NAGA_PROVISIONING_KEY holds the account's provisioning key. With a path as its
argument it uses the simulator, whose account is kept there.
"""

from __future__ import annotations

import json
import sys

from reconciler import apply, load, plan, to_dict
from reconciler.errors import ReconcilerError
from reconciler.planning.actions import Delete


def main(simulator: str | None) -> int:
    """Apply what changes no more than it should; gives the exit code."""
    declaration = load("keys.yaml")
    proposed = plan(declaration, simulator=simulator)
    for finding in proposed.findings:
        print(f"{finding.severity}: {finding.message}", file=sys.stderr)
    if proposed.errors:
        return 3
    if doomed := [action.live.name for action in proposed.actions if isinstance(action, Delete)]:
        print(f"not at night: this would delete {', '.join(doomed)}", file=sys.stderr)
        return 3
    # Just what was looked at above, or nothing.
    result = apply(declaration, reviewed=proposed, simulator=simulator)
    print(json.dumps(to_dict(result)["summary"]))
    return 0 if result.in_sync else 5


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
    except ReconcilerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
