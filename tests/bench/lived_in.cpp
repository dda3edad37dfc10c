// SPDX-License-Identifier: Apache-2.0
// bench_lived_in [--json FILE] [--rounds N] [--rows N] [--capsules N]: what an attach costs on a node that has been lived in, with so
// many rows in its ledger (10000: made before by bench_rows) and capsules enabled (1000: enabled here), beside one on an empty node, the
// two taking turns. Started by tests/bench/run inside two stacks: this one's environment is the node that has been lived in;
// RECAP_BENCH_EMPTY_BUS and RECAP_BENCH_EMPTY_PIDS are the empty one's.
#include <cstdio>
#include <cstdlib>
#include <fstream>
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

using client::Client;
using nlohmann::json;

constexpr const char* kBus = "DBUS_SYSTEM_BUS_ADDRESS";

struct Options {
    std::string json;
    int rounds = 50;
    int rows = 10'000;
    int capsules = 1000;
};

template <class T>
T sure(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}
void sure(const Result<void>& result) {
    if (!result) throw std::runtime_error(result.error().message);
}

// A node, and whoever talks to it.
struct Node {
    std::string key, words, bus, pids;

    std::uint64_t recapdKb() const {
        const pid_t pid = std::stoi(test::readFile(std::filesystem::path(pids) / "recapd.service"));
        return std::stoull(test::statusOf(pid).at("VmRSS"));
    }
};

// They all have one image, and none of them runs: a third waits for its time, a third for targets that never start, a third for another
// capsule that is not there.
std::string manifestOf(int number) {
    const std::string schedules[] = {
        "[schedule.periodic]\nevery = \"" + std::to_string(20 + number % 10) + "d\"\n",
        "[[schedule.event]]\non = \"target-start\"\n",
        "[[schedule.event]]\non = \"run-finished\"\ncapsule = \"bench-nobody\"\n",
    };
    return "manifest = 1\n[capsule]\nname = \"bench-" + std::to_string(number) +
           "\"\nversion = \"1.0.0\"\ndescription = \"one of many\"\nimage = \"recap/noop:1.0.0\"\ncommand = [\"noop\"]\n"
           "[target]\nselector = { bench = \"nobody-" +
           std::to_string(number) + "\" }\n" + schedules[number % 3];
}

// How long each took, in ms.
json enableAll(Client& client, int count) {
    Times installs, enables;
    for (int i = 0; i < count; ++i) {
        const std::uint64_t begin = nowNs();
        sure(client.installCapsule(manifestOf(i), true));
        const std::uint64_t installed = nowNs();
        sure(client.enableCapsule("bench-" + std::to_string(i)));
        installs.add(static_cast<double>(installed - begin) / 1e6);
        enables.add(static_cast<double>(nowNs() - installed) / 1e6);
    }
    return {{"install_p50_ms", rounded(installs.median())},
            {"install_p99_ms", rounded(installs.at(0.99))},
            {"enable_p50_ms", rounded(enables.median())},
            {"enable_p99_ms", rounded(enables.at(0.99))}};
}

void checkIsLivedIn(Client& client, const Options& options) {
    int enabled = 0, rows = 0;
    for (const auto& row : sure(client.schedule())) enabled += row.flag("enabled");
    if (enabled < options.capsules) throw std::runtime_error("only " + std::to_string(enabled) + " capsules are enabled");
    std::string before;
    do {
        client::Dict page{{"limit", std::uint32_t{1000}}};
        if (!before.empty()) page.set("before", before);
        const auto runs = sure(client.runs({}, page));
        rows += static_cast<int>(runs.runs.size());
        before = runs.next;
    } while (!before.empty());
    if (rows < options.rows) throw std::runtime_error("the ledger has only " + std::to_string(rows) + " rows");
}

std::vector<Case> casesOn(const Node& node, const std::string& target, FirstInstruction& first) {
    const auto recapctl = [&](std::vector<std::string> words) {
        words.insert(words.begin(), "recapctl");
        return [words, bus = node.bus] { return timeOf({words, {{kBus, bus}}}); };
    };
    return {{node.key + ".recapctl", "recapctl run, " + node.words, recapctl({"run", "noop", target})},
            {node.key + ".first_instruction", "D-Bus call to first instruction, " + node.words, [&first] { return first.once(); }},
            {node.key + ".runs", "its last ten runs listed, " + node.words, recapctl({"runs", "--capsule", "noop", "--limit", "10"})}};
}

json found(const std::vector<Case>& all, const std::string& node) {
    json values;
    for (const Case& one : all) {
        if (!one.key.starts_with(node + ".")) continue;
        const std::string key = one.key.substr(node.size() + 1);
        values[key + "_hot_ms"] = rounded(one.hot.median());
        values[key + "_hot_p99_ms"] = rounded(one.hot.at(0.99));
        values[key + "_cold_ms"] = rounded(one.cold.median());
        values[key + "_cold_p99_ms"] = rounded(one.cold.at(0.99));
    }
    return values;
}

json ratios(const json& lived, const json& empty) {
    json all;
    for (const char* key : {"recapctl_hot", "recapctl_cold", "first_instruction_hot", "first_instruction_cold", "runs_hot", "runs_cold"})
        all[key] = rounded(lived.at(std::string(key) + "_ms").get<double>() / empty.at(std::string(key) + "_ms").get<double>());
    return all;
}

json run(const Options& options) {
    const Node empty{"empty", "an empty node", test::variable("RECAP_BENCH_EMPTY_BUS", "tests/bench/run"),
                     test::variable("RECAP_BENCH_EMPTY_PIDS", "tests/bench/run")};
    const Node lived{"lived_in", "a lived-in one", test::variable(kBus, "tests/support/with-stack"),
                     test::variable("RECAP_PIDS", "tests/support/with-stack")};
    auto client = sure(Client::connect());
    std::printf("lived-in: %d rows; enabling %d capsules\n", options.rows, options.capsules);
    std::fflush(stdout);
    const json enabling = enableAll(client, options.capsules);
    checkIsLivedIn(client, options);
    const test::MicroContainer box{{.kind = "busybox"}};
    const std::string target = "process:" + std::to_string(box.pid());
    FirstInstruction onLived(target);
    ::setenv(kBus, empty.bus.c_str(), 1);
    FirstInstruction onEmpty(target);
    std::vector<Case> all = casesOn(empty, target, onEmpty);
    for (Case& one : casesOn(lived, target, onLived)) all.push_back(std::move(one));
    takeTurns(all, options.rounds);
    printCases(all);
    json values{{"rows", options.rows}, {"capsules", options.capsules}, {"enabling", enabling}};
    for (const Node* node : {&empty, &lived}) {
        values[node->key] = found(all, node->key);
        values[node->key]["recapd_rss_kb"] = node->recapdKb();
    }
    values["ratios"] = ratios(values["lived_in"], values["empty"]);
    std::printf("\n%-50s %9s %19s\n", "lived-in / empty, of medians", "hot", "cold");
    for (const char* what : {"recapctl", "first_instruction", "runs"})
        std::printf("%-50s %9.2f %19.2f\n", what, values["ratios"][std::string(what) + "_hot"].get<double>(),
                    values["ratios"][std::string(what) + "_cold"].get<double>());
    std::printf(
        "\ninstalling a capsule %.2f ms (p99 %.2f), enabling it %.2f ms (p99 %.2f); recapd has %llu kB resident, and %llu when empty\n",
        enabling["install_p50_ms"].get<double>(), enabling["install_p99_ms"].get<double>(), enabling["enable_p50_ms"].get<double>(),
        enabling["enable_p99_ms"].get<double>(), values["lived_in"]["recapd_rss_kb"].get<unsigned long long>(),
        values["empty"]["recapd_rss_kb"].get<unsigned long long>());
    return {{"lived_in", values}};
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string word = argv[i];
        if (word == "--json")
            options.json = argv[i + 1];
        else if (word == "--rounds")
            options.rounds = std::atoi(argv[i + 1]);
        else if (word == "--rows")
            options.rows = std::atoi(argv[i + 1]);
        else if (word == "--capsules")
            options.capsules = std::atoi(argv[i + 1]);
        else
            throw std::runtime_error("unknown argument " + word);
    }
    return options;
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    try {
        const auto options = recap::bench::parse(argc, argv);
        const auto found = recap::bench::run(options);
        if (!options.json.empty()) std::ofstream{options.json} << found.dump(2) << "\n";
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_lived_in: %s\n", error.what());
        return 1;
    }
    return 0;
}
