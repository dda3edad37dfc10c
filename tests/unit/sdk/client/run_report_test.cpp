// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/run_report.hpp"

#include <gtest/gtest.h>

namespace recapctl {
namespace {

using recap::client::Dict;

Dict phases() {
    Dict dict;
    std::uint64_t at = 5'000'000;
    for (const char* phase : {"received", "planned", "attached", "executing", "finished", "escaped"}) {
        dict.set(phase, at);
        at += 1500;
    }
    return dict;
}

RunReport reportOf(std::string outcome, int code, Dict details = {}) {
    RunReport report;
    report.id = "01HZZZZZZZZZZZZZZZZZZZZZZ0";
    report.end = {std::move(outcome), code, std::move(details)};
    return report;
}

TEST(Phases, AreTheTimeFromOneToTheNext) {
    EXPECT_EQ(phasesInWords(phases()), "planned 1.50, attached 1.50, executing 1.50, finished 1.50, escaped 1.50, total 7.50");
}

TEST(Phases, LeaveOutWhatWasNotReached) {
    EXPECT_EQ(phasesInWords(Dict{{"received", std::uint64_t{1000}}, {"escaped", std::uint64_t{3000}}}), "escaped 2.00, total 2.00");
}

TEST(Complaint, IsNothingWhereTheCapsuleSpokeForItself) {
    const Dict clean{{"escape", "clean"}};
    EXPECT_EQ(complaint(reportOf("succeeded", 0, clean)), "");
    EXPECT_EQ(complaint(reportOf("failed", 3, clean)), "");
}

TEST(Complaint, SaysWhyARunWasNone) {
    const auto says = complaint(reportOf("denied", 0, Dict{{"detail", "namespace host-net: ceiling key 'namespaces'"}}));
    EXPECT_EQ(says, "run 01HZZZZZZZZZZZZZZZZZZZZZZ0: denied: namespace host-net: ceiling key 'namespaces'");
}

TEST(Complaint, NeverKeepsQuietAboutWhatIsLeft) {
    EXPECT_EQ(complaint(reportOf("succeeded", 0, Dict{{"escape", "1 mount left"}})), "escape: 1 mount left");
}

TEST(Complaint, SaysWhyACapsuleWasKilledUnlessTheCallerKnows) {
    auto report = reportOf("killed", 137, Dict{{"detail", "out of memory: 64 MiB"}});
    EXPECT_EQ(complaint(report), "out of memory: 64 MiB");
    report.interrupted = true;
    EXPECT_EQ(complaint(report), "");
}

TEST(Changes, AreCountedAndListedAndEscaped) {
    using recap::client::Strings;
    const auto changed = [](Strings written, const char* outcome = "succeeded") {
        return changesInWords(reportOf(outcome, 0, Dict{{"written", std::move(written)}}));
    };
    EXPECT_EQ(changed({}), "recapctl: nothing was changed\n");
    EXPECT_EQ(changed({"C /etc/a\x1b[2J", "D /srv/old"}),
              "recapctl: 2 files changed in the run's view, none in the target:\n  changed  /etc/a\\x1b[2J\n  deleted  /srv/old\n");
    EXPECT_EQ(changed({"C /a"}, "killed"), "recapctl: 1 file changed in the run's view, none in the target:\n  changed  /a\n");
    EXPECT_EQ(changed({}, "denied"), "") << "there was no run";
    EXPECT_EQ(changesInWords(reportOf("succeeded", 0)), "") << "nobody knows";
    Strings many(30, "C /x");
    EXPECT_NE(changed(many).find("30 files"), std::string::npos);
    EXPECT_NE(changed(many).find("  and more: recapctl show 01HZZZZZZZZZZZZZZZZZZZZZZ0\n"), std::string::npos);
    EXPECT_NE(changed({"C /x", "..."}).find("more than 1 files"), std::string::npos);
}

TEST(RunJson, HasAllThatAScriptAsksFor) {
    const auto json =
        toJson(reportOf("failed", 3, Dict{{"id", "01HZZZZZZZZZZZZZZZZZZZZZZ0"}, {"escape", "clean"}, {"error", ""}, {"phases", phases()}}));
    EXPECT_EQ(json.at("schema"), 1);
    EXPECT_EQ(json.at("outcome"), "failed");
    EXPECT_EQ(json.at("exit_code"), 3);
    EXPECT_EQ(json.at("exit_status"), 3);
    EXPECT_EQ(json.at("escape"), "clean");
    EXPECT_EQ(json.at("phases").at("escaped"), 7500);
    EXPECT_FALSE(json.contains("error"));
}

TEST(RunJson, HasTheErrorOfARunThatWasNone) {
    const auto json = toJson(reportOf("not-started", 0, Dict{{"error", "NotAdmitted"}, {"detail", "image a is not admitted"}}));
    EXPECT_EQ(json.at("error"), (Json{{"code", "NotAdmitted"}, {"message", "image a is not admitted"}}));
    EXPECT_EQ(json.at("exit_status"), 125);
    const auto whole = toJson(reportOf("not-started", 0, Dict{{"error", "org.recap1.Error.NotFound"}}));
    EXPECT_EQ(whole.at("error").at("code"), "NotFound");
}

}  // namespace
}  // namespace recapctl
