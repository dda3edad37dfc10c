# SPDX-License-Identifier: Apache-2.0
"""The private stack: what `dev with` starts, in order, and ends in the other order, and what it then looks for."""
import argparse
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

from . import bus, cgroup, kernel, leftovers
from .loop import Loop
from .sandbox import Sandbox
from .service import Listener, Service
from .unitfile import Unit

START_SECONDS = 60  # for a daemon to be ready, on a machine that is busy building
LEFT_EXIT = 121     # the command succeeded, but something was left behind or did not end well


class StackError(Exception):
    pass


class Stack:
    def __init__(self, options):
        self.options = options
        self.children = {}
        self.problems = []
        self.services = []
        self.command_pid = None
        self.command_status = None
        self.signalled = None
        self.loop = Loop(self._child_ended)
        self.top = tempfile.mkdtemp(prefix="recap-stack.", dir=options.base)
        os.chmod(self.top, 0o755)
        self.run = os.path.join(self.top, "run/stack")
        self.logs = os.path.join(self.top, "log")
        self.runtime = os.path.join(self.top, "run/recap")
        self.bus_socket = os.path.join(self.run, "bus.sock")
        self.bus_address = "unix:path=" + self.bus_socket
        self.state = os.path.join(options.state, "state") if options.state else self.top + "/var/lib/recap/state"
        self.store = os.path.join(options.state, "store") if options.state else self.top + "/var/lib/recap/store"

    # what the parts say

    def note(self, text):
        print(f"stack: {text}", file=sys.stderr)

    def problem(self, text):
        self.problems.append(text)
        self.note(text)

    def _child_ended(self, pid, status):
        if pid == self.command_pid:
            self.command_status = status
            return
        for service in self.services:
            if service.pid == pid:
                service.ended(status)
                return
        if pid in self.children:
            self.children.pop(pid).ended(status)

    def run_checked(self, command, log):
        """A command of the stack's own, as ExecStartPre= is."""
        with open(log, "ab") as stream:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False)
        if done.returncode != 0:
            raise StackError(f"{' '.join(command)} ended with {done.returncode}: {tail(log)}")

    # the way up

    def stage(self):
        """Installs the build into the stack's folder, and makes users and folders as the package does."""
        for folder in (self.run, self.logs, self.run + "/notify", self.run + "/pids"):
            os.makedirs(folder)
        environment = dict(os.environ, DESTDIR=self.top)
        log = os.path.join(self.logs, "install.log")
        with open(log, "wb") as stream:
            done = subprocess.run(["cmake", "--install", self.options.build, "--prefix", "/usr", "--component", "recap"], env=environment, stdout=stream,
                                  stderr=stream, check=False)
        if done.returncode != 0:
            raise StackError(f"installing {self.options.build} failed: {tail(log)}")
        for plugin in self.options.plugin:
            shutil.copy(plugin, self.top + "/usr/lib/recap/plugins")
        subprocess.run(["chmod", "-R", "a+X", self.top + "/usr"], check=True)
        self.run_checked(["systemd-sysusers", self.top + "/usr/lib/sysusers.d/recap.conf"], os.path.join(self.logs, "sysusers.log"))
        self._folders()
        self._settings()

    def _folders(self):
        recap = pwd.getpwnam("recap")
        for folder in (self.runtime, self.runtime + "/plugins", self.top + "/var/lib/recap", self.top + "/etc/recap",
                       self.top + "/run/systemd/journal"):
            os.makedirs(folder, exist_ok=True)
        made = {self.runtime + "/launcher": (0, 0), self.store: (0, 0), self.state: (recap.pw_uid, recap.pw_gid),
                self.top + "/var/lib/recap/state": (recap.pw_uid, recap.pw_gid)}
        for folder, (uid, gid) in made.items():
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, 0o700)
            os.chown(folder, uid, gid)
        os.makedirs("/run/systemd/journal", exist_ok=True)  # where recapd's own view has the stack's journal

    def _settings(self):
        for given, place in ((self.options.config, "recapd.toml"), (self.options.ceiling, "ceiling.toml")):
            if given:
                shutil.copyfile(given, os.path.join(self.top, "etc/recap", place))
                os.chmod(os.path.join(self.top, "etc/recap", place), 0o644)
        self._launchers_cgroup()
        if not self.options.engines:
            self._mask_engines()
        for given in self.options.rules:
            folder = self.top + "/etc/polkit-1/rules.d"
            os.makedirs(folder, exist_ok=True)
            shutil.copy(given, folder)

    def _launchers_cgroup(self):
        """The process backend's `launcher`, which is not the installed one here."""
        self.cgroup = cgroup.Delegated(os.path.basename(self.top))
        folder = self.top + "/etc/recap/recapd.toml.d"
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "00-stack.toml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f"[plugins.process]\nlauncher = '/{self.cgroup.relative}'\n")
        os.chmod(path, 0o644)

    def _mask_engines(self):
        """What an engine of this machine keeps is no business of a private stack: only what its own settings name is there."""
        path = self.top + "/etc/recap/recapd.toml.d/00-engines.toml"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("[plugins.process]\n")
        os.chmod(path, 0o644)

    def unit(self, name):
        return Unit(self.top + "/usr/lib/systemd/system", name)

    def program(self, unit):
        """ExecStart= of a unit, its program taken from the staged install."""
        words = unit.text("ExecStart").split()
        return [self.top + words[0]] + words[1:]

    def _environment(self):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DBUS_SYSTEM_BUS_ADDRESS": self.bus_address}
        if self.options.sanitized:  # LeakSanitizer needs ptrace, which no unit allows
            environment["ASAN_OPTIONS"] = "detect_leaks=0"
        return environment

    def _folders_options(self):
        return ["--vendor-dir", self.top + "/usr/lib/recap", "--runtime-dir", self.runtime, "--config-dir", self.top + "/etc/recap"]

    def start(self):
        self.journal = Journal(self)
        self._wait(bus.start_bus(self))
        self._wait(bus.start_polkit(self))
        self.launcher = self._launcher()
        self.launcher.start()
        self._hosts()
        self.daemon = self._daemon()
        self.daemon.start()
        for service in (self.launcher, self.daemon):
            self._wait(service)
        self.check_daemon()

    def _wait(self, part):
        self.loop.until(lambda: part.ready or part.failed, START_SECONDS)
        if not part.ready:
            raise StackError(f"{part.name} is not ready ({part.failed or 'it does not say so'}): {tail(part.log_path())}")

    def _listener(self, unit_name, path, section="Socket"):
        unit = self.unit(unit_name)
        uid = pwd.getpwnam(unit.text("SocketUser", "root", section)).pw_uid
        return Listener(path, unit.text("FileDescriptorName", "socket", section), uid, int(unit.text("SocketMode", "0666", section), 8))

    def _launcher(self):
        unit = self.unit("recap-launcher.service")
        self.admit_socket = self.runtime + "/admit.sock"
        listeners = [self._listener("recap-launcher.socket", self.runtime + "/launcher.sock"),
                     self._listener("recap-admit.socket", self.admit_socket)]
        ceiling = self.runtime + "/ceiling.bin"
        command = self.program(unit) + [
            "--store", self.store, "--cgroup-root", self.cgroup.path, "--ceiling", ceiling, "--peer-user", "recap",
            "--libexec", self.top + "/usr/libexec/recap", "--journal-socket", self.journal.path, "--run-dir", self.runtime + "/launcher"]
        command += self.options.launcher_option
        before = [[self.top + "/usr/libexec/recap/recap-compile-ceiling", self.top + "/etc/recap/ceiling.toml", ceiling]]
        service = Service(self, unit, command, Sandbox(unit, self.top), self._environment(), listeners, cgroup=self.cgroup, before=before)
        self.services.append(service)
        return service

    def _hosts(self):
        for name in self._plugin_names():
            unit = self.unit(f"recap-plugin-host@{name}.service")
            listener = self._listener(f"recap-plugin-host@{name}.socket", f"{self.runtime}/plugins/{name}")
            command = self.program(unit) + ["--plugins-dir", self.top + "/usr/lib/recap/plugins"] + self._folders_options()
            self.services.append(Service(self, unit, command, Sandbox(unit, self.top, journal=self.journal.folder), self._environment(),
                                         [listener], on_demand=True))

    def _plugin_names(self):
        """What the preset enables, and whatever the settings name."""
        return sorted({"process", "docker", "podman", "containerd"} | self._configured_plugins())

    def _configured_plugins(self):
        """Every table [plugins.NAME]; of what cannot be read recapd says what is wrong with it."""
        places = [os.path.join(self.top, folder, name) for folder in ("usr/lib/recap", "etc/recap") for name in ("recapd.toml", "recapd.toml.d")]
        files = [path for place in places for path in ([place] if os.path.isfile(place) else sorted(glob.glob(place + "/*.toml")))]
        names = set()
        for path in files:
            with open(path, "rb") as stream:
                try:
                    names |= set(tomllib.load(stream).get("plugins", {}))
                except tomllib.TOMLDecodeError:
                    pass
        return names

    def _daemon(self):
        unit = self.unit("recapd.service")
        command = self.program(unit) + ["--state", self.top + "/var/lib/recap/state", "--launcher-socket", self.runtime + "/launcher.sock",
                                        "--plugin-sockets", self.runtime + "/plugins",
                                        # a systemd of this machine's keeps no timers for a stack
                                        "--systemd-dir", self.top + "/run/systemd/system"] + self._folders_options()
        sandbox = Sandbox(unit, self.top, state=self.state, journal=self.journal.folder)
        service = Service(self, unit, command, sandbox, self._environment())
        self.services.append(service)
        return service

    def check_daemon(self):
        """In every stack: recapd is nobody in particular and can become nobody else."""
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as stream:
            said = dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)
        uids = {int(uid) for uid in said["Uid"].split()}
        wrong = [f"Uid {said['Uid']}"] if 0 in uids or len(uids) != 1 else []
        wrong += [f"{key} {said[key]}" for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(said[key], 16) != 0]
        wrong += [f"NoNewPrivs {said['NoNewPrivs']}"] if said["NoNewPrivs"] != "1" else []
        wrong += [f"Seccomp {said['Seccomp']}"] if said["Seccomp"] != "2" else []
        wrong += [f"Groups {said['Groups']}"] if said["Groups"].strip() else []
        if wrong:
            raise StackError("recapd has more rights than it may have: " + ", ".join(wrong))

    # the command

    def command(self):
        """Runs the command, and turns the loop until it has ended; its wait status."""
        environment = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.bus_address, RECAP_STACK=self.top, RECAP_PREFIX=self.top + "/usr",
                           RECAP_RUNTIME_DIR=self.runtime, RECAP_CONFIG_DIR=self.top + "/etc/recap", RECAP_STATE_DIR=self.state,
                           RECAP_STORE_DIR=self.store, RECAP_ADMIT_SOCKET=self.admit_socket,
                           RECAP_ADMIT=self.top + "/usr/libexec/recap/recap-admit", RECAP_CGROUP_ROOT=self.cgroup.path,
                           RECAP_JOURNAL=self.journal.text, RECAP_LOGS=self.logs, RECAP_PIDS=self.run + "/pids",
                           RECAP_LIBEXEC_DIR=self.top + "/usr/libexec/recap", RECAP_BUILD_DIR=self.options.build,
                           RECAP_POLKIT_RULES=self.top + "/etc/polkit-1/rules.d",
                           PATH=f"{self.top}/usr/bin:{self.top}/usr/libexec/recap:{os.environ.get('PATH', '/usr/bin:/bin')}")
        self.command_pid = os.fork()
        if self.command_pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(self.options.command[0], self.options.command, environment)
            except OSError as error:
                os.write(2, f"dev with: {self.options.command[0]}: {error.strerror}\n".encode())
            os._exit(127)
        os.setpriority(os.PRIO_PROCESS, 0, 10)  # this journal is slower than systemd's, and not what is measured
        self.loop.until(lambda: self.command_status is not None)
        return self.command_status

    def interrupted(self, number, _frame):
        """SIGINT and SIGTERM end the command; the stack then ends as it always does."""
        self.signalled = number
        if self.command_pid is not None and self.command_status is None:
            os.kill(self.command_pid, number)

    # the way down

    def stop(self):
        for service in reversed(self.services):
            service.stop()
        if hasattr(self, "cgroup"):
            for text in self.cgroup.left():
                self.problem("left behind: " + text)
            self.cgroup.kill()
        for helper in reversed(list(self.children.values())):
            helper.stop()
        self.loop.until(lambda: True)
        self._look()

    def _look(self):
        known = {self.runtime + "/" + name for name in ("plugins", "ceiling.bin", "launcher", "launcher/lock", "launcher/dev", "launcher/frozen")}
        processes = leftovers.left_processes(self.top)
        left = [text for _, text in processes] + leftovers.left_mounts(self.top) + leftovers.left_files(self.runtime, known)
        left += leftovers.left_files(os.path.join(self.store, "incoming"), set())
        for text in left:
            self.problem("left behind: " + text)
        leftovers.clean(self.top, processes)

    def remove(self):
        if self.problems or self.options.keep:
            self.note(f"logs and state kept in {self.top}")
        elif not leftovers.left_mounts(self.top):
            shutil.rmtree(self.top)


class Journal:
    """A datagram socket that takes records in journald's protocol and writes them to a file, one line a field."""

    def __init__(self, stack):
        import socket
        self.folder = stack.top + "/run/systemd/journal"
        self.path = self.folder + "/socket"
        self.text = os.path.join(stack.logs, "journal")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o666)
        open(self.text, "wb").close()
        stack.loop.watch(self._socket, self._record)

    def _record(self):
        data, ancillary, _, _ = self._socket.recvmsg(1 << 20, 1024)
        for _, _, body in ancillary:  # large records travel in a memfd, which nothing here needs
            for at in range(0, len(body) - 3, 4):
                os.close(int.from_bytes(body[at:at + 4], "little"))
        with open(self.text, "ab") as stream:
            stream.write(data + b"\n")


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return "\n" + "".join(stream.readlines()[-lines:]).rstrip()
    except OSError:
        return "no log"


def parse(arguments):
    parser = argparse.ArgumentParser(prog="dev with", description="Runs a command inside a private stack of RECap's daemons.")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--build", default=os.path.join(here, "..", "..", "..", "build"), help="the build to install (default: build/)")
    parser.add_argument("--config", help="recapd.toml of the stack")
    parser.add_argument("--ceiling", help="ceiling.toml of the stack")
    parser.add_argument("--plugin", action="append", default=[], help="a plugin (NAME.so) that is not installed; may be repeated")
    parser.add_argument("--state", help="folder for state/ and store/ that outlives the stack")
    parser.add_argument("--rules", action="append", default=[], help="a polkit rules file; may be repeated")
    parser.add_argument("--launcher-option", action="append", default=[], help="a further word for recap-launcher; may be repeated")
    parser.add_argument("--base", default="/var/tmp", help="where the stack's own folder is made (default: /var/tmp)")
    parser.add_argument("--engines", action="store_true", help="this machine's own Docker, podman and containerd are backends, too")
    parser.add_argument("--keep", action="store_true", help="keep the stack's folder with its logs")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND…")
    options = parser.parse_args(arguments)
    if options.command[:1] == ["--"]:
        options.command = options.command[1:]
    if not options.command:
        parser.error("no command: dev with -- COMMAND…")
    if os.geteuid() != 0:
        parser.error("root is needed: the daemons run as other users")
    options.build = os.path.abspath(options.build)
    if options.state:
        options.state = os.path.abspath(options.state)
    options.sanitized = _cached(options.build, "RECAP_SANITIZE") == "ON"
    return options


def _cached(build, key):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as stream:
        return next((line.strip().partition("=")[2] for line in stream if line.startswith(key + ":")), "")


def show_logs(stack):
    """The last lines of RECap's daemons."""
    for name in sorted(os.listdir(stack.logs) if os.path.isdir(stack.logs) else []):
        text = tail(os.path.join(stack.logs, name))
        if name.endswith(".service.log") and text.strip():
            print(f"--- {name}{text}", file=sys.stderr)


def main(arguments):
    options = parse(arguments)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what the command leaves behind comes here, to be seen
    stack = Stack(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stack.interrupted)
    status = 1
    try:
        begun = time.monotonic()
        stack.stage()
        stack.start()
        if options.keep:
            stack.note(f"up after {time.monotonic() - begun:.2f} s in {stack.top}")
        if stack.signalled is None:
            status = os.waitstatus_to_exitcode(stack.command())
            status = 128 - status if status < 0 else status
    except (StackError, RuntimeError, OSError) as error:
        stack.problem(str(error))
        status = 125
    stack.stop()
    if status != 0 or stack.problems:
        show_logs(stack)
    stack.remove()
    if stack.problems and status == 0:
        status = LEFT_EXIT
    return status
