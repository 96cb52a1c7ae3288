"""`reconciler completion`."""

from __future__ import annotations

from typing import Final

import click

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script by which a shell completes commands, options, environments and keys.

    Environments and keys are those of keys.yaml in the current folder, or of what -f names before. Where there is none,
    or one with errors, nothing is proposed and nothing is said. The script has its effect in new shells, from where the
    examples put it; make the folder first (mkdir -p) where it is not there. For bash (4.4 or newer) it is where
    bash-completion looks; for zsh, ~/.zshrc needs fpath=(~/.zfunc $fpath) before it calls compinit. In ~/.bashrc,
    eval "$(reconciler completion bash)" does as well, and with zsh in its place in ~/.zshrc, after compinit.

    \b
    Examples:
      reconciler completion bash > ~/.local/share/bash-completion/completions/reconciler
      reconciler completion zsh > ~/.zfunc/_reconciler
      reconciler completion fish > ~/.config/fish/completions/reconciler.fish
    """
    from reconciler.cli import shells
    from reconciler.cli.console import show

    show(shells.script(shell))
