#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The installed layout: units that systemd finds nothing wrong with, their exposure, users, folders, and the journal
catalogue. Against a staged install, with this machine's own units beside it so that what ours refer to is there."""
import glob
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.environ["RECAP_SOURCE_DIR"]
BUILD = os.environ["RECAP_BUILD_DIR"]
UNITS = ["recapd.service", "recap-launcher.service", "recap-launcher.socket", "recap-admit.socket", "recap-plugin-host@process.service",
         "recap-plugin-host@process.socket", "recap-plugin-host@docker.service", "recap-plugin-host@podman.service",
         "recap-plugin-host@containerd.service", "recap-capsule@tool.service", "recap-capsule@tool.timer", "recap-schedule.service",
         "recap-schedule.path"]
# tenths of systemd's exposure level. The launcher can have no seccomp and no namespaces of its own: its unit says why.
EXPOSURE = {"recapd.service": 10, "recap-plugin-host@process.service": 18, "recap-plugin-host@docker.service": 18,
            "recap-plugin-host@podman.service": 18, "recap-plugin-host@containerd.service": 18, "recap-launcher.service": 85, "recap-capsule@tool.service": 6,
            "recap-schedule.service": 15}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="recap-units.")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        done = subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env=dict(os.environ, DESTDIR=cls.root), capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stderr
        cls.units = cls.root + "/usr/lib/systemd/system"
        cls.shipped = set(os.listdir(cls.units))
        subprocess.run(["cp", "-an", "/usr/lib/systemd/system/.", cls.units], check=True)
        os.makedirs(cls.root + "/usr/bin", exist_ok=True)
        for program in ("kill", "busctl"):
            shutil.copy("/usr/bin/" + program, cls.root + "/usr/bin/" + program)
        # What recap-schedule adds for a capsule that is enabled.
        os.makedirs(cls.units + "/recap-capsule@tool.timer.d")
        with open(cls.units + "/recap-capsule@tool.timer.d/50-recap-schedule.conf", "w", encoding="utf-8") as stream:
            stream.write("[Timer]\nOnCalendar=*:0/15\nPersistent=yes\nRandomizedDelaySec=30000000us\n")
        os.symlink("usr/bin", cls.root + "/bin")

    def verify(self):
        return run("systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", "--root=" + self.root, *UNITS)

    def test_systemd_finds_nothing_wrong(self):
        done = self.verify()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_and_would_find_a_wrong_key_or_a_missing_program(self):
        for line in ("ProtectSistem=strict", "ExecStart=/usr/libexec/recap/no-such-program"):
            with self.subTest(line=line):
                folder = self.units + "/recapd.service.d"
                os.makedirs(folder)
                try:
                    with open(folder + "/planted.conf", "w", encoding="utf-8") as stream:
                        stream.write("[Service]\nExecStart=\n" + line + "\n")
                    self.assertNotEqual(self.verify().returncode, 0)
                finally:
                    shutil.rmtree(folder)

    def test_exposure_stays_low(self):
        for unit, threshold in EXPOSURE.items():
            with self.subTest(unit=unit):
                done = run("systemd-analyze", "security", "--no-pager", "--offline=yes", "--root=" + self.root, f"--threshold={threshold}", unit)
                self.assertEqual(done.returncode, 0, done.stdout[-200:] + done.stderr)

    def test_the_preset_names_shipped_units(self):
        with open(self.root + "/usr/lib/systemd/system-preset/50-recap.preset", encoding="utf-8") as stream:
            named = [line.split()[1] for line in stream if line.startswith("enable")]
        self.assertTrue(named)
        self.assertLessEqual(set(named), self.shipped)

    def test_users_and_folders(self):
        done = run("systemd-sysusers", self.root + "/usr/lib/sysusers.d/recap.conf")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("recap", "recap-plugin", "recap-process", "recap-docker", "recap-timer"):
            self.assertNotEqual(pwd.getpwnam(name).pw_uid, 0)
            self.assertEqual(pwd.getpwnam(name).pw_shell, "/usr/sbin/nologin")
        os.makedirs(self.root + "/etc", exist_ok=True)
        for name in ("passwd", "group"):
            shutil.copy("/etc/" + name, self.root + "/etc/" + name)
        done = run("systemd-tmpfiles", "--create", "--root=" + self.root, "recap.conf")
        self.assertEqual(done.returncode, 0, done.stderr)
        recap = pwd.getpwnam("recap").pw_uid
        for path, owner, mode in (("/var/lib/recap/state", recap, 0o700), ("/var/lib/recap/store", 0, 0o700), ("/run/recap", 0, 0o755),
                                  ("/run/recap/plugins", 0, 0o755), ("/run/recap/launcher", 0, 0o700)):
            found = os.stat(self.root + path)
            self.assertEqual((path, found.st_uid, found.st_mode & 0o7777), (path, owner, mode))

    def test_the_catalogue_explains_every_message_id(self):
        written = set()
        for path in glob.glob(SOURCE + "/daemon/**/*.[ch]pp", recursive=True):
            with open(path, encoding="utf-8") as stream:
                written |= set(re.findall(r'kMessage\w*\s*=\s*"([0-9a-f]{32})"', stream.read()))
        with open(self.root + "/usr/lib/systemd/catalog/recap.catalog", encoding="utf-8") as stream:
            explained = set(re.findall(r"^-- ([0-9a-f]{32})$", stream.read(), re.MULTILINE))
        self.assertTrue(written)
        self.assertEqual(written, explained)
        done = run("journalctl", "--update-catalog", "--root=" + self.root)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
