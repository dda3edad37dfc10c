# SPDX-License-Identifier: Apache-2.0
"""The file system of a Debian 12 with systemd, a bus and polkit, and what RECap needs beside itself: made once, and again when what it
is made from changes. Booted by nspawn on this machine's kernel."""
import hashlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
import guest  # noqa: E402

PACKAGES = ["systemd", "systemd-sysv", "dbus", "polkitd", "libsdbus-c++1", "libtomlplusplus3", "libseccomp2", "libarchive13", "libsqlite3-0",
            "libfmt9", "libssl3", "procps"]


def make(cache, say):
    """The folder with that file system, made now if it is not there; older ones go."""
    sources = guest.debian_sources()
    with open(__file__, "rb") as recipe:
        name = "root-" + hashlib.sha256(recipe.read() + sources.encode()).hexdigest()[:16]
    folder = os.path.join(cache, name)
    if not os.path.isdir(folder):
        say(f"making a Debian {guest.RELEASE} to boot")
        shutil.rmtree(cache, ignore_errors=True)
        os.makedirs(cache)
        guest.bootstrap(PACKAGES, folder + ".new", sources, cache)
        os.rename(folder + ".new", folder)
    return folder


def copy(folder, into):
    subprocess.run(["cp", "-a", "--reflink=auto", folder, into], check=True)
