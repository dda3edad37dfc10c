#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails on a wrong arrow: an #include or a link line by which a room knows another that it may not (rules.py), a
third-party library away from its home, a source file without its SPDX line, or one that has grown past MAX_LINES.

usage: check.py [FOLDER]     (default: the project this file is in)
"""
import os
import re
import sys

sys.dont_write_bytecode = True
import rules

SOURCES = (".cpp", ".hpp", ".c", ".h")
SPDX_NEEDED = SOURCES + (".py", ".sh", ".cmake", "CMakeLists.txt", ".service", ".socket", ".timer", ".path", ".xml", ".toml")
MAX_LINES = 500
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def files(top):
    """Paths of the project's own files, from its root; builds and hidden folders left out."""
    for folder, subfolders, names in os.walk(top):
        skipped = (".", "build", "__pycache__") if folder == top else (".", "__pycache__")
        subfolders[:] = sorted(s for s in subfolders if not s.startswith(skipped))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), top)


def room_of(path):
    """The room a path belongs to; None for what has no rules, as tests/."""
    for prefix in rules.CLIENT:
        if path.startswith(prefix):
            return prefix
    for parent in rules.EACH_FOLDER_A_ROOM:
        parts = path.split("/")
        if parts[0] == parent and len(parts) > 2:
            return "/".join(parts[:2])
    folder = os.path.dirname(path)
    while folder:
        if folder in rules.ROOMS:
            return folder
        folder = os.path.dirname(folder)
    return None


def allowed_in(room):
    """The prefixes that a room may include, itself first."""
    if room in rules.CLIENT:
        return rules.CLIENT[room]
    return [room] + rules.ROOMS.get(room, rules.ROOMS.get(room.split("/")[0], []))


def beneath(path, prefixes):
    return any(path == p or path.startswith(p + "/") or (p in rules.CLIENT and path.startswith(p)) for p in prefixes)


def may_know(room, path):
    if room not in rules.CLIENT and room == "daemon/launcher" and room_of(path) in rules.CLIENT:
        return False
    return beneath(path, allowed_in(room))


def library_complaint(room, text, which):
    """Why `room` may not use the library that `text` (an include or a link item) names; None if it may."""
    if any(re.search(p, text) for p in rules.NOT_LIBRARIES):
        return None
    for name, (include, link, homes) in rules.LIBRARIES.items():
        if not re.search((include, link)[which], text, re.IGNORECASE if which else 0):
            continue
        if homes == "outside the launcher":
            return f"{name} is not for the launcher or what it links" if room in rules.LAUNCHER else None
        return None if room in homes else f"{name} lives in {', '.join(homes)}"
    return None


def check_includes(top, path, lines, problems):
    room = room_of(path)
    if room is None:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        if kind == '"':
            if not os.path.exists(os.path.join(top, name)):
                beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
                if os.path.exists(os.path.join(top, beside)):
                    name = beside
            if room_of(name) is not None or name.startswith("tests/"):
                if not may_know(room, name):
                    problems.append(f"{path}:{number}: {room} may not include {name}")
                continue
        complaint = library_complaint(room, name, 0)
        if complaint:
            problems.append(f"{path}:{number}: {room} may not include <{name}>: {complaint}")


TARGET = re.compile(r"^\s*(recap_library|recap_program|recap_plugin|add_library|add_executable|target_link_libraries)\s*\(\s*([^\s)]+)([^)]*)\)",
                    re.MULTILINE)
LINK_WORDS = {"LINKS", "PRIVATE_LINKS"}
OTHER_WORDS = {"SOURCES", "DESTINATION", "LABEL", "TIMEOUT"}


def link_items(command, rest):
    words = re.sub(r"#[^\n]*", "", rest).split()
    if command == "target_link_libraries":
        return [w for w in words if w not in ("PUBLIC", "PRIVATE", "INTERFACE")]
    items, taking = [], False
    for word in words:
        if word in LINK_WORDS:
            taking = True
        elif word in OTHER_WORDS or word.isupper() and "::" not in word and "$" not in word:
            taking = False
        elif taking:
            items.append(word)
    return items


def target_name(command, name):
    return "recap_" + name if command == "recap_library" else name


def client_target(name):
    return name.startswith("recap_launcher_client") or name == "recap_launcherclient"


def read_targets(top, lists):
    """(target, its CMakeLists.txt, line, room, link items) of each line that makes or links a target."""
    for path in lists:
        with open(os.path.join(top, path), encoding="utf-8") as stream:
            text = stream.read()
        for match in TARGET.finditer(text):
            command, name, rest = match.groups()
            name = target_name(command, name)
            room = room_of(os.path.join(os.path.dirname(path), "x"))
            if client_target(name):
                room = "daemon/launcher/client"
            line = text.count("\n", 0, match.start(1)) + 1
            yield command, name, path, line, room, link_items(command, rest)


def check_links(top, lists, problems):
    targets = list(read_targets(top, lists))
    homes = {name: room for command, name, _, _, room, _ in targets if command != "target_link_libraries"}
    for _, name, path, line, room, items in targets:
        room = homes.get(name, room)
        if room is None:
            continue
        for item in items:
            target = item.replace("recap::", "recap_")
            if target in homes:
                other = homes[target]
                linkable = other is None or may_know(room, other) or shared_file_in(room, other)
                if not linkable:
                    problems.append(f"{path}:{line}: {name} ({room}) may not link {item} ({other})")
                continue
            complaint = library_complaint(room, item, 1)
            if complaint:
                problems.append(f"{path}:{line}: {name} ({room}) may not link {item}: {complaint}")


def shared_file_in(room, other):
    """Whether `room` may include single files of `other`, and so has to link what holds them."""
    return any(a.startswith(other + "/") and a.endswith(".hpp") for a in allowed_in(room))


def check_file(path, lines, problems):
    head = lines[:3]
    script = bool(lines) and lines[0].startswith("#!")
    if (script or path.endswith(SPDX_NEEDED)) and not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
        problems.append(f"{path}:1: no line 'SPDX-License-Identifier: Apache-2.0' among the first three")
    if (script or path.endswith(SOURCES + (".py", ".sh", ".cmake", "CMakeLists.txt"))) and len(lines) > MAX_LINES:
        problems.append(f"{path}: {len(lines)} lines; at most {MAX_LINES}: split it")


def check(top):
    problems, lists = [], []
    for path in files(top):
        if path.endswith("CMakeLists.txt"):
            lists.append(path)
        full = os.path.join(top, path)
        if not os.path.isfile(full) or os.path.islink(full):
            continue
        try:
            with open(full, encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except UnicodeDecodeError:
            continue
        check_file(path, lines, problems)
        if path.endswith(SOURCES):
            check_includes(top, path, lines, problems)
    check_links(top, lists, problems)
    return problems


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    found = check(os.path.abspath(folder))
    for problem in found:
        print(problem)
    sys.exit(1 if found else 0)
