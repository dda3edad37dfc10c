#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The arrow check's own test: in a copy of the project, each planted wrong arrow must be found, and named."""
import os
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import check

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
LIST = "# SPDX-License-Identifier: Apache-2.0\n"

# file to plant, its text, and what the complaint has to say
PLANTED = [
    ("sdk/base/planted.hpp", SPDX + '#include "daemon/core/run.hpp"\n', "sdk/base may not include daemon/core/run.hpp"),
    ("sdk/manifest/planted.cpp", SPDX + '#include "sdk/image/x.hpp"\n', "sdk/manifest may not include sdk/image/x.hpp"),
    ("daemon/plan/planted.cpp", SPDX + '#include "daemon/engine/x.hpp"\n', "daemon/plan may not include daemon/engine/x.hpp"),
    ("daemon/plan/planted.cpp", SPDX + '#include "../engine/CMakeLists.txt"\n', "daemon/plan may not include daemon/engine"),
    ("daemon/launcher/planted.cpp", SPDX + '#include "daemon/core/run.hpp"\n', "daemon/launcher may not include daemon/core"),
    ("daemon/launcher/planted.cpp", SPDX + '#include "daemon/launcher/client.hpp"\n', "may not include daemon/launcher/client.hpp"),
    ("daemon/helpers/planted.cpp", SPDX + '#include "daemon/launcher/transport.hpp"\n', "may not include daemon/launcher/transport"),
    ("plugins/docker/planted.cpp", SPDX + '#include "plugins/process/x.hpp"\n', "plugins/docker may not include plugins/process"),
    ("plugins/docker/planted.cpp", SPDX + '#include "daemon/core/target.hpp"\n', "plugins/docker may not include daemon/core"),
    ("daemon/bus/planted.cpp", SPDX + '#include "tests/support/x.hpp"\n', "daemon/bus may not include tests/support"),
    ("daemon/bus/planted.cpp", SPDX + "#include <toml++/toml.h>\n", "toml++ lives in sdk/manifest"),
    ("daemon/launcher/planted.cpp", SPDX + "#include <fmt/format.h>\n", "fmt is not for the launcher"),
    ("daemon/plan/planted.cpp", SPDX + "#include <sqlite3.h>\n", "SQLite lives in daemon/engine"),
    ("daemon/engine/planted.cpp", SPDX + "#include <dlfcn.h>\n", "dlopen lives in daemon/host"),
    ("daemon/bus/planted.cpp", SPDX + "#include <dbus/dbus.h>\n", "libdbus lives in sdk/client"),
    ("daemon/bus/CMakeLists.txt", LIST + "recap_library(bus2 SOURCES x.cpp LINKS dbus-1)\n", "may not link dbus-1"),
    ("sdk/client/planted.cpp", SPDX + "#include <systemd/sd-bus.h>\n", "libsystemd lives in"),
    ("daemon/planted/CMakeLists.txt", LIST + "recap_library(base2 SOURCES x.cpp LINKS sqlite3)\n", "may not link sqlite3"),
    ("sdk/image/CMakeLists.txt", LIST + "recap_library(image2 SOURCES x.cpp\n  LINKS recap::core)\n", "may not link recap::core"),
    ("daemon/launcher/CMakeLists.txt", LIST + "recap_program(other DESTINATION x SOURCES x.cpp LINKS fmt::fmt)\n", "may not link fmt::fmt"),
    ("daemon/core/planted.hpp", "#pragma once\n", "SPDX-License-Identifier"),
    ("daemon/core/planted.hpp", SPDX + "\n" * 500, "501 lines; at most 500"),
]

# what must stay possible
ALLOWED = [
    ("daemon/launcher/client.cpp", SPDX + '#include "daemon/core/launcher.hpp"\n#include "daemon/launcher/transport.hpp"\n'),
    ("daemon/helpers/planted.cpp", SPDX + '#include "daemon/launcher/ceiling.hpp"\n#include "sdk/image/x.hpp"\n'),
    ("daemon/launcher/planted.cpp", SPDX + "#include <linux/seccomp.h>\n#include <linux/capability.h>\n"),
    ("daemon/main.cpp", SPDX + '#include "daemon/engine/x.hpp"\n#include "daemon/bus/x.hpp"\n#include <systemd/sd-daemon.h>\n'),
]


def copy_of_project(parent):
    copy = os.path.join(parent, "project")
    for path in check.files(TOP):
        os.makedirs(os.path.dirname(os.path.join(copy, path)), exist_ok=True)
        shutil.copy(os.path.join(TOP, path), os.path.join(copy, path), follow_symlinks=False)
    return copy


def write(path, text):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


class PlantedArrows(unittest.TestCase):
    def setUp(self):
        self.parent = tempfile.TemporaryDirectory()
        self.addCleanup(self.parent.cleanup)
        self.copy = copy_of_project(self.parent.name)

    def plant(self, path, text):
        """What the check says of `path` once it holds `text`; the file is then as it was."""
        full = os.path.join(self.copy, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        before = None
        if os.path.exists(full):
            with open(full, encoding="utf-8") as stream:
                before = stream.read()
        write(full, text)
        said = [line for line in check.check(self.copy) if line.startswith(path)]
        if before is None:
            os.remove(full)
        else:
            write(full, before)
        return said

    def test_each_planted_arrow_is_found(self):
        for path, text, complaint in PLANTED:
            with self.subTest(path=path, complaint=complaint):
                said = self.plant(path, text)
                self.assertEqual(len(said), 1, said)
                self.assertIn(complaint, said[0])

    def test_what_is_allowed_stays_so(self):
        for path, text in ALLOWED:
            with self.subTest(path=path):
                self.assertEqual(self.plant(path, text), [])


if __name__ == "__main__":
    unittest.main()
