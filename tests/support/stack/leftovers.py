# SPDX-License-Identifier: Apache-2.0
"""Looks from outside, once everything has been stopped, for what a stack or its capsules left on this machine."""
import os
import select
import signal
import time

from . import kernel

ENDING_SECONDS = 5  # for a process that has been told to end just before


def mounts():
    """Mount lines of this process's namespace: the host's."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
        return stream.read().splitlines()


def left_mounts(top):
    return [f"mount {line.split()[4]} ({line.partition(' - ')[2]})" for line in mounts() if top in line]


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def left_processes(top):
    """(pid, what it is) of each process that is still there after having had the time to end."""
    latest = time.monotonic() + ENDING_SECONDS
    found = _processes(top)
    while found and time.monotonic() < latest:
        try:
            fd = os.pidfd_open(found[0][0])
        except ProcessLookupError:
            fd = None
        if fd is not None:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll(max(0, (latest - time.monotonic()) * 1000))
            os.close(fd)
        _reap()
        found = _processes(top)
    return found


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def clean(top, processes):
    """Ends and unmounts what has been found and reported, so that the machine stays usable."""
    for pid, _ in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for line in reversed([line for line in mounts() if top in line]):
        kernel.umount(line.split()[4])


def _processes(top):
    """Processes that run the stack's programs, stand in its folders, were started with its environment, or came to this
    process as orphans; zombies too."""
    found = []
    for pid in (entry for entry in os.listdir("/proc") if entry.isdigit()):
        if int(pid) == os.getpid():
            continue
        where = f"/proc/{pid}"
        signs = (_link(where + "/exe").startswith(top), _link(where + "/cwd").startswith(top), _link(where + "/root").startswith(top),
                 b"RECAP_STACK=" + top.encode() in _read(where + "/environ").split(b"\0"), _parent(where) == os.getpid())
        if any(signs):
            command = _read(where + "/cmdline").replace(b"\0", b" ").decode(errors="replace").strip() or _read(where + "/comm").decode().strip()
            found.append((int(pid), f"process {pid} ({command})"))
    return found


def _parent(where):
    stat = _read(where + "/stat")
    return int(stat.rpartition(b")")[2].split()[1]) if stat else 0


def left_files(folder, known):
    """Everything below a folder but what is known to belong there."""
    found = []
    for place, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(place, name)
            if path not in known:
                found.append(f"file {path}")
    return found
