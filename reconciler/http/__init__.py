"""How reconciler talks to services over HTTP: the one way to the account, to GitHub, Vault, Google and whatever comes.

address      where a credential may be sent
connection   the way to a server: connections, proxies, certificates
exchange     one request and what came of it, as values; the service's time
retry        when another attempt is made, after which delay, and what may have been carried out already
sender       requests until their outcomes are final: a few at a time, none while the service wants to be left alone
reply        what an API that speaks JSON says, judged and fit to be shown
redact       words of the other side, made fit to be repeated
"""

from __future__ import annotations
