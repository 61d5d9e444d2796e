"""`hookd completion`: a script by which a shell completes hookd's commands.

argcomplete's own scripts are not used: in zsh they see the whole buffer, so that nothing is completed behind `;`, `|`
or `NAME=value`, and they offer files where only a name can stand.

Must never: hold what the scripts offer: they ask `hookd __complete`.
"""

import argparse

DESCRIPTION = """Print a script that makes a shell complete hookd's commands, options, names and files.

Names of webhooks and tasks come from the daemon, or from the config where it is not reachable.

The first example needs the package bash-completion, the second a directory that is in $fpath before compinit. For the
running shell alone, `source <(hookd completion bash)`, or of zsh the same after compinit."""
EXAMPLE = """hookd completion bash > ~/.local/share/bash-completion/completions/hookd
  hookd completion zsh > ~/.zfunc/_hookd
  hookd completion fish > ~/.config/fish/completions/hookd.fish"""

BASH = r"""# bash completion for hookd; needs bash 4 or newer
_hookd() {
    local program=${1-} line=${COMP_LINE-} found
    program=$(type -P -- "${program/#\~\//${HOME-}/}") || program=hookd
    if [[ -z $line ]]; then  # not called by readline: only the words are known
        printf -v line '%q ' "${COMP_WORDS[@]:0:COMP_CWORD+1}"
        line=${line% }
    fi
    COMPREPLY=()
    found=$("$program" __complete bash "${line:0:${COMP_POINT:-${#line}}}" "$COMP_WORDBREAKS" 2>/dev/null)
    case $? in
        0) [[ -z $found ]] || mapfile -t COMPREPLY <<<"$found" ;;
        3) compopt -o default 2>/dev/null ;;
    esac
}
complete -F _hookd hookd
"""

ZSH = r"""#compdef hookd
_hookd() {
    local program=hookd line found
    local -a values shown
    [[ ${words[1]} == */* ]] && program=${(Q)words[1]/#\~\//$HOME/}
    found=$("$program" __complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)
    case $? in
        0) for line in ${(f)found}; do
               values+=("${line%%$'\t'*}")
               shown+=("${${line%$'\t'}/$'\t'/  -- }")
           done
           (( ${#values} )) && compadd -l -d shown -a -- values ;;
        3) [[ $PREFIX == -*=* ]] && compset -P '*='
           _files ;;
    esac
}
if [[ ${funcstack[1]} == _hookd ]]; then
    _hookd "$@"
else
    compdef _hookd hookd
fi
"""

FISH = r"""# fish completion for hookd
function __hookd_complete
    set -l program (commandline -opc | string replace -r '^~/' "$HOME/")[1]
    set -l line (commandline -cp | string replace -r '\\\\$' '')
    set -l found (command $program __complete fish "$line" 2>/dev/null)
    if test $status = 3
        set -l current (commandline -ct)
        set -l option (string match -r -- '^-[^=]*=' $current)
        for path in (__fish_complete_path (string replace -r -- '^-[^=]*=' '' $current))
            echo "$option$path"
        end
    else
        printf '%s\n' $found
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
