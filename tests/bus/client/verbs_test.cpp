// SPDX-License-Identifier: Apache-2.0
#include "tests/bus/client/peer.hpp"
#include "tests/support/files.hpp"

namespace recap::test {
namespace {

using testing::HasSubstr;
using testing::Not;

using Verbs = PeerTest;

TEST_F(Verbs, ListsKeepOneRecordALineWhateverATargetIsCalled) {
    const auto result = recapctl({"targets", "--no-legend"});
    EXPECT_EQ(result.status, 0);
    ASSERT_EQ(lines(result.out).size(), 1U) << result.out;
    EXPECT_THAT(result.out, HasSubstr("process:42  web\\x0a"));
    EXPECT_THAT(result.out, HasSubstr("app=nginx,evil=a\\x1b[31m"));
    EXPECT_THAT(lines(recapctl({"targets"}).out).at(0), testing::StartsWith("TARGET"));
}

TEST_F(Verbs, TargetsAreFilteredByRecapd) {
    EXPECT_EQ(recapctl({"targets", "--backend", "docker"}).out, "");
    EXPECT_THAT(recapctl({"targets", "--label", "app=nginx"}).out, HasSubstr("process:42"));
    EXPECT_EQ(recapctl({"targets", "-l", "app=redis"}).out, "");
}

TEST_F(Verbs, EveryListHasAJsonForm) {
    const std::pair<std::vector<std::string>, const char*> lists[] = {
        {{"targets"}, "targets"},   {{"capsules"}, "capsules"}, {{"image", "list"}, "images"}, {{"backends"}, "backends"},
        {{"policies"}, "policies"}, {{"runs"}, "runs"},         {{"doctor"}, "checks"},
    };
    for (auto [arguments, key] : lists) {
        arguments.push_back("--json");
        const auto result = recapctl(arguments);
        EXPECT_EQ(result.status, 0) << result.all();
        const auto object = json(result);
        EXPECT_EQ(object.value("schema", 0), 1);
        EXPECT_TRUE(object.at(key).is_array()) << key;
        EXPECT_EQ(result.err, "");
    }
    EXPECT_EQ(json(recapctl({"targets", "--json"})).at("targets").at(0).at("labels").at("app"), "nginx");
}

TEST_F(Verbs, CapsuleShowFindsOneAndNamesWhatIsMissing) {
    EXPECT_THAT(recapctl({"capsule", "show", "sh"}).out, HasSubstr("version       1.0\n"));
    EXPECT_THAT(recapctl({"capsule", "show", "broken"}).out, HasSubstr("unknown key 'entyr'"));
    const auto missing = recapctl({"capsule", "show", "nothing"});
    EXPECT_EQ(missing.status, 125);
    EXPECT_THAT(missing.err, HasSubstr("no capsule 'nothing'"));
    EXPECT_EQ(json(recapctl({"capsule", "show", "nothing", "--json"})).at("error").at("code"), "NotFound");
}

TEST_F(Verbs, CapsuleInstallTakesAFileOrStandardInput) {
    const TempDir temp;
    writeFile(temp.path() / "capsule.toml", "manifest = 1\n[capsule]\nname = \"sh\"\n");
    const std::string file = (temp.path() / "capsule.toml").string();
    EXPECT_EQ(recapctl({"capsule", "install", "--replace", file}).status, 0);
    EXPECT_THAT(recapctl({"capsule", "install", file}).err, HasSubstr("--replace"));
    auto piped = peer.command({"capsule", "install", "-"});
    piped.input = "nothing = 1\n";
    EXPECT_THAT(run(piped).err, HasSubstr("capsule.toml:1:1"));
    writeFile(temp.path() / "large.toml", "name = 1\n" + std::string(70'000, '#'));
    EXPECT_THAT(recapctl({"capsule", "install", (temp.path() / "large.toml").string()}).err, HasSubstr("64 KiB"));
    writeFile(temp.path() / "zero.toml", std::string("name = 1\0x", 10));
    EXPECT_THAT(recapctl({"capsule", "install", (temp.path() / "zero.toml").string()}).err, HasSubstr("zero byte"));
}

TEST_F(Verbs, ChangesThatRecapdDoesNotKnowYetSaySo) {
    for (const auto& arguments : {std::vector<std::string>{"image", "scan", "x"},
                                  {"run", "sh", "--selector", "app=nginx"},
                                  {"image", "import", "docker://alpine"}}) {
        const auto result = recapctl(arguments);
        EXPECT_EQ(result.status, 125) << result.all();
        EXPECT_THAT(result.err, HasSubstr("not supported by this version"));
    }
    EXPECT_EQ(recapctl({"capsule", "remove", "sh"}).status, 0);
    EXPECT_EQ(recapctl({"capsule", "remove", "other"}).status, 125);
}

TEST_F(Verbs, SchedulesAreListedShownAndChanged) {
    const auto listed = recapctl({"schedule"});
    EXPECT_EQ(listed.status, 0) << listed.all();
    EXPECT_THAT(listed.out, testing::ContainsRegex("sh +calendar \\*:0/15 +for user 1000 +2026-11-30 [0-9:]+ +- +2 +-\n"));
    EXPECT_EQ(json(recapctl({"schedule", "--json"})).at("schedule").at(0).at("upcoming").at(1), 1796034600000000);
    const auto shown = recapctl({"capsule", "show", "sh"});
    EXPECT_THAT(shown.out, testing::ContainsRegex("enabled +for user 1000\nschedule +calendar \\*:0/15\nnext +[0-9: -]+\n +[0-9: -]+\n"));
    EXPECT_EQ(recapctl({"capsule", "enable", "sh"}).status, 0);
    EXPECT_EQ(recapctl({"capsule", "disable", "sh"}).status, 0);
    EXPECT_EQ(recapctl({"capsule", "enable", "other"}).status, 125);
    EXPECT_EQ(recapctl({"run", "--now", "sh"}).out, "01HZZZZZZZZZZZZZZZZZZZBTCH\n");
    EXPECT_EQ(recapctl({"run", "--now", "other"}).status, 125);
}

TEST_F(Verbs, PlanIsInWordsAndPassesArguments) {
    const auto plan = recapctl({"plan", "sh", "web", "--", "-c", "true"});
    EXPECT_EQ(plan.status, 0);
    EXPECT_THAT(plan.out, HasSubstr("command       sh -c true\n"));
    EXPECT_EQ(json(recapctl({"plan", "sh", "web", "--json"})).at("namespaces").at(0), "net");
    EXPECT_THAT(recapctl({"plan", "frob", "web"}).err, HasSubstr("no capsule 'frob'"));
}

TEST_F(Verbs, ImportHandsOverAFileOrAFolderAndAdmitsAsRoot) {
    const TempDir temp;
    writeFile(temp.path() / "admit", "#!/bin/sh\necho \"$@\" >" + (temp.path() / "asked").string() + "; echo noise\n");
    std::filesystem::permissions(temp.path() / "admit", std::filesystem::perms::all);
    writeFile(temp.path() / "a.tar", "x");
    const std::string admit = (temp.path() / "admit").string();
    const auto file = recapctl({"image", "import", (temp.path() / "a.tar").string(), "--admit-program", admit, "--admit-socket", "/s"});
    EXPECT_EQ(file.status, 0) << file.all();
    EXPECT_EQ(file.out, std::string(64, 'f') + "\n");
    EXPECT_EQ(readFile(temp.path() / "asked"), "--socket /s " + std::string(64, 'f') + "\n");
    const auto folder = recapctl({"image", "import", temp.path().string(), "--no-admit"});
    EXPECT_EQ(folder.out, std::string(64, 'd') + "\n");
    EXPECT_THAT(folder.err, HasSubstr("recap-admit " + std::string(64, 'd')));
}

TEST_F(Verbs, ImportAsksForAnEnginesImageAndOpensFilesByTheirSchemes) {
    const TempDir temp;
    writeFile(temp.path() / "a.tar", "x");
    const auto engines =
        recapctl({"image", "import", "docker-daemon:tool:1", "--backend", "podman", "--reference", "recap/tool:1", "--no-admit"});
    EXPECT_EQ(engines.out, std::string(64, 'e') + "\n") << engines.err;
    EXPECT_THAT(recapctl({"image", "import", "docker-daemon:tool:1"}).err, HasSubstr("backend none, reference none"));
    for (const auto* scheme : {"oci-archive:", "docker-archive:"})
        EXPECT_EQ(recapctl({"image", "import", scheme + (temp.path() / "a.tar").string(), "--no-admit"}).out, std::string(64, 'f') + "\n");
    EXPECT_EQ(recapctl({"image", "import", "oci:" + temp.path().string(), "--no-admit"}).out, std::string(64, 'd') + "\n");
    EXPECT_THAT(recapctl({"image", "import", "docker-archive:/nonexistent.tar"}).err, HasSubstr("/nonexistent.tar: No such file"));
    EXPECT_THAT(recapctl({"image", "import", (temp.path() / "a.tar").string(), "--backend", "podman"}).err,
                HasSubstr("a file has no backend"));
}

TEST_F(Verbs, ImportFailsWhereAdmissionDoes) {
    const TempDir temp;
    writeFile(temp.path() / "a.tar", "x");
    const auto result = recapctl({"image", "import", (temp.path() / "a.tar").string(), "--admit-program", "/bin/false", "--json"});
    EXPECT_EQ(result.status, 125);
    EXPECT_EQ(json(result).at("error").at("code"), "NotAdmitted");
    EXPECT_THAT(recapctl({"image", "import", "/nonexistent.tar"}).err, HasSubstr("/nonexistent.tar"));
    EXPECT_THAT(recapctl({"image", "import", "/dev/null"}).err, HasSubstr("neither an archive nor a folder"));
}

TEST_F(Verbs, RunsShowLogsAndArtifactsOfOne) {
    const std::string id = trimmed(recapctl({"run", "-d", "sh", "web", "--", "printf 'a\\nb\\n'"}).out);
    ASSERT_TRUE(waitUntil([&] { return json(recapctl({"show", id, "--json"})).value("state", "") == "finished"; }, Deadline(kPatience)));
    EXPECT_THAT(recapctl({"runs"}).out, HasSubstr(id));
    EXPECT_THAT(recapctl({"show", id}).out, HasSubstr("outcome       succeeded\n"));
    std::string lower = id;
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    EXPECT_THAT(recapctl({"show", lower}).out, HasSubstr("outcome       succeeded\n"));
    EXPECT_EQ(recapctl({"logs", id}).out, "a\nb\n");
    EXPECT_EQ(recapctl({"logs", "--follow", id}).out, "a\nb\n");
    EXPECT_EQ(recapctl({"logs", "--stream", "stderr", id}).out, "");
    EXPECT_EQ(json(recapctl({"logs", id, "--json"})).at("stdout"), "a\nb\n");
    EXPECT_THAT(recapctl({"artifacts", id}).out, HasSubstr("report.txt"));
    EXPECT_EQ(recapctl({"stop", id}).status, 0);
    EXPECT_THAT(recapctl({"attach", id}).err, HasSubstr("not supported by this version"));
}

TEST_F(Verbs, RunsAreFiltered) {
    const std::string id = trimmed(recapctl({"run", "-d", "sh", "web", "--", "true"}).out);
    const auto listed = [this](std::vector<std::string> words) {
        words.insert(words.begin(), "runs");
        return recapctl(words).out;
    };
    EXPECT_THAT(listed({"--trigger", "on-demand"}), HasSubstr(id));
    EXPECT_EQ(listed({"--trigger", "event"}).find(id), std::string::npos);
    EXPECT_EQ(listed({"--batch", id}).find(id), std::string::npos);
    EXPECT_THAT(listed({"--since", "2h", "--until", "1h"}), HasSubstr(id));
    EXPECT_EQ(listed({"--since", "2026-01-31", "--until", "2026-01-30"}).find(id), std::string::npos);
    const auto refused = recapctl({"runs", "--until", "soon", "--json"});
    EXPECT_EQ(refused.status, 125);
    EXPECT_EQ(json(refused).at("error").at("code"), "InvalidArgument");
}

TEST_F(Verbs, ACapsuleThatIsBackedOffSaysSo) {
    EXPECT_THAT(recapctl({"capsules"}).out, HasSubstr("backed off"));
    EXPECT_THAT(recapctl({"capsule", "show", "tired"}).out,
                HasSubstr("failures      11 in a row; backed off: not started by itself before 2027-01-1"));
    EXPECT_EQ(recapctl({"capsule", "show", "sh"}).out.find("failures"), std::string::npos);
}

TEST_F(Verbs, ShowFindsARunThatOnlyTheLedgerKnows) {
    EXPECT_THAT(recapctl({"show", "01HZZZZZZZZZZZZZZZZZZZ999A"}).out, HasSubstr("outcome       lost\n"));
    const auto none = recapctl({"show", "01HZZZZZZZZZZZZZZZZZZZ777A"});
    EXPECT_EQ(none.status, 125);
    EXPECT_THAT(none.err, HasSubstr("no run '01HZZZZZZZZZZZZZZZZZZZ777A'"));
    EXPECT_THAT(recapctl({"show", "../Manager"}).err, HasSubstr("no run '../Manager'"));
}

TEST_F(Verbs, CompletionAsksRecapd) {
    EXPECT_EQ(recapctl({"__complete", "run", ""}).out, "sh\ntired\nbroken\n");
    EXPECT_EQ(recapctl({"__complete", "run", "sh", "pro"}).out, "process:42\n");
    EXPECT_THAT(recapctl({"__complete", "run", "sh", ""}).out, Not(HasSubstr("web"))) << "a name that needs escaping is not offered";
    EXPECT_EQ(recapctl({"__complete", "image", "remove", ""}).out, "recap/sh:1.0\n");
}

}  // namespace
}  // namespace recap::test
