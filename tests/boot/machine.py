# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd as PID 1, booted by nspawn in namespaces of its own on this machine's kernel: nothing of the machine's own is
touched, and nothing is left when it is off."""
import os
import shutil
import signal
import subprocess
import time

BOOT_SECONDS = 90
# nspawn wants /run to be a tmpfs and the cgroup tree to be its own; who starts it may have neither.
START = """
mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/systemd/system; umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
exec env SYSTEMD_SECCOMP=0 systemd-nspawn -q --register=no --keep-unit --capability=all -D "$1" --boot --console=pipe
"""


def _cgroups():
    """Where this machine has its cgroup v2."""
    with open("/proc/self/mounts", encoding="ascii") as stream:
        return next(line.split()[1] for line in stream if line.split()[2] == "cgroup2")


class Machine:
    def __init__(self, root):
        self.root = root
        self.cgroup = os.path.join(_cgroups(), f"recap-boot-{os.getpid()}")
        self.outer = None
        self.leader = None
        self.log = root + ".log"

    def boot(self):
        os.makedirs(self.cgroup)

        def enter():
            with open(self.cgroup + "/cgroup.procs", "w", encoding="ascii") as stream:
                stream.write(str(os.getpid()))
        with open(self.log, "ab") as log:
            self.outer = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "--cgroup", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "bash", "-ec", START, "boot", self.root], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=enter)
        end = time.monotonic() + BOOT_SECONDS
        while self.leader is None and time.monotonic() < end and self.outer.poll() is None:
            self.leader = self._find()
            time.sleep(0.02)
        assert self.leader is not None, self._said()
        state = ""
        while state not in ("running", "degraded") and time.monotonic() < end:
            state = self.run("systemctl", "is-system-running", "--wait").stdout.strip()
        assert state in ("running", "degraded"), state + self._said()

    def _said(self):
        with open(self.log, encoding="utf-8", errors="replace") as stream:
            return stream.read()[-3000:]

    def _find(self):
        """systemd, in whose eyes it is PID 1: the init.scope of this machine's cgroup has no other process."""
        for folder, _, _ in os.walk(self.cgroup):
            if os.path.basename(folder) == "init.scope":
                with open(folder + "/cgroup.procs", encoding="ascii") as stream:
                    for pid in stream.read().split():
                        with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
                            if comm.read() == "systemd\n":
                                return pid
        return None

    def run(self, *words, user=None):
        """A command in the machine."""
        inside = ["nsenter", "-t", self.leader, "-a", *(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []), *words]
        return subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})

    def must(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def off(self):
        if self.outer is None:
            return
        if self.leader is not None and self.outer.poll() is None:
            self.run("systemctl", "poweroff")
        try:
            self.outer.wait(60)
        except subprocess.TimeoutExpired:
            self.outer.send_signal(signal.SIGKILL)
            self.outer.wait()
        self.outer = self.leader = None
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(folder)

    def remove(self):
        self.off()
        shutil.rmtree(self.root)
        if os.path.exists(self.log):
            os.unlink(self.log)
