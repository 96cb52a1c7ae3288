"""Keep the API keys of a NagaAI account equal to a reviewed file."""

from __future__ import annotations

__version__ = "0.1.0"
