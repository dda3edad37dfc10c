// SPDX-License-Identifier: Apache-2.0
#include "tests/hostile/arena.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>
#include <utility>

#include "tests/support/environment.hpp"

namespace recap::test {

namespace {

LauncherPrograms programsFor(std::optional<Threat> weakened, const std::vector<std::string>& options) {
    if (!weakened) return {.options = options};
    const auto built = binDir().parent_path() / "tests";
    const std::string number = std::to_string(static_cast<int>(*weakened));
    LauncherPrograms programs{.launcher = built / "recap-launcher-weakened", .env = {{"RECAP_TEST_WEAKEN", number}}, .options = options};
    if (*weakened == Threat::CopyRaces) programs.collector = built / "recap-collect-weakened";
    return programs;
}

std::string listed(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text.append("\n  ").append(line);
    return text;
}

// What all attacks of a threat came to together.
struct Total {
    int tests = 0;
    int attempts = 0;
    Score weak = {};
    bool failed = false;
};

std::map<int, Total>& totals() {
    static std::map<int, Total> all;
    return all;
}

// As the compiler names it: the enumerator, or a cast of the number where Threat has none of that number.
template <Threat threat>
constexpr std::string_view spelling() {
    const std::string_view text = __PRETTY_FUNCTION__;
    const auto value = text.substr(text.find("threat = ") + 9);
    return value.substr(0, value.find_first_of(";]"));
}

template <int number>
void nameTo(std::map<int, std::string>& names) {
    constexpr std::string_view text = spelling<static_cast<Threat>(number)>();
    if constexpr (text.front() != '(') names[number] = text.substr(text.rfind(':') + 1);
}

// All that there are, by their numbers.
std::map<int, std::string> allThreats() {
    std::map<int, std::string> names;
    [&]<int... numbers>(std::integer_sequence<int, numbers...>) { (nameTo<numbers>(names), ...); }
    (std::make_integer_sequence<int, 64>());
    return names;
}
static_assert(spelling<Threat::WildPlans>().ends_with("::WildPlans") && spelling<static_cast<Threat>(0)>().front() == '(');

// That nobody took a threat's attacks out of the suite, where all of it was to run.
void expectEveryThreat() {
    if (GTEST_FLAG_GET(filter) != "*") return;
    for (const auto& [number, name] : allThreats())
        EXPECT_TRUE(totals().contains(number)) << "T" << number << " (" << name << ") was not attacked";
}

// A line a threat, at the end of all.
class Summary : public ::testing::Environment {
    void TearDown() override {
        for (const auto& [threat, total] : totals()) {
            if (total.failed) continue;
            std::printf("T%d attacked %d times, 0 successes; weakened: succeeded as expected (%d of %d in %d tests: %s)\n", threat,
                        total.attempts, total.weak.successes, total.weak.attempts, total.tests, total.weak.how.front().c_str());
        }
        expectEveryThreat();
    }
};

[[maybe_unused]] ::testing::Environment* const kSummary = ::testing::AddGlobalTestEnvironment(new Summary);

constexpr const char* kJudgement = "the attack succeeded";

void judge(Threat threat, const Score& score) {
    EXPECT_EQ(score.successes, 0) << "T" << static_cast<int>(threat) << ": " << kJudgement << ":" << listed(score.how);
}

Score attackOnce(std::optional<Threat> weakened, const Attack& attack, const Surroundings& around) {
    Arena arena(weakened, around.ceiling, around.options);
    const Outside outside({.targets = around.targets,
                           .daemons = {arena.launcher().pid()},
                           .cgroupRoots = arena.launcher().cgroupRoots(),
                           .folders = {arena.launcher().store()}});
    const Picture before = lookWhenQuiet(outside);
    Score score;
    try {
        attack(arena, score);
    } catch (const std::exception& error) {
        ADD_FAILURE() << error.what() << "\n" << arena.launcher().output();
    }
    if (!weakened) {
        EXPECT_THAT(leftAfter(outside, before), ::testing::IsEmpty()) << arena.launcher().output();
    }
    return score;
}

// What failed in the attack on the weakened launcher, beside the judgement.
std::vector<std::string> otherFailures(const ::testing::TestPartResultArray& results, int& judgements) {
    std::vector<std::string> others;
    for (int i = 0; i < results.size(); ++i) {
        const ::testing::TestPartResult& result = results.GetTestPartResult(i);
        if (!result.failed()) continue;
        if (std::string(result.message()).find(kJudgement) != std::string::npos)
            ++judgements;
        else
            others.emplace_back(result.message());
    }
    return others;
}

}  // namespace

Arena::Arena(std::optional<Threat> weakened, const launcher::Ceiling& ceiling, const std::vector<std::string>& options)
    : weakened_(weakened.has_value()),
      programs_(programsFor(weakened, options)),
      launcher_(std::make_unique<OwnLauncher>(ceiling, programs_)),
      client_(std::make_unique<LauncherClient>(launcher_->socket())) {
    static_cast<void>(client_->ask<launcher::Hello>(launcher::Verb::Hello, launcher::Hello{}).value());
    launcher_->journal();
    std::filesystem::copy_file(attacker(), launcher_->folderOfLayer(launcher_->layer()) / "attacker");
}

launcher::Plan Arena::attack(const MicroContainer& target, std::vector<std::string> words) {
    launcher::Plan plan = this->plan(target, std::move(words));
    plan.executable = "/attacker";
    plan.argv.front() = "/attacker";
    return plan;
}

std::optional<std::string> Arena::succeeds(const launcher::Plan& plan, const MicroContainer& target) {
    const std::string said = run(plan, target).out;
    const auto at = said.find("SUCCESS ");
    if (at == std::string::npos) return {};
    return said.substr(at + 8, said.find('\n', at) - at - 8);
}

std::unique_ptr<OwnLauncher> Arena::another() const { return std::make_unique<OwnLauncher>(launcher::Ceiling{}, programs_); }

std::filesystem::path attacker() { return binDir().parent_path() / "tests" / "recap-test-attacker"; }

int rounds(int least) {
    const char* times = std::getenv("RECAP_HOSTILE_ROUNDS");
    return times != nullptr ? least * std::max(1, std::atoi(times)) : least;
}

Surroundings allViews() {
    Surroundings around;
    around.ceiling.views = 0b1111;
    around.ceiling.writes = {"/srv"};
    return around;
}

void expectInVain(Threat threat, const Attack& attack, const Surroundings& around) {
    Total& total = totals()[static_cast<int>(threat)];
    const bool failedBefore = std::exchange(total.failed, true);  // until this test has come to its end
    const Score score = attackOnce(std::nullopt, attack, around);
    EXPECT_GT(score.attempts, 0);
    judge(threat, score);
    if (::testing::Test::HasFailure()) return;

    ::testing::TestPartResultArray results;
    Score weak;
    {
        const ::testing::ScopedFakeTestPartResultReporter intercepted(
            ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
        weak = attackOnce(threat, attack, around);
        judge(threat, weak);
    }
    int judgements = 0;
    EXPECT_THAT(otherFailures(results, judgements), ::testing::IsEmpty());
    EXPECT_EQ(judgements, 1) << "T" << static_cast<int>(threat) << ": the attack fails without the countermeasure too: it shows nothing ("
                             << weak.attempts << " attempts)";
    if (::testing::Test::HasFailure()) return;
    total.failed = failedBefore;
    ++total.tests;
    total.attempts += score.attempts;
    total.weak.attempts += weak.attempts;
    total.weak.successes += weak.successes;
    total.weak.how.insert(total.weak.how.end(), weak.how.begin(), weak.how.end());
}

}  // namespace recap::test
