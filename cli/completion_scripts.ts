/** Completion scripts for shells. They only ask `nyx __complete`, so they never grow old. */

const BASH = `# bash completion for nyx; load it with: source <(nyx completion bash)
_nyx() {
    local cur words line candidates=() files="" reply
    # bash splits words at : and =, nyx does not: put the line together again.
    line="\${COMP_LINE:0:COMP_POINT}"
    read -ra words <<< "$line"
    cur=""
    if [[ "$line" != *" " ]]; then
        cur="\${words[\${#words[@]}-1]}"
        unset "words[\${#words[@]}-1]"
    fi
    reply="$("\${words[0]:-nyx}" __complete -- "\${words[@]:1}" "$cur" 2>/dev/null)"
    while IFS=$'\\t' read -r line _; do
        case "$line" in
            "") ;;
            :files) files="-f" ;;
            :dirs) files="-d" ;;
            *) candidates+=("$line") ;;
        esac
    done <<< "$reply"
    if [[ -n "$files" ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen "$files" -- "$cur")
        return
    fi
    # What stands before the last : or = is already on the line.
    local last="\${COMP_WORDS[COMP_CWORD]}" cut=""
    [[ "$last" == ":" || "$last" == "=" ]] && last=""
    [[ "$cur" != "$last" && "$cur" == *"$last" ]] && cut="\${cur%"$last"}"
    COMPREPLY=()
    for line in "\${candidates[@]}"; do
        COMPREPLY+=("\${line#"$cut"}")
    done
    if [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _nyx nyx
`;

const ZSH = `#compdef nyx
# zsh completion for nyx; load it with: source <(nyx completion zsh)
_nyx() {
    local line word help
    local -a candidates
    while IFS=$'\\t' read -r word help; do
        case "$word" in
            "") ;;
            :files) _files; return ;;
            :dirs) _files -/; return ;;
            *)
                line="\${word//:/\\\\:}"
                [[ -n "$help" ]] && line="$line:$help"
                candidates+=("$line") ;;
        esac
    done < <("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe -t candidates nyx candidates
}
if [[ "\${funcstack[1]}" == "_nyx" ]]; then
    _nyx "$@"
else
    compdef _nyx nyx
fi
`;

const FISH = `# fish completion for nyx; load it with: nyx completion fish | source
function __nyx_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in (command $program __complete -- $words "$current" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path "$current"
            case ':dirs'
                __fish_complete_directories "$current"
            case '*'
                echo $line
        end
    end
end
complete -c nyx -f -a '(__nyx_complete)'
`;

/** Script by name of the shell. */
export const COMPLETION_SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
