"""`reconciler record`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.options import environments_option, file_option, format_option, simulator_option

if TYPE_CHECKING:
    from reconciler.engine.recording import Recording


@click.command("record")
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to keep the history; begun where there is none.",
)
@file_option
@simulator_option
@environments_option("Record the account of")
@format_option("text", "json")
@click.pass_context
def command(
    context: click.Context,
    folder: Path,
    file: Path,
    simulator: Path | None,
    environments: tuple[str, ...],
    output_format: str,
) -> int:
    """Keep what the service forgets after 30 days: who used what, day by day.

    Writes a line for each whole UTC day and key, and each day and model, to a file a month, sorted and made for git.
    Lines add up to the service's total of the day; what it says of no key has a line of its own. Names and teams of
    deleted keys are kept. Run it every night after 00:06 UTC: after a night it takes three requests an account, after
    missed days one more for each. Running it again changes only what the service has corrected.

    \b
    Examples:
      reconciler record --to history
      reconciler record --to history --format json
    """
    from reconciler.cli import console
    from reconciler.cli.console import note, show
    from reconciler.cli.options import declaration_if_any
    from reconciler.engine.inspect import named
    from reconciler.engine.recording import record_use
    from reconciler.errors import ReconcilerError

    declaration = declaration_if_any(context, file)
    recording = console.run(record_use(folder, declaration, environments=environments, simulator=simulator))
    several = (*recording.accounts, *recording.unread)
    for variable, error in recording.unread.items():
        note(f"error: {named(variable, str(error), several)}")
    for account in recording.accounts:
        for since, until in account.lost:
            text = f"{since} to {until} passed without a run, and the service tells of these days no more"
            note(f"warning: {named(account.variable, text, several)}")
    show(_formatted(recording, folder, output_format))
    return ReconcilerError.exit_code if recording.unread else 0


def _formatted(recording: Recording, folder: Path, output_format: str) -> str:
    from reconciler.render.escape import to_json
    from reconciler.units import plural

    if output_format == "json":
        accounts = [
            {
                "account": account.variable,
                "days": [str(day) for day in account.days],
                "lost": [{"since": str(span.since), "until": str(span.until)} for span in account.lost],
            }
            for account in recording.accounts
        ]
        written = [str(path.relative_to(folder)) for path in recording.written]
        return to_json({"format_version": 1, "accounts": accounts, "unread": [*recording.unread], "written": written})
    days = sum(len(account.days) for account in recording.accounts)
    if not recording.written:
        return f"{folder} is up to date.\n"
    return f"Recorded {plural(days, 'day')} in {folder}: {plural(len(recording.written), 'file')} written.\n"
