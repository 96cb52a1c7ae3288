"""How reconciler talks to services over HTTP.

exchange   one request and what came of it; the service's time
retry      when another attempt is made, and after which delay
limits     how much is sent at a time: what a 429 does to all requests, and the HTTP clients
redact     words of the other side, made fit to be repeated
address    where a credential may be sent
"""

from __future__ import annotations
