// SPDX-License-Identifier: Apache-2.0
// The host's loop with backends made in the test: what its peer sees, and when the process ends.
#include "daemon/host/server.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <recap/plugin.hpp>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>

namespace recap::host {
namespace {

using testing::HasSubstr;
namespace plugin = recap::plugin;

// A backend as a plugin's entry makes it.
template <class Impl>
const recap_backend* make() {
    static const recap_host host{sizeof(recap_host), 0, nullptr, "test", "one", nullptr};
    static const auto entry = plugin::detail::backendEntry<Impl>("one", "1");
    const auto* factory = static_cast<const recap_backend_factory*>(entry.get_factory(&entry, RECAP_BACKEND_FACTORY));
    recap_error error{sizeof(recap_error), 0, {}};
    return factory->create(factory, &host, nullptr, 0, &error);
}

struct One {
    explicit One(plugin::Settings&) {}
    void run(plugin::Sink& sink) {
        plugin::Target target;
        target.id = "a";
        sink.snapshot({&target, 1});
        while (sink.wait(std::chrono::hours(1))) {
        }
    }
    void find(plugin::Sink& sink, std::string_view id) {
        if (id == "hang") std::this_thread::sleep_until(std::chrono::steady_clock::time_point::max());
        if (id != "b") throw plugin::Error(plugin::Code::NotFound, "no container '" + std::string(id) + "'");
        plugin::Target target;
        target.id = "b";
        sink.added(target);
    }
};
struct Failing : One {
    using One::One;
    void run(plugin::Sink&) { throw std::runtime_error("engine: bad answer"); }
};
struct Hanging : One {
    using One::One;
    void run(plugin::Sink& sink) {
        pollfd stop{sink.stopFd(), POLLIN, 0};
        ::poll(&stop, 1, -1);
    }
};

// Exports "small", "endless" until its reader goes, "waits" until it is told to stop; and "deaf" never returns.
struct Exporting : One {
    using One::One;
    void exportImage(std::string_view reference, int out, int stopFd) {
        if (reference == "small") return write(out, "tar");
        if (reference == "endless") {
            for (;;) write(out, std::string(4096, 'x'));
        }
        if (reference == "deaf") std::this_thread::sleep_until(std::chrono::steady_clock::time_point::max());
        if (reference != "waits") throw plugin::Error(plugin::Code::NotFound, "no such image: " + std::string(reference));
        pollfd stop{stopFd, POLLIN, 0};
        ::poll(&stop, 1, -1);
        throw plugin::Error(plugin::Code::Unavailable, "told to stop");
    }
    static void write(int out, const std::string& bytes) {
        if (::write(out, bytes.data(), bytes.size()) < 0) throw plugin::Error(plugin::Code::Unavailable, "write: broken pipe");
    }
};

class Serving : public testing::Test {
protected:
    void SetUp() override {
        char folder[] = "/tmp/recap-server-XXXXXX";
        folder_ = ::mkdtemp(folder);
        path_ = folder_ / "one";
    }
    void TearDown() override {
        peer_.reset();
        if (thread_.joinable()) thread_.join();
        std::filesystem::remove_all(folder_);
    }
    void serve(Server::Make make) {
        auto listener = listenAt(path_);
        ASSERT_TRUE(listener) << listener.error().message;
        server_ = std::make_unique<Server>(std::move(*listener), std::move(make), times_);
        thread_ = std::thread([this] { status_.set_value(server_->run()); });
        peer_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path_.string().copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::connect(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    template <class Impl>
    void serve() {
        serve([](Hello& hello) -> Result<const recap_backend*> {
            hello = {"one", "1"};
            return make<Impl>();
        });
    }
    void send(const ToHost& record, std::vector<int> descriptors = {}) {
        auto bytes = encode(record);
        iovec part{bytes.data(), bytes.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))]{};
        if (!descriptors.empty()) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            *rights = {CMSG_LEN(descriptors.size() * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
            std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
        }
        ::sendmsg(peer_.get(), &message, MSG_NOSIGNAL);
    }
    // Asks for an image; the end to read it from.
    UniqueFd exportImage(std::uint64_t request, const std::string& reference) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const UniqueFd out(ends[1]);
        send(Export{request, reference}, {out.get()});
        return UniqueFd(ends[0]);
    }
    std::optional<FromHost> receive() {
        std::vector<char> buffer(kMaxRecord);
        const ssize_t got = ::recv(peer_.get(), buffer.data(), buffer.size(), 0);
        if (got <= 0) return std::nullopt;
        auto record = decodeFromHost({buffer.data(), static_cast<std::size_t>(got)});
        EXPECT_TRUE(record);
        EXPECT_EQ(record->number, ++number_);
        return std::move(record->record);
    }
    template <class Kind>
    Kind next() {  // skips others
        while (auto record = receive()) {
            if (auto* wanted = std::get_if<Kind>(&*record)) return std::move(*wanted);
        }
        ADD_FAILURE() << "the host ended the connection";
        return {};
    }
    int status() { return status_.get_future().get(); }

    std::filesystem::path folder_;
    std::filesystem::path path_;
    WorkerTimes times_;
    std::unique_ptr<Server> server_;
    std::promise<int> status_;
    std::thread thread_;
    UniqueFd peer_;
    std::uint64_t number_ = 0;
};

TEST_F(Serving, GreetsTellsTheSnapshotAndEndsAtEof) {
    serve<One>();
    EXPECT_EQ(next<Hello>().plugin, "one");
    EXPECT_EQ(next<SnapshotTarget>().target.id, "a");
    EXPECT_EQ(next<SnapshotEnd>().count, 1u);
    peer_.reset();
    EXPECT_EQ(status(), 0);
}

TEST_F(Serving, TheSocketIsItsOwnersAlone) {
    serve<One>();
    EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
}

TEST_F(Serving, AnswersSearchesPingsAndResyncs) {
    serve<One>();
    next<SnapshotEnd>();
    send(Find{1, "b"});
    EXPECT_EQ(next<Added>().target.id, "b");
    EXPECT_EQ(next<Found>().error, Errc::None);
    send(Find{2, "x"});
    const auto missing = next<Found>();
    EXPECT_EQ(missing.request, 2u);
    EXPECT_EQ(missing.error, Errc::NotFound);
    EXPECT_EQ(missing.message, "no container 'x'");
    send(Ping{7});
    EXPECT_EQ(next<Pong>().nonce, 7u);
    send(Resync{});
    next<SnapshotBegin>();
    EXPECT_EQ(next<SnapshotEnd>().count, 2u);
}

TEST_F(Serving, ExportsAnImageIntoThePipeAndClosesIt) {
    serve<Exporting>();
    const auto pipe = exportImage(1, "small");
    char bytes[16];
    EXPECT_EQ(::read(pipe.get(), bytes, sizeof bytes), 3);
    EXPECT_EQ(::read(pipe.get(), bytes, sizeof bytes), 0);
    const auto answer = next<Exported>();
    EXPECT_EQ(answer.request, 1u);
    EXPECT_EQ(answer.error, Errc::None);
    const auto other = exportImage(2, "gone:1");
    const auto missing = next<Exported>();
    EXPECT_EQ(missing.request, 2u);
    EXPECT_EQ(missing.error, Errc::NotFound);
    EXPECT_EQ(missing.message, "no such image: gone:1");
}

TEST_F(Serving, AnExportWhoseReaderGoesIsStoppedAndIsNoFailure) {
    serve<Exporting>();
    exportImage(1, "endless").reset();
    EXPECT_EQ(next<Exported>().error, Errc::None);
    exportImage(2, "waits").reset();
    EXPECT_EQ(next<Exported>().error, Errc::None) << "though it never wrote";
    const auto pipe = exportImage(3, "small");
    EXPECT_EQ(next<Exported>().request, 3u);
}

TEST_F(Serving, OneExportAtATimeAndSearchesGoOn) {
    serve<Exporting>();
    const auto first = exportImage(1, "waits");
    const auto second = exportImage(2, "small");
    const auto busy = next<Exported>();
    EXPECT_EQ(busy.request, 2u);
    EXPECT_EQ(busy.error, Errc::Busy);
    send(Find{1, "b"});
    EXPECT_EQ(next<Found>().error, Errc::None);
    peer_.reset();
    EXPECT_EQ(status(), 0) << "an export ends with the connection";
}

TEST_F(Serving, APluginWithoutImagesSaysSo) {
    serve<One>();
    const auto pipe = exportImage(1, "small");
    EXPECT_EQ(next<Exported>().error, Errc::NotSupported);
    char byte = 0;
    EXPECT_EQ(::read(pipe.get(), &byte, 1), 0);
}

TEST_F(Serving, AnExportIntoAnythingButAPipeEndsTheHost) {
    serve<Exporting>();
    const UniqueFd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    send(Export{1, "small"}, {folder.get()});
    EXPECT_EQ(status(), 1);
}

TEST_F(Serving, AnExportThatIgnoresItsStopEndsTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto exportAndHang = [this] {
        times_.stop = std::chrono::milliseconds(20);
        serve<Exporting>();
        exportImage(1, "deaf").reset();
        std::fprintf(stderr, "told: %s\n", next<StateRecord>().detail.c_str());
        std::fprintf(stderr, "told: %s\n", next<StateRecord>().detail.c_str());
        thread_.join();
    };
    EXPECT_EXIT(exportAndHang(), testing::ExitedWithCode(1), "export_image\\(\\) has not returned");
}

TEST_F(Serving, APluginThatCannotBeMadeSaysWhyToRecapd) {
    serve([](Hello&) -> Result<const recap_backend*> { return fail(Errc::InvalidArgument, "unknown setting 'x'"); });
    const auto state = next<StateRecord>();
    EXPECT_EQ(state.state, BackendState::Unavailable);
    EXPECT_EQ(state.detail, "unknown setting 'x'");
    EXPECT_EQ(status(), 1);
}

TEST_F(Serving, ARunThatFailsEndsTheHostWithItsSentence) {
    serve<Failing>();
    EXPECT_EQ(next<StateRecord>().detail, "engine: bad answer");
    EXPECT_EQ(status(), 1);
}

TEST_F(Serving, ARunThatNeverSaysItIsAliveEndsTheHost) {
    times_.alive = std::chrono::milliseconds(50);
    serve<Hanging>();
    EXPECT_THAT(next<StateRecord>().detail, HasSubstr("run() has not said that it is alive"));
    EXPECT_EQ(status(), 1);
}

TEST_F(Serving, GarbageFromThePeerEndsTheHost) {
    serve<One>();
    ::send(peer_.get(), "hello", 5, MSG_NOSIGNAL);
    EXPECT_EQ(status(), 1);
}

// The search's thread can't be taken back, so the process ends itself: watched from outside, in a process of its own.
TEST_F(Serving, ASearchThatHangsIsAnsweredInTimeAndThenEndsTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto searchAndHang = [this] {
        times_ = {std::chrono::hours(1), std::chrono::milliseconds(20), std::chrono::milliseconds(60), std::chrono::milliseconds(20)};
        serve<One>();
        send(Find{1, "hang"});
        const auto answer = next<Found>();
        std::fprintf(stderr, "answered: %s\n", std::string(name(answer.error)).c_str());
        thread_.join();
    };
    EXPECT_EXIT(searchAndHang(), testing::ExitedWithCode(1), "answered: Timeout");
}

}  // namespace
}  // namespace recap::host
