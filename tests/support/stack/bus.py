# SPDX-License-Identifier: Apache-2.0
"""A private bus of type system under the shipped policy, and a real polkitd on it that sees the staged actions and rules
and none of this machine's."""
import os
import pwd
import signal

from . import kernel

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <user>messagebus</user>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Peer"/>
  </policy>
  <includedir>{policies}</includedir>
</busconfig>
"""
POLKIT_POLICY = "/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf"
POLKIT_FOLDERS = ("/usr/share/polkit-1/actions", "/usr/share/polkit-1/rules.d", "/etc/polkit-1/rules.d")
POLKITD = "/usr/lib/polkit-1/polkitd"


class Helper:
    """A process of the stack that is not RECap's: started before, ended after, no restarts."""

    def __init__(self, stack, name, command, environment, prepare=lambda: None, ready=None):
        """Ready once `ready(line)` holds for a line of its standard output."""
        self.stack, self.name, self.pid, self.ready, self._rest = stack, name, None, False, b""
        self._is_ready, self.stopping, self.failed = ready, False, None
        self._out, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_DFL)
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(write, 1)
                os.dup2(os.open(self.log_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
                prepare()
                os.execve(command[0], command, environment)
            except BaseException as error:
                os.write(2, f"{name}: could not be started: {error}\n".encode())
            os._exit(203)
        os.close(write)
        stack.loop.watch(self._out, self._read)
        stack.children[self.pid] = self

    def log_path(self):
        return os.path.join(self.stack.logs, self.name + ".log")

    def _read(self):
        data = os.read(self._out, 65536)
        if not data:
            self.stack.loop.forget(self._out)
            return
        with open(self.log_path(), "ab") as stream:
            stream.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.ready = self.ready or any(self._is_ready(line.decode(errors="replace")) for line in lines)

    def ended(self, status):
        self.pid = None
        if not self.stopping:
            self.failed = f"ended by itself with status {os.waitstatus_to_exitcode(status)}"
            self.stack.problem(f"{self.name} {self.failed}")

    def stop(self):
        self.stopping = True
        if self.pid is not None:
            os.kill(self.pid, signal.SIGTERM)
            if not self.stack.loop.until(lambda: self.pid is None, 10):
                os.kill(self.pid, signal.SIGKILL)
                self.stack.loop.until(lambda: self.pid is None, 10)
        self.stack.loop.forget(self._out)
        os.close(self._out)


def write_config(stack):
    """The bus's configuration: our policy as it is installed, and polkit's."""
    policies = os.path.join(stack.run, "dbus")
    os.mkdir(policies)
    staged = os.path.join(stack.top, "usr/share/dbus-1/system.d")
    sources = [os.path.join(staged, name) for name in sorted(os.listdir(staged))] + [POLKIT_POLICY]
    for source in sources:
        os.symlink(source, os.path.join(policies, os.path.basename(source)))
    path = os.path.join(stack.run, "bus.conf")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(CONFIG.format(socket=stack.bus_socket, policies=policies))
    return path


def start_bus(stack):
    return Helper(stack, "dbus-daemon", ["/usr/bin/dbus-daemon", "--config-file=" + write_config(stack), "--nofork", "--nopidfile",
                                         "--print-address=1"], {"PATH": "/usr/bin:/bin"}, ready=lambda line: line.startswith("unix:"))


def start_polkit(stack):
    """polkitd in a mount namespace of its own, with the staged folders in the places of the machine's."""
    account = pwd.getpwnam("polkitd")
    for folder in POLKIT_FOLDERS:
        os.makedirs(stack.top + folder, exist_ok=True)
    rules = stack.top + "/etc/polkit-1/rules.d"  # where polkitd insists on an owner of its own
    os.chown(rules, 0, account.pw_gid)

    def prepare():
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
        for folder in POLKIT_FOLDERS:
            kernel.mount(stack.top + folder, folder, flags=kernel.MS_BIND)

    return Helper(stack, "polkitd", [POLKITD], {"PATH": "/usr/bin:/bin", "DBUS_SYSTEM_BUS_ADDRESS": stack.bus_address}, prepare,
                  ready=lambda line: "Acquired the name org.freedesktop.PolicyKit1" in line)
