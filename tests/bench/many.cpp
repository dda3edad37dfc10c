// SPDX-License-Identifier: Apache-2.0
// bench_many [--json FILE] [--rounds N] [ALIVE…]: what one more attach costs while so many capsules are alive (0 1000 4000), beside
// what people use today, in turn on one target; how fast so many start and end, and what each keeps of the machine. The launcher is
// placed on cgroup v2 alone, as it is where version 1 is gone.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/bench/measure.hpp"
#include "tests/support/environment.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/proc.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::bench {
namespace {

using nlohmann::json;
using namespace launcher;
using namespace test;

struct Options {
    std::string json;
    int rounds = 50;
    std::vector<int> alive = {};
};

// A way into the container, and what one round of it takes in ms.
struct Way {
    std::string name;
    std::function<double()> once;
};

std::uint64_t kernelKb() {
    std::uint64_t sum = 0;
    for (const std::string& line : lines(readFile("/proc/meminfo")))
        for (const char* key : {"Slab:", "PageTables:", "KernelStack:", "Percpu:"})
            if (line.starts_with(key)) sum += std::stoull(line.substr(std::string(key).size()));
    return sum;
}

class Crowd {
public:
    Crowd() : launcher_(ceiling(), LauncherPrograms{.options = {"--cgroup-v1", "off"}}), client_(launcher_.socket()) {
        for (const pid_t child : childrenOf(launcher_.pid())) daemons_.push_back(child);  // its workers
        daemons_.push_back(launcher_.pid());
        attach();
        outside_ = std::make_unique<Outside>(OutsideScope{
            .targets = {box_.pid()}, .daemons = {launcher_.pid()}, .cgroupRoots = launcher_.cgroupRoots(), .folders = {launcher_.store()}});
        before_ = outside_->look();
    }

    // Until so many are alive; how many were started in a second.
    double growTo(int count) {
        const std::size_t from = runs_.size(), to = static_cast<std::size_t>(count);
        const UniqueFd target = openPidfd(box_.pid());
        const std::uint64_t begin = nowNs();
        for (std::size_t answered = from; answered < to; ++answered) {
            while (runs_.size() < std::min(to, answered + kAhead)) ask(target.get());
            const auto reply = client_.reply();
            if (!reply) throw std::runtime_error("START: " + reply.error().message);
            if (auto started = decodeReply<Started>(reply->bytes); !started) throw std::runtime_error("START: " + started.error().message);
        }
        for (std::size_t i = from; i < to; ++i) client_.waitFor(runs_[i], RunPhase::Executing);
        return static_cast<double>(to - from) * 1e9 / static_cast<double>(nowNs() - begin);
    }
    // All of them, by STOP without grace; seconds until the last has left nothing.
    double endAll() {
        const std::uint64_t begin = nowNs();
        for (const std::string& run : runs_) static_cast<void>(client_.ask<Empty>(Verb::Stop, StopRequest{run, 0}));
        for (const std::string& run : runs_)
            if (!client_.waitFor(run, RunPhase::Finished).report.left.empty()) throw std::runtime_error("run " + run + " left something");
        const double seconds = static_cast<double>(nowNs() - begin) / 1e9;
        for (const std::string& run : runs_) static_cast<void>(client_.ask<Empty>(Verb::Ack, RunRef{run}));
        runs_.clear();
        return seconds;
    }
    double attach() {
        const Report report = runPlan(client_, planOf({"exit"}), box_.pid()).report;
        if (report.end != End::Exited || !report.left.empty()) throw std::runtime_error("attach: " + report.step);
        return static_cast<double>(report.executing - report.received) / 1000;
    }
    double wholeRun() {
        const std::uint64_t begin = nowNs();
        runPlan(client_, planOf({"exit"}), box_.pid());
        return static_cast<double>(nowNs() - begin) / 1e6;
    }
    std::uint64_t daemonKb() const {
        std::uint64_t sum = 0;
        for (const pid_t pid : daemons_) sum += std::stoull(statusOf(pid).at("VmRSS"));
        return sum;
    }
    std::vector<std::string> left() const { return leftAfter(*outside_, before_); }
    const MicroContainer& box() const { return box_; }
    const MicroContainer& crunBox() const { return crunBox_; }

private:
    static constexpr std::size_t kAhead = 8;  // asked for before the first of them is answered

    void ask(int target) {
        Plan plan = planOf({"rest"});
        plan.timeoutUsec = 3600ull * 1000000;
        plan.stdio = {};  // nobody reads what they would say
        if (auto sent = client_.send(encode(Verb::Start, ++sequence_, plan), {target}); !sent)
            throw std::runtime_error("START: " + sent.error().message);
        runs_.push_back(plan.runId);
    }
    static Ceiling ceiling() {
        Ceiling ceiling;
        ceiling.limits = LimitsMode::BestEffort;
        return ceiling;
    }
    Plan planOf(std::vector<std::string> words) {
        if (!usual_) usual_ = planFor(client_, launcher_, box_.pid(), {"exit"});
        Plan plan = *usual_;
        plan.runId = freshRunId();
        plan.argv = {"payload"};
        plan.argv.insert(plan.argv.end(), words.begin(), words.end());
        return plan;
    }

    const MicroContainer box_{{.kind = "busybox"}}, crunBox_{{.kind = "busybox", .runtime = "crun"}};
    OwnLauncher launcher_;
    LauncherClient client_;
    std::optional<Plan> usual_;
    std::vector<pid_t> daemons_;
    std::vector<std::string> runs_;
    std::uint32_t sequence_ = 0;
    std::unique_ptr<Outside> outside_;
    Picture before_;
};

std::vector<Way> ways(Crowd& crowd) {
    const MicroContainer &box = crowd.box(), &crunBox = crowd.crunBox();
    const std::string pid = std::to_string(box.pid());
    const auto program = [](std::vector<std::string> argv) { return [argv] { return timeOf({argv}); }; };
    const auto exec = [&](const char* runtime, const MicroContainer& container) {
        auto argv = runtimeCommand(runtime, container.runtimeRoot());
        for (const auto& word : {std::string("exec"), container.name(), std::string("/bin/true")}) argv.push_back(word);
        return program(argv);
    };
    return {{"attach", [&crowd] { return crowd.attach(); }},
            {"run", [&crowd] { return crowd.wholeRun(); }},
            {"nsenter", program({"nsenter", "-t", pid, "-n", "-i", "-u", "/bin/true"})},
            {"crun_exec", exec("crun", crunBox)},
            {"runc_exec", exec("runc", box)}};
}

json measure(std::vector<Way>& all, int rounds) {
    std::map<std::string, Times> times;
    for (int round = 0; round < rounds + 3; ++round)
        for (const Way& way : all) {
            const double ms = way.once();
            if (round >= 3) times[way.name].add(ms);
        }
    json found;
    for (const Way& way : all) {
        const Times& its = times[way.name];
        std::printf("  %-12s p50 %8.2f  p90 %8.2f  p99 %8.2f ms\n", way.name.c_str(), its.median(), its.at(0.9), its.at(0.99));
        found[way.name] = {{"p50_ms", its.median()}, {"p90_ms", its.at(0.9)}, {"p99_ms", its.at(0.99)}};
    }
    return found;
}

// What each of `more` costs, in memory and in time; what they run aside keeps of the machine is no part of it.
json grow(Crowd& crowd, double more, int to) {
    const std::uint64_t kernel = kernelKb(), daemon = crowd.daemonKb();
    const double rate = crowd.growTo(to);
    const double kernelEach = static_cast<double>(kernelKb() - kernel) / more,
                 daemonEach = static_cast<double>(crowd.daemonKb() - daemon) / more;
    std::printf("%.0f more: %.0f starts/s, each %.0f KiB of the kernel's and %.1f KiB of the launcher's memory\n", more, rate, kernelEach,
                daemonEach);
    return {{"starts_per_s", rate}, {"kernel_kib_each", kernelEach}, {"daemon_kib_each", daemonEach}};
}

void printGoal(const char* what, double value, double wanted, bool atMost) {
    const bool met = atMost ? value <= wanted : value >= wanted;
    std::printf("%-40s %9.2f   at %s %.2f: %s\n", what, value, atMost ? "most" : "least", wanted, met ? "met" : "missed");
}

// The most that were alive, beside the fewest.
void summarize(json& found, const std::vector<int>& alive) {
    if (alive.size() < 2) return;
    const json &fewest = found[std::to_string(alive.front())], &most = found[std::to_string(alive.back())];
    const auto attach = [](const json& one) { return one.at("ways").at("attach").at("p50_ms").get<double>(); };
    found["capsules"] = alive.back();
    found["kb_per_capsule"] = most.at("kernel_kib_each").get<double>() + most.at("daemon_kib_each").get<double>();
    found["starts_per_s"] = most.at("starts_per_s");
    found["attach_ratio"] = attach(most) / attach(fewest);
    std::printf("\ngoals, with %d alive\n", alive.back());
    printGoal("attach, to that on an idle node", found["attach_ratio"], 1.5, true);
    printGoal("starts a second", found["starts_per_s"], 700, false);
    printGoal("kernel memory each, KiB", most.at("kernel_kib_each"), 200, true);
    printGoal("launcher memory each, KiB", most.at("daemon_kib_each"), 20, true);
}

json run(const Options& options) {
    Crowd crowd;
    std::vector<Way> all = ways(crowd);
    json found;
    int before = 0;
    for (const int alive : options.alive) {
        json one = alive > before ? grow(crowd, alive - before, alive) : json::object();
        std::printf("%d alive:\n", alive);
        one["ways"] = measure(all, options.rounds);
        std::fflush(stdout);
        found[std::to_string(alive)] = one;
        before = alive;
    }
    const double seconds = crowd.endAll();
    const auto left = crowd.left();
    std::printf("all ended in %.2f s, left: %zu\n", seconds, left.size());
    for (const std::string& what : left) std::printf("  %s\n", what.c_str());
    found["end_all_s"] = seconds;
    summarize(found, options.alive);
    if (!left.empty()) throw std::runtime_error("something is left");
    return {{"many", found}};
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    recap::bench::Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--json" && i + 1 < argc)
            options.json = argv[++i];
        else if (word == "--rounds" && i + 1 < argc)
            options.rounds = std::atoi(argv[++i]);
        else
            options.alive.push_back(std::atoi(argv[i]));
    }
    if (options.alive.empty()) options.alive = {0, 1000, 4000};
    try {
        const auto found = recap::bench::run(options);
        if (!options.json.empty()) std::ofstream{options.json} << found.dump(2) << "\n";
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_many: %s\n", error.what());
        return 1;
    }
    return 0;
}
