// SPDX-License-Identifier: Apache-2.0
// Attacks on what the launcher keeps, writes and is told: T9, T10, T11, T24, T26.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/hostile/arena.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using launcher::Plan;
using launcher::Verb;

pid_t childOf(pid_t parent) {
    const auto children = childrenOf(parent);
    return children.empty() ? 0 : children.front();
}

std::string drained(const UniqueFd& pipe) {
    std::string bytes(1 << 20, '\0');
    std::size_t size = 0;
    while (size < bytes.size()) {
        const ssize_t got = ::read(pipe.get(), bytes.data() + size, bytes.size() - size);
        if (got <= 0) break;
        size += static_cast<std::size_t>(got);
    }
    bytes.resize(size);
    return bytes;
}

// CVE-2018-15664, 2019-1002101: what is copied out is not what the capsule made, but what it points to.
TEST(T9, ArtifactsHoldNothingThatTheyOnlyPointTo) {
    const MicroContainer target;
    const TempDir outside{"recap-outside"};
    fs::permissions(outside.path(), fs::perms::others_all | fs::perms::owner_all);
    writeFile(outside.path() / "secret", "the host's own\n");
    expectInVain(Threat::CopyRaces, [&](Arena& arena, Score& score) {
        const std::string climb = "../../../../../../../..";
        for (int i = 0; goOn(arena, score, 10); ++i) {
            const std::string to = (i % 2 == 0 ? "" : climb) + (outside.path() / "secret").string();
            Plan plan = arena.attack(target, {"plant", "/out/result", to});
            plan.artifacts = "/out";
            plan.artifactsMax = 1 << 20;
            const auto log = startPlan(arena.client(), plan, target.pid());
            ASSERT_TRUE(log) << log.error().message;
            ASSERT_EQ(finish(arena.client(), plan.runId, log->get()).out, "planted\n");
            std::vector<UniqueFd> back;
            const launcher::RunRef ref{plan.runId};
            ASSERT_TRUE(arena.client().ask<launcher::Empty>(Verb::Collect, ref, {}, &back));
            ASSERT_EQ(back.size(), 1u);
            score.attempt(drained(back[0]).find("the host's own") != std::string::npos, "a file of the host's came out as an artifact");
            ASSERT_TRUE(arena.client().ask<launcher::Empty>(Verb::Ack, ref));
        }
    });
}

// What has no end, or is counted once and read many times. (Nothing that an attack could be shown to succeed without: the collector
// is what it is.)
TEST(T9, ArtifactsAreNoMoreThanAllowedWhateverTheyAre) {
    const MicroContainer target;
    Arena arena(std::nullopt);
    constexpr std::uint64_t kMost = 8 << 20;
    Plan plan = arena.attack(target, {"odd-artifacts", "/out"});
    plan.artifacts = "/out";
    plan.artifactsMax = kMost;
    const auto log = startPlan(arena.client(), plan, target.pid());
    ASSERT_TRUE(log) << log.error().message;
    const Finished finished = finish(arena.client(), plan.runId, log->get());
    EXPECT_THAT(finished.out, ::testing::HasSubstr("hard link to the image: Invalid cross-device link\nmade\n")) << finished.err;
    const launcher::RunRef ref{plan.runId};
    std::vector<UniqueFd> back;
    ASSERT_TRUE(arena.client().ask<launcher::Empty>(Verb::Collect, ref, {}, &back));
    ASSERT_EQ(back.size(), 1u);
    std::uint64_t size = 0;
    char bytes[65536];
    std::string head;
    for (ssize_t got = 0; (got = ::read(back[0].get(), bytes, sizeof bytes)) > 0; size += static_cast<std::uint64_t>(got))
        if (head.size() < kMost) head.append(bytes, static_cast<std::size_t>(got));
    EXPECT_GT(size, kMost / 2) << "what fits is there";
    EXPECT_LT(size, kMost + kMost / 8);
    for (const char* name : {"sparse", "fifo", "socket"}) EXPECT_EQ(head.find(name), std::string::npos) << name;
    ASSERT_TRUE(arena.client().ask<launcher::Empty>(Verb::Ack, ref));
}

// CVE-2021-41091: layers that others on the host can reach.
TEST(T10, AStoreThatOthersReachIsNotServed) {
    expectInVain(Threat::OpenStore, [&](Arena& arena, Score& score) {
        for (const mode_t mode : {0711u, 0701u, 0750u, 0755u, 0777u}) {
            const auto second = arena.another();
            second->killHard();
            ::chmod(second->store().c_str(), mode);
            bool started = true;
            try {
                second->start();
            } catch (const std::runtime_error&) {
                started = false;
            }
            attemptEach(arena, score, started, "it serves a store that others may enter");
        }
    });
}

// The fields of a record in journald's protocol, by their names.
std::vector<std::string> fieldsOf(std::string_view record) {
    std::vector<std::string> names;
    while (!record.empty()) {
        const auto end = record.find('\n'), equals = record.find('=');
        names.emplace_back(record.substr(0, std::min(end, equals)));
        if (equals < end) {
            record.remove_prefix(std::min(end, record.size() - 1) + 1);
            continue;
        }
        std::uint64_t size = 0;
        for (std::size_t i = 0; i < 8 && end + 1 + i < record.size(); ++i)
            size |= static_cast<std::uint64_t>(static_cast<unsigned char>(record[end + 1 + i])) << (8 * i);
        record.remove_prefix(std::min<std::size_t>(record.size(), end + 1 + 8 + size + 1));
    }
    return names;
}

// CVE-2022-0811: a value that is read as more than a value.
TEST(T11, NoFieldOfARecordCanBeForged) {
    const MicroContainer target;
    expectInVain(Threat::Injection, [&](Arena& arena, Score& score) {
        const std::string forged = "x\nRECAP_FORGED=1";
        do {
            for (std::string Plan::*field : {&Plan::target, &Plan::capsule, &Plan::runId, &Plan::imageDigest, &Plan::cgroup}) {
                Plan plan = arena.plan(target, {"exit"});
                plan.*field = forged;
                if (const auto log = startPlan(arena.client(), plan, target.pid())) {
                    finish(arena.client(), plan.runId, log->get());
                    static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Ack, launcher::RunRef{plan.runId}));
                }
                bool found = false;
                for (const std::string& record : arena.launcher().journal())
                    for (const std::string& name : fieldsOf(record)) found = found || name == "RECAP_FORGED";
                attemptEach(arena, score, found, "the record has a field of the caller's making");
            }
        } while (goOn(arena, score, 30));
    });
}

// gVisor, Kata: the processes of such a container that the host sees are its monitor's.
TEST(T24, TheHostsSideOfAVirtualMachineIsNoTarget) {
    const TempDir folder{"recap-vm"};
    for (const char* name : {"runsc", "qemu-system-x86_64", "containerd-shim-kata-v2"})
        fs::copy_file("/usr/bin/unshare", folder.path() / name, fs::copy_options::overwrite_existing);
    expectInVain(Threat::VmSandbox, [&](Arena& arena, Score& score) {
        for (const char* name : {"runsc", "qemu-system-x86_64", "containerd-shim-kata-v2"}) {
            Child monitor(Command{.argv = {(folder.path() / name).string(), "--mount", "--net", "--ipc", "--uts", "--pid", "--fork",
                                           "--kill-child", "sleep", "1000"}});
            ASSERT_TRUE(waitUntil(
                [&] {
                    const auto child = processOf(childOf(monitor.pid()));
                    return child && child->name == "sleep";
                },
                Deadline{kPatience}));
            const pid_t sandbox = childOf(monitor.pid());
            bool ran = false;
            std::string why;
            try {
                ran = runPlan(arena.client(), planFor(arena.client(), arena.launcher(), sandbox, {"exit"}), sandbox).report.end ==
                      launcher::End::Exited;
            } catch (const std::runtime_error& error) {
                why = error.what();
            }
            EXPECT_TRUE(ran || why.find(name) != std::string::npos) << why;
            attemptEach(arena, score, ran, std::string("a capsule ran beside ") + name);
        }
    });
}

struct Wild {
    const char* what;
    const char* refusal;
    void (*make)(Plan&);
    bool alone = true;  // else the kernel refuses it too
};

constexpr Wild kWild[] = {
    {"a mount namespace is joined", "a mount namespace is never joined", [](Plan& p) { p.namespaces |= launcher::kNsMnt; }},
    {"a path with an empty part", "executable '//payload' is not", [](Plan& p) { p.executable = "//payload"; }},
    {"a path that climbs", "executable '/../payload' is not", [](Plan& p) { p.executable = "/../payload"; }},
    {"no limits", "a limit is missing", [](Plan& p) { p.limits = {}; }, false},
    {"memory over the ceiling's", "ceiling: max.memory", [](Plan& p) { p.limits.memory = 1ull << 50; }},
    {"no deadline", "no deadline", [](Plan& p) { p.timeoutUsec = 0; }},
    {"a deadline of years", "ceiling: max.timeout", [](Plan& p) { p.timeoutUsec = 1ull << 60; }},
    {"the launcher's own user", "4294967295 is no uid", [](Plan& p) { p.uid = UINT32_MAX; }},
    {"root where the target is not", "ceiling: root-user: uid 0", [](Plan& p) { p.uid = 0; }},
    {"a group of root's", "ceiling: root-user: gid 0", [](Plan& p) { p.groups = {0}; }},
    {"every capability", "ceiling: capabilities", [](Plan& p) { p.capabilities = ~0ull; }},
    {"a NUL in an argument", "a NUL in an argument", [](Plan& p) { p.argv.emplace_back("a\0b", 3); }},
    {"an environment without a name", "entry without a name", [](Plan& p) { p.env.emplace_back("=x"); }},
    {"artifacts over what is mounted", "within what the launcher mounts", [](Plan& p) { p.artifacts = "/proc/x", p.artifactsMax = 4096; }},
    {"pid joined without being joined", "the pid namespace go together", [](Plan& p) { p.namespaces |= launcher::kNsPid; }},
};

TEST(T26, NoPlanBeyondItsBoundsIsCarriedOut) {
    const MicroContainer target;
    expectInVain(Threat::WildPlans, [&](Arena& arena, Score& score) {
        for (const Wild& wild : kWild) {
            Plan plan = arena.plan(target, {"exit"});
            wild.make(plan);
            const auto started = startPlan(arena.client(), plan, target.pid());
            if (wild.alone || !arena.weakened()) attemptEach(arena, score, started.has_value(), wild.what);
            if (!started) {
                EXPECT_TRUE(arena.weakened() || started.error().message.find(wild.refusal) != std::string::npos)
                    << wild.what << ": " << started.error().message;
                continue;
            }
            finish(arena.client(), plan.runId, -1);
            static_cast<void>(arena.client().ask<launcher::Empty>(Verb::Ack, launcher::RunRef{plan.runId}));
        }
    });
}

}  // namespace
}  // namespace recap::test
