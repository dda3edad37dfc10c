// SPDX-License-Identifier: Apache-2.0
// The backend on a thread of its own, as recap-plugin-host runs it, and what it has told.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "plugins/containerd/backend.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::test {

// With times that suit a test: everything that is repeated is soon.
containerd::Options testOptions(const std::string& socket);

class ObservedBackend {
public:
    explicit ObservedBackend(containerd::Options options);
    ~ObservedBackend();

    std::chrono::milliseconds stop();  // how long run() took to return

    // Patiently.
    bool until(const std::function<bool()>& condition);
    bool untilTold(const std::string& id);
    bool untilGone(const std::string& id);
    bool untilReady();
    bool untilState(std::uint32_t state, const std::string& detail);

    std::optional<plugin::Target> told(const std::string& id) const;
    std::size_t count() const;
    std::string state() const;  // "ready", or what is in the way
    int snapshots() const;

    // Ok: nothing; else the error's sentence. `code` of it.
    std::string find(const std::string& id);
    std::string exportTo(const std::string& reference, int out);
    std::optional<plugin::Code> code;

    int stopFd() const { return stop_.get(); }

private:
    static ObservedBackend& of(void* host) { return *static_cast<ObservedBackend*>(host); }
    void keep(const recap_target* target);
    template <class Body>
    std::string said(Body body);

    containerd::Backend backend_;
    UniqueFd stop_;
    recap_backend_sink table_{};
    mutable std::mutex mutex_;
    std::map<std::string, plugin::Target> targets_;
    std::map<std::string, plugin::Target> snapshot_;
    std::uint32_t state_ = 99;
    std::string detail_ = "nothing said";
    int snapshots_ = 0;
    std::thread thread_;
};

}  // namespace recap::test
