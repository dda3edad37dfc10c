// SPDX-License-Identifier: Apache-2.0
#include "sdk/manifest/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace recap::manifest;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr std::string_view kWhole = R"(manifest = 1
requires = ["recap >= 0.1"]

[capsule]
name        = "tcpdump"
version     = "1.2.0"
description = "Capture packets in the target's network namespace"
image       = "recap/tcpdump:1.2.0"
command     = ["tcpdump", "-i", "any", "-w", "/out/capture.pcap"]
args        = "replace"
env         = { TZ = "UTC" }
workdir     = "/srv"
tty         = true

[build]
packages = ["tcpdump"]
files    = { "/etc/dump.conf" = "conf/dump" }
links    = { "/usr/bin/dump" = "tcpdump" }

[target]
selector = { app = "nginx" }
expressions = [{ key = "tier", op = "in", values = ["a", "b"] }, { key = "x", op = "exists" }]
backends = ["docker", "kubernetes"]
mode     = "percent:25"
parallel = 4

[sandbox]
namespaces   = ["net", "uts"]
processes    = "observe"
view         = "read-only"
writes       = []
user         = "1000:2000"
capabilities = ["CAP_NET_RAW"]
policy       = "network-debug"
freeze       = false
adjustable   = ["processes", "view"]
reason       = "raw sockets to capture packets"

[sandbox.syscalls]
groups       = ["@basic-io", "@network-io"]
allow        = ["eventfd2"]
deny         = ["ptrace"]
on-violation = "kill"

[limits]
memory  = "64M"
cpu     = 0.5
pids    = 32
scratch = "32M"
timeout = "1h 30min"

[schedule]
on-demand = true
overlap   = "queue"
missed    = "skip"

[schedule.periodic]
calendar         = "*:0/15"
randomized-delay = "30s"

[[schedule.event]]
on       = "pressure"
resource = "memory"
stall    = "100ms"
window   = "1s"
cooldown = "60s"

[[schedule.event]]
on      = "run-finished"
capsule = "scan"
outcome = "failed"

[output]
artifacts = "/out"
max-size  = "16M"
storage   = "disk"
keep      = "7d"
verdict   = "report"
)";

std::vector<std::string> findings(const std::string& text) {
    std::vector<std::string> result;
    for (const auto& diagnostic : readManifest(text, "c.toml").diagnostics) result.push_back(diagnostic.text());
    return result;
}

// A right manifest with `lines` in its [sandbox] table and `tail` at the end.
std::string with(const std::string& sandbox, const std::string& tail = "") {
    return "manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\ncommand = [\"a\"]\n[sandbox]\n" + sandbox + "\n" + tail + "\n";
}

}  // namespace

TEST(ManifestReader, ReadsTheWholeSchema) {
    const auto read = readManifest(kWhole, "capsule.toml");
    ASSERT_TRUE(read) << join(read.diagnostics);
    const Manifest& m = *read.value;
    EXPECT_EQ(m.name, "tcpdump");
    EXPECT_EQ(m.image, "recap/tcpdump:1.2.0");
    EXPECT_EQ(m.command.size(), 5u);
    EXPECT_EQ(m.args, ArgsMode::Replace);
    EXPECT_EQ(m.env.at("TZ"), "UTC");
    EXPECT_EQ(m.workdir, "/srv");
    EXPECT_TRUE(m.tty);
    EXPECT_THAT(m.build->packages, ElementsAre("tcpdump"));
    EXPECT_EQ(m.build->files.at("/etc/dump.conf"), "conf/dump");
    EXPECT_EQ(m.build->links.at("/usr/bin/dump"), "tcpdump");
    EXPECT_EQ(m.sandbox.adjustable, 1u | 4u);
    EXPECT_EQ(m.target.selector.at("app"), "nginx");
    EXPECT_EQ(m.target.expressions.at(0).values.size(), 2u);
    EXPECT_EQ(m.target.mode, TargetMode::Percent);
    EXPECT_EQ(m.target.modeValue, 25u);
    EXPECT_EQ(m.sandbox.namespaces, 2u | 8u);
    EXPECT_EQ(m.sandbox.processes, Processes::Observe);
    EXPECT_EQ(m.sandbox.view, View::ReadOnly);
    EXPECT_EQ(m.sandbox.user.uid, 1000u);
    EXPECT_EQ(m.sandbox.user.gid, 2000u);
    EXPECT_THAT(m.sandbox.capabilities, ElementsAre("CAP_NET_RAW"));
    EXPECT_EQ(m.sandbox.policy, "network-debug");
    EXPECT_EQ(m.sandbox.syscalls.onViolation, OnViolation::Kill);
    EXPECT_EQ(m.limits.memory, 64u << 20);
    EXPECT_DOUBLE_EQ(*m.limits.cpu, 0.5);
    EXPECT_EQ(m.limits.timeout, 90min);
    EXPECT_EQ(m.schedule.periodic->randomizedDelay, 30s);
    EXPECT_EQ(m.schedule.events.size(), 2u);
    EXPECT_EQ(m.schedule.events[1].capsule, "scan");
    EXPECT_EQ(m.output.keep, 168h);
    EXPECT_EQ(m.output.storage, Storage::Disk);
    EXPECT_EQ(m.output.verdict, Verdict::Report);
}

TEST(ManifestReader, HasTheContractsDefaults) {
    const auto read = readManifest("manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\n", "c.toml");
    ASSERT_TRUE(read) << join(read.diagnostics);
    EXPECT_EQ(read.value->sandbox.processes, Processes::None);
    EXPECT_EQ(read.value->sandbox.user.kind, User::Kind::Target);
    EXPECT_EQ(read.value->sandbox.policy, "default");
    EXPECT_FALSE(read.value->limits.memory);
    EXPECT_TRUE(read.value->schedule.onDemand);
    EXPECT_EQ(read.value->args, ArgsMode::Append);
}

TEST(ManifestReader, NamesAnUnknownKeyWithItsPlaceAndTheNearestOne) {
    EXPECT_THAT(findings("manifest = 1\n[capsule]\nname = \"a\"\n  imgae = \"a:1\"\n"),
                ElementsAre("c.toml:2:1: capsule.image: missing", "c.toml:4:3: capsule.imgae: unknown key; did you mean 'image'?"));
    EXPECT_THAT(findings(with("namespace = [\"net\"]")),
                ElementsAre("c.toml:7:1: sandbox.namespace: unknown key; did you mean 'namespaces'?"));
    EXPECT_THAT(findings(with("", "[shedule]")), ElementsAre(HasSubstr("shedule: unknown key; did you mean 'schedule'?")));
    EXPECT_THAT(findings(with("", "[output]\nquux = 1")),
                ElementsAre(HasSubstr("output.quux: unknown key; known here: artifacts, max-size")));
}

TEST(ManifestReader, FindsEverythingAtOnceInTheFilesOrder) {
    const auto found = findings(
        "manifest = 1\n[capsule]\nname = \"A b\"\nimage = 7\nenv = { \"A=B\" = \"x\" }\n"
        "[sandbox]\nnamespaces = [\"net\", \"nte\"]\nuser = \"nobody\"\ncapabilities = [\"CAP_NET_RAWW\"]\n"
        "[limits]\nmemory = 64\ntimeout = \"soon\"\ncpu = -1\npids = \"8\"\n");
    ASSERT_EQ(found.size(), 10u) << testing::PrintToString(found);
    EXPECT_THAT(found[0], HasSubstr("c.toml:3:8: capsule.name: 'A b' is not a name"));
    EXPECT_THAT(found[1], HasSubstr("c.toml:4:9: capsule.image: expected a string, found an integer"));
    EXPECT_THAT(found[2], HasSubstr("capsule.env.A=B: 'A=B' is not a variable's name"));
    EXPECT_THAT(found[3], HasSubstr("sandbox.namespaces: 'nte' is not one of pid, net, ipc, uts, user, cgroup, time; did you mean 'net'?"));
    EXPECT_THAT(found[4], HasSubstr("sandbox.user: 'nobody' is not a user"));
    EXPECT_THAT(found[5], HasSubstr("did you mean 'CAP_NET_RAW'?"));
    EXPECT_THAT(found[6], HasSubstr("limits.memory: expected a size in a string, such as \"64M\", found an integer"));
    EXPECT_THAT(found[7], HasSubstr("limits.timeout: 'soon' is not a duration"));
    EXPECT_THAT(found[8], HasSubstr("limits.cpu: -1 is out of range"));
    EXPECT_THAT(found[9], HasSubstr("limits.pids: expected an integer, found a string"));
}

TEST(ManifestReader, WhatACallerMayChooseAndLinksAndFilesAreNamedAsTheyMustBe) {
    EXPECT_THAT(findings(with("adjustable = [\"veiw\"]")),
                ElementsAre(HasSubstr("sandbox.adjustable: 'veiw' is not one of view, user, processes, image; did you mean 'view'?")));
    EXPECT_EQ(findings(with("adjustable = [\"view\", \"view\"]")).size(), 1u);
    EXPECT_THAT(findings(with("", "[build]\npackages = [\"tool\"]\nlinks = { \"bin/x\" = \"y\" }")),
                ElementsAre(HasSubstr("'bin/x' is not an absolute path")));
    EXPECT_EQ(findings(with("", "[build]\npackages = [\"tool\"]\nlinks = { \"/bin/x\" = \"\" }")).size(), 1u);
    EXPECT_THAT(findings(with("", "[build]\npackages = [\"tool\"]\nfiles = { \"x\" = \"y\" }")),
                ElementsAre(HasSubstr("'x' is not an absolute path")));
    EXPECT_THAT(findings(with("", "[build]\npackages = [\"tool\"]\nfiles = { \"/x\" = \"../y\" }")),
                ElementsAre(HasSubstr("a path has no empty parts, '.' or '..'")));
}

TEST(ManifestReader, PidMeansJoinAndNothingElseBesideIt) {
    auto read = readManifest(with("namespaces = [\"pid\"]"), "c.toml");
    ASSERT_TRUE(read);
    EXPECT_EQ(read.value->sandbox.processes, Processes::Join);
    EXPECT_TRUE(readManifest(with("namespaces = [\"pid\"]\nprocesses = \"join\""), "c.toml"));
    for (const std::string other : {"none", "observe"})
        EXPECT_THAT(findings(with("namespaces = [\"pid\"]\nprocesses = \"" + other + "\"")),
                    ElementsAre(HasSubstr("c.toml:8:13: sandbox.processes")));
    read = readManifest(with("processes = \"join\""), "c.toml");
    ASSERT_TRUE(read);
    EXPECT_EQ(read.value->sandbox.namespaces, 1u);
}

TEST(ManifestReader, RefusesControlCharactersEverywhere) {
    for (const std::string text : {"reason = \"a\\nb\"", "reason = \"\\u001b[2J\"", "writes = [\"/a\\u0000b\"]\nview = \"write\"",
                                   "policy = \"a\\tb\"", "reason = \"\"\"a\nb\"\"\"", "reason = \"a\\u0085b\""})
        EXPECT_THAT(findings(with(text)), ElementsAre(HasSubstr("a control character is not allowed here"))) << text;
    EXPECT_FALSE(findings(with("\"a\\u001b\" = 1")).front().find('\x1b') != std::string::npos) << "not echoed either";
    EXPECT_THAT(findings(with("", "[target.selector]\n\"a\\nb\" = \"x\"")), ElementsAre(HasSubstr("is not a label's key")));
}

TEST(ManifestReader, RefusesPathsThatAreNotPlain) {
    for (const std::string path : {"out", "/out/../etc", "/", "/proc/self", "/target/x", "/dev", "//out"})
        EXPECT_EQ(findings(with("", "[output]\nartifacts = \"" + path + "\"")).size(), 1u) << path;
    for (const std::string path : {"/proc/self/fd/3", "/proc/1/cwd", "srv", "/a/.."})
        EXPECT_EQ(findings("manifest = 1\n[capsule]\nname = \"a\"\nimage = \"a:1\"\nworkdir = \"" + path + "\"\n").size(), 1u) << path;
}

TEST(ManifestReader, ChecksWhatBelongsTogether) {
    EXPECT_THAT(findings(with("writes = [\"/a\"]")), ElementsAre(HasSubstr("only view = \"write\" writes anything")));
    EXPECT_THAT(findings(with("view = \"write\"")), ElementsAre(HasSubstr("needs 'writes'")));
    EXPECT_THAT(findings(with("", "[build]\npackages = [\"a1\"]\ndockerfile = \"D\"")), ElementsAre(HasSubstr("exactly one of")));
    EXPECT_THAT(findings(with("", "[schedule.periodic]\ncalendar = \"daily\"\nevery = \"1h\"")),
                ElementsAre(HasSubstr("exactly one of calendar and every")));
    EXPECT_THAT(findings(with("", "[schedule.periodic]\ncalendar = \"%h\"")), ElementsAre(HasSubstr("is no calendar")));
    for (const std::string every : {"999ms", "367d"})
        EXPECT_THAT(findings(with("", "[schedule.periodic]\nevery = \"" + every + "\"")), ElementsAre(HasSubstr("1s to 366d"))) << every;
    EXPECT_THAT(findings(with("", "[schedule.periodic]\nevery = \"1s\"\nrandomized-delay = \"2y\"")),
                ElementsAre(HasSubstr("at most 366d")));
    EXPECT_THAT(findings(with("", "[[schedule.event]]\non = \"oom\"\npath = \"/a\"")),
                ElementsAre(HasSubstr("belongs to on = \"file-changed\"")));
    EXPECT_THAT(findings(with("", "[[schedule.event]]\non = \"dbus-signal\"")), ElementsAre(HasSubstr("schedule.event.match: missing")));
    const auto pressure = [](const std::string& stall, const std::string& window) {
        const std::string event = "[[schedule.event]]\non = \"pressure\"\nresource = \"cpu\"\n";
        return findings(with("", event + "stall = \"" + stall + "\"\nwindow = \"" + window + "\""));
    };
    EXPECT_THAT(pressure("1ms", "500ms"), IsEmpty());
    EXPECT_THAT(pressure("10s", "10s"), IsEmpty());
    for (const std::string window : {"499ms", "11s"})
        EXPECT_THAT(pressure("1ms", window), ElementsAre(HasSubstr("500ms to 10s"))) << window;
    EXPECT_THAT(pressure("2s", "1s"), ElementsAre(HasSubstr("can't be longer than its window")));
    EXPECT_THAT(findings(with("", "[[schedule.event]]\non = \"dbus-signal\"\nmatch = \"member='Done'\"")),
                ElementsAre(AllOf(HasSubstr("c.toml:"), HasSubstr("schedule.event.match: match rule 'member='Done'': it has no sender"))));
    EXPECT_THAT(findings(with("", "[schedule]\non-demand = false")), ElementsAre(HasSubstr("nothing can ever start this capsule")));
    EXPECT_THAT(findings(with("namespaces = [\"net\", \"net\"]")), ElementsAre(HasSubstr("listed twice")));
    for (const std::string mode : {"", "fixed", "fixed:0", "fixed:-1", "percent:101", "percent:5%", "fixed:99999999999", "some"})
        EXPECT_EQ(findings(with("", "[target]\nmode = \"" + mode + "\"")).size(), 1u) << mode;
}

TEST(ManifestReader, SaysWhatOtherSchemasAndVersionsNeed) {
    EXPECT_THAT(findings("manifest = 2\nwhatever = 1\n"),
                ElementsAre("c.toml:1:12: manifest: schema 2 is not known; this recap knows schema 1"));
    EXPECT_THAT(findings("manifest = 1\nrequires = [\"recap >= 99\"]\n[capsule]\nname = \"a\"\nimage = \"a:1\"\n"),
                ElementsAre(HasSubstr("requires: needs recap >= 99, this is recap ")));
    EXPECT_THAT(findings(""), ElementsAre(HasSubstr("manifest: missing"), HasSubstr("capsule: missing")));
}

TEST(ManifestReader, SaysWhereTheTextIsNoToml) {
    EXPECT_THAT(findings("manifest = 1\n[capsule\n"), ElementsAre(HasSubstr("c.toml:2:")));
    EXPECT_THAT(findings("manifest = 1\nmanifest = 1\n"), ElementsAre(HasSubstr("c.toml:2:")));
    EXPECT_THAT(findings("a = \"\xff\""), ElementsAre(HasSubstr("c.toml:1:")));
}
