#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The private stack itself: that it runs what the units say, and that it would notice what it is there to notice."""
import os
import re
import shutil
import subprocess
import unittest

SOURCE = os.environ["RECAP_SOURCE_DIR"]
BUILD = os.environ["RECAP_BUILD_DIR"]
# waits for a new pid in a daemon's file, and for recapd's name on the bus, by looking again until it is there
WAIT = """
again() { old=$1; file=$2; for i in $(seq 2000); do new=$(cat $file 2>/dev/null || true); [ -n "$new" ] && [ "$new" != "$old" ] && break; sleep 0.01; done; echo $new; }
name() { for i in $(seq 2000); do busctl call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s org.recap1 >/dev/null 2>&1 && return; sleep 0.01; done; return 1; }
"""


class Stack(unittest.TestCase):
    def stack(self, script, *options, popen=False):
        """Runs a script in a stack of its own; a kept folder is removed again."""
        command = [SOURCE + "/tests/support/with-stack", "--build", BUILD, *options, "--", "bash", "-ec", WAIT + script]
        if popen:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for kept in re.findall(r"kept in (/var/tmp/recap-stack\.\w+)", done.stderr):
            shutil.rmtree(kept)
        return done

    def good(self, script, *options):
        done = self.stack(script, *options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_gives_the_command_s_own_status(self):
        self.assertEqual(self.stack("exit 7").returncode, 7)
        self.assertEqual(self.stack("kill -KILL $$").returncode, 137)

    def test_recapd_has_no_rights(self):
        said = self.good("name; cat /proc/$(cat $RECAP_PIDS/recapd.service)/status")
        self.assertNotIn("0", re.search(r"^Uid:\s+(.*)$", said, re.M)[1].split())
        for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertRegex(said, rf"(?m)^{key}:\s+0+$")
        self.assertRegex(said, r"(?m)^NoNewPrivs:\s+1$")
        self.assertRegex(said, r"(?m)^Seccomp:\s+2$")
        self.assertRegex(said, r"(?m)^Groups:\s*$")

    def test_the_launcher_has_what_its_unit_s_bounding_set_leaves(self):
        said = self.good("cat /proc/$(cat $RECAP_PIDS/recap-launcher.service)/status")
        effective = int(re.search(r"^CapEff:\s+(\w+)$", said, re.M)[1], 16)
        for number in (16, 17, 22, 25):  # SYS_MODULE SYS_RAWIO SYS_BOOT SYS_TIME
            self.assertFalse(effective & 1 << number)
        self.assertTrue(effective & 1 << 21)  # SYS_ADMIN

    def test_a_daemon_that_keeps_crashing_is_started_again(self):
        script = """for unit in recapd.service recap-plugin-host@process.service; do
            for i in $(seq 6); do pid=$(again 0 $RECAP_PIDS/$unit); kill -KILL $pid; new=$(again $pid $RECAP_PIDS/$unit); [ -n "$new" ]; done
        done; name"""
        self.assertIn("recapd.service was ended by SIGKILL", self.stack(script).stderr)

    def test_recap_s_own_processes_are_no_targets(self):
        said = self.good("""name; for unit in recapd.service recap-launcher.service recap-plugin-host@process.service; do
            pid=$(again 0 $RECAP_PIDS/$unit); ! recapctl --json targets | grep -q "process:$pid\\b"; done""")
        self.assertEqual(said, "")

    def test_sockets_have_their_owners_and_modes(self):
        said = self.good("stat -c '%n %U %a' $RECAP_RUNTIME_DIR/launcher.sock $RECAP_RUNTIME_DIR/admit.sock $RECAP_RUNTIME_DIR/plugins/process")
        self.assertEqual([line.split("/")[-1] for line in said.splitlines()],
                         ["launcher.sock recap 600", "admit.sock root 600", "process recap 600"])

    def test_recapctl_is_first_on_path_and_reaches_recapd(self):
        said = self.good("which recapctl; recapctl --json backends")
        self.assertIn("/usr/bin/recapctl", said)
        self.assertIn('"process"', said)

    def test_a_killed_recapd_comes_back(self):
        self.good("old=$(cat $RECAP_PIDS/recapd.service); kill -KILL $old; again $old $RECAP_PIDS/recapd.service; name; recapctl --json backends")

    def test_a_killed_launcher_comes_back(self):
        self.good("old=$(cat $RECAP_PIDS/recap-launcher.service); kill -KILL $old; again $old $RECAP_PIDS/recap-launcher.service")

    def test_a_killed_plugin_host_comes_back(self):
        self.good("f=$RECAP_PIDS/recap-plugin-host@process.service; old=$(again '' $f); kill -KILL $old; again $old $f")

    def test_what_is_left_behind_is_found(self):
        for script, said in (
                ("setsid sleep 1000 </dev/null >/dev/null 2>&1 &", r"left behind: process \d+ \(sleep 1000\)"),
                ("mkdir $RECAP_CGROUP_ROOT/c/planted", "left behind: cgroup .*/c/planted"),
                ("mkdir $RECAP_STACK/m; mount -t tmpfs x $RECAP_STACK/m", "left behind: mount .*/m "),
                ("touch $RECAP_RUNTIME_DIR/planted", "left behind: file .*/planted")):
            with self.subTest(script=script):
                done = self.stack(script)
                self.assertEqual(done.returncode, 121, done.stderr)
                self.assertRegex(done.stderr, said)

    def test_a_daemon_that_can_t_start_is_said(self):
        ceiling = os.path.join(SOURCE, "CMakeLists.txt")  # not TOML
        done = self.stack("true", "--ceiling", ceiling)
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn("recap-compile-ceiling", done.stderr)

    def test_several_run_side_by_side(self):
        script = "name; echo $RECAP_STACK; recapctl --json backends >/dev/null"
        both = [self.stack(script, popen=True) for _ in range(2)]
        said = [one.communicate() for one in both]
        self.assertEqual([one.returncode for one in both], [0, 0], said)
        self.assertNotEqual(said[0][0], said[1][0])

    def test_state_outlives_a_stack_where_asked(self):
        folder = "/var/tmp/recap-state." + str(os.getpid())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.good("name; stat -c %U $RECAP_STATE_DIR", "--state", folder)
        self.assertTrue(os.listdir(folder + "/state"))


if __name__ == "__main__":
    unittest.main()
