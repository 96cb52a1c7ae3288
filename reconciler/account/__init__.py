"""The NagaAI account API: keys, balance, and whether a fresh key works.

client     Account and connect(): what the other rooms use; sends a request until its outcome is final
wire       JSON ↔ values, pure
record     what a run has written, and whether a list or an answer shows it
lock       keeps two applies apart, with a key that says one is running

How a single request is sent, tried again and held back stands in `http`.
"""

from __future__ import annotations
