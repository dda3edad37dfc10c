// SPDX-License-Identifier: Apache-2.0
// What the ways of an older kernel and of cgroup version 1 cost: launchers that take them, one by one, beside one that does not, in
// turn on one target.
// bench_launcher_ways [ROUNDS]: medians in ms from START to the sandbox being whole (as the launcher stamps them), cold and hot.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/support/micro_container.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::test {
namespace {

using namespace launcher;

struct Way {
    std::string name;
    std::vector<std::string> options;
    std::unique_ptr<OwnLauncher> launcher = {};
    std::unique_ptr<LauncherClient> client = {};
    std::vector<double> cold = {}, hot = {};
};

double attach(Way& way, pid_t target) {
    const Plan plan = planFor(*way.client, *way.launcher, target, {"exit"});
    const Report report = runPlan(*way.client, plan, target).report;
    if (report.end != End::Exited || !report.left.empty()) throw std::runtime_error(way.name + ": " + report.step);
    return static_cast<double>(report.attached - report.received) / 1000;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

void compare(int rounds) {
    std::vector<Way> ways;
    const auto withoutV1 = [&](const char* name, std::vector<std::string> options) {
        options.insert(options.end(), {"--cgroup-v1", "off"});
        ways.push_back({name, std::move(options)});
    };
    withoutV1("newest", {});
    withoutV1("overlay by name", {"--without", "overlay-fd"});
    withoutV1("procfs by visit", {"--without", "proc-pidns"});
    withoutV1("all older", {"--without", "overlay-fd", "--without", "proc-pidns", "--without", "cgroup-kill"});
    ways.push_back({"cgroup v1 too", {}});  // where this host has it
    Ceiling ceiling;
    ceiling.limits = LimitsMode::BestEffort;
    const MicroContainer nginx;
    for (Way& way : ways) {
        way.launcher = std::make_unique<OwnLauncher>(ceiling, LauncherPrograms{.options = way.options});
        way.client = std::make_unique<LauncherClient>(way.launcher->socket());
        attach(way, nginx.pid());
    }
    for (int round = 0; round < rounds; ++round)
        for (Way& way : ways) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));  // what "cold" means
            way.cold.push_back(attach(way, nginx.pid()));
            way.hot.push_back(attach(way, nginx.pid()));
        }
    for (const Way& way : ways) std::printf("%-16s cold %6.2f  hot %6.2f\n", way.name.c_str(), median(way.cold), median(way.hot));
}

}  // namespace
}  // namespace recap::test

int main(int argc, char** argv) {
    recap::test::compare(argc > 1 ? std::atoi(argv[1]) : 50);
    return 0;
}
