// SPDX-License-Identifier: Apache-2.0
// The catalogue's capsules that look after a container's data: checksum, archive, logrotate.
#include <sys/stat.h>

#include "tests/support/wait.hpp"
#include "tests/system/stack/catalogue_fixture.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::uint32_t kApp = 101;  // whom the containers run as

class CatalogueData : public CatalogueTest {
protected:
    static void SetUpTestSuite() {
        StackTest::SetUpTestSuite();
        for (const char* name : {"checksum", "archive", "logrotate"}) installShipped(name);
    }
    void SetUp() override {
        StackTest::SetUp();
        ASSERT_EQ(::chown(data_.path().c_str(), kApp, kApp), 0);
    }
    // One whose volume `data_` is, there.
    std::unique_ptr<MicroContainer> with(const std::string& path, std::vector<std::string> argv = {}) const {
        return container({.kind = "busybox", .argv = std::move(argv), .volumes = {{data_.path(), path, true}}});
    }
    void file(const std::string& name, const std::string& text) const {
        fs::create_directories((data_.path() / name).parent_path());
        writeFile(data_.path() / name, text);
    }
    static CommandResult check(const MicroContainer& app, std::vector<std::string> words, const std::string& list = {}) {
        std::vector<std::string> argv{"recapctl", "run", "checksum", targetOf(app), "--"};
        argv.insert(argv.end(), words.begin(), words.end());
        return run(Command{.argv = argv, .input = list});
    }
    // Looks from outside at what `act` leaves in the container and on the machine.
    template <class Act>
    static void expectUntouched(const MicroContainer& app, Act act, const std::string& mayChange = {}) {
        const Outside outside = Stack::get().outside({app.pid()}, {app.rootfs()});
        const Picture before = outside.look();
        act();
        EXPECT_THAT(left(outside, before, mayChange), IsEmpty());
    }

    const TempDir data_{"recap-data"};
};

TEST_F(CatalogueData, ChecksumListsAsSha256sumDoesAndTellsWhatIsDifferentLater) {
    for (const char* name : {"conf/app.conf", "static/index.html", "kept"}) file(name, std::string("this is ") + name + "\n");
    const auto app = with("/data");
    expectUntouched(*app, [&] {
        const TempDir first;
        const auto listed = Stack::get().ctl({"run", "--output", first.path().string(), "checksum", targetOf(*app)});
        ASSERT_EQ(listed.status, 0) << listed.all();
        const std::string list = readFile(artifact(first, "SUMS"));
        const std::string expected =
            mustRun({"sh", "-c", "cd " + data_.path().string() + " && find * -type f | LC_ALL=C sort | xargs sha256sum"}).out;
        std::string ours;
        for (const auto& line : lines(expected)) ours += line.substr(0, 66) + "data/" + line.substr(66) + "\n";
        EXPECT_EQ(list, ours) << "in the order of names, so that two lists are compared line by line";
        const std::string digest = mustRun({"sha256sum", artifact(first, "SUMS").string()}).out.substr(0, 64);
        EXPECT_THAT(listed.err, HasSubstr("3 files listed in SUMS (sha256 " + digest + "); nothing to compare them with"));
        EXPECT_THAT(check(*app, {"/data"}).err, HasSubstr(digest)) << "of every run, as long as nothing changes";
        const auto same = check(*app, {"--against", "-", "/data"}, list);
        EXPECT_EQ(same.status, 0) << same.all();
        EXPECT_EQ(same.out, "");

        file("conf/app.conf", "this is conf/app.conf too\n");
        file("static/miner.js", "added\n");
        file("static/of root", "added\n");
        fs::permissions(data_.path() / "static/of root", fs::perms::owner_read);
        file("a\nname", "added\n");
        fs::remove(data_.path() / "static/index.html");
        const auto later = check(*app, {"--against", "-", "/data"}, list);
        EXPECT_EQ(later.status, 1) << later.all();
        EXPECT_THAT(later.err, Not(HasSubstr(digest)));
        EXPECT_EQ(later.out,
                  "added data/static/miner.js\nchanged data/conf/app.conf\ngone data/static/index.html\nodd name in data\n"
                  "unreadable data/static/of root\n");
        const auto part = check(*app, {"--against", "-", "/data/conf"}, list);
        EXPECT_EQ(part.out, "changed data/conf/app.conf\n") << "what is elsewhere was not asked for";
        const auto other = check(*app, {"--md5", "--against", "-", "/data"}, list);
        EXPECT_EQ(other.status, 2) << other.all();
        EXPECT_THAT(other.err, HasSubstr("none of md5sum"));
        EXPECT_EQ(check(*app, {"--against", "-"}).status, 2) << "an empty list is no list";
    });
}

// As a periodic run does it, to which nobody hands a list.
TEST_F(CatalogueData, ChecksumComparesWithTheListOfItsImage) {
    file("page", "as it should be\n");
    const auto app = with("/data");
    const std::string list = mustRun({"sh", "-c", "cd " + data_.path().string() + " && sha256sum page"}).out;
    Stack::get().importImage("test/checksum-of-page:1", shippedImage("checksum", {{"/baseline", list.substr(0, 66) + "data/page\n"}}));
    Stack::get().install(replaced(replaced(shippedText("checksum"), "\"checksum\"", "\"checksum-of-page\""), "recap/checksum:1.0.0",
                                  "test/checksum-of-page:1"));
    json report = Stack::get().run("checksum-of-page", targetOf(*app));
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    file("page", "as somebody else would have it\n");
    report = Stack::get().run("checksum-of-page", targetOf(*app));
    EXPECT_EQ(report.at("outcome"), "failed") << report.dump(2);
    EXPECT_EQ(report.at("exit_code"), 1);
    EXPECT_EQ(report.at("stdout"), "changed data/page\n");
    expectClean(report);
}

TEST_F(CatalogueData, ChecksumSaysWhereThereIsNothingToCheck) {
    const auto app = with("/data");
    fs::create_symlink("/etc", data_.path() / "link");
    EXPECT_THAT(check(*app, {"/nowhere"}).err, HasSubstr("the target has no /nowhere"));
    EXPECT_THAT(check(*app, {"/data/link"}).err, HasSubstr("/data/link is reached through a symbolic link"));
    EXPECT_THAT(check(*app, {"--sha1"}).err, HasSubstr("--sha1: there are --md5"));
}

TEST_F(CatalogueData, ArchiveHoldsTheFolderAsItIs) {
    file("conf/app.conf", "answer = 42\n");
    file("a name", std::string(100'000, 'x'));
    fs::create_symlink("conf/app.conf", data_.path() / "current");
    const auto app = with("/data");
    expectUntouched(*app, [&] {
        for (const std::string gzip : {"", "--gzip"}) {
            const TempDir out, unpacked;
            std::vector<std::string> argv{"run", "--output", out.path().string(), "archive", targetOf(*app), "--", "/data"};
            if (!gzip.empty()) argv.insert(argv.end() - 1, gzip);
            const auto ended = Stack::get().ctl(argv);
            ASSERT_EQ(ended.status, 0) << ended.all();
            const auto archive = artifact(out, gzip.empty() ? "archive.tar" : "archive.tar.gz");
            mustRun({"tar", "-xf", archive.string(), "-C", unpacked.path().string()});
            mustRun({"diff", "-r", "--no-dereference", data_.path().string(), (unpacked.path() / "data").string()});
        }
    });
    const auto absent = Stack::get().ctl({"run", "archive", targetOf(*app), "--", "/nowhere"});
    EXPECT_EQ(absent.status, 2) << absent.all();
    EXPECT_THAT(absent.err, HasSubstr("the target has no /nowhere"));
}

// Writes a line to `a` and then one to `b`, again and again: at any one moment `a` has as many, or one more.
constexpr const char* kInStep = "i=0; while :; do i=$((i+1)); echo $i >>/data/a; echo $i >>/data/b; usleep 200; done";

TEST_F(CatalogueData, ArchiveOfAFrozenTargetIsOfOneMoment) {
    Stack::get().install(replaced(replaced(shippedText("archive"), "\"archive\"", "\"archive-frozen\""), "policy = \"nonetwork\"",
                                  "policy = \"trusted\"\nfreeze = true"));
    file("pad", std::string(48 << 20, 'x'));  // reading it takes longer than many lines
    const auto app = with("/data", {"/bin/sh", "-c", kInStep});
    ASSERT_TRUE(
        waitUntil([&] { return fs::exists(data_.path() / "b") && lines(readFile(data_.path() / "b")).size() > 20; }, Deadline{kPatience}));
    const TempDir out, unpacked;
    const auto ended = Stack::get().ctl(
        {"run", "--output", out.path().string(), "archive-frozen", targetOf(*app), "--", "/data/a", "/data/pad", "/data/b"});
    ASSERT_EQ(ended.status, 0) << ended.all();
    mustRun({"tar", "-xf", artifact(out, "archive.tar").string(), "-C", unpacked.path().string()});
    const auto a = lines(readFile(unpacked.path() / "data/a")).size(), b = lines(readFile(unpacked.path() / "data/b")).size();
    EXPECT_TRUE(a == b || a == b + 1) << a << " lines in a, " << b << " in b";
    EXPECT_TRUE(waitUntil([&] { return lines(readFile(data_.path() / "b")).size() > b + 2; }, Deadline{kPatience})) << "it goes on";
}

// A line every 10 ms, into a file that it opens anew at USR1.
constexpr const char* kLogger =
    "trap 'exec >>/var/log/app.log' USR1; exec >>/var/log/app.log; i=0; while :; do i=$((i+1)); echo line $i; usleep 10000; done";

int wholeLines(const std::string& text) {  // "line 1", "line 2" … without a gap; else minus the first that is missing
    int expected = 0;
    for (const std::string& line : lines(text.substr(0, text.rfind('\n') + 1)))
        if (line != "line " + std::to_string(++expected)) return -expected;
    return expected;
}

TEST_F(CatalogueData, LogrotateTurnsTheLogAndNoLineIsLost) {
    const auto logger = with("/var/log", {"/bin/sh", "-c", kLogger});
    const auto log = data_.path() / "app.log", older = data_.path() / "app.log.1";
    ASSERT_TRUE(waitUntil([&] { return fs::exists(log) && wholeLines(readFile(log)) > 3; }, Deadline{kPatience}));
    expectUntouched(
        *logger,
        [&] {
            const json report = Stack::get().run("logrotate", targetOf(*logger));
            EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
            expectClean(report);
            ASSERT_TRUE(waitUntil([&] { return lines(readFile(log)).size() > 5; }, Deadline{kPatience})) << "it writes to the new file";
            EXPECT_GT(wholeLines(readFile(older) + readFile(log)), 8);
            struct stat made {};
            ASSERT_EQ(::stat(log.c_str(), &made), 0);
            EXPECT_EQ(made.st_uid, kApp);
        },
        "'usleep'");
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(data_.path())) names.push_back(entry.path().filename());
    EXPECT_THAT(names, ::testing::UnorderedElementsAre("app.log", "app.log.1")) << "nothing of logrotate's own";
}

// A5 by its own schedule, with a period in place of the calendar, which only systemd keeps.
TEST_F(CatalogueData, A5_LogrotateTurnsTheLogByItself) {
    const std::string mine = "logs-" + std::to_string(::getpid());
    const std::string text = replaced(shippedText("logrotate"), "\"logrotate\"", "\"logrotate-often\"");
    Stack::get().install(
        replaced(replaced(text, "calendar         = \"daily\"", "every            = \"1s\""), "randomized-delay = \"1h\"", "") +
        "[target]\nselector = { logs = \"" + mine + "\" }\n");
    const auto log = data_.path() / "app.log";
    const auto logger = container({.kind = "busybox",
                                   .argv = {"/bin/sh", "-c", kLogger},
                                   .volumes = {{data_.path(), "/var/log", true}},
                                   .labels = {{"logs", mine}},
                                   .runtimeRoot = kRuncRoot});
    ASSERT_TRUE(waitUntil([&] { return fs::exists(log) && wholeLines(readFile(log)) > 3; }, Deadline{kPatience}));
    ASSERT_TRUE(Stack::get().ctl({"capsule", "enable", "logrotate-often"}).ok());
    const auto turns = [] {
        auto runs =
            Stack::get().ctlJson({"runs", "--capsule", "logrotate-often", "--trigger", "periodic"}).at("runs").get<std::vector<json>>();
        std::erase_if(runs, [](const json& run) { return run.at("outcome") == "skipped"; });  // the one before was at it
        return runs;
    };
    EXPECT_TRUE(waitUntil([&] { return turns().size() >= 2; }, Deadline{kPatience}));
    ASSERT_TRUE(Stack::get().ctl({"capsule", "disable", "logrotate-often"}).ok());
    for (const auto& run : turns()) {
        const json ended = Stack::get().waitForEnd(run.at("id"));
        EXPECT_EQ(ended.at("outcome"), "succeeded") << ended.dump(2);
        EXPECT_EQ(ended.at("target"), targetOf(*logger));
        expectClean(ended);
    }
    const auto sizeNow = readFile(log).size();
    ASSERT_TRUE(waitUntil([&] { return readFile(log).size() > sizeNow; }, Deadline{kPatience})) << "it writes to the newest file";
    std::string all;
    for (std::size_t i = turns().size(); i > 0; --i) {
        ASSERT_TRUE(fs::exists(log.string() + "." + std::to_string(i))) << "each turn made an older file";
        all += readFile(log.string() + "." + std::to_string(i));
    }
    EXPECT_GT(wholeLines(all + readFile(log)), 8) << "and no line is lost";
}

TEST_F(CatalogueData, LogrotateTouchesNoLogOfWhomItCannotTell) {
    file("app.log", "line 1\n");
    ASSERT_EQ(::chown((data_.path() / "app.log").c_str(), kApp, kApp), 0);
    const auto sleeper = with("/var/log");
    expectUntouched(*sleeper, [&] {
        const json report = Stack::get().run("logrotate", targetOf(*sleeper));
        EXPECT_EQ(report.at("exit_code"), 2) << report.dump(2);
        EXPECT_THAT(report.at("stderr").get<std::string>(), HasSubstr("process 1 of the target does not catch SIGUSR1"));
        expectClean(report);
    });
    EXPECT_EQ(readFile(data_.path() / "app.log"), "line 1\n");
    EXPECT_FALSE(fs::exists(data_.path() / "app.log.1"));

    Stack::get().install(
        replaced(replaced(shippedText("logrotate"), "\"logrotate\"", "\"logrotate-copy\""), "SIGNAL = \"USR1\"", "SIGNAL = \"none\""));
    const json report = Stack::get().run("logrotate-copy", targetOf(*sleeper));
    EXPECT_EQ(report.at("outcome"), "succeeded") << report.dump(2);
    EXPECT_EQ(readFile(data_.path() / "app.log.1"), "line 1\n");
    EXPECT_EQ(readFile(data_.path() / "app.log"), "");
}

}  // namespace
}  // namespace recap::test
