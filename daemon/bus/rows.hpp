// SPDX-License-Identifier: Apache-2.0
// Values of the house as rows of the bus (see dbus/*.xml for the keys).
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "daemon/bus/options.hpp"
#include "daemon/bus/text.hpp"
#include "daemon/core/backend.hpp"
#include "daemon/core/batches.hpp"
#include "daemon/core/capsules.hpp"
#include "daemon/core/image.hpp"
#include "daemon/core/runs.hpp"
#include "daemon/core/schedules.hpp"
#include "daemon/core/target.hpp"

namespace recap::bus {

using Rows = std::vector<Values>;

// dbus-daemon disconnects who sends more than 32 MiB: a reply ends well before.
constexpr std::size_t kMaxReply = 8u << 20;

// What goes onto the bus, in text that the bus takes, and about how many bytes it is there.
struct Cell {
    Cell(const std::string& text) : Cell(Checked{}, busText(text)) {}
    Cell(const std::vector<std::string>& texts);
    Cell(const std::map<std::string, std::string>& texts);
    Cell(const std::map<std::string, std::uint64_t>& numbers) : value(numbers), bytes(numbers.size() * 32 + 16) {}
    Cell(const std::vector<std::uint64_t>& numbers) : value(numbers), bytes(numbers.size() * 8 + 16) {}
    Cell(const sdbus::ObjectPath& path) : value(path), bytes(path.size() + 16) {}
    template <class Number>
        requires std::is_arithmetic_v<Number> Cell(Number number) : value(number), bytes(16) {}

        sdbus::Variant value;
        std::size_t bytes;

    private:
        struct Checked {};
        Cell(Checked, const std::string& text) : value(text), bytes(text.size() + 16) {}
};

class Row {
public:
    Row(std::initializer_list<std::pair<const char*, Cell>> cells) {
        for (const auto& [key, cell] : cells) set(key, cell);
    }
    void set(const char* key, const Cell& cell) {
        bytes_ += std::char_traits<char>::length(key) + cell.bytes + 8;
        values_[key] = cell.value;
    }
    void set(std::initializer_list<std::pair<const char*, Cell>> cells) {
        for (const auto& [key, cell] : cells) set(key, cell);
    }
    const Values& values() const { return values_; }
    std::size_t bytes() const { return bytes_; }
    Values take() && { return std::move(values_); }

private:
    Values values_;
    std::size_t bytes_ = 16;
};

// Rows up to kMaxReply.
class Listing {
public:
    // False: it does not fit any more, and nothing after it will be taken.
    bool add(Row row);
    Rows take() && { return std::move(rows_); }
    Result<Rows> whole() &&;  // LimitExceeded where a row did not fit

private:
    Rows rows_;
    std::size_t bytes_ = 0;
    bool full_ = false;
};
Result<Values> whole(Row row);  // LimitExceeded where it is over kMaxReply

// Labels and bits from 0 to 1: names people know.
std::vector<std::string> namespaceNames(std::uint32_t bits);
std::vector<std::string> capabilityNames(std::uint64_t mask);

// Of a terminal.
Result<void> checkSize(std::uint64_t rows, std::uint64_t columns);

std::string runPath(const RunId& id);
std::string batchPath(const BatchId& id);
std::string capsulePath(const std::string& name);
std::string backendPath(const std::string& name);

std::map<std::string, std::uint64_t> phases(const Phases& phases);

Row row(const Target& target);
Row row(const CapsuleInfo& capsule, const Image* image, const CapsuleHealth& health);
Row row(const Image& image);
Row row(const BackendStatus& backend);
Row row(const PolicyInfo& policy);
Row row(const ScheduleRow& schedule);
Row row(const RunRecord& run);      // what anybody may see
Row row(const BatchRow& batch);     // likewise
Row details(const RunRecord& run);  // arguments, environment and caller too
Row details(const RunPlan& plan);

}  // namespace recap::bus
