"""Writes a declaration of N keys in five environments, and the account it is planned against (1 % of the keys differ).

python benchmarks/generate.py N FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

ENVIRONMENTS: Final = ("production", "staging", "development", "ci", "sandbox")
EXPIRY: Final = "2031-01-01T00:00:00Z"

_HEAD: Final = """\
version: 1
destinations:
  local: {type: dotenv, path: "out/{environment}.env"}
environments:
"""


def limit(number: int) -> float:
    """Give the declared credit limit of a key, in USD."""
    return 10.5 + number % 500


def declared_key(number: int) -> str:
    """Give the lines of one key."""
    lines = [
        f"      customer-{number:06d}:",
        f"        credit_limit: {limit(number):.2f}",
        f"        description: key of customer {number}",
        f"        team: team-{number % 17}",
    ]
    if number % 3 == 0:
        lines.append(f"        expires_at: {EXPIRY}")
    return "\n".join(lines) + "\n"


def live_key(number: int) -> dict[str, object]:
    """Give the key as the API shows it; one in a hundred has another limit than declared."""
    return {
        "id": 1000 + number,
        "name": f"{ENVIRONMENTS[number % len(ENVIRONMENTS)]}/customer-{number:06d}",
        "created_at": "2026-03-31T10:00:00Z",
        "expires_at": EXPIRY if number % 3 == 0 else None,
        "is_enabled": True,
        "credit_limit": limit(number) + (1 if number % 100 == 7 else 0),  # noqa: PLR2004  # any one in a hundred
    }


def generate(count: int, folder: Path) -> None:
    """Write keys_N.yaml and live_N.json."""
    with (folder / f"keys_{count}.yaml").open("w") as file:
        file.write(_HEAD)
        for first, environment in enumerate(ENVIRONMENTS):
            keys = "".join(declared_key(number) for number in range(first, count, len(ENVIRONMENTS)))
            file.write(f'  {environment}:\n    deliver: [{{to: local, as: "NAGA_{{KEY}}"}}]\n')
            file.write(f"    keys:\n{keys}" if keys else "    keys: {}\n")
    live = {"keys": [live_key(number) for number in range(count)]}
    (folder / f"live_{count}.json").write_text(json.dumps(live))


if __name__ == "__main__":
    generate(int(sys.argv[1]), Path(sys.argv[2]))
