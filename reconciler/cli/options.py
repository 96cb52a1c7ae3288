"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

F = TypeVar("F", bound="Callable[..., object]")


def read_duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    """Read an option as the file writes durations: 90s, 30m, 24h, 7d or 2w."""
    from reconciler.units import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        msg = f"{value!r} is {error}"
        raise click.BadParameter(msg, context, parameter) from None


def file_option(command: F) -> F:
    """Add `-f/--file`."""
    return click.option(
        "-f",
        "--file",
        type=click.Path(path_type=Path),
        default=Path("keys.yaml"),
        show_default=True,
        help="The declaration: a file, a folder of *.yaml files, or - for standard input.",
    )(command)


def environments_option(what: str, rest: str = "") -> Callable[[F], F]:
    """Add `-e/--environment`, as `environments`; its help says `what` is done with it, and the `rest`."""
    from reconciler.cli import suggestions

    return click.option(
        "-e",
        "--environment",
        "environments",
        multiple=True,
        metavar="ENV",
        shell_complete=suggestions.environments,
        help=f"{what} this environment only{rest}; can be given several times.",
    )


def days_option(what: str) -> Callable[[F], F]:
    """Add `--days`, the window of activity up to today; `what` is its help."""
    from reconciler.model import LONGEST_DAYS

    return click.option(
        "--days", type=click.IntRange(1, LONGEST_DAYS), default=LONGEST_DAYS, show_default=True, help=what
    )


def simulator_option(command: F) -> F:
    """Add `--simulator`."""
    return click.option(
        "--simulator",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Use the embedded simulator instead of the service; its account is kept in PATH.",
    )(command)


def format_option(*choices: str) -> Callable[[F], F]:
    """Add `--format` with these choices, the first one being the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help="How to write the result.",
    )
