"""`hpcexp completion`, and the script for bash."""

from __future__ import annotations

import click

# click's own takes bash's words, which bash breaks at the = and @ that names of runs and
# experiments hold. Here the line itself is split, and what bash keeps of the last word is cut off.
BASH = """\
_hpcexp_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" current="" kept="" last="" reply="" kind="" value=""
    local -a words
    read -r -a words <<< "$line"
    local index=${#words[@]}
    if [[ "$line" != *[[:blank:]] ]]; then
        index=$((index - 1))
        current="${words[index]}"
    fi
    last="${current##*["$COMP_WORDBREAKS"]}"
    kept="${current%"$last"}"
    kept="${kept%@}"  # readline replaces the @ as well
    COMPREPLY=()
    reply=$(COMP_WORDS="$line" COMP_CWORD=$index _HPCEXP_COMPLETE=bash_complete "$1" 2>/dev/null)
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                if [[ "$value" == "$kept"* ]]; then
                    COMPREPLY+=("${value#"$kept"}")
                fi ;;
        esac
    done <<< "$reply"
}
complete -o nosort -F _hpcexp_completion hpcexp
"""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print what makes a shell complete experiments, groups, runs, options and sites.

    Once, into the shell's own directory, which is quicker than at each start of a shell; for zsh a
    directory of your fpath, before compinit is called:

    \b
      hpcexp completion bash > ~/.local/share/bash-completion/completions/hpcexp
      hpcexp completion zsh > ~/.zfunc/_hpcexp
      hpcexp completion fish > ~/.config/fish/completions/hpcexp.fish

    Examples:

    \b
      eval "$(hpcexp completion bash)"
      hpcexp completion fish | source
    """
    if shell == "bash":
        click.echo(BASH, nl=False)
        return
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(root, {}, "hpcexp", "_HPCEXP_COMPLETE").source())
