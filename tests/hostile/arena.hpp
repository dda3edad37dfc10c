// SPDX-License-Identifier: Apache-2.0
// Where attacks are made: on the launcher that ships, where none may succeed, and then on one that lacks just the countermeasure
// against this threat (daemon/launcher/weaken.hpp), where one must: an attack that can't succeed there shows nothing here.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/launcher/weaken.hpp"
#include "tests/support/micro_container.hpp"
#include "tests/support/outside.hpp"
#include "tests/system/launcher/launcher_client.hpp"

namespace recap::test {

using launcher::Threat;

// A launcher of the attack's own. What it has of files, cgroups and processes is seen by an observer from before the attack on.
class Arena {
public:
    explicit Arena(std::optional<Threat> weakened, const launcher::Ceiling& ceiling = {}, const std::vector<std::string>& options = {});

    bool weakened() const { return weakened_; }
    OwnLauncher& launcher() { return *launcher_; }
    LauncherClient& client() { return *client_; }
    launcher::Plan plan(const MicroContainer& target, std::vector<std::string> words) {
        return planFor(*client_, *launcher_, target.pid(), std::move(words));
    }
    launcher::Plan attack(const MicroContainer& target,
                          std::vector<std::string> words);  // of the attacker, which the image has at /attacker
    // Whether the attacker's success is in what it printed; what it printed then.
    std::optional<std::string> succeeds(const launcher::Plan& plan, const MicroContainer& target);
    std::filesystem::path layer() { return launcher_->folderOfLayer(launcher_->layer()); }
    std::unique_ptr<OwnLauncher> another() const;  // of the same programs
    Finished run(const launcher::Plan& plan, const MicroContainer& target) { return runPlan(*client_, plan, target.pid()); }

private:
    bool weakened_;
    LauncherPrograms programs_;
    std::unique_ptr<OwnLauncher> launcher_;
    std::unique_ptr<LauncherClient> client_;
};

// Where the attacks' own program is, static, for targets that are to have it too.
std::filesystem::path attacker();

// What an attack came to. An attempt that the launcher refused, or that ended without what it was after, is no success.
struct Score {
    int attempts = 0;
    int successes = 0;
    std::vector<std::string> how = {};  // the successes

    void attempt(bool succeeded, const std::string& what) {
        ++attempts;
        if (!succeeded) return;
        ++successes;
        if (how.size() < 5) how.push_back(what);
    }
};

// What surrounds an attack, where it is not the usual.
struct Surroundings {
    launcher::Ceiling ceiling = {};
    std::vector<pid_t> targets = {};        // which the observer watches too
    std::vector<std::string> options = {};  // of the launcher's command line
};

Surroundings allViews();  // a ceiling that allows every view, and /srv to be written

using Attack = std::function<void(Arena& arena, Score& score)>;

// Makes the attack on both launchers; the threat's line is printed at the end of all tests. The assertion that judges the first is the one
// that must fail for the second, and nothing else may.
void expectInVain(Threat threat, const Attack& attack, const Surroundings& around = {});

// How often: `least`, times RECAP_HOSTILE_ROUNDS of the environment for who wants to attack for hours. The weakened launcher is
// attacked no longer than until it gives way: loops ask this.
int rounds(int least);
inline bool goOn(const Arena& arena, const Score& score, int least) {
    return score.attempts < rounds(least) && !(arena.weakened() && score.successes > 0);
}

// One of a list of attacks: each of these must succeed where the countermeasure is missing, not only the first.
inline void attemptEach(const Arena& arena, Score& score, bool succeeded, const std::string& what) {
    score.attempt(succeeded, what);
    EXPECT_TRUE(succeeded || !arena.weakened()) << "in vain without the countermeasure too, so it shows nothing: " << what;
}

}  // namespace recap::test
