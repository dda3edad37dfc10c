# SPDX-License-Identifier: Apache-2.0
"""One daemon of the stack, run as systemd would run its unit: sockets held for it, started on a connection where its unit
is activated so, readiness and watchdog by NOTIFY_SOCKET, restarted as Restart= says. All of it on one thread, driven by
the stack's loop."""
import os
import signal
import socket
import time

START_LIMIT, START_INTERVAL = 5, 10.0  # systemd's defaults of StartLimitBurst=, StartLimitIntervalSec=
LISTEN_FDS_START = 3


class Listener:
    """A socket unit's socket: made with its owner and mode, kept while the service comes and goes."""

    def __init__(self, path, name, uid, mode, kind=socket.SOCK_SEQPACKET):
        self.path, self.name = path, name
        self.socket = socket.socket(socket.AF_UNIX, kind)
        mask = os.umask(0o777)
        try:
            self.socket.bind(path)
        finally:
            os.umask(mask)
        os.chown(path, uid, -1)
        os.chmod(path, mode)
        self.socket.listen(128)

    def close(self):
        self.socket.close()
        os.unlink(self.path)


class Service:
    """`command` replaces ExecStart=; `environment` is all that the process gets beside what systemd would add."""

    def __init__(self, stack, unit, command, sandbox, environment, listeners=(), on_demand=False, cgroup=None, before=()):
        self.stack, self.unit, self.command, self.sandbox = stack, unit, command, sandbox
        self.name = unit.name
        self.environment, self.listeners, self.on_demand, self.cgroup = environment, list(listeners), on_demand, cgroup
        self.before = before              # commands run first, as ExecStartPre=
        self.pid = None
        self.ready = False
        self.status = ""
        self.stopping = False
        self.failed = None                # why it is not started any more
        self.starts = []
        self.start_limit = int(unit.text("StartLimitBurst", str(START_LIMIT), "Unit"))
        self.start_interval = unit.seconds("StartLimitIntervalSec", START_INTERVAL, "Unit")  # 0: no limit
        self.watchdog = unit.seconds("WatchdogSec", 0)
        self.deadline = None              # of the watchdog
        self.notify_path = os.path.join(stack.run, "notify", self.name)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind(self.notify_path)
        os.chmod(self.notify_path, 0o666)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        stack.loop.watch(self.notify, self._notified)
        if on_demand:
            self._await_connection()

    def _await_connection(self):
        for listener in self.listeners:
            self.stack.loop.watch(listener.socket, self.start)

    def start(self):
        if self.pid is not None or self.stopping:
            return
        for listener in self.listeners if self.on_demand else ():
            self.stack.loop.forget(listener.socket)
        now = time.monotonic()
        self.starts = [t for t in self.starts if now - t < self.start_interval] + [now]
        if self.start_interval > 0 and len(self.starts) > self.start_limit:
            self.failed = f"started {self.start_limit} times within {self.start_interval:.0f} s"
            self.stack.note(f"{self.name}: {self.failed}; not started again")
            return
        for command in self.before:
            self.stack.run_checked(command, self.log_path())
        self.ready, self.status = False, ""
        if self.cgroup:
            self.cgroup.make()
        # a signal for the child waits until it acts on it as a daemon would, not as this loop does
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.pid = os.fork()
        if self.pid == 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
            self._become()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(self.pid_path(), "w", encoding="ascii") as stream:
            stream.write(f"{self.pid}\n")
        self._feed_watchdog()

    def pid_path(self):
        return os.path.join(self.stack.run, "pids", self.name)

    def log_path(self):
        return os.path.join(self.stack.logs, self.name + ".log")

    def _become(self):
        """In the child: never returns."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            if self.cgroup:
                self.cgroup.enter()
            log = os.open(self.log_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            environment = self._environment()
            self._pass_sockets()
            self.sandbox.apply()
            os.chdir("/")
            os.execve(self.command[0], self.command, environment)
        except BaseException as error:  # the parent's handlers must not run in the child
            os.write(2, f"{self.name}: could not be started: {error}\n".encode())
        os._exit(203)

    def _environment(self):
        environment = dict(self.environment, NOTIFY_SOCKET=self.notify_path)
        if self.watchdog:
            environment.update(WATCHDOG_USEC=str(int(self.watchdog * 1e6)), WATCHDOG_PID=str(os.getpid()))
        if self.listeners:
            environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(self.listeners)),
                               LISTEN_FDNAMES=":".join(listener.name for listener in self.listeners))
        return environment

    def _pass_sockets(self):
        high = [os.dup(listener.socket.fileno()) for listener in self.listeners]
        moved = []
        for number, fd in enumerate(high):  # first out of the way of the numbers they are to have
            moved.append(_dup_above(fd, LISTEN_FDS_START + len(high)))
        for number, fd in enumerate(moved):
            os.dup2(fd, LISTEN_FDS_START + number, inheritable=True)
        os.closerange(LISTEN_FDS_START + len(high), 1 << 16)

    def _notified(self):
        data, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(12))
        sender = next((int.from_bytes(body[:4], "little") for level, kind, body in ancillary if kind == socket.SCM_CREDENTIALS), None)
        if sender != self.pid:  # NotifyAccess=main
            return
        for line in data.decode(errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key == "READY":
                self.ready = True
            elif key == "STATUS":
                self.status = value
            elif key == "WATCHDOG" and value == "1":
                self._feed_watchdog()

    def _feed_watchdog(self):
        if self.watchdog:
            self.deadline = time.monotonic() + self.watchdog
            self.stack.loop.at(self.deadline, self._check_watchdog)

    def _check_watchdog(self):
        if self.pid is not None and self.deadline is not None and time.monotonic() >= self.deadline:
            self.stack.note(f"{self.name}: no sign of life for {self.watchdog:.0f} s; aborted")
            os.kill(self.pid, signal.SIGABRT)
            self.deadline = None

    def ended(self, status):
        """The stack has reaped the process."""
        code = os.waitstatus_to_exitcode(status)
        self.pid, self.ready, self.deadline = None, False, None
        os.unlink(self.pid_path())
        if self.cgroup and not self.stopping:
            self.cgroup.kill()
        clean = code in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGPIPE)
        self.last = "exited with " + str(code) if code >= 0 else "was ended by " + signal.Signals(-code).name
        if self.stopping:
            if not clean:
                self.stack.problem(f"{self.name} {self.last} when it was stopped")
            return
        if not clean or not self.on_demand:
            self.stack.note(f"{self.name} {self.last}")
        restart = self.unit.text("Restart", "no")
        if restart == "always" or restart == "on-failure" and not clean:
            self.stack.loop.at(time.monotonic() + self.unit.seconds("RestartSec", 0.1), self.start)
        elif self.on_demand:
            self._await_connection()

    def stop(self):
        """Asks it to end, and waits; KILL after TimeoutStopSec=, which is a problem."""
        self.stopping = True
        if self.pid is not None:
            # KillMode=control-group; the main process may not have entered its cgroup yet
            for pid in {self.pid} | set(self.cgroup.processes() if self.cgroup else ()):
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            limit = self.unit.seconds("TimeoutStopSec", 90)
            if not self.stack.loop.until(lambda: self.pid is None, limit):
                self.stack.problem(f"{self.name} did not end within {limit:.0f} s of SIGTERM; killed")
                os.kill(self.pid, signal.SIGKILL)
                self.stack.loop.until(lambda: self.pid is None, limit)
        self.stack.loop.forget(self.notify)
        self.notify.close()
        for listener in self.listeners:
            self.stack.loop.forget(listener.socket)
            listener.close()


def _dup_above(fd, lowest):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest + 64)
