// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/first_instruction.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>
#include <stdexcept>

namespace recap::bench {
namespace {

double number(const client::Dict& phases, const char* name) { return static_cast<double>(phases.number(name)); }

std::string why(const client::Run& run) {
    return run.failure() != nullptr ? run.failure()->message : run.end()->outcome + " " + std::string(run.end()->details.text("detail"));
}

client::Client connected() {
    auto client = client::Client::connect();
    if (!client) throw std::runtime_error(client.error().message);
    return std::move(*client);
}

}  // namespace

FirstInstruction::FirstInstruction(std::string target) : target_(std::move(target)), client_(connected()) {}

double FirstInstruction::once() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const UniqueFd in{ends[0]};
    UniqueFd out{ends[1]};
    const std::uint64_t asked = nowNs();
    const client::Run run = client_.run({.capsule = "noop", .target = target_, .args = {"--stamp"}, .standardOutput = out.get()});
    while (!run.ended())
        if (auto waited = client_.wait(); !waited) throw std::runtime_error(waited.error().message);
    out.reset();
    if (run.failure() != nullptr || run.end()->exitCode != 0) throw std::runtime_error("noop: " + why(run));
    keep(run.end()->details.dict("phases"));
    char text[64] = {};
    if (::read(in.get(), text, sizeof text - 1) <= 0) throw std::runtime_error("noop --stamp printed nothing");
    return static_cast<double>(std::strtoull(text, nullptr, 10)) / 1e3 - static_cast<double>(asked) / 1e6;
}

void FirstInstruction::keep(const client::Dict& phases) {
    const char* order[] = {"received", "planned", "attached", "executing", "finished", "escaped"};
    for (std::size_t i = 1; i < std::size(order); ++i)
        phases_[order[i]].add((number(phases, order[i]) - number(phases, order[i - 1])) / 1000);
    phases_["whole"].add((number(phases, "escaped") - number(phases, "received")) / 1000);
}

}  // namespace recap::bench
