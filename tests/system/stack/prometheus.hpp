// SPDX-License-Identifier: Apache-2.0
// Prometheus' text format, read as strictly as it is described: every series has its HELP and TYPE before it, a metric's series stand
// together, and nothing is there twice.
#pragma once

#include <map>
#include <regex>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/support/files.hpp"

namespace recap::test {

class Prometheus {
public:
    explicit Prometheus(const std::string& text) {
        if (text.empty() || text.back() != '\n') throw std::runtime_error("the last line has no end");
        for (const std::string& line : lines(text)) read(line);
    }

    // Of the metric's series whose labels hold this text ("state=\"listen\""), the sum.
    double value(const std::string& name, const std::string& label = {}) const {
        double sum = 0;
        bool found = false;
        for (const auto& [series, value] : values_)
            if (series.rfind(name + "{", 0) == 0 && series.find(label) != std::string::npos) sum += value, found = true;
        if (!found) throw std::runtime_error("no " + name + " with " + label);
        return sum;
    }
    bool has(const std::string& name) const { return types_.contains(name); }
    const std::string& type(const std::string& name) const { return types_.at(name); }

private:
    void read(const std::string& line) {
        static const std::regex kComment{R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*))"};
        static const std::regex kSeries{
            R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?=[a-zA-Z_])|(?=\})))*\}) (-?[0-9]+(?:\.[0-9]+)?))re"};
        std::smatch part;
        if (std::regex_match(line, part, kComment)) {
            const std::string name = part[2];
            if (part[1] == "HELP") return begin(name);
            static const std::set<std::string> kTypes{"counter", "gauge"};
            if (name != metric_ || !kTypes.contains(part[3]) || !types_.emplace(name, part[3]).second) fail(line);
        } else if (std::regex_match(line, part, kSeries)) {
            if (part[1] != metric_ || !types_.contains(metric_)) fail(line);
            if (!values_.emplace(part[1].str() + part[2].str(), std::stod(part[3])).second) fail(line);
        } else {
            fail(line);
        }
    }
    void begin(const std::string& name) {
        if (!begun_.insert(name).second) fail("a second HELP of " + name);
        metric_ = name;
    }
    [[noreturn]] static void fail(const std::string& line) { throw std::runtime_error("not as the format says: " + line); }

    std::string metric_;
    std::set<std::string> begun_;
    std::map<std::string, std::string> types_;
    std::map<std::string, double> values_;
};

}  // namespace recap::test
