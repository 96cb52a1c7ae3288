"""`reconciler simulate`: the simulator over HTTP, for trying things out with any client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli import options
from reconciler.simulator import Faults, State, parse_fault, require_extra
from reconciler.simulator.faults import GRAMMAR
from reconciler.simulator.state import IN_MEMORY

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOPBACK = ("127.", "localhost", "::1")

_EPILOG = (
    "\n\n".join("\b\n" + paragraph for paragraph in GRAMMAR.strip().split("\n\n"))
    + """

\b
Beside the API there are doors that the real service does not have:
  POST   /_simulator/travel    {"seconds": 86400}     move the clock
  POST   /_simulator/faults    {"faults": ["..."]}    add faults
  DELETE /_simulator/faults                           end all faults
  POST   /_simulator/usage     {"seed": 0}            let the keys spend
  GET    /_simulator/requests                         count the requests
  GET    /openapi.json                                the API described

They ask for no credential, and any bearer may manage the account: stay on loopback, which is the default.
"""
)


@click.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="The port; 0, the default, picks a free one.")
@click.option(
    "--state",
    "path",
    metavar="PATH",
    shell_complete=options.files,
    default=IN_MEMORY,
    help="Keeps the account; without it, it ends here.",
)
@click.option("--fault", "specs", metavar="FAULT", multiple=True, help="Goes wrong as told (see below); repeatable.")
@click.option("--usage", is_flag=True, help="Gives the account's keys a past: 30 days of spend.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the usage, and faults by chance.")
@click.option("--provisioning-key", "keys", metavar="KEY", multiple=True, help="The only key(s) to manage the account.")
def command(
    *, host: str, port: int, path: str, specs: Sequence[str], usage: bool, seed: int, keys: Sequence[str]
) -> None:
    """Serve a simulated NagaAI account over HTTP, until Ctrl-C.

    \b
    Examples:
      reconciler simulate --port 8080 --state sim.db
      reconciler simulate --usage --fault "POST /v1/account/keys lose=after times=1"
    """
    require_extra()
    from reconciler.simulator.app import create_app
    from reconciler.simulator.fields import generate
    from reconciler.simulator.serve import Server

    faults = Faults(map(parse_fault, specs), seed=seed)
    with State(path) as state:
        if usage:
            generate(state, seed=seed)
        app = create_app(state, faults=faults, provisioning_keys=frozenset(keys), with_control=True)
        server = Server(app, host=host, port=port)
        server.listen(lambda: _announce(server.url, host, restricted=bool(keys)))


def _announce(url: str, host: str, *, restricted: bool) -> None:
    """Say where it is and how to get there, all at once, for whoever waits at the other end of a pipe."""
    key = "…  # one of those given with --provisioning-key" if restricted else "simulator"
    click.echo(f"export NAGA_BASE_URL={url}\nexport NAGA_PROVISIONING_KEY={key}", err=True)
    if not host.startswith(_LOOPBACK):
        click.echo(f"warning: whoever reaches {host} can use and change this account", err=True)
    click.echo(url)
