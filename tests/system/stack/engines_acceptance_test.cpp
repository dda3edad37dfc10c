// SPDX-License-Identifier: Apache-2.0
// What people attach to containers for, on those of real engines: the same cases on Docker's and containerd's, and (A24) on hardened
// ones and ones in user namespaces.
#include <numeric>
#include <sstream>

#include "tests/system/stack/catalogue_fixture.hpp"
#include "tests/system/stack/engine_cases.hpp"
#include "tests/system/stack/name_server.hpp"
#include "tests/system/stack/prometheus.hpp"
#include "tests/system/stack/sitting.hpp"

namespace recap::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::vector<std::string> linesWith(const std::string& part, const std::string& text) {
    auto all = lines(text);
    std::erase_if(all, [&](const std::string& line) { return line.find(part) == std::string::npos; });
    return all;
}

TEST_P(Cases, A1_TcpdumpCapturesAsManyConnectionsAsWereMade) {
    const TempDir folder;
    Child tcpdump{Command{.argv = {"recapctl", "run", "--output", folder.path().string(), "tcpdump", target(), "--", "-c", "3",
                                   "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn"}}};
    ASSERT_TRUE(tcpdump.waitForOutput("listening on", Deadline{kPatience})) << Stack::get().logs();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(httpGet(pid(), 8080, "/").status, 200);
    const CommandResult ended = tcpdump.wait(Deadline{kPatience});
    EXPECT_EQ(ended.status, 0) << ended.all();
    std::vector<std::string> packets;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
        if (entry.path().extension() == ".pcap") packets = lines(mustRun({"tcpdump", "-n", "-r", entry.path().string()}).out);
    EXPECT_THAT(packets, SizeIs(3));
    for (const std::string& packet : packets) EXPECT_THAT(packet, AllOf(HasSubstr("127.0.0.1.8080"), HasSubstr("Flags [S]")));
}

TEST_P(Cases, A2_StraceOfAnEmptyImageSeesItsCallsAndItGoesOn) {
    tool("c-strace", R"(["strace", "-p", "1"])", tracing(), "1s");
    const TempDir data{"recap-data", "/var/lib"};
    const pid_t app = start(place(), "scratch", "recap-scratch:1", data.path());
    const auto started = processOf(app)->startTime;
    const Outside outside = Stack::get().outside({app});
    const Picture before = outside.look();
    const json report = look("c-strace", targetOf(place(), "scratch"), "timed-out");
    EXPECT_THAT(report.at("stderr").get<std::string>(),
                AllOf(HasSubstr("Process 1 attached"), HasSubstr("nanosleep("), HasSubstr("getppid()"), HasSubstr("detached")));
    EXPECT_THAT(left(outside, before), IsEmpty());
    EXPECT_EQ(processOf(app).value_or(Process{}).startTime, started);
    EXPECT_EQ(statusOf(app).at("TracerPid"), "0");
    end(place(), "scratch");
}

TEST_P(Cases, A7_ClamscanFindsWhatIsInTheImageAndInAVolume) {
    installScanner("c-scan", "policy = \"nonetwork\"\n");
    const TempDir data{"recap-data", "/var/lib"};
    for (const char* name : {"upload.bin", "private"}) writeFile(data.path() / name, kEicar);
    writeFile(data.path() / "clean", "X5O!P%@AP\n");
    fs::permissions(data.path() / "private", fs::perms::owner_read);
    start(place(), "infected", "recap-infected:1", data.path());
    const json report = Stack::get().run("c-scan", targetOf(place(), "infected"));
    expectClean(report);
    const std::string said = report.at("stdout");
    EXPECT_THAT(linesWith(" FOUND", said), UnorderedElementsAre("/target/usr/share/nginx/html/upload.bin: Test.Eicar.UNOFFICIAL FOUND",
                                                                "/target/data/upload.bin: Test.Eicar.UNOFFICIAL FOUND"));
    EXPECT_EQ(values(said).at("Total errors"), "1") << "what the target's user may not read is told: " << said;
    end(place(), "infected");
    const auto clean = values(look("c-scan", target()).at("stdout").get<std::string>());
    EXPECT_EQ(clean.at("Infected files"), "0");
    EXPECT_GT(std::stoi(clean.at("Scanned files")), 8) << "nginx with its libraries";
}

// "PID USER COMMAND ARGUMENTS" of each process; `uid`: what the reader sees as nginx's.
std::vector<std::string> processes(const std::string& text, const std::string& uid) {
    std::vector<std::string> found;
    for (const auto& line : lines(text)) {
        std::istringstream fields(line);
        std::string pid, user, rest;
        fields >> pid >> user;
        for (std::string word; fields >> word;) rest += " " + word;  // columns are as wide as what is in them
        if (pid == "PID" || rest.find("busybox ps") != std::string::npos) continue;
        found.push_back(pid + " " + (user == uid ? "nginx" : user) + rest);
    }
    return found;
}

TEST_P(Cases, A12_PsSeesExactlyTheContainersProcesses) {
    tool("c-ps", R"(["busybox", "ps", "-o", "pid,user,comm,args"])", "processes = \"observe\"");
    const auto expected = processes(inside({"/data/busybox", "ps", "-o", "pid,user,comm,args"}), "101");
    const std::string seen = look("c-ps", target()).at("stdout");
    EXPECT_EQ(processes(seen, place().remapped ? std::to_string(Dockerd::kRemapped + 101) : "101"), expected) << seen;
    EXPECT_THAT(expected, SizeIs(2)) << "a master and a worker";
}

// Where the capsule is the client, and where it serves.
TEST_P(Cases, A13_Iperf3MeasuresTheTargetsNetwork) {
    tool("c-client", R"(["iperf3", "-c", "127.0.0.1", "-n", "16M", "-J"])", "namespaces = [\"net\"]");
    tool("c-server", R"(["iperf3", "-s", "-1", "--forceflush"])", "namespaces = [\"net\"]");
    constexpr std::uint64_t least = 8 << 20;  // the last of what was sent may be under way when the client counts
    const auto received = [](const json& report) { return report.at("end").at("sum_received").at("bytes").get<std::uint64_t>(); };
    Child server{Command{.argv = {"iperf3", "-s", "-1", "--forceflush"}, .network = pid()}};
    ASSERT_TRUE(server.waitForOutput("Server listening", Deadline{kPatience}));
    EXPECT_GE(received(json::parse(look("c-client", target()).at("stdout").get<std::string>())), least);
    EXPECT_THAT(server.wait(Deadline{kPatience}).out, HasSubstr("receiver"));
    const std::string run = Stack::get().startDetached("c-server", target(), {});
    ASSERT_TRUE(Stack::get().waitForLog(run, "Server listening"));
    EXPECT_GE(received(json::parse(mustRun(Command{.argv = {"iperf3", "-c", "127.0.0.1", "-n", "16M", "-J"}, .network = pid()}).out)),
              least);
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "succeeded") << ended.dump(2);
    expectClean(ended);
}

// The process's cgroup's file, as this machine has it: of version 1's hierarchy, else of the unified one.
std::string cgroupNumber(pid_t pid, const std::string& controller, const std::string& file) {
    const std::string cgroups = processOf(pid)->cgroups;
    for (const std::string& line : lines(cgroups)) {
        const auto colon = line.find(':'), path = line.find(":/");
        const std::string name = line.substr(colon + 1, path - colon - 1);
        if (name != controller) continue;
        const fs::path root = name.empty() ? unifiedCgroups() : fs::path("/sys/fs/cgroup") / name;
        return trimmed(readFile(root.string() + line.substr(path + 1) + "/" + file));
    }
    return {};
}

// The third number below "server accepts handled requests".
unsigned long long requestsOf(const std::string& status) {
    std::istringstream text(status.substr(status.find("requests") + 8));
    unsigned long long accepted = 0, handled = 0, count = 0;
    text >> accepted >> handled >> count;
    return count;
}

TEST_P(Cases, A14_TheTargetsLoadIsReadFromNginxAndItsCgroup) {
    tool("c-metrics", R"(["busybox", "sh", "/metrics.sh"])", "namespaces = [\"net\"]\nprocesses = \"observe\"\nview = \"read-only\"");
    const auto growing = [&] {  // what only ever becomes more, and where: of version 1 only
        return std::map<std::string, std::string>{
            {"memory/memory.max_usage_in_bytes", cgroupNumber(pid(), "memory", "memory.max_usage_in_bytes")},
            {"cpuacct/cpuacct.usage", cgroupNumber(pid(), "cpuacct", "cpuacct.usage")}};
    };
    const auto requests = requestsOf(httpGet(pid(), 8080, "/status").body);
    const auto least = growing();
    const std::string seen = look("c-metrics", target()).at("stdout");
    const auto most = growing();
    EXPECT_EQ(requestsOf(seen), requests + 1) << seen;
    EXPECT_THAT(seen, AllOf(StartsWith("Active connections: 1 "), HasSubstr("Writing: 1 ")));
    EXPECT_THAT(linesWith("nginx: worker process", seen), SizeIs(1)) << seen;
    const auto numbers = values(seen);
    const bool unified = least.at("cpuacct/cpuacct.usage").empty();
    EXPECT_EQ(numbers.at(unified ? "memory.max" : "memory/memory.limit_in_bytes"), std::to_string(kMemory));
    EXPECT_TRUE(!unified || std::stoull(numbers.at("memory.current")) > 0);
    EXPECT_TRUE(!unified || seen.find("cpu.stat: usage_usec ") != std::string::npos) << seen;
    for (const auto& [file, number] : least) {
        if (unified) continue;
        const auto inCapsule = std::stoull(numbers.at(file));
        EXPECT_GE(inCapsule, std::stoull(number)) << file;
        EXPECT_LE(inCapsule, std::stoull(most.at(file))) << file;
    }
}

// The catalogue's own capsules for that.
TEST_P(Cases, A14_StatsAndTheOomReportReadItsCgroup) {
    const Prometheus stats(look("stats", target()).at("stdout").get<std::string>());
    EXPECT_EQ(stats.value("recap_target_memory_limit_bytes"), kMemory);
    EXPECT_GT(stats.value("recap_target_memory_bytes", "source=\"cgroup\""), 0);
    EXPECT_LE(stats.value("recap_target_memory_bytes"), kMemory);
    EXPECT_GT(stats.value("recap_target_cpu_seconds_total", "source=\"cgroup\""), 0);
    EXPECT_EQ(stats.value("recap_target_processes", "command=\"nginx\""), 2) << "a master and a worker";
    const std::string said = look("oom-report", target()).at("stdout");
    const bool unified = cgroupNumber(pid(), "memory", "memory.limit_in_bytes").empty();
    EXPECT_THAT(said, HasSubstr((unified ? "memory.max: " : "memory.limit_in_bytes: ") + std::to_string(kMemory)));
}

TEST_P(Cases, A15_NamesAreResolvedAsTheTargetResolvesThem) {
    tool("c-names", R"(["busybox", "sh", "-c", "busybox cat /etc/resolv.conf /etc/hosts"])", "view = \"merged\"");
    tool("c-lookup",
         R"(["busybox", "sh", "-c", "busybox nslookup db.internal; busybox wget -q -O - http://web.internal:8080/; busybox hostname"])",
         "namespaces = [\"net\", \"uts\"]\nview = \"merged\"");
    const std::string files = inside({"/data/busybox", "cat", "/etc/resolv.conf", "/etc/hosts"});
    EXPECT_THAT(files, AllOf(HasSubstr("127.0.0.1"), HasSubstr("web.internal")));
    EXPECT_EQ(look("c-names", target()).at("stdout"), files);
    Child server(Command{.argv = {"python3", "-c", kNameServer}, .network = pid()});
    ASSERT_TRUE(server.waitForOutput("ready", Deadline{kPatience}));
    const Picture quiet = outside_->look();
    EXPECT_THAT(look("c-lookup", target()).at("stdout").get<std::string>(),
                AllOf(HasSubstr("10.1.2.3"), HasSubstr("<title>"), HasSubstr("\n" + inside({"/data/busybox", "hostname"}))));
    EXPECT_THAT(left(*outside_, quiet), IsEmpty());
    server.signal(SIGTERM);
    server.wait(Deadline{kPatience});
}

TEST_P(Cases, A32_AShellIsSatAtAndEndsWithItsClient) {
    const auto says = [](Sitting& shell, const std::string& command, const std::string& answer) {
        shell.type(command + "\r");
        ASSERT_TRUE(shell.sees(answer)) << command << "\n" << shell.seen();
    };
    const std::string heard = log();
    Sitting shell({"shell", target()});
    ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
    ASSERT_TRUE(shell.becomesRaw());
    const std::string run = Stack::get().ctlJson({"runs", "--limit", "1"}).at("runs").at(0).at("id");
    says(shell, "echo secret-$((6 * 7)) >&2; tty", "secret-42");
    EXPECT_TRUE(shell.sees("/dev/pts/0")) << shell.seen();
    says(shell, "ps -e -o args", "nginx: master");
    says(shell, "ls /etc/nginx /usr/bin/bash", "nginx.conf");
    shell.resize(41, 101);
    says(shell, "until [ \"$(stty size)\" = '41 101' ]; do sleep 0.01; done; echo resized-$((40 + 2))", "resized-42");
    says(shell, "bash -c 'echo sleeps-$((40 + 2)); exec sleep 1000'", "sleeps-42");
    shell.type("\x03");
    ASSERT_TRUE(shell.sees("$ ")) << shell.seen();
    says(shell, "echo status-$?", "status-130");
    says(shell, "bash -c 'echo again-$((40 + 2)); exec sleep 1000'", "again-42");
    shell.signal(SIGKILL);
    EXPECT_EQ(shell.ends(), 128 + SIGKILL);
    const json ended = Stack::get().waitForEnd(run);
    EXPECT_EQ(ended.at("outcome"), "killed") << ended.dump(2);
    expectClean(ended);
    EXPECT_EQ(log(), heard) << "nothing typed or said is in the container's log";
}

INSTANTIATE_TEST_SUITE_P(Engines, Cases, ::testing::ValuesIn(kPlaces), [](const auto& place) { return std::string(place.param.name); });

}  // namespace
}  // namespace recap::test
