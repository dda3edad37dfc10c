// SPDX-License-Identifier: Apache-2.0
// The attacker at work inside a container, started there by its runtime's exec.
#pragma once

#include <cstring>
#include <stdexcept>

#include "tests/hostile/arena.hpp"
#include "tests/support/command.hpp"
#include "tests/support/wait.hpp"

namespace recap::test {

class Prober {
public:
    Prober(const MicroContainer& container, std::vector<std::string> words)
        : looks_(container.rootfs() / "looks"), child_(commandFor(container, std::move(words))) {
        if (!says("ready")) throw std::runtime_error("the attacker does not start in " + container.name());
    }
    ~Prober() { child_.signal(SIGKILL); }  // the attacker goes with it
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    bool says(const std::string& text, std::chrono::milliseconds patience = kPatience) {
        return child_.waitForOutput(text, Deadline{patience});
    }
    // What it got hold of after `from`, which mark() was once; empty: nothing.
    std::size_t mark() { return child_.readOut().size(); }
    std::string gained(std::size_t from) {
        const std::string& all = child_.readOut();
        const auto at = all.find("SUCCESS ", from);
        return at == std::string::npos ? std::string() : all.substr(at + 8, all.find('\n', at) - at - 8);
    }
    // Until it has looked at all there is once more, from the first to the last.
    void awaitLook() {
        const std::uint64_t before = looks();
        if (!waitUntil([&] { return looks() >= before + 2; }, Deadline{kPatience})) throw std::runtime_error("the prober stands still");
    }

private:
    std::uint64_t looks() const {
        std::uint64_t count = 0;
        const std::string bytes = readFile(looks_);
        if (bytes.size() == sizeof(count)) std::memcpy(&count, bytes.data(), sizeof(count));
        return count;
    }

    static Command commandFor(const MicroContainer& container, std::vector<std::string> words) {
        std::filesystem::copy_file(attacker(), container.rootfs() / "attacker", std::filesystem::copy_options::skip_existing);
        auto argv = runtimeCommand("runc", container.runtimeRoot());
        for (const char* word : {"exec", container.name().c_str(), "/attacker"}) argv.emplace_back(word);
        argv.insert(argv.end(), words.begin(), words.end());
        return Command{.argv = argv};
    }
    std::filesystem::path looks_;
    Child child_;
};

}  // namespace recap::test
