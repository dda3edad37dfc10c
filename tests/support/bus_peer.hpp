// SPDX-License-Identifier: Apache-2.0
// org.recap1 as a test needs it: the generated adaptors over ordinary child processes. It proves what clients do with the
// bus, nothing about capsules. Capsules it knows:
//   sh       runs its first argument with /bin/sh -c, on the descriptors it was given; timeout, Stop and Kill work
//   denied, not-started, gone   ends at once with that outcome (not-started with the exit code in its first argument)
//   refused  the call itself fails
//   vanish   accepts the run and ends the whole daemon
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dbus/org.recap1.Manager.adaptor.hpp"
#include "dbus/org.recap1.Run.adaptor.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap::test {

using Options = std::map<std::string, sdbus::Variant>;
using OptionRows = std::vector<Options>;

class PeerManager;

// One child process, under a thread of its own that tells of its end.
class PeerRun final : public sdbus::AdaptorInterfaces<org::recap1::Run_adaptor, sdbus::Properties_adaptor> {
public:
    PeerRun(PeerManager& manager, sdbus::IConnection& connection, std::string id, std::string capsule, std::string target,
            std::vector<std::string> args, Options options);
    ~PeerRun();
    void begin();
    Options row() const;

private:
    void live();
    pid_t spawn();
    void ask(int signal);
    void finish(const std::string& outcome, int code, const std::string& detail);

    void Stop(sdbus::Result<>&& result, uint32_t grace, Options options) override;
    void Kill(sdbus::Result<>&& result, Options options) override;
    void Signal(sdbus::Result<>&& result, int32_t signal, Options options) override;
    void Attach(sdbus::Result<sdbus::UnixFd, sdbus::UnixFd, sdbus::UnixFd>&& result, Options options) override;
    void Resize(sdbus::Result<>&& result, uint32_t rows, uint32_t columns, Options options) override;
    void Detach(sdbus::Result<>&& result, Options options) override;
    void GetDetails(sdbus::Result<Options>&& result, Options options) override;
    void GetOutput(sdbus::Result<std::vector<uint8_t>, bool>&& result, std::string stream, uint64_t offset, uint32_t max,
                   Options options) override;
    void OpenOutput(sdbus::Result<sdbus::UnixFd>&& result, Options options) override;
    void ListArtifacts(sdbus::Result<OptionRows>&& result, Options options) override;
    void OpenArtifact(sdbus::Result<sdbus::UnixFd>&& result, std::string name, Options options) override;
    std::string Id() override { return id_; }
    std::string Capsule() override { return capsule_; }
    std::string Target() override { return target_; }
    std::string State() override { return ended_ ? "finished" : "running"; }
    std::string Outcome() override { return outcome_; }
    int32_t ExitCode() override { return code_; }
    std::map<std::string, uint64_t> Phases() override { return {{"received", 1000}, {"escaped", 9000}}; }
    std::string Escape() override { return ended_ ? "clean" : ""; }

    PeerManager& manager_;
    std::string id_, capsule_, target_;
    std::vector<std::string> args_;
    Options options_;
    UniqueFd log_;  // stdout, where it was not given
    std::atomic<pid_t> pid_{0};
    std::atomic<int> asked_{0};  // the last signal that Stop or Kill asked for
    std::atomic<bool> ended_{false};
    mutable std::mutex lock_;
    std::string outcome_, detail_;
    int code_ = 0;
    std::thread life_;
};

class PeerManager final : public sdbus::AdaptorInterfaces<org::recap1::Manager_adaptor, sdbus::Properties_adaptor> {
public:
    explicit PeerManager(sdbus::IConnection& connection);
    ~PeerManager();
    void tellFinished(const std::string& path, const std::string& outcome, int code, const Options& details);

private:
    template <class... Out>
    static void notSupported(sdbus::Result<Out...>& result, const char* what);

    void Run(sdbus::Result<sdbus::ObjectPath>&& result, std::string capsule, std::string target, std::vector<std::string> args,
             Options options) override;
    void RunSelected(sdbus::Result<sdbus::ObjectPath>&& result, std::string, Options, std::vector<std::string>, Options) override;
    void RunScheduled(sdbus::Result<sdbus::ObjectPath>&& result, std::string, Options) override;
    void Plan(sdbus::Result<Options>&& result, std::string, std::string, std::vector<std::string>, Options) override;
    OptionRows ListTargets(const Options& filter, const Options& options) override;
    void ListCapsules(sdbus::Result<OptionRows>&& result, Options options) override;
    void ListImages(sdbus::Result<OptionRows>&& result, Options options) override;
    OptionRows ListBackends(const Options& options) override;
    OptionRows ListPolicies(const Options& options) override;
    void ListSchedule(sdbus::Result<OptionRows>&& result, Options options) override;
    std::tuple<OptionRows, std::string> ListRuns(const Options& filter, const Options& options) override;
    void InstallCapsule(sdbus::Result<sdbus::ObjectPath>&& result, std::string toml, Options options) override;
    void RemoveCapsule(sdbus::Result<>&& result, std::string, Options) override;
    void EnableCapsule(sdbus::Result<>&& result, std::string, Options) override;
    void DisableCapsule(sdbus::Result<>&& result, std::string, Options) override;
    void ImportImage(sdbus::Result<std::string>&& result, sdbus::UnixFd archive, Options options) override;
    void ImportImageFrom(sdbus::Result<std::string>&& result, std::string reference, Options options) override;
    void RemoveImage(sdbus::Result<>&& result, std::string, Options) override;
    void ScanImage(sdbus::Result<>&& result, std::string, Options) override;
    OptionRows Doctor(const Options& options) override;
    void Reload(sdbus::Result<>&& result, Options options) override;
    uint32_t ApiVersion() override { return 1; }

    sdbus::IConnection& connection_;
    std::map<std::string, std::unique_ptr<PeerRun>> runs_;  // by id; kept for as long as the daemon lives
};

}  // namespace recap::test
