"""keys.yaml, read, checked and merged into a `Declaration`.

    bytes → loader (parser) → schema → resolve (merging, destinations, fields, checks) → Declaration

Each step reports what it finds and takes it out of the data, so that the next one sees sound values only and all errors
come at once.
"""

from __future__ import annotations

from reconciler.declaration.loader import (
    STANDARD_INPUT,
    SourceFile,
    load,
    load_sources,
    read_folder,
    read_sources,
)

__all__ = ["STANDARD_INPUT", "SourceFile", "load", "load_sources", "read_folder", "read_sources"]
