// SPDX-License-Identifier: Apache-2.0
// recap-capsule: what authors of capsules use. Needs no daemon and no right.
#include <cstdio>
#include <exception>

#include "sdk/tools/verbs.hpp"

int main(int argc, char** argv) try {
    recap::cli::Verb top("recap-capsule", "Make and check capsules for RECap");
    recap::tools::addCheck(top);
    recap::tools::addBuild(top);
    const auto chosen = top.parse({argv + 1, argv + argc});
    if (!chosen) {
        std::fprintf(stderr, "recap-capsule: %s (recap-capsule --help says what there is)\n", chosen.error().message.c_str());
        return 2;
    }
    if (!chosen->text.empty()) return std::fputs(chosen->text.c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
    return chosen->verb->act();
} catch (const std::exception& error) {
    std::fprintf(stderr, "recap-capsule: %s\n", error.what());
    return 1;
}
