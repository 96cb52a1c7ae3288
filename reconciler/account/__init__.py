"""The NagaAI account API: keys, balance, and whether a fresh key works.

client     Account and connect(): what the other rooms use
wire       JSON ↔ values, pure
sender     sends a request until its outcome is final
retry      when another attempt is made, and after which delay
gate       what a 429 does to all requests: pause, then fewer at a time
exchange   one request and what came of it
failure    what came of it, as an error in one harmless line
pool       HTTP clients, one per concurrent request
lock       keeps two applies apart, with a key that says one is running
clock      the service's time
base_url   where the provisioning key may be sent
"""

from __future__ import annotations
