# SPDX-License-Identifier: Apache-2.0
"""Puts the calling process, forked to become a daemon, under what its unit restricts: namespaces and read-only paths,
user and groups, capabilities, no_new_privs, seccomp. Called once, right before exec."""
import grp
import os
import pwd
import resource

from . import filters, kernel

INSTALLED = ("/usr/lib/recap", "/usr/libexec/recap", "/var/lib/recap", "/run/recap", "/etc/recap")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class Sandbox:
    """What a unit asks for, worked out before the fork; apply() runs in the child."""

    def __init__(self, unit, stage, state=None, journal=None):
        self.unit = unit
        self.stage = stage          # the installed paths' place in this stack
        self.state = state          # what is to be the unit's StateDirectory=, if not the staged one
        self.journal = journal
        self.account = pwd.getpwnam(unit.text("User", "root"))
        self.groups = [grp.getgrnam(name).gr_gid for name in unit.list("SupplementaryGroups")]
        self.filters = filters.compile_filters(unit)
        self.strict = unit.text("ProtectSystem") == "strict"
        self.writable = [stage + "/var/lib/" + name for name in unit.list("StateDirectory")]

    def apply(self):
        self._namespaces()
        if self.strict:
            self._file_system()
        self._identity()
        for one in self.filters:
            one.load()

    def _namespaces(self):
        wanted = 0
        if self.strict:
            wanted |= kernel.CLONE_NEWNS
        if self.unit.flag("PrivateNetwork"):
            wanted |= kernel.CLONE_NEWNET
        if self.unit.flag("ProtectHostname"):
            wanted |= kernel.CLONE_NEWUTS
        if wanted:
            kernel.unshare(wanted)

    def staged(self, path):
        """Where an installed path is in this stack."""
        inside = any(path == known or path.startswith(known + "/") for known in INSTALLED)
        return self.stage + path if inside else path

    def _file_system(self):
        kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
        for path in self.writable:
            kernel.mount(self.state or path, path, flags=kernel.MS_BIND)
        private = ["/tmp", "/var/tmp"] if self.unit.flag("PrivateTmp") else []
        stage = kernel.open_tree(self.stage)
        if self.journal and os.path.isdir("/run/systemd/journal"):
            kernel.mount(self.journal, "/run/systemd/journal", flags=kernel.MS_BIND)
        for path in private:
            kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
        os.makedirs(self.stage, exist_ok=True)  # a private /tmp may hide it now
        kernel.move_mount(stage, self.stage)
        os.close(stage)
        self._hide()
        if self.unit.flag("PrivateDevices"):
            self._devices()
        kernel.mount_setattr("/", attr_set=kernel.MOUNT_ATTR_RDONLY)
        for path in ["/dev", "/proc"] + private + self.writable:
            kernel.mount_setattr(path, attr_clr=kernel.MOUNT_ATTR_RDONLY, recursive=False)

    def _hide(self):
        hidden = [p.lstrip("-") for p in self.unit.list("InaccessiblePaths")]
        if self.unit.flag("ProtectHome"):
            hidden += ["/home", "/root", "/run/user"]
        for path in hidden:
            for place in {path, self.staged(path)}:  # what is installed on this machine is no business of a stack either
                if os.path.isdir(place):
                    kernel.mount("tmpfs", place, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, "mode=000,size=4k")
                elif os.path.lexists(place):
                    kernel.mount("/dev/null", place, flags=kernel.MS_BIND)

    @staticmethod
    def _devices():
        nodes = [(name, kernel.open_tree("/dev/" + name)) for name in DEVICES if os.path.exists("/dev/" + name)]
        kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=755,size=64k")
        for name, tree in nodes:
            os.close(os.open("/dev/" + name, os.O_CREAT | os.O_WRONLY, 0o666))
            kernel.move_mount(tree, "/dev/" + name)
            os.close(tree)
        os.mkdir("/dev/shm")
        os.symlink("/proc/self/fd", "/dev/fd")

    def _identity(self):
        unit, account = self.unit, self.account
        limit = unit.text("LimitNOFILE")
        if limit:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            wanted = int(limit) if hard == resource.RLIM_INFINITY else min(int(limit), hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        os.umask(int(unit.text("UMask", "0022"), 8))
        ambient = [kernel.capability_number(c) for c in unit.list("AmbientCapabilities")]
        if unit.has("CapabilityBoundingSet"):
            kept = {kernel.capability_number(c) for c in unit.list("CapabilityBoundingSet")}
            for number in range(kernel.last_capability() + 1):
                if number not in kept:
                    kernel.prctl(kernel.PR_CAPBSET_DROP, number)
        if account.pw_uid != 0:
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
            os.setgroups(self.groups)
            os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
            os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
            # SYS_ADMIN loads the filters without no_new_privs where a unit has none; exec then leaves ambient ones only
            kernel.capset(ambient)
            for number in ambient:
                kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, number)
        if unit.flag("NoNewPrivileges"):
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
