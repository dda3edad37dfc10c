#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# checksum.sh [--md5] [--against FILE|-] [FOLDER…]: digests of the regular files below folders of the target, as sha256sum(1) lists
# them, in the order of their names, to $RECAP_ARTIFACTS/SUMS; and what differs from such a list made earlier. A path is the target's
# own, without the first /. The log's last line has the digest of the list itself: where two runs have the same one, nothing differs.
# Exit: 0 nothing differs, or there is nothing to compare with; 1 something does; 2 that could not be told.
set -eu
root=/target digest=sha256sum width=64 sums=${RECAP_ARTIFACTS:-/tmp}/SUMS
against=${BASELINE:-/baseline}
[ -e "$against" ] || against=
newline='
'

fail() {
    echo "checksum: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --md5) digest=md5sum width=32 ;;
        --against)
            [ $# -gt 1 ] || fail "--against needs a file, or - for standard input"
            against=$2
            shift
            ;;
        -*) fail "$1: there are --md5, --against FILE and folders" ;;
        *) break ;;
    esac
    shift
done
[ $# -gt 0 ] || set -- ${FOLDERS:-/data} # names with spaces in them come as arguments

cd "$root"
: >/tmp/folders
: >/tmp/found
: >/tmp/odd
for folder; do
    inside=${folder#"$root"}
    while [ "${inside#/}" != "$inside" ]; do inside=${inside#/}; done
    inside=${inside%/}
    [ -e "$root/$inside" ] || [ -L "$root/$inside" ] || fail "the target has no /$inside; FOLDERS in the manifest, or an argument, names another"
    # a link would lead to somewhere in this image
    [ "$(busybox readlink -f "$root/$inside")" = "${root}${inside:+/$inside}" ] || fail "/$inside is reached through a symbolic link; name what it leads to"
    echo "$inside" >>/tmp/folders
    # below a whole root: not what its runtime mounts there
    busybox find "./$inside" \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -name "*$newline*" -prune -o -type f -print0 >>/tmp/found
    busybox find "./$inside" \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -name "*$newline*" -prune -exec busybox dirname {} \; >>/tmp/odd
done
busybox xargs -r -0 busybox $digest </tmp/found 2>/tmp/errors | busybox sed 's|  \.//*|  |' | busybox sort -k 2 >"$sums"
busybox tr '\0' '\n' </tmp/found | busybox sed 's|^\.//*||' >/tmp/names
files=$(busybox wc -l <"$sums")
listed="$files files listed in ${sums##*/} (sha256 $(busybox sha256sum <"$sums" | busybox cut -c 1-64))"

# A name with a line break would be two lines of any list, and the second could say anything.
busybox sed 's|^\.//*||; s|^|odd name in |' /tmp/odd >/tmp/differences
if [ -z "$against" ]; then
    busybox cat /tmp/differences /tmp/errors >&2
    echo "checksum: $listed; nothing to compare them with" >&2
    [ ! -s /tmp/differences ] && [ ! -s /tmp/errors ]
    exit
fi
if [ "$against" = - ]; then
    busybox cat >/tmp/baseline
else
    [ -r "$against" ] || fail "no list $against that can be read"
    busybox cat "$against" >/tmp/baseline
fi
[ -s /tmp/baseline ] || fail "the list to compare with is empty"

busybox awk -v width=$width '
    function bare(path) { sub(/^(\.?\/)+/, "", path); return path }
    function within(path,    folder) {
        for (folder in folders) if (folder == "" || path == folder || index(path, folder "/") == 1) return 1
        return 0
    }
    part == 0 { folders[$0] = 1; next }
    part == 2 { found[$0] = 1; next }
    $0 !~ /^[0-9a-f]+ [ *]/ || length($1) != width { if (part == 1) bad = 1; next }
    part == 1 { known[bare(substr($0, width + 3))] = $1 }
    part == 3 { now[substr($0, width + 3)] = $1 }
    END {
        if (bad) exit 2
        for (path in found) {
            if (!(path in now)) print "unreadable " path
            else if (!(path in known)) print "added " path
            else if (known[path] != now[path]) print "changed " path
        }
        for (path in known) if (!(path in found) && within(path)) print "gone " path
    }' part=0 /tmp/folders part=1 /tmp/baseline part=2 /tmp/names part=3 "$sums" >>/tmp/differences ||
    fail "the list to compare with is none of $digest"
busybox sort /tmp/differences
count=$(busybox wc -l </tmp/differences)
echo "checksum: $listed, $count differences" >&2
[ "$count" -eq 0 ]
