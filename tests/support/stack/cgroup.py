# SPDX-License-Identifier: Apache-2.0
"""The launcher's delegated cgroup: a child of this process's own on the unified hierarchy, as a unit with Delegate=yes has
one. On a hybrid host that hierarchy is mounted beside the v1 ones, where the launcher uses the same relative path."""
import errno
import os
import select

CONTROLLERS = ("cpu", "memory", "pids")


def _mounts():
    """(mount point, type) of each cgroup hierarchy."""
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        for line in stream:
            before, _, after = line.partition(" - ")
            kind = after.split()[0]
            if kind in ("cgroup", "cgroup2"):
                yield before.split()[4], kind


def unified_mount():
    for point, kind in _mounts():
        if kind == "cgroup2":
            return point
    raise RuntimeError("no cgroup v2 hierarchy is mounted; recap-launcher needs one")


def own_path():
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        for line in stream:
            if line.startswith("0::"):
                return line[3:].strip()
    return "/"


def _read(path):
    with open(path, encoding="ascii") as stream:
        return stream.read()


def _write(path, text):
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


class Delegated:
    def __init__(self, name):
        self.mount = unified_mount()
        self.base = os.path.normpath(self.mount + own_path())
        self.path = os.path.join(self.base, name)
        self.relative = os.path.relpath(self.path, self.mount)
        self.v1 = [os.path.join(point, self.relative) for point, kind in _mounts() if kind == "cgroup"]

    def make(self):
        os.makedirs(self.path, exist_ok=True)
        offered = _read(os.path.join(self.base, "cgroup.controllers")).split()
        for controller in CONTROLLERS:
            if controller not in offered:
                continue
            try:
                _write(os.path.join(self.base, "cgroup.subtree_control"), "+" + controller)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                raise RuntimeError(f"{self.base} has processes of its own, so it cannot hand {controller} down; start `dev with` by "
                                   "systemd-run --scope -p Delegate=yes") from error

    def enter(self):
        """In the child."""
        _write(os.path.join(self.path, "cgroup.procs"), "0")

    def _folders(self, top):
        return [folder for folder, _, _ in os.walk(top, topdown=False)] if os.path.isdir(top) else []

    def processes(self):
        """Every process in it and below."""
        found = []
        for folder in self._folders(self.path):
            try:
                found += [int(pid) for pid in _read(os.path.join(folder, "cgroup.procs")).split()]
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
        return found

    def kill(self):
        """Ends whatever is in it, as KillMode=control-group does, and removes it: a killed cgroup is of no further use."""
        if not os.path.isdir(self.path):
            return
        events = os.open(os.path.join(self.path, "cgroup.events"), os.O_RDONLY)
        try:
            _write(os.path.join(self.path, "cgroup.kill"), "1")
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            while b"populated 1" in os.pread(events, 4096, 0):
                poll.poll()
        finally:
            os.close(events)
        self.remove()

    def left(self):
        """What a launcher that has ended must not leave: processes, and cgroups of capsules."""
        found = [f"process {pid} ({_command(pid)}) in {self.path}" for pid in self.processes()]
        for top in [os.path.join(self.path, "c")] + self.v1:
            found += [f"cgroup {folder}" for folder in self._folders(top) if folder != top]
        return found

    def remove(self):
        for top in [self.path] + self.v1:
            for folder in self._folders(top):
                os.rmdir(folder)


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().replace(b"\0", b" ").decode(errors="replace").strip() or "a kernel thread or zombie"
    except OSError:
        return "gone by now"
