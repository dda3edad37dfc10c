// SPDX-License-Identifier: Apache-2.0
// START's body: what the launcher takes from recapd, and holds against the ceiling.
#include <algorithm>

#include "daemon/launcher/ceiling.hpp"
#include "daemon/launcher/checks.hpp"
#include "daemon/launcher/codec.hpp"
#include "daemon/launcher/seccomp.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

using namespace launcher;

constexpr std::uint32_t kTargetId = 101;

Plan usual() {
    Plan plan;
    plan.runId = "01HZX0000000000000000000AB";
    plan.timeoutUsec = 1'000'000;
    plan.capsule = "ps";
    plan.target = "docker:web";
    plan.cgroup = "/docker/1";
    plan.namespaces = kNsNet | kNsIpc | kNsUts;
    plan.processes = Processes::Observe;
    plan.imageDigest = std::string(64, 'a');
    plan.layers = {std::string(64, 'b')};
    plan.executable = "/ps";
    plan.argv = {"ps", "-ef"};
    plan.env = {"PATH=/"};
    plan.workdir = "/";
    plan.uid = plan.gid = kTargetId;
    plan.noFile = 256;
    plan.limits = {64u << 20, 1000, 64, 8u << 20};
    plan.logMax = 1u << 20;
    plan.filter = {0x7fff'0000'0000'0006};
    return plan;
}

std::string bodyOf(const Plan& plan) { return encode(Verb::Start, 1, plan).substr(kHeaderSize); }

void holdToItsWord(const Plan& plan, const Ceiling& ceiling) {
    promise((plan.namespaces & ~ceiling.namespaces) == 0, "no namespace beyond the ceiling's");
    promise((plan.namespaces & kNsMnt) == 0, "no mount namespace is joined");
    promise((plan.capabilities & ~ceiling.capabilities) == 0, "no capability beyond the ceiling's");
    promise(plan.uid != 0 && plan.gid != 0, "no root where the target is not and the ceiling has no root-user");
    promise(plan.limits.memory > 0 && plan.limits.memory <= ceiling.maxMemory, "memory is limited");
    promise(plan.limits.pids > 0 && plan.limits.pids <= ceiling.maxPids, "processes are limited");
    promise(plan.timeoutUsec > 0 && plan.timeoutUsec <= ceiling.maxTimeoutUsec, "it has a deadline");
    promise(plan.view != View::Write && !plan.freeze, "neither write nor freeze without the ceiling's word");
}

void holdToItsShape(const Plan& plan) {
    promise(!plan.argv.empty(), "there is a program's name");
    promise(std::ranges::all_of(plan.layers, isDigest), "layers are digests");
    promise(isPlainPath(plan.executable) && isPlainPath(plan.workdir), "paths are plain");
    for (const auto* list : {&plan.argv, &plan.env})
        promise(std::ranges::none_of(*list, [](const std::string& text) { return text.find('\0') != std::string::npos; }),
                "no NUL in strings");
    promise(readFilter(plan.filter).has_value(), "its filter can be read");
}

}  // namespace

std::vector<std::string> seeds() {
    Plan joins = usual(), merges = usual(), shell = usual();
    joins.processes = Processes::Join;
    joins.namespaces |= kNsPid | kNsUser | kNsCgroup | kNsTime;
    joins.capabilities = 1u << 13;
    merges.view = View::Merged;
    merges.artifacts = "/out";
    merges.artifactsMax = 4096;
    shell.view = View::Write;
    shell.writes = {"/var/log"};
    shell.freeze = true;
    shell.stdio = {Stdio::Terminal, Stdio::Terminal, Stdio::Terminal};
    shell.rows = 24, shell.columns = 80;
    return {bodyOf(usual()), bodyOf(joins), bodyOf(merges), bodyOf(shell)};
}

void input(std::string_view bytes) {
    Writer head;
    putHeader(head, Verb::Start, 1);
    head.bytes() += bytes;
    const std::string message = sealed(head);
    const auto plan = decode<Plan>(message);
    if (!plan) return;
    promise(encode(Verb::Start, 1, *plan) == message, "one plan has one form");
    if (!checkShape(*plan)) return;
    holdToItsShape(*plan);
    TargetFacts facts;
    facts.uid = facts.gid = kTargetId;
    const Ceiling ceiling;
    if (checkCeiling(*plan, ceiling, facts)) holdToItsWord(*plan, ceiling);
    static_cast<void>(checkTarget(*plan, facts, HostIds{}, ceiling, 0));
}

}  // namespace recap::fuzz
