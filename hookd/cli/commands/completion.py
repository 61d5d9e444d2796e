"""`hookd completion`: a script by which a shell completes hookd's commands.

Must never: hold what the scripts offer: they ask `hookd __complete`.
"""

import argparse

DESCRIPTION = """Print a script that makes a shell complete hookd's commands, options, names and files.

Names of webhooks and tasks come from the daemon, or from the config where it is not reachable.

bash: as in the example (with the package bash-completion), or source <(hookd completion bash)
zsh:  hookd completion zsh > DIR/_hookd, with DIR in $fpath; or source <(hookd completion zsh) after compinit
fish: hookd completion fish > ~/.config/fish/completions/hookd.fish"""
EXAMPLE = "hookd completion bash > ~/.local/share/bash-completion/completions/hookd"

BASH = r"""# bash completion for hookd; needs bash 4 or newer
_hookd() {
    local program line=${COMP_LINE-} found
    program=$(type -P -- "${1-}") || program=hookd
    if [[ -z $line ]]; then  # called by other than readline: there are but the words
        printf -v line '%q ' "${COMP_WORDS[@]:0:COMP_CWORD+1}"
        line=${line% }
    fi
    COMPREPLY=()
    mapfile -t found < <("$program" __complete bash "$COMP_WORDBREAKS" "${line:0:${COMP_POINT:-${#line}}}" 2>/dev/null)
    if [[ ${found[0]-} == files ]]; then
        compopt -o default 2>/dev/null
    elif [[ ${#found[@]} -gt 1 ]]; then
        COMPREPLY=("${found[@]:1}")
    fi
}
complete -F _hookd hookd
"""

ZSH = r"""#compdef hookd
_hookd() {
    local program=hookd line
    local -a found values shown
    [[ ${words[1]} == */* ]] && program=${(Q)words[1]/#\~\//$HOME/}
    found=("${(@f)$("$program" __complete zsh "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == files ]]; then
        [[ $PREFIX == -*=* ]] && compset -P '*='
        _files
        return
    fi
    for line in "${(@)found[2,-1]}"; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    (( ${#values} )) && compadd -l -d shown -a -- values
}
if [[ ${funcstack[1]} == _hookd ]]; then
    _hookd "$@"
else
    compdef _hookd hookd
fi
"""

FISH = r"""# fish completion for hookd
function __hookd_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (command $words[1] __complete fish $words[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = files
        set -l option (string match -r -- '^-[^=]*=' $current)
        for path in (__fish_complete_path (string replace -r -- '^-[^=]*=' '' $current))
            echo "$option$path"
        end
    else if set -q found[2]
        printf '%s\n' $found[2..-1]
    end
end
complete -c hookd -f -a '(__hookd_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a shell."""
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="%(choices)s")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    print(SCRIPTS[options.shell], end="")
    return 0
