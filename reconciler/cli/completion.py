"""`reconciler completion`: prints the shells' completion scripts, and answers what these scripts ask."""

from __future__ import annotations

import os
import re
import shlex
from typing import Final

import click
from click.shell_completion import ShellComplete, add_completion_class, shell_complete, split_arg_string

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
    from reconciler.cli.console import show

    show(script(shell, click.get_current_context().find_root().command))


# How bash, zsh and fish ask what can follow, and how they are answered.
#
# Their scripts hand over the line up to the cursor, whatever the shell takes for a word of it: bash ends one at = and
# :, so that its words of `--file=other.yaml` or `git:main` are none to rely on. The answer has a line for each
# proposal: its kind (plain, file or dir), the value, and what it means. Nothing else is ever said, as somebody types
# there.

NAME: Final = "reconciler"
COMPLETION: Final = "_RECONCILER_COMPLETE"
_LINE: Final = "COMP_LINE"  # what bash itself calls these two
_BREAKS: Final = "COMP_WORDBREAKS"
_BETWEEN: Final = "\x1f"  # nothing that is typed, and no white space, of which shells take many for one
_CURSOR: Final = "\0"  # no environment variable holds one
_UNWRITABLE: Final = "\0"
_SPECIAL: Final = re.compile(r"[^\w%+=:,./@-]")  # what bash would take for more than itself, outside of quotes
_ACTIVE: Final = re.compile(r"[\"'$`\\!]")  # and what it might between them

_BASH: Final = r"""
%(complete_func)s() {
    local kind value line=${COMP_LINE:0:COMP_POINT} program=${1:-${COMP_WORDS[0]}}
    : "${line:=${COMP_WORDS[*]:0:COMP_CWORD+1}}"  # who calls this in the place of bash may set the words only
    COMPREPLY=()
    while IFS=$'\x1f' read -r kind value _; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_LINE="$line" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "${program/#\~\//$HOME/}" 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH: Final = r"""
#compdef %(prog_name)s

%(complete_func)s() {
    local kind value meaning
    local -a plain described files
    while IFS=$'\x1f' read -r kind value meaning; do
        case $kind in
            dir) files=(-/) ;;
            file) files=(-f) ;;
            plain) [[ -n $meaning ]] && described+=("${value//:/\\:}:$meaning") || plain+=("$value") ;;
        esac
    done < <(env COMP_LINE="${words[1,CURRENT]}" %(complete_var)s=zsh_complete \
        "${words[1]/#\~\//$HOME/}" 2>/dev/null)

    compset -P 1 '--*='
    (( $#described )) && _describe -V %(prog_name)s described
    (( $#plain )) && compadd -V %(prog_name)s -a plain
    (( $#files )) && _path_files $files
}

compdef %(complete_func)s %(prog_name)s
if [[ $funcstack[1] == _%(prog_name)s ]]; then %(complete_func)s "$@"; fi
"""

_FISH: Final = r"""
function %(complete_func)s
    set -l line (commandline -cp | string collect)
    set -l word (commandline -ct)
    set -l option (string match -r -- '^--[^=]*=' $word)
    set -l path (string replace -- "$option" '' $word)
    for answer in (env COMP_LINE=$line %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l parts (string split -- \x1f $answer)
        switch $parts[1]
            case dir
                printf "$option%%s\n" (complete -C "'' $path" | string match -r '.*/$')
            case file
                printf "$option%%s\n" (complete -C "'' $path")
            case plain
                printf "$option%%s\t%%s\n" $parts[2] $parts[3]
        end
    end
end

complete --command %(prog_name)s --no-files --keep-order --arguments "(%(complete_func)s)"
"""


class _Shell(ShellComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        *words, begun = split_arg_string(_line() + _CURSOR)
        return words[1:], begun.removesuffix(_CURSOR)

    def complete(self) -> str:
        words, begun = self.get_completion_args()
        spelled = [(item, self.spelled(item.value, begun)) for item in self.get_completions(words, begun)]
        answers = [(item.type, value, item.help or "") for item, value in spelled if value.isprintable()]
        return "\n".join(map(_BETWEEN.join, answers))

    def spelled(self, value: str, begun: str) -> str:
        """Write a value as the script expects it, where a word has begun so; what cannot be written is a NUL."""
        del begun
        return value


class _Bash(_Shell):
    name = "bash"
    source_template = _BASH

    def spelled(self, value: str, begun: str) -> str:
        """Write what follows where the word begins for bash: after a quote, or after the last = : or @."""
        if _is_quoted(_line()):
            return _UNWRITABLE if _ACTIVE.search(value) else value
        option = begun[: begun.find("=") + 1] if begun.startswith("-") else ""
        word = option + value
        ends = [word.rfind(sign, 0, len(begun)) for sign in "=:@" if sign in os.environ[_BREAKS]]
        return _SPECIAL.sub(r"\\\g<0>", word[max(ends, default=-1) + 1 :])


class _Zsh(_Shell):
    name = "zsh"
    source_template = _ZSH


class _Fish(_Shell):
    name = "fish"
    source_template = _FISH


def script(shell: str, program: click.Command) -> str:
    """Return the script that makes a shell ask what can follow the name of the program."""
    return _KNOWN[shell](program, {}, NAME, COMPLETION).source().lstrip()


def answer(instruction: str, program: click.Command) -> int:
    """Answer what a script asks, such as `bash_complete`, and return the exit code."""
    return shell_complete(program, {}, NAME, COMPLETION, instruction)


def _line() -> str:
    """Return what is typed so far, as one line."""
    return os.environ[_LINE].replace("\\\n", "")


def _is_quoted(line: str) -> bool:
    try:
        shlex.split(line + _CURSOR)
    except ValueError:
        return True
    return False


_KNOWN: Final = {shell.name: shell for shell in (_Bash, _Zsh, _Fish)}
for _shell in _KNOWN.values():
    add_completion_class(_shell)
