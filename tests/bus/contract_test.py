#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The D-Bus contract: what dbus/*.xml must hold for its generators, and that the live daemon is what they say. Run inside a
private stack (tests/support/with-stack); everything here is asked with plain busctl."""
import json
import os
import re
import subprocess
import unittest
import xml.etree.ElementTree as ET

SOURCE = os.environ["RECAP_SOURCE_DIR"]
INTERFACES = ["Manager", "Run", "Batch", "Capsule", "Backend"]
QT = "org.qtproject.QtDBus.QtTypeName"
QT_TYPES = {"a{sv}": "QVariantMap", "aa{sv}": "QList<QVariantMap>", "a{st}": "QMap<QString,qulonglong>", "a{su}": "QMap<QString,uint>"}
MANIFEST = """
manifest = 1
[capsule]
name = "contract-test"
version = "1.0.0"
description = "Only looked at"
image = "recap/contract-test:1.0.0"
command = ["/bin/true"]
"""


def text_of(name):
    with open(f"{SOURCE}/dbus/org.recap1.{name}.xml", encoding="utf-8") as stream:
        return stream.read()


def interface_of(xml, name):
    found = [i for i in ET.fromstring(xml).iter("interface") if i.get("name") == name]
    return found[0] if found else None


def busctl(*words):
    done = subprocess.run(["busctl", "--system", "--json=short", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)["data"] if done.stdout.strip() else None


def call(path, interface, method, *arguments):
    return busctl("call", "org.recap1", path, interface, method, *arguments)


def shape(interface):
    """What a caller relies on, without annotations and documentation."""
    arguments = lambda member: [(a.get("name"), a.get("type"), a.get("direction", "out")) for a in member.findall("arg")]
    members = {}
    for kind in ("method", "signal"):
        members[kind] = {m.get("name"): arguments(m) for m in interface.findall(kind)}
    members["property"] = {p.get("name"): (p.get("type"), p.get("access")) for p in interface.findall("property")}
    return members


class Files(unittest.TestCase):
    def test_every_argument_and_property_is_documented(self):
        for name in INTERFACES:
            text = text_of(name)
            for member in list(interface_of(text, f"org.recap1.{name}")):
                if member.tag == "annotation":
                    continue
                comment = re.search(rf"<!--\s*{member.get('name')}:(.*?)-->\s*<{member.tag} name=\"{member.get('name')}\"", text, re.S)
                self.assertTrue(comment, f"{name}.{member.get('name')} has no documentation in front of it")
                for argument in member.findall("arg"):
                    self.assertRegex(comment[1], rf"@{argument.get('name')}:", f"{name}.{member.get('name')}")

    def test_every_map_says_its_qt_type(self):
        for name in INTERFACES:
            for member in interface_of(text_of(name), f"org.recap1.{name}"):
                notes = {a.get("name"): a.get("value") for a in member.findall("annotation")}
                if member.tag == "property" and member.get("type") in QT_TYPES:
                    self.assertEqual(notes.get(QT), QT_TYPES[member.get("type")], member.get("name"))
                counts = {"in": 0, "out": 0}
                for argument in member.findall("arg"):
                    way = argument.get("direction", "out")
                    if argument.get("type") in QT_TYPES:
                        self.assertEqual(notes.get(f"{QT}.{way.capitalize()}{counts[way]}"), QT_TYPES[argument.get("type")],
                                         f"{name}.{member.get('name')} {argument.get('name')}")
                    counts[way] += 1

    def test_every_method_ends_in_options_and_every_property_says_how_it_changes(self):
        for name in INTERFACES:
            interface = interface_of(text_of(name), f"org.recap1.{name}")
            for method in interface.findall("method"):
                last = [a for a in method.findall("arg") if a.get("direction") == "in"][-1]
                self.assertEqual((last.get("name"), last.get("type")), ("options", "a{sv}"), method.get("name"))
            for prop in interface.findall("property"):
                notes = {a.get("name") for a in prop.findall("annotation")}
                self.assertIn("org.freedesktop.DBus.Property.EmitsChangedSignal", notes, prop.get("name"))

    def test_every_action_is_owned_by_recapd(self):
        root = ET.parse(f"{SOURCE}/dbus/org.recap1.policy").getroot()
        actions = {a.get("id"): a for a in root.findall("action")}
        self.assertEqual(set(actions), {"org.recap1." + n for n in ("run", "run-privileged", "run-scheduled", "manage-capsules",
                                                                      "manage-images", "read-output")})
        for action in actions.values():
            owners = [a.text for a in action.findall("annotate") if a.get("key") == "org.freedesktop.policykit.owner"]
            self.assertEqual(owners, ["unix-user:recap"])


class Live(unittest.TestCase):
    def compare(self, path, name):
        live = interface_of(call(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0], f"org.recap1.{name}")
        self.assertIsNotNone(live, f"{path} has no org.recap1.{name}")
        self.assertEqual(shape(live), shape(interface_of(text_of(name), f"org.recap1.{name}")))

    def test_manager(self):
        self.compare("/org/recap1", "Manager")

    def test_backend(self):
        rows = call("/org/recap1", "org.recap1.Manager", "ListBackends", "a{sv}", "0")[0]
        self.assertIn("process", [row["name"]["data"] for row in rows])
        self.compare(rows[0]["object"]["data"], "Backend")

    def test_capsule(self):
        path = call("/org/recap1", "org.recap1.Manager", "InstallCapsule", "sa{sv}", MANIFEST, "1", "replace", "b", "true")[0]
        self.compare(path, "Capsule")
        self.assertEqual(busctl("get-property", "org.recap1", path, "org.recap1.Capsule", "Name"), "contract-test")
        call("/org/recap1", "org.recap1.Manager", "RemoveCapsule", "sa{sv}", "contract-test", "0")
        with self.assertRaises(AssertionError):
            busctl("get-property", "org.recap1", path, "org.recap1.Capsule", "Name")

    def test_run_and_what_everybody_sees_of_it(self):
        secret = "secret-argument"
        path = call("/org/recap1", "org.recap1.Manager", "Run", "ssasa{sv}", "no-such-capsule", "process:1", "1", secret, "0")[0]
        self.compare(path, "Run")
        objects = call("/org/recap1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")[0]
        self.assertIn(path, objects)
        self.assertNotIn(secret, json.dumps(objects))
        rows, following = call("/org/recap1", "org.recap1.Manager", "ListRuns", "a{sv}a{sv}", "0", "1", "limit", "u", "1")
        self.assertEqual(rows[0]["object"]["data"], path)
        self.assertNotIn(secret, json.dumps(rows))
        details = call(path, "org.recap1.Run", "GetDetails", "a{sv}", "0")[0]
        self.assertEqual(details["args"]["data"], [secret])


if __name__ == "__main__":
    unittest.main(verbosity=2)
