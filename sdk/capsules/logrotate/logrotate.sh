#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# logrotate.sh: turns the target's logs as the variables below say, and tells the application to open them anew.
#   LOGS      patterns of the target's own paths, all below what the manifest's `writes` names
#   KEEP      how many old ones stay
#   SIZE      only logs of at least this size ("10M"); empty: every log that is not empty
#   SIGNAL    USR1, HUP, …; none: nobody is told, and the log is copied and cut instead, which may lose the lines of that moment
#   PID_FILE  who is told, by a file of the target's; empty: its process 1
#   EXTRA     more directives of logrotate(8), such as "dateext"
# Exit: 0; 1 some log could not be turned; 2 nothing was done.
set -eu
root=/target SIGNAL=${SIGNAL:-USR1}

fail() {
    echo "logrotate: $*" >&2
    exit 2
}

patterns=
set -f # patterns are logrotate's to match
for pattern in ${LOGS:-/var/log/*.log}; do patterns="$patterns \"$root/${pattern#/}\""; done
set +f

case $SIGNAL in
    none) reopen=copytruncate ;;
    HUP | USR1 | USR2)
        number=$(busybox kill -l "$SIGNAL")
        pid=1
        if [ -n "${PID_FILE:-}" ]; then
            pid=$(busybox head -n 1 "$root$PID_FILE" 2>/dev/null) || fail "the target has no $PID_FILE"
            case $pid in '' | *[!0-9]*) fail "$PID_FILE holds no process's number" ;; esac
        fi
        # One that does not catch it would end by it, or (process 1) go on writing to the old file.
        caught=$(busybox sed -n 's/^SigCgt:[[:space:]]*[0-9a-f]*\([0-9a-f]\{8\}\)$/\1/p' "/proc/$pid/status" 2>/dev/null) || true
        [ -n "$caught" ] || fail "the target has no process $pid"
        [ $((0x$caught >> (number - 1) & 1)) = 1 ] ||
            fail "process $pid of the target does not catch SIG$SIGNAL: SIGNAL and PID_FILE in the manifest name who opens logs anew by which signal"
        reopen=create
        ;;
    *) fail "SIGNAL=$SIGNAL: there are HUP, USR1, USR2 and none" ;;
esac

{
    echo "$patterns {"
    echo "    rotate ${KEEP:-7}"
    printf '    %s\n' missingok notifempty nomail nocompress "$reopen"
    [ -z "${SIZE:-}" ] || echo "    size $SIZE"
    [ -z "${EXTRA:-}" ] || printf '    %s\n' "$EXTRA"
    [ "$reopen" = copytruncate ] || printf '    %s\n' sharedscripts postrotate "    busybox kill -$SIGNAL $pid" endscript
    echo "}"
} >/tmp/logrotate.conf
busybox chmod 600 /tmp/logrotate.conf
# When it is due is the schedule's to say, not what an earlier run has noted.
if [ -n "${SIZE:-}" ]; then set --; else set -- --force; fi
exec logrotate "$@" --verbose --state /tmp/state /tmp/logrotate.conf
