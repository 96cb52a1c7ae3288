"""The OpenAPI description of the service, as the simulator promises to behave."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def description() -> dict[str, Any]:
    """Read `openapi.json`, which lies beside this module and is the only source of it."""
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("openapi.json").read_text("utf-8"))
    return document
