# SPDX-License-Identifier: Apache-2.0
# fish completion for recapctl; the candidates come from recapctl itself.
function __recapctl_candidates
    set -l words (commandline -opc)
    recapctl __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c recapctl -a '(__recapctl_candidates)'
