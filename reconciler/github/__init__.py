"""GitHub's API: one request and what came of it, and a client that keeps to GitHub's limits."""

from __future__ import annotations
