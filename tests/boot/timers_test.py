#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Periodic capsules on a machine with systemd: their timers fire, outlive whatever ends, and catch up once after a reboot."""
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian  # noqa: E402
from machine import Machine  # noqa: E402

BUILD = os.environ["RECAP_BUILD_DIR"]
PATIENCE = 30
DAY = 24 * 3600
MANIFEST = """manifest = 1
[capsule]
name = "{name}"
image = "test/none:1"
command = ["/none"]
[schedule]
missed = "{missed}"
[schedule.periodic]
{periodic}
"""


def say(text):
    print("recap-boot: " + text, file=sys.stderr, flush=True)


class Timers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix="recap-boot.", dir="/var/tmp")
        cls.addClassCleanup(os.rmdir, cls.top)
        root = cls.top + "/root"
        debian.copy(debian.make(os.path.join(BUILD, "boot"), say), root)
        cls.machine = Machine(root)
        cls.addClassCleanup(cls.machine.remove)
        done = subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr", "--component", "recap"], env=dict(os.environ, DESTDIR=root),
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        os.makedirs(root + "/etc/recap", exist_ok=True)
        with open(root + "/etc/recap/recapd.toml", "w", encoding="utf-8") as stream:
            stream.write("[plugins.process]\n")
        for command in (["systemd-sysusers", "--root=" + root], ["systemd-tmpfiles", "--root=" + root, "--create", "recap.conf"],
                        ["systemctl", "--root=" + root, "preset", "recapd.service", "recap-launcher.socket", "recap-admit.socket",
                         "recap-plugin-host@process.socket", "recap-schedule.path", "recap-schedule.service"]):
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        cls.machine.boot()

    # what the machine says

    def until(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), end, what + "\n" + self.said())
            time.sleep(0.1)

    def said(self):
        """What is asked for again and again says the same each time: the units' own lines, and what they are now."""
        units = ("recap-schedule.path", "recap-schedule.service", "recapd.service")
        options = [word for unit in units for word in ("-u", unit)]
        return (self.machine.run("journalctl", "--no-pager", "-b", "-n", "60", *options).stdout
                + self.machine.run("systemctl", "status", "--no-pager", "-n", "0", *units).stdout)

    def ctl(self, *words):
        return json.loads(self.machine.must("recapctl", "--json", *words))

    def row(self, capsule):
        return next(row for row in self.ctl("schedule")["schedule"] if row["capsule"] == capsule)

    def turns(self, capsule):
        """How many it has had since the machine's boot."""
        said = self.machine.must("journalctl", "--no-pager", "-b", "-o", "cat", "-u", f"recap-capsule@{capsule}.service", "JOB_TYPE=start", "JOB_RESULT=done")
        return len(said.splitlines())

    def active(self, capsule):
        return self.machine.run("systemctl", "is-active", f"recap-capsule@{capsule}.timer").stdout.strip()

    def shown(self, unit, key):
        return self.machine.must("systemctl", "show", "--value", "-p", key, unit).strip()

    def have(self, name, periodic, missed="run-once", enable=True):
        path = f"{self.machine.root}/root/{name}.toml"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(MANIFEST.format(name=name, periodic=periodic, missed=missed))
        self.machine.must("recapctl", "capsule", "install", "--replace", f"/root/{name}.toml")
        if enable:
            self.machine.must("recapctl", "capsule", "enable", name)
            self.until(name + " has a timer", lambda: self.active(name) == "active")

    def disable(self, name):
        self.machine.must("recapctl", "capsule", "disable", name)
        self.until(name + " has none", lambda: self.active(name) == "inactive")

    # the tests

    def test_1_a_timer_fires_again_and_again_and_starts_recapd(self):
        for name, periodic in (("often", 'every = "1s"'), ("ticks", 'calendar = "*:*:*"')):
            with self.subTest(periodic=periodic):
                self.have(name, periodic)
                self.until("it has turns", lambda: self.turns(name) >= 2)
                self.assertGreater(self.row(name)["last"], 0)
                self.machine.must("systemctl", "stop", "recapd.service")
                before = self.turns(name)
                self.until("it has more", lambda: self.turns(name) >= before + 2)
                self.assertEqual(self.machine.run("systemctl", "is-active", "recapd.service").stdout.strip(), "active")
                self.disable(name)
                self.assertFalse(os.path.exists(f"{self.machine.root}/run/systemd/system/recap-capsule@{name}.timer.d"))

    def test_2_the_timer_is_as_the_manifest_says(self):
        self.have("nightly", 'calendar = "03:00"\nrandomized-delay = "30s"', missed="skip")
        timer = "recap-capsule@nightly.timer"
        self.assertIn("*-*-* 03:00:00", self.shown(timer, "TimersCalendar"))
        self.assertEqual([self.shown(timer, key) for key in ("Persistent", "RandomizedDelayUSec", "FixedRandomDelay", "AccuracyUSec")],
                         ["no", "30s", "yes", "1s"])
        self.assertIn(timer, self.machine.must("systemctl", "list-timers", "--no-pager"))
        self.have("nightly", 'calendar = "04:00"')
        self.until("it has the other time", lambda: "*-*-* 04:00:00" in self.shown(timer, "TimersCalendar"))
        self.assertEqual(self.shown(timer, "Persistent"), "yes")
        self.disable("nightly")

    def test_3_a_line_that_is_wrong_harms_no_other(self):
        self.have("good", 'every = "1d"')
        state = self.machine.root + "/var/lib/recap/state"
        owner = os.stat(state)
        with open(state + "/schedule", "a", encoding="utf-8") as stream:
            stream.write("bad run-once 0 calendar the 30th of February\n../up run-once 0 every 1000000\nmore skip 0 every 86400000000\n")
        with open(state + "/schedule.changed", "w", encoding="utf-8") as stream:
            os.chown(stream.fileno(), owner.st_uid, owner.st_gid)
        self.until("the right line has a timer", lambda: self.active("more") == "active")
        self.assertEqual([self.active("good"), self.active("bad")], ["active", "inactive"])
        said = self.machine.must("journalctl", "--no-pager", "-b", "-o", "cat", "-u", "recap-schedule.service")
        self.assertIn("line 3: systemd takes no calendar 'the 30th of February'", said)
        self.assertIn("line 4: '../up' is not a name", said)
        self.disable("good")
        self.assertEqual(self.active("more"), "inactive")

    def test_4_after_a_reboot_they_are_back_and_catch_up_once(self):
        self.have("daily-once", 'calendar = "*-*-* 12:00:00"')
        self.have("daily-skip", 'calendar = "*-*-* 12:00:00"', missed="skip")
        self.have("every-once", 'every = "1d"')
        self.have("every-skip", 'every = "1d"', missed="skip")
        self.have("not-missed", 'every = "1d"')
        self.have("gone", 'every = "1d"')
        self.disable("gone")
        self.machine.off()
        long_ago = time.time() - 2.5 * DAY  # that the machine was off so long
        stamps = self.machine.root + "/var/lib/systemd/timers/"
        for path in (stamps + "stamp-recap-capsule@daily-once.timer", *(self.machine.root + "/var/lib/recap/state/enabled/" + name
                                                                       for name in ("every-once", "every-skip"))):
            os.utime(path, (long_ago, long_ago))
        self.machine.boot()
        names = ("daily-once", "daily-skip", "every-once", "every-skip", "not-missed")
        self.until("their timers are back", lambda: all(self.active(name) == "active" for name in names))
        self.until("what was missed is made up for", lambda: self.turns("daily-once") == 1 and self.turns("every-once") == 1)
        self.assertEqual([self.turns(name) for name in names], [1, 0, 1, 0, 0])
        self.assertEqual(self.active("gone"), "inactive")
        self.assertGreater(self.row("every-once")["last"], (time.time() - DAY) * 1e6)
        self.assertGreater(self.row("daily-once")["next"], time.time() * 1e6)
        self.machine.must("systemctl", "start", "recap-schedule.service")  # nothing is new
        self.assertEqual([self.turns(name) for name in names], [1, 0, 1, 0, 0])

    def test_5_the_timers_user_may_ask_for_a_turn_and_for_nothing_else(self):
        self.have("often", 'every = "1d"')
        uid = self.machine.must("id", "-u", "recap-timer").strip()
        call = ["busctl", "call", "org.recap1", "/org/recap1", "org.recap1.Manager"]
        self.assertEqual(self.machine.run(*call, "RunScheduled", "sa{sv}", "often", "0", user=uid).returncode, 0)
        denied = self.machine.run(*call, "DisableCapsule", "sa{sv}", "often", "0", user=uid)
        self.assertIn("org.recap1.manage-capsules", denied.stderr)
        denied = self.machine.run(*call, "RunScheduled", "sa{sv}", "often", "0", user="65534")
        self.assertIn("org.recap1.run-scheduled", denied.stderr)
        self.disable("often")


if __name__ == "__main__":
    unittest.main()
