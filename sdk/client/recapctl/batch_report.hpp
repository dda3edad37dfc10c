// SPDX-License-Identifier: Apache-2.0
// What is said of a batch: a line a target as they end, how far it is meanwhile, and what became of all in the end.
#pragma once

#include <chrono>
#include <set>
#include <string>

#include "sdk/client/recap/value.hpp"
#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/output.hpp"

namespace recapctl {

// Of a batch with no outcome but "succeeded", with others too, with none.
inline constexpr int kSomeFailed = 1;
inline constexpr int kNoneSucceeded = 2;
int batchStatus(const recap::client::Rows& results);

// Lines whose columns are in line although they are written one after the other: whose targets these are is known from the start.
class BatchLines {
public:
    explicit BatchLines(const recap::client::Rows& targets);
    std::string heads(const Style& style) const;
    std::string line(const recap::client::Dict& result) const;

private:
    std::string nameOf(const recap::client::Dict& result) const;
    std::string inColumns(const std::string& target, const std::string& outcome, const std::string& exit, const std::string& run,
                          const std::string& detail) const;

    std::set<std::string> twice_;  // names that do not say which target is meant
    std::size_t width_;
};

// "12 of 500 done, 8 running, 2 not succeeded, 3 s".
std::string batchProgress(const recap::client::Rows& results, const recap::client::Dict& counts, std::chrono::seconds since);
// "500 targets: 497 succeeded, 2 failed, 1 target-gone".
std::string batchSummary(const recap::client::Rows& results);
Json batchToJson(const std::string& id, const recap::client::Rows& results);

}  // namespace recapctl
