// SPDX-License-Identifier: Apache-2.0
// recap-bench [--json FILE] [--rounds N] [--idle SECONDS]: RECap beside what people use today, on one target, in one run, the
// programs taking turns. Started by tests/bench/run inside two stacks: this one's environment is the one on cgroup v2 alone with
// limits = "best-effort"; RECAP_BENCH_ENFORCED_BUS is the bus of the one with this machine's limits enforced.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "sdk/client/recap/client.hpp"
#include "tests/bench/first_instruction.hpp"
#include "tests/bench/measure.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/proc.hpp"

namespace recap::bench {
namespace {

using nlohmann::json;
using test::MicroContainer;

constexpr std::uint32_t kUser = 65534;  // nobody; tests/bench/bench.rules lets it run capsules

struct Options {
    std::string json;
    int rounds = 50;
    int idleSeconds = 60;
};

std::vector<Case> cases(const MicroContainer& box, FirstInstruction& first) {
    const std::string pid = std::to_string(box.pid()), target = "process:" + pid;
    const std::string enforced = test::variable("RECAP_BENCH_ENFORCED_BUS", "tests/bench/run");
    const std::vector<std::string> recapctl{"recapctl", "run", "noop", target};
    const auto program = [](Program what) { return [what] { return timeOf(what); }; };
    return {
        {"recapctl", "recapctl run, root, limits best-effort on v2", program({recapctl})},
        {"recapctl_enforced", "recapctl run, root, this host's limits enforced",
         program({recapctl, {{"DBUS_SYSTEM_BUS_ADDRESS", enforced}}})},
        {"recapctl_user", "recapctl run, another user through polkit", program({recapctl, {}, kUser})},
        {"nsenter", "nsenter into net, ipc, uts and true", program({{"nsenter", "-t", pid, "-n", "-i", "-u", "/bin/true"}})},
        {"runc_exec", "runc exec true", program({{"runc", "--root", box.runtimeRoot().string(), "exec", box.name(), "/bin/true"}})},
        {"first_instruction", "D-Bus call to the payload's first instruction", [&first] { return first.once(); }},
        {"process", "an empty process (/bin/true)", program({{"/bin/true"}})},
    };
}

struct Daemons {
    std::vector<std::pair<std::string, pid_t>> all;  // unit, pid; workers under their launcher's name
};

Daemons daemons() {
    Daemons found;
    for (const auto& entry : std::filesystem::directory_iterator(test::variable("RECAP_PIDS", "tests/support/with-stack"))) {
        const pid_t pid = std::stoi(test::readFile(entry.path()));
        found.all.emplace_back(entry.path().filename(), pid);
        for (const pid_t child : test::childrenOf(pid)) found.all.emplace_back(entry.path().filename(), child);
    }
    return found;
}

long long switches(const Daemons& daemons) {
    long long sum = 0;
    for (const auto& [unit, pid] : daemons.all) {
        for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task"))
            for (const std::string& line : test::lines(test::readFile(task.path() / "status")))
                if (line.rfind("voluntary_ctxt_switches:", 0) == 0) sum += std::stoll(line.substr(24));
    }
    return sum;
}

long long residentKb(const Daemons& daemons, const std::string& unit) {
    long long sum = 0;
    for (const auto& [name, pid] : daemons.all)
        if (name == unit) sum += std::stoll(test::statusOf(pid).at("VmRSS"));
    return sum;
}

json idle(int seconds) {
    const Daemons all = daemons();
    json found{{"recapd_rss_kb", residentKb(all, "recapd.service")}, {"launcher_rss_kb", residentKb(all, "recap-launcher.service")}};
    if (seconds <= 0) return found;
    const long long before = switches(all);
    ::poll(nullptr, 0, seconds * 1000);
    found["wakeups_60s"] = (switches(all) - before) * 60 / seconds;
    return found;
}

// What a run costs recapd while it is alive: so many at once that each counts, in KiB.
json alive(const std::string& target) {
    constexpr int kAlive = 300;
    auto client = client::Client::connect();
    int ends[2];
    if (!client || ::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no client");
    const UniqueFd in{ends[0]}, out{ends[1]};
    const long long before = residentKb(daemons(), "recapd.service");
    std::vector<client::Run> runs;
    for (int i = 0; i < kAlive; ++i)
        runs.push_back(client->run({.capsule = "noop", .target = target, .args = {"--rest"}, .standardOutput = out.get()}));
    std::string said;
    const auto resting = [&] { return std::count(said.begin(), said.end(), '\n'); };
    while (resting() < kAlive) {
        pollfd waiting[] = {{in.get(), POLLIN, 0}, {client->fd(), client->events(), 0}};
        if (::poll(waiting, 2, 60000) <= 0) throw std::runtime_error("only " + std::to_string(resting()) + " runs came up");
        char bytes[4096];
        if ((waiting[0].revents & POLLIN) != 0)
            if (const ssize_t got = ::read(in.get(), bytes, sizeof bytes); got > 0) said.append(bytes, static_cast<std::size_t>(got));
        for (bool more = true; more;) {
            auto pumped = client->pump();
            if (!pumped) throw std::runtime_error(pumped.error().message);
            more = *pumped;
        }
    }
    const long long all = residentKb(daemons(), "recapd.service") - before;
    for (const client::Run& run : runs) client->kill(run);
    for (const client::Run& run : runs)
        while (!run.ended())
            if (auto waited = client->wait(); !waited) throw std::runtime_error(waited.error().message);
    return {{"runs", kAlive}, {"recapd_kb_per_run", std::round(static_cast<double>(all) * 10 / kAlive) / 10}};
}

void printGoal(const char* what, double hot, double cold, double most) {
    std::printf("%-50s %9.2f %19.2f   %.2f: %s\n", what, hot, cold, most, std::max(hot, cold) <= most ? "met" : "missed");
}

void print(const std::vector<Case>& all, FirstInstruction& first, const json& idle, const json& alive) {
    const auto find = [&](const char* key) {
        return *std::find_if(all.begin(), all.end(), [&](const Case& one) { return one.key == key; });
    };
    printCases(all);
    const Case ours = find("recapctl"), nsenter = find("nsenter"), runc = find("runc_exec");
    std::printf("\n%-50s %9s %19s   %s\n", "goals, of medians", "hot", "cold", "at most");
    printGoal("recapctl / nsenter", ours.hot.median() / nsenter.hot.median(), ours.cold.median() / nsenter.cold.median(), 3.0);
    const Case enforced = find("recapctl_enforced");
    printGoal("recapctl, this host's limits enforced / nsenter", enforced.hot.median() / nsenter.hot.median(),
              enforced.cold.median() / nsenter.cold.median(), 3.0);
    printGoal("recapctl / runc exec", ours.hot.median() / runc.hot.median(), ours.cold.median() / runc.cold.median(), 1.0 / 3);
    const Case call = find("first_instruction");
    printGoal("D-Bus call to the payload's first instruction, ms", call.hot.median(), call.cold.median(), 3.0);
    std::printf("\n%-50s %9s %9s\n", "phases of a run, ms, all rounds", "p50", "p99");
    for (const char* phase : {"planned", "attached", "executing", "finished", "escaped", "whole"})
        std::printf("%-50s %9.2f %9.2f\n", phase, first.phases()[phase].median(), first.phases()[phase].at(0.99));
    std::printf("\nidle:");
    for (const auto& [key, value] : idle.items()) std::printf(" %s %lld", key.c_str(), value.get<long long>());
    std::printf("\nalive: %d runs, recapd takes %.1f KiB more for each\n", alive["runs"].get<int>(),
                alive["recapd_kb_per_run"].get<double>());
}

json toJson(const std::vector<Case>& all, FirstInstruction& first, const json& idle, const json& alive, int rounds) {
    json noop, phases;
    for (const Case& one : all) {
        noop[one.key + "_hot_ms"] = rounded(one.hot.median());
        noop[one.key + "_cold_ms"] = rounded(one.cold.median());
        noop[one.key + "_hot_p99_ms"] = rounded(one.hot.at(0.99));
        noop[one.key + "_cold_p99_ms"] = rounded(one.cold.at(0.99));
    }
    for (auto& [phase, times] : first.phases()) phases[phase + "_ms"] = rounded(times.median());
    const auto ratio = [&](const char* a, const char* b) { return rounded(noop[a].get<double>() / noop[b].get<double>()); };
    const json ratios{{"recapctl_nsenter_hot", ratio("recapctl_hot_ms", "nsenter_hot_ms")},
                      {"recapctl_nsenter_cold", ratio("recapctl_cold_ms", "nsenter_cold_ms")},
                      {"recapctl_enforced_nsenter_hot", ratio("recapctl_enforced_hot_ms", "nsenter_hot_ms")},
                      {"recapctl_enforced_nsenter_cold", ratio("recapctl_enforced_cold_ms", "nsenter_cold_ms")},
                      {"recapctl_runc_exec_hot", ratio("recapctl_hot_ms", "runc_exec_hot_ms")},
                      {"recapctl_runc_exec_cold", ratio("recapctl_cold_ms", "runc_exec_cold_ms")}};
    return {{"schema", 1}, {"rounds", rounds}, {"noop", noop}, {"ratios", ratios}, {"phases", phases}, {"idle", idle}, {"alive", alive}};
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (i + 1 == argc) throw std::runtime_error(word + " needs a value, or is not known");
        if (word == "--json")
            options.json = argv[++i];
        else if (word == "--rounds")
            options.rounds = std::stoi(argv[++i]);
        else if (word == "--idle")
            options.idleSeconds = std::stoi(argv[++i]);
        else
            throw std::runtime_error("unknown argument " + word);
    }
    return options;
}

int run(const Options& options) {
    const MicroContainer box{{.kind = "busybox", .uid = kUser, .gid = kUser}};
    FirstInstruction first{"process:" + std::to_string(box.pid())};
    std::vector<Case> all = cases(box, first);
    std::printf("%d rounds, programs taking turns; cold: 100 ms of rest before each\n\n", options.rounds);
    std::fflush(stdout);
    takeTurns(all, options.rounds);
    const json resting = idle(options.idleSeconds);
    const json many = alive("process:" + std::to_string(box.pid()));
    print(all, first, resting, many);
    if (!options.json.empty()) std::ofstream{options.json} << toJson(all, first, resting, many, options.rounds).dump(2) << "\n";
    return 0;
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    try {
        return recap::bench::run(recap::bench::parse(argc, argv));
    } catch (const std::exception& error) {
        std::cerr << "bench: " << error.what() << "\n";
        return 1;
    }
}
