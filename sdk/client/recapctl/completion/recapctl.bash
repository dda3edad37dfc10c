# SPDX-License-Identifier: Apache-2.0
# bash completion for recapctl; the candidates come from recapctl itself.
_recapctl() {
    local line=${COMP_LINE:0:COMP_POINT} words
    # Colons are in targets, and bash takes them for word breaks: split at blanks instead.
    read -r -a words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local whole=${words[-1]} candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        [[ $whole == *:* ]] && candidate=${candidate#"${whole%"${whole##*:}"}"}
        COMPREPLY+=("$candidate")
    done < <(recapctl __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default 2>/dev/null
}
complete -F _recapctl recapctl
