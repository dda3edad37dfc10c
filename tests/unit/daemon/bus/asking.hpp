// SPDX-License-Identifier: Apache-2.0
// Somebody who is not root, and so is asked about.
#pragma once

#include <functional>

#include "tests/unit/daemon/bus/house.hpp"

namespace recap::test {

// A process of user nobody that asks `count` times at once, and says what it was answered, a line each.
class Asking {
public:
    using Say = std::function<void(const sdbus::Error*)>;
    using Ask = std::function<void(sdbus::IConnection&, const Say&)>;

    explicit Asking(int count, const std::string& method = "Run", const Values& options = {})
        : Asking([=](sdbus::IConnection& bus, const Say& say) {
              for (int i = 0; i < count; ++i) askManager(bus, say, method, options);
          }) {}
    explicit Asking(const Ask& ask) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        child_ = ::fork();
        if (child_ == 0) {
            ::close(ends[0]);
            live(ends[1], ask);
            ::_exit(0);
        }
        ::close(ends[1]);
        said_ = UniqueFd(ends[0]);
    }
    ~Asking() { leave(); }
    void leave() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
        child_ = -1;
    }
    // What has been said so far.
    const std::vector<std::string>& said() {
        while (waitReadable(said_.get(), Deadline(std::chrono::milliseconds(0)))) {
            char text[4096];
            const ssize_t count = ::read(said_.get(), text, sizeof text);
            if (count <= 0) break;
            for (ssize_t i = 0; i < count; ++i) {
                if (text[i] == '\n')
                    lines_.push_back(std::exchange(line_, {}));
                else
                    line_ += text[i];
            }
        }
        return lines_;
    }

private:
    static void live(int out, const Ask& ask) {
        if (::setgroups(0, nullptr) != 0 || ::setgid(65534) != 0 || ::setuid(65534) != 0) return;
        auto bus = sdbus::createSystemBusConnection();
        ask(*bus, [out](const sdbus::Error* error) {
            const std::string line = (error == nullptr ? "ok" : error->getName() + ": " + error->getMessage()) + "\n";
            [[maybe_unused]] const auto written = ::write(out, line.data(), line.size());
        });
        bus->enterEventLoop();
    }
    static void askManager(sdbus::IConnection& bus, const Say& say, const std::string& method, const Values& options) {
        auto* proxy = sdbus::createProxy(bus, "org.recap1", "/org/recap1").release();  // for as long as the process lives
        if (method == "InstallCapsule")
            proxy->callMethodAsync(method)
                .onInterface(kManager)
                .withArguments(std::string("its-name"), Values())
                .uponReplyInvoke([say](const sdbus::Error* error, const sdbus::ObjectPath&) { say(error); });
        else
            proxy->callMethodAsync(method)
                .onInterface(kManager)
                .withArguments(std::string("tool"), std::string("process:1"), std::vector<std::string>(), options)
                .uponReplyInvoke([say](const sdbus::Error* error, const sdbus::ObjectPath&) { say(error); });
    }

    pid_t child_ = -1;
    UniqueFd said_;
    std::string line_;
    std::vector<std::string> lines_;
};

}  // namespace recap::test
