"""Short ways to load declarations that tests write in their own lines."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.declaration import SourceFile, load_sources
from reconciler.errors import DeclarationError

if TYPE_CHECKING:
    from reconciler.model import Declaration

FOLDER = Path("folder")


def source(content: str | bytes, name: str = "keys.yaml") -> SourceFile:
    data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
    return SourceFile(name, FOLDER, data)


def loaded(*contents: str) -> Declaration:
    """Load a declaration, a file a text."""
    return load_sources([source(text, f"{index}.yaml") for index, text in enumerate(contents)])


def errors(*contents: str | bytes) -> list[str]:
    """Give what is wrong, as `line:column message`, with the file in front where there are several."""
    with pytest.raises(DeclarationError) as caught:
        load_sources([source(text, f"{index}.yaml") for index, text in enumerate(contents)])
    prefix = "0.yaml:" if len(contents) == 1 else ""
    return [str(found).removeprefix(prefix).replace(": error:", "") for found in caught.value.diagnostics]


def keys_file(keys: str, *, top: str = "", environment: str = "") -> str:
    """Write a file with one environment called `e`, its keys given as one flow mapping."""
    return f"version: 1\n{top}\nenvironments:\n  e:\n    keys: {keys}\n{textwrap.indent(environment, '    ')}\n"
