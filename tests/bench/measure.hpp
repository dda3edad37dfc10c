// SPDX-License-Identifier: Apache-2.0
// Times of whole processes, and what a list of them says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace recap::bench {

std::uint64_t nowNs();  // CLOCK_MONOTONIC

struct Program {
    std::vector<std::string> argv;
    std::map<std::string, std::string> env = {};  // beside this process's own
    std::uint32_t uid = 0;
};

// From before the start of the process to after its end, in ms; its output goes to /dev/null. Throws std::runtime_error with what
// the program printed (by running it once more) where it exits with anything but 0.
double timeOf(const Program& program);

class Times {
public:
    void add(double ms) { all_.push_back(ms); }
    bool empty() const { return all_.empty(); }
    double at(double quantile) const;
    double median() const { return at(0.5); }

private:
    std::vector<double> all_;
};

// One row of a table: something that is done once, and how long it took in ms.
struct Case {
    std::string key;
    std::string words;
    std::function<double()> once;
    Times hot = {}, cold = {};
};

// The cases one after another, so many rounds, after some to warm up: hot, and cold, which is after 100 ms of rest before each.
void takeTurns(std::vector<Case>& all, int rounds);
void printCases(const std::vector<Case>& all);
double rounded(double ms);  // to µs

}  // namespace recap::bench
