#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# oom-report.sh: what an event said of a target that ran out of memory, and what its memory looks like now: the cgroup's numbers where
# the target has it mounted (as containers of engines do), and its greatest processes.
set -u
echo "target: ${RECAP_TARGET:-?} ${RECAP_TARGET_NAME:-}"
echo "started: ${RECAP_TRIGGER:-?}"
if [ -n "${RECAP_EVENT:-}" ]; then
    echo "event: $RECAP_EVENT"
    busybox env | busybox sed -n '/^RECAP_EVENT_FD=/d;s/^RECAP_EVENT_\([A-Z0-9_]*\)=\(.*\)/fact: \1=\2/p' | busybox sort
    echo "json: $(busybox head -c 65536)" # only with an event: else somebody may sit there
else
    echo "event: none"
fi

cgroup=/target/sys/fs/cgroup
found=
for file in memory.current memory.peak memory.max memory.high memory.swap.current memory.events memory.pressure \
    memory/memory.usage_in_bytes memory/memory.max_usage_in_bytes memory/memory.limit_in_bytes memory/memory.failcnt memory/memory.oom_control; do
    [ -r "$cgroup/$file" ] || continue
    found=1
    busybox sed "s|^|${file#memory/}: |" "$cgroup/$file"
done
[ -n "$found" ] || echo "memory: its cgroup is not mounted in the target"

echo "greatest processes (resident kB, pid, name):"
busybox cat /proc/[0-9]*/status 2>/dev/null | # a process may end meanwhile
    busybox awk '/^Name:/ { name = substr($0, 7) } /^Pid:/ { pid = $2 } /^VmRSS:/ { print $2, pid, name }' | busybox sort -rn | busybox head -n 10
