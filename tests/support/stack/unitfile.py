# SPDX-License-Identifier: Apache-2.0
"""Reads a systemd unit with its drop-ins, as far as the private stack acts on it: assignments in order, lists that an
empty assignment resets, %i and %%."""
import os
import re
import subprocess


class Unit:
    """One unit's settings: section, key -> the values assigned, in order."""

    def __init__(self, folder, name):
        self.name = name
        template, _, instance = name.partition("@")
        self.instance = os.path.splitext(instance)[0]
        suffix = os.path.splitext(name)[1]
        base = f"{template}@{suffix}" if instance else name
        self._values = {}
        files = [os.path.join(folder, base)]
        for owner in ([base, name] if instance else [name]):
            files += self._drop_ins(os.path.join(folder, owner + ".d"))
        for path in files:
            self._read(path)

    @staticmethod
    def _drop_ins(folder):
        if not os.path.isdir(folder):
            return []
        return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.endswith(".conf")]

    def _read(self, path):
        section = ""
        with open(path, encoding="utf-8") as stream:
            for line in stream.read().replace("\\\n", " ").splitlines():
                line = line.strip()
                if not line or line[0] in "#;":
                    continue
                if line[0] == "[":
                    section = line[1:-1]
                    continue
                key, _, value = line.partition("=")
                self._assign(section, key.strip(), value.strip())

    def _assign(self, section, key, value):
        values = self._values.setdefault((section, key), [])
        if value:
            values.append(re.sub(r"%(.)", lambda m: {"i": self.instance, "I": self.instance, "%": "%"}.get(m[1], m[0]), value))
        else:
            values.clear()

    def has(self, key, section="Service"):
        """Whether the key was assigned at all, be it to nothing."""
        return (section, key) in self._values

    def list(self, key, section="Service"):
        """Every word of every assignment."""
        return [word for value in self._values.get((section, key), []) for word in value.split()]

    def lines(self, key, section="Service"):
        return list(self._values.get((section, key), []))

    def text(self, key, default="", section="Service"):
        values = self._values.get((section, key), [])
        return values[-1] if values else default

    def flag(self, key, section="Service"):
        return self.text(key, "no", section) in ("yes", "true", "on", "1")

    def seconds(self, key, default, section="Service"):
        text = self.text(key, "", section)
        return parse_seconds(text) if text else default


UNITS = {"": 1, "s": 1, "sec": 1, "ms": 0.001, "min": 60, "h": 3600}


def parse_seconds(text):
    total = 0.0
    for number, unit in re.findall(r"([\d.]+)\s*([a-z]*)", text):
        total += float(number) * UNITS[unit]
    return total


_groups = {}


def syscall_group(name):
    """The system calls of one of systemd.exec(5)'s groups, inner groups resolved."""
    if name not in _groups:
        said = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
        calls = set()
        for word in (line.strip() for line in said.splitlines()[1:]):
            if not word or word[0] == "#":
                continue
            calls |= syscall_group(word) if word[0] == "@" else {word}
        _groups[name] = calls
    return _groups[name]


def syscall_filter(unit):
    """The system calls that SystemCallFilter= allows; None without one. Only lists that begin by allowing are understood."""
    if not unit.lines("SystemCallFilter"):
        return None
    allowed = set(syscall_group("@default"))
    for number, line in enumerate(unit.lines("SystemCallFilter")):
        denies = line.startswith("~")
        if denies and number == 0:
            raise ValueError(f"{unit.name}: SystemCallFilter= that begins with ~ is not understood here")
        for word in line.lstrip("~").split():
            calls = syscall_group(word) if word[0] == "@" else {word}
            allowed = allowed - calls if denies else allowed | calls
    return allowed
