#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# stats.sh [--nginx URL]: what the target uses, in Prometheus' text format. CPU and memory are its cgroup's where the target has that
# mounted (as containers of engines do), else the sums of its processes: the label source says which.
set -u
url=${NGINX_STATUS:-}
if [ "${1:-}" = --nginx ]; then url=${2:-}; fi

cgroup=/target/sys/fs/cgroup
number() { # FILE: its first word, if it can be read and is a number
    busybox awk 'NR == 1 && $1 ~ /^[0-9]+$/ { print $1 }' "$cgroup/$1" 2>/dev/null
}
{
    if [ -r "$cgroup/memory.current" ]; then # version 2, and not the root of everything
        echo "cgroup memory $(number memory.current)"
        echo "cgroup limit $(number memory.max)"
        echo "cgroup cpu $(busybox awk '$1 == "usage_usec" { printf "%.6f", $2 / 1e6 }' "$cgroup/cpu.stat")"
        echo "cgroup throttled $(busybox awk '$1 == "throttled_usec" { printf "%.6f", $2 / 1e6 }' "$cgroup/cpu.stat")"
        echo "cgroup oom $(busybox awk '$1 == "oom_kill" { printf "%.0f", $2 }' "$cgroup/memory.events" 2>/dev/null)"
    elif [ -r "$cgroup/memory/memory.usage_in_bytes" ]; then
        echo "cgroup memory $(number memory/memory.usage_in_bytes)"
        echo "cgroup limit $(number memory/memory.limit_in_bytes)"
        echo "cgroup cpu $(busybox awk '{ printf "%.6f", $1 / 1e9 }' "$cgroup/cpuacct/cpuacct.usage" 2>/dev/null)"
        echo "cgroup throttled $(busybox awk '$1 == "throttled_time" { printf "%.6f", $2 / 1e9 }' "$cgroup/cpu/cpu.stat" 2>/dev/null)"
        echo "cgroup oom $(busybox awk '$1 == "oom_kill" { printf "%.0f", $2 }' "$cgroup/memory/memory.oom_control" 2>/dev/null)"
    fi
    # a process may end at any time, which is none of anybody's business
    busybox cat /proc/[0-9]*/stat 2>/dev/null | busybox sed -n 's/^.*) /stat /p'
    busybox cat /proc/[0-9]*/status 2>/dev/null | busybox sed -n 's/^Name:[[:space:]]*/name /p; s/^VmRSS:[[:space:]]*/rss /p'
    busybox awk 'FNR > 1 { print "tcp " $4 }' /proc/1/net/tcp /proc/1/net/tcp6 2>/dev/null
    if [ -n "$url" ]; then
        echo "nginx asked"
        { busybox wget -q -O /tmp/nginx "$url"; : >/tmp/asked; } >/dev/null & # its own timeout is broken in static ones
        turns=250
        while [ ! -e /tmp/asked ] && [ "$turns" -gt 0 ]; do
            busybox usleep 20000
            turns=$((turns - 1))
        done
        [ ! -e /tmp/asked ] || busybox sed 's/^/nginx /' /tmp/nginx 2>/dev/null
    fi
} | busybox env LC_ALL=C busybox awk -v states="established syn_sent syn_recv fin_wait1 fin_wait2 time_wait close close_wait last_ack listen closing" '
    function label(text) {  # what the target chose may hold anything
        gsub(/[^ -~]/, "?", text); gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text)
        return text
    }
    function head(name, kind, help) { print "# HELP " name " " help; print "# TYPE " name " " kind }
    function one(name, kind, help, value, more) {
        if (value == "") return
        head(name, kind, help)
        print name "{" who more "} " value
    }
    BEGIN { who = "target=\"" label(ENVIRON["RECAP_TARGET"]) "\",name=\"" label(ENVIRON["RECAP_TARGET_NAME"]) "\"" }
    $1 == "cgroup" { if (NF == 3) of[$2] = $3 }
    $1 == "stat" { ticks += $13 + $14; threads += $19; count++ }  # fields 14, 15 and 20 of proc(5)
    $1 == "rss" { rss += $2 * 1024 }
    $1 == "name" { commands[label(substr($0, 6))]++ }
    $1 == "tcp" { connections[$2]++ }
    $1 == "nginx" && $2 == "asked" { asked = 1 }
    $1 == "nginx" && $2 == "Active" { nginx["active"] = $4 + 0 }
    $1 == "nginx" && $2 == "Reading:" { nginx["reading"] = $3 + 0; nginx["writing"] = $5 + 0; nginx["waiting"] = $7 + 0 }
    $1 == "nginx" && NF == 4 && $2 ~ /^[0-9]+$/ { nginx["accepted"] = $2 + 0; nginx["handled"] = $3 + 0; requests = $4 + 0 }
    END {
        source = ",source=\"" ("cpu" in of ? "cgroup" : "processes") "\""
        one("recap_target_cpu_seconds_total", "counter", "CPU time of the target.", "cpu" in of ? of["cpu"] : sprintf("%.2f", ticks / 100), source)
        one("recap_target_cpu_throttled_seconds_total", "counter", "Time that the target waited for its CPU quota.", of["throttled"])
        source = ",source=\"" ("memory" in of ? "cgroup" : "processes") "\""
        one("recap_target_memory_bytes", "gauge", "Memory of the target.", "memory" in of ? of["memory"] : sprintf("%.0f", rss), source)
        if (of["limit"] + 0 < 4611686018427387904) one("recap_target_memory_limit_bytes", "gauge", "What it may have; absent without a limit.", of["limit"])
        one("recap_target_oom_kills_total", "counter", "Processes of the target killed for want of memory.", of["oom"])
        one("recap_target_threads", "gauge", "Threads of the target.", threads + 0)
        head("recap_target_processes", "gauge", "Processes of the target by name.")
        for (name in commands) print "recap_target_processes{" who ",command=\"" name "\"} " commands[name]
        head("recap_target_connections", "gauge", "TCP sockets in the network namespace of the target by state.")
        split(states, named, " ")
        for (i = 1; i <= 11; i++) print "recap_target_connections{" who ",state=\"" named[i] "\"} " connections[sprintf("%02X", i)] + 0
        if (!asked) exit
        one("nginx_up", "gauge", "Whether stub_status answered.", requests == "" ? 0 : 1)
        if (requests == "") exit
        one("nginx_http_requests_total", "counter", "Requests.", requests)
        one("nginx_connections_accepted", "counter", "Accepted connections.", nginx["accepted"])
        one("nginx_connections_handled", "counter", "Handled connections.", nginx["handled"])
        for (i = split("active reading writing waiting", kinds, " "); i > 0; i--)
            one("nginx_connections_" kinds[i], "gauge", "Connections: " kinds[i] ".", nginx[kinds[i]])
    }'
