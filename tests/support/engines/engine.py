#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""engine start|stop FOLDER, engine image FOLDER NAME: a Docker Engine of one's own, all of it below FOLDER, without a network and without a registry: what the
bench and the demo run containers on. Images are made of this machine's busybox and programs."""
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

START_SECONDS = 60


def make_root(root, programs, busybox=True):
    """A root file system of busybox, and of programs with the libraries that they load."""
    for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    if busybox:
        shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
        for applet in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", applet))
        for name, text in (("passwd", "root:x:0:0:root:/:/bin/sh\n"), ("group", "root:x:0:\n")):
            with open(os.path.join(root, "etc", name), "w", encoding="ascii") as stream:
                stream.write(text)
    for program in programs:
        path = shutil.which(program) or program
        for file in [path] + _libraries(path):
            place = root + (file if file != path else "/bin/" + os.path.basename(path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.islink(place) or os.path.exists(place):
                os.unlink(place)
            shutil.copy(os.path.realpath(file), place)


def _libraries(program):
    lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout.splitlines()
    words = [word for line in lines for word in line.split()]
    return [word for word in words if word.startswith("/")]


class Docker:
    def __init__(self, folder):
        self.folder = folder
        self.cgroup = os.path.basename(folder)
        self.socket = os.path.join(folder, "docker.sock")
        self.containerd = os.path.join(folder, "exec/containerd/containerd.sock")
        self.environment = dict(os.environ, DOCKER_HOST="unix://" + self.socket, DOCKER_CONFIG=os.path.join(folder, "config"))
        self.environment.pop("DOCKER_CONTEXT", None)

    def start(self):
        os.makedirs(os.path.join(self.folder, "config"))
        with open(os.path.join(self.folder, "daemon.json"), "w", encoding="ascii") as stream:
            json.dump({"deprecated-key-path": self._path("key.json")}, stream)  # which it would put into /etc
        log = open(os.path.join(self.folder, "dockerd.log"), "wb")
        command = ["dockerd", "--config-file", self._path("daemon.json"), "--data-root", self._path("data"), "--exec-root", self._path("exec"),
                   "--pidfile", self._path("pid"), "-H", "unix://" + self.socket, "--bridge=none", "--iptables=false", "--ip6tables=false",
                   "--ip-forward=false", "--ip-masq=false", "--storage-driver", "overlay2", "--group", "docker", "--oom-score-adjust=0",
                   "--cgroup-parent=/" + self.cgroup]
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        latest = time.monotonic() + START_SECONDS
        while subprocess.run(["docker", "version"], env=self.environment, capture_output=True, check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > latest:
                raise SystemExit(f"engine: dockerd is not ready:\n{self.log()}")
            time.sleep(0.1)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def log(self):
        with open(self._path("dockerd.log"), encoding="utf-8", errors="replace") as stream:
            return "".join(stream.readlines()[-15:])

    def load(self, name, programs):
        """An image of one layer: busybox and these programs."""
        root = os.path.join(self.folder, "roots", name)
        make_root(root, programs)
        tar = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", name], stdin=tar.stdout, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        tar.stdout.close()
        if tar.wait() != 0:
            raise SystemExit(f"engine: tar of {root} failed")

    def runc_root(self, container):
        found = [path for pattern in ("exec/runtime-runc/*", "exec/**/runtime-runc/*") for path in glob.glob(os.path.join(self.folder, pattern), recursive=True)
                 if os.path.exists(os.path.join(path, container))]
        return found[0] if found else "/run/docker/runtime-runc/moby"

    def stop(self):
        ids = subprocess.run(["docker", "ps", "-aq"], env=self.environment, capture_output=True, text=True, check=False).stdout.split()
        if ids:
            subprocess.run(["docker", "rm", "-f"] + ids, env=self.environment, stdout=subprocess.DEVNULL, check=False)
        try:
            with open(self._path("pid"), encoding="ascii") as stream:
                pid = int(stream.read())
        except (OSError, ValueError):
            return
        fd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(30_000):
            os.kill(pid, signal.SIGKILL)
            poll.poll(10_000)
        os.close(fd)
        with open("/proc/self/mountinfo", encoding="utf-8") as stream:
            for point in reversed([line.split()[4] for line in stream if line.split()[4].startswith(self.folder + "/")]):
                subprocess.run(["umount", "-l", point], check=False)
        for cgroup in glob.glob("/sys/fs/cgroup/*/" + self.cgroup) + glob.glob("/sys/fs/cgroup/" + self.cgroup):
            for folder, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(folder)
        for folder in ("/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd"):
            try:
                os.rmdir(folder)  # where it is empty
            except OSError:
                pass


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] in ("start", "stop"):
        getattr(Docker(words[1]), words[0])()
    elif len(words) == 3 and words[0] == "image":
        Docker(words[1]).load(words[2], [])
    else:
        raise SystemExit("usage: engine start|stop FOLDER; engine image FOLDER NAME")


if __name__ == "__main__":
    main()
