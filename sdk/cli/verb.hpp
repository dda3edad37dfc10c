// SPDX-License-Identifier: Apache-2.0
// A verb of the command line: the words that it takes, where they go, and what is said of them. CLI11 does the work, and is seen
// only in verb.cpp: compiling it takes longer than all else of a command.
//
// What is filled in has to outlive the parsing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's own
class App;
}

namespace recap::cli {

class Verb {
public:
    using Strings = std::vector<std::string>;

    Verb(const std::string& name, const std::string& says);
    ~Verb();

    // "--long" or "-s,--long". An option takes a value, once; that of a list also the words that follow, and again and again.
    Verb& flag(const std::string& names, bool& to, const std::string& says);
    Verb& option(const std::string& names, std::string& to, const std::string& says, Strings choices = {});
    Verb& option(const std::string& names, std::uint32_t& to, const std::string& says);
    Verb& list(const std::string& names, Strings& to, const std::string& says);

    Verb& operand(const std::string& name, std::string& to, const std::string& says);
    Verb& operands(const std::string& name, Strings& to, const std::string& says);             // one or more
    Verb& optionalOperand(const std::string& name, std::string* to, const std::string& says);  // null: nobody wants to know

    Verb& footer(const std::string& says);  // below the help
    Verb& passesArguments();                // what stands after "--" is for a capsule

    // One of its verbs. A verb that has some does nothing itself; one that is below takes the options of those above it too.
    Verb& verb(const std::string& name, const std::string& says, std::function<int()> act = {});

    struct Chosen {
        const Verb* verb;
        std::string text;  // to be printed instead: help, or the version
    };
    Result<Chosen> parse(Strings words);

    bool takesArguments() const { return passes_; }
    int act() const { return act_(); }

private:
    Verb(CLI::App& app, std::function<int()> act);
    const Verb* chosen() const;

    std::unique_ptr<CLI::App> top_;  // of the first
    CLI::App* app_;
    std::function<int()> act_;
    bool passes_ = false;
    std::vector<std::unique_ptr<Verb>> verbs_;
};

}  // namespace recap::cli
