"""`reconciler completion`."""

from __future__ import annotations

from typing import Final

import click

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script by which a shell completes commands, options, environments and keys.

    Environments and keys are those of keys.yaml in the current folder, or of what -f names. Where there is none, or one
    with errors, nothing is proposed and nothing is said. The script has its effect in new shells, from where the
    examples put it: for bash (4.4 or newer) that is where bash-completion looks, for zsh a folder of $fpath that is
    there before compinit is called. For bash, eval "$(reconciler completion bash)" in ~/.bashrc does as well.

    \b
    Examples:
      reconciler completion bash > ~/.local/share/bash-completion/completions/reconciler
      reconciler completion zsh > ~/.zfunc/_reconciler
      reconciler completion fish > ~/.config/fish/completions/reconciler.fish
    """
    from click.shell_completion import get_completion_class

    from reconciler.cli.console import show
    from reconciler.cli.main import COMPLETION, NAME, cli

    script = get_completion_class(shell)
    assert script is not None  # noqa: S101  # click knows the three shells
    show(f"{script(cli, {}, NAME, COMPLETION).source().strip()}\n")
