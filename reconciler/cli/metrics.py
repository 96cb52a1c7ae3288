"""`reconciler metrics`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from reconciler.cli.options import file_option, simulator_option

_FOR_EVERYBODY: Final = 0o644  # the collector that reads the file is another user


@click.command("metrics")
@file_option
@simulator_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, allow_dash=True),
    default=Path("-"),
    metavar="FILE",
    help="The file to replace, like naga.prom for the textfile collector; stdout by default.",
)
@click.option(
    "--max-keys",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="How many declared keys of an account get series of their own; naga_keys_left_out counts the others.",
)
@click.pass_context
def command(context: click.Context, file: Path, simulator: Path | None, out: Path, max_keys: int) -> int:
    """Write what is known of the accounts as OpenMetrics text.

    Balance, runway, limits, spend by environment and team, the declared keys with their limit, spend, age, expiry and
    rotation, and what plan and check find. All are gauges, so that the text is valid Prometheus text as well: for the
    textfile collector of node_exporter, or for a Pushgateway. Keys that are not declared are counted only.

    Needs the extra `metrics`. Ends with 1 when an account could not be read; naga_up is 0 for it then.

    \b
    Examples:
      reconciler metrics
      reconciler metrics --out /var/lib/node_exporter/textfile/naga.prom
      reconciler metrics | curl --data-binary @- http://pushgateway.example:9091/metrics/job/naga
    """
    from reconciler import __version__
    from reconciler.cli import console
    from reconciler.cli.console import show
    from reconciler.cli.options import declaration_if_any
    from reconciler.engine.inspect import Scope
    from reconciler.engine.review import review
    from reconciler.errors import ReconcilerError
    from reconciler.files import check_output, write_whole
    from reconciler.insight.metrics import gauges
    from reconciler.installation import need_extra
    from reconciler.render.metrics import render_metrics

    check_output(out, example="naga.prom", declaration=file)
    need_extra("metrics", "prometheus_client")
    found = console.run(review(Scope(declaration_if_any(context, file), simulator=simulator)))
    console.tell(found)
    text = render_metrics(gauges(found.accounts, version=__version__, most_keys=max_keys))
    if str(out) == "-":
        show(text)
    else:
        write_whole(out, text, mode=_FOR_EVERYBODY)
    return ReconcilerError.exit_code if found.errors else 0
