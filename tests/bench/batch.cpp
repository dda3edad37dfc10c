// SPDX-License-Identifier: Apache-2.0
// bench_batch [--json FILE] [--targets N]: capsule noop on so many containers (500) as one batch, inside a stack: runs a second, how long
// each takes from its turn and from the batch's request to its first instruction, and what recapd needs meanwhile.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "sdk/client/recap/client.hpp"
#include "tests/bench/measure.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/files.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/proc.hpp"
#include "tests/support/wait.hpp"

namespace recap::bench {
namespace {

using client::Client;
using nlohmann::json;

struct Options {
    std::string json;
    int targets = 500;
};

template <class T>
T sure(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

pid_t recapd() {
    return static_cast<pid_t>(
        std::stoi(test::readFile(std::filesystem::path(test::variable("RECAP_PIDS", "tests/support/with-stack")) / "recapd.service")));
}

// Of all its threads, in user space and the kernel.
double cpuMs(pid_t pid) {
    const std::string stat = test::readFile("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, kernel = 0;
    fields >> user >> kernel;
    return (user + kernel) * 1000 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::uint64_t kb(pid_t pid, const char* field) { return std::stoull(test::statusOf(pid).at(field)); }

class Containers {
public:
    explicit Containers(int count) {
        for (int i = 0; i < count; ++i)
            all_.push_back(std::make_unique<test::MicroContainer>(
                test::ContainerOptions{.kind = "busybox", .labels = {{"bench", "batch"}}, .runtimeRoot = "/run/runc"}));
    }
    void waitUntilListed(Client& client) const {
        const client::Dict filter{{"labels", client::Labels{{"bench", "batch"}}}};
        if (!test::waitUntil([&] { return sure(client.targets(filter)).size() == all_.size(); }, test::Deadline(test::kPatience)))
            throw std::runtime_error("recapd does not know of all containers");
    }

private:
    std::vector<std::unique_ptr<test::MicroContainer>> all_;
};

struct Waits {
    Times turn, request;  // to the first instruction, in ms
};

// What the ledger's rows say of a batch's runs, which are the newest.
Waits waitsOf(Client& client, const std::string& batch, std::size_t count, std::uint64_t requestedUsec) {
    Waits waits;
    std::string before;
    for (std::size_t seen = 0; seen < count;) {
        client::Dict options{{"limit", std::uint32_t{1000}}};
        if (!before.empty()) options.set("before", before);
        const auto page = sure(client.runs({{"capsule", "noop"}}, options));
        for (const auto& run : page.runs) {
            if (run.text("batch") != batch) continue;
            ++seen;
            const auto phases = run.dict("phases");
            if (!phases.has("executing")) throw std::runtime_error("run " + std::string(run.text("id")) + " never executed");
            waits.turn.add(static_cast<double>(phases.number("executing") - phases.number("received")) / 1000);
            waits.request.add(static_cast<double>(phases.number("executing") - static_cast<std::int64_t>(requestedUsec)) / 1000);
        }
        if (page.next.empty()) break;
        before = page.next;
    }
    return waits;
}

client::Batch runOn(Client& client, const client::Dict& selector) {
    auto batch = sure(client.follow(sure(client.runSelected("noop", selector, {}))));
    while (!batch.ended())
        if (const auto waited = client.wait(); !waited) throw std::runtime_error(waited.error().message);
    if (batch.failure() != nullptr) throw std::runtime_error(batch.failure()->message);
    return batch;
}

json measure(Client& client, int targets) {
    const pid_t pid = recapd();
    std::ofstream("/proc/" + std::to_string(pid) + "/clear_refs") << 5;  // VmHWM begins anew
    const std::uint64_t residentBefore = kb(pid, "VmRSS");
    const double cpuBefore = cpuMs(pid);
    const std::uint64_t begin = nowNs();
    const auto batch = runOn(client, {{"labels", "bench=batch"}});
    const double seconds = static_cast<double>(nowNs() - begin) / 1e9;
    const double cpu = cpuMs(pid) - cpuBefore;
    for (const auto& row : batch.results())
        if (row.text("outcome") != "succeeded" || row.text("escape") != "clean")
            throw std::runtime_error(std::string(row.text("target")) + ": " + std::string(row.text("outcome")) + " " +
                                     std::string(row.text("detail")));
    if (batch.results().size() != static_cast<std::size_t>(targets)) throw std::runtime_error("not every container was a target");
    const Waits waits = waitsOf(client, batch.id(), batch.results().size(), begin / 1000);
    return {{"targets", targets},
            {"runs_per_s", targets / seconds},
            {"turn_to_first_instruction_p50_ms", waits.turn.median()},
            {"turn_to_first_instruction_p99_ms", waits.turn.at(0.99)},
            {"request_to_first_instruction_p50_ms", waits.request.median()},
            {"request_to_first_instruction_p99_ms", waits.request.at(0.99)},
            {"recapd_cpu_percent", cpu / 10 / seconds},
            {"recapd_cpu_ms_per_run", cpu / targets},
            {"recapd_rss_before_kb", residentBefore},
            {"recapd_rss_peak_kb", kb(pid, "VmHWM")}};
}

json run(const Options& options) {
    auto client = sure(Client::connect());
    std::printf("batch: starting %d containers\n", options.targets);
    const Containers containers(options.targets);
    containers.waitUntilListed(client);
    runOn(client, {{"labels", "bench=batch"}, {"mode", "one"}});  // warm
    const json found = measure(client, options.targets);
    std::printf(
        "batch: %d targets, %.0f runs/s; first instruction %.1f ms after its turn (p99 %.1f), %.0f ms after the request (p99 %.0f); "
        "recapd %.0f %% of a processor, %.2f ms a run, %llu kB resident, %llu at most\n",
        options.targets, found.at("runs_per_s").get<double>(), found.at("turn_to_first_instruction_p50_ms").get<double>(),
        found.at("turn_to_first_instruction_p99_ms").get<double>(), found.at("request_to_first_instruction_p50_ms").get<double>(),
        found.at("request_to_first_instruction_p99_ms").get<double>(), found.at("recapd_cpu_percent").get<double>(),
        found.at("recapd_cpu_ms_per_run").get<double>(), found.at("recapd_rss_before_kb").get<unsigned long long>(),
        found.at("recapd_rss_peak_kb").get<unsigned long long>());
    return {{"batch", found}};
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    recap::bench::Options options;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string(argv[i]) == "--json") options.json = argv[i + 1];
        if (std::string(argv[i]) == "--targets") options.targets = std::atoi(argv[i + 1]);
    }
    try {
        const auto found = recap::bench::run(options);
        if (!options.json.empty()) std::ofstream{options.json} << found.dump(2) << "\n";
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_batch: %s\n", error.what());
        return 1;
    }
    return 0;
}
