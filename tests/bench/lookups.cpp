// SPDX-License-Identifier: Apache-2.0
// bench_lookups [--json FILE] [N…]: what it costs to find a target by its name, by the first digits of its id and by a process, with
// N targets (10 1000 10000) as Docker's containers are told. Medians of a thousand lookups of targets all over the table, in µs.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "daemon/core/target_index.hpp"
#include "tests/bench/measure.hpp"

namespace recap::bench {
namespace {

constexpr std::size_t kLookups = 1000;

std::string idOf(std::size_t number) {  // as spread as a digest is
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016zx", number * 0x9e3779b97f4a7c15);
    return std::string(digits) + std::string(48, 'a');
}

std::deque<Target> containers(std::size_t count) {
    std::deque<Target> all;
    for (std::size_t i = 0; i < count; ++i) {
        Target& made = all.emplace_back();
        made.id = {"docker", idOf(i)};
        made.name = "shop-web-" + std::to_string(i);
        made.aliases = {"shop/web/" + std::to_string(i)};
        made.pid = static_cast<pid_t>(i + 1000);
    }
    return all;
}

double medianOf(const std::deque<Target>& all, const std::function<std::size_t(const Target&)>& lookUp) {
    Times times;
    for (std::size_t i = 0; i < kLookups; ++i) {
        const Target& wanted = all[i * 7919 % all.size()];
        const std::uint64_t before = nowNs();
        const std::size_t found = lookUp(wanted);
        times.add(static_cast<double>(nowNs() - before) / 1000);
        if (found != 1) throw std::runtime_error(wanted.name + " is found " + std::to_string(found) + " times");
    }
    return times.median();
}

nlohmann::json measure(std::size_t count) {
    const auto all = containers(count);
    TargetIndex index;
    for (const Target& target : all) index.add(target);
    nlohmann::json row;
    row["name_us"] = medianOf(all, [&](const Target& target) { return index.named(target.name).size(); });
    row["prefix_us"] = medianOf(all, [&](const Target& target) { return index.prefixed(target.id.id.substr(0, 12)).size(); });
    row["process_us"] = medianOf(all, [&](const Target& target) { return index.ofProcess(target.pid).size(); });
    return row;
}

int run(int count, char** words) {
    std::string file;
    std::vector<std::size_t> sizes;
    for (int i = 1; i < count; ++i) {
        if (std::strcmp(words[i], "--json") == 0 && i + 1 < count)
            file = words[++i];
        else
            sizes.push_back(std::stoul(words[i]));
    }
    if (sizes.empty()) sizes = {10, 1000, 10000};
    nlohmann::json all;
    std::printf("Looking up a target, medians in µs\n\n%10s %10s %10s %10s\n", "targets", "by name", "by id", "by process");
    for (const std::size_t size : sizes) {
        const auto row = measure(size);
        std::printf("%10zu %10.3f %10.3f %10.3f\n", size, row["name_us"].get<double>(), row["prefix_us"].get<double>(),
                    row["process_us"].get<double>());
        all["lookups"][std::to_string(size)] = row;
    }
    if (!file.empty()) std::ofstream(file) << all.dump(2) << '\n';
    return 0;
}

}  // namespace
}  // namespace recap::bench

int main(int argc, char** argv) {
    try {
        return recap::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_lookups: %s\n", error.what());
        return 1;
    }
}
