#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# archive.sh [--gzip] [PATH…]: files and folders of the target as $RECAP_ARTIFACTS/archive.tar[.gz], with the target's own paths.
# Exit: 0; 1 some files changed while they were read; 2 something could not be read or kept.
set -eu
root=/target compress= out=${RECAP_ARTIFACTS:-/tmp}/archive.tar
if [ "${1:-}" = --gzip ]; then
    compress=1 out=$out.gz
    shift
fi
[ $# -gt 0 ] || set -- ${PATHS:-/data} # names with spaces in them come as arguments

count=$#
while [ "$count" -gt 0 ]; do
    inside=${1#"$root"}
    while [ "${inside#/}" != "$inside" ]; do inside=${inside#/}; done
    inside=${inside%/}
    if [ ! -e "$root/$inside" ] && [ ! -L "$root/$inside" ]; then
        echo "archive: the target has no /$inside; PATHS in the manifest, or an argument, names another" >&2
        exit 2
    fi
    folder=$(busybox dirname "$root/$inside")
    if [ "$(busybox readlink -f "$folder")" != "$folder" ]; then # a link would lead to somewhere in this image
        echo "archive: /$inside is reached through a symbolic link; name what it leads to" >&2
        exit 2
    fi
    shift
    set -- "$@" "./$inside"
    count=$((count - 1))
done

set -- --create --directory="$root" --format=posix --numeric-owner --sparse --exclude=./proc --exclude=./sys --exclude=./dev "$@"
status=0 # by its path: this shell has a tar of its own, with neither holes nor long names
if [ -n "$compress" ]; then
    set -o pipefail
    /bin/tar --file=- "$@" | busybox gzip >"$out" || status=$?
else
    /bin/tar --file="$out" "$@" || status=$?
fi
[ "$status" -ne 1 ] || echo "archive: some files changed while they were read; with freeze = true the target stands still meanwhile" >&2
busybox ls -l "$out" | busybox awk '{ print "archive: " $5 " bytes" }' >&2
exit "$status"
