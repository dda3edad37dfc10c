// SPDX-License-Identifier: Apache-2.0
// RECap from C++: run capsules on running containers, through recapd's D-Bus interface (org.recap1; dbus/*.xml says what
// each option and row key means).
//
//     auto client = recap::client::Client::connect();
//     auto run = client->run({.capsule = "ps", .target = "process:web"});
//     while (!run.ended()) client->wait();
//     return run.end()->exitCode;
//
// A Client belongs to one thread. Every call but run() blocks until recapd has answered; run() only queues, so that a
// program can have many runs under way and pump() them from a loop of its own. Nothing here throws but std::bad_alloc.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/client/recap/value.hpp"

namespace recap::client {

using Adjustments = Labels;

struct RunRequest {
    std::string capsule;
    std::string target;  // BACKEND:ID, BACKEND:NAME or a bare name
    Strings args{};
    int standardInput = -1;   // a pipe, socket, regular file or /dev/null; borrowed until run() returns; -1: no input
    int standardOutput = -1;  // the same; -1: kept by recapd for output()
    int standardError = -1;
    // A terminal of its own; standardInput and standardOutput are then pipes, attached to it from the start, and there is no
    // standardError. None: what the manifest says where no descriptor is given.
    std::optional<bool> tty{};
    std::uint32_t rows = 0;  // of the terminal
    std::uint32_t columns = 0;
    // What of the capsule's sandbox is wanted otherwise than its manifest says, in the manifest's words, where that lets its callers
    // choose it (sandbox.adjustable): "view", "user", "processes", "image".
    Adjustments adjustments{};
    bool openInput = false;                // without standardInput: there is one, for whoever attaches
    std::chrono::microseconds timeout{0};  // 0: the manifest's, which it can only shorten
    bool endsWithCaller = false;           // recapd stops the run when this connection ends
    bool interactive = false;              // polkit may ask the user
};

// How a run ended.
struct RunEnd {
    std::string outcome;  // succeeded failed killed timed-out target-gone denied not-started lost skipped
    int exitCode = 0;     // the payload's; 128+n for signal n
    Dict details;         // id, capsule, target, escape, detail, error, phases
};

// A run that a Client started. Lives as long as anybody holds it; changes only inside Client::pump() and wait().
class Run {
public:
    // Until recapd has accepted the run there is no path; afterwards "/org/recap1/run/ID".
    const std::string& path() const;
    std::string id() const;
    bool accepted() const { return !path().empty(); }
    // True once there is an end, or an error that there will be none: refused by recapd, or recapd is gone.
    bool ended() const;
    const RunEnd* end() const;     // null: not ended, or failed
    const Error* failure() const;  // null: not ended, or ended properly

    struct State;
    explicit Run(std::shared_ptr<State> state) : state_(std::move(state)) {}

private:
    friend class Client;
    std::shared_ptr<State> state_;
};

// Runs started as one. As a Run it lives as long as anybody holds it, and changes only inside Client::pump() and wait().
class Batch {
public:
    const std::string& path() const;  // "/org/recap1/batch/ID"
    std::string id() const;
    const Rows& results() const;   // a row a target, as GetResults has them: the same ones in the same order from the start
    Rows takeFinished();           // those that have finished since the last call, in the order in which they did
    const Dict& counts() const;    // how many targets in each state, as recapd last told
    bool ended() const;            // every target is finished, or there is a failure
    const Error* failure() const;  // null: none; otherwise recapd is gone

    struct State;
    explicit Batch(std::shared_ptr<State> state) : state_(std::move(state)) {}

private:
    std::shared_ptr<State> state_;
};

// To a run under way: what its other side is.
struct Attachment {
    UniqueFd standardInput;   // to write to
    UniqueFd standardOutput;  // to read from; a terminal's too
    UniqueFd standardError;
};
struct AttachOptions {
    bool takeOver = false;     // whoever is attached no longer is; otherwise that is error Busy
    std::uint64_t replay = 0;  // begin with so many of each stream's last bytes, as far as they are kept
};

struct RunPage {
    Rows runs;
    std::string next;  // what to pass as "before" for older rows; empty: there are none
};
struct OutputChunk {
    std::string data;
    bool end = false;
};

// What recapd tells everybody, for who listens.
struct Happening {
    // "run-submitted", "run-started", "run-finished", "batch-started", "batch-finished", "target-added", "target-removed"; and of recapd
    // itself "recapd-gone", "recapd-back": what it told in between, if anything, has not come here.
    std::string what;
    Dict details;  // "id", "capsule", "target" and what else the signal has (dbus/org.recap1.Manager.xml); of batches "id", "counts"
};

class Client {
public:
    // The system bus, or what DBUS_SYSTEM_BUS_ADDRESS names. recapd is started by the bus where it is not running.
    static Result<Client> connect();
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    ~Client();

    // Whether calls that are protected by polkit may ask the user (a password prompt of the session's agent).
    void setInteractive(bool interactive);

    Run run(const RunRequest& request);
    // Asks and does not wait: how the run ends tells whether it helped. Before recapd has accepted the run, it is kept
    // until then.
    void stop(const Run& run, std::chrono::seconds grace);
    void kill(const Run& run);
    void resize(const Run& run, std::uint32_t rows, std::uint32_t columns);
    // A run of somebody's that is under way: its end shows as that of one's own.
    Result<Run> attach(const std::string& run, const AttachOptions& options, Attachment& into);
    // It goes on when this connection ends.
    Result<void> detach(const std::string& run);

    // From now on what happens is kept, in its order, until it is taken. Also after recapd has gone and come back.
    Result<void> listen();
    std::vector<Happening> takeHappenings();

    // For loops: poll fd() for events() until deadline() (CLOCK_MONOTONIC, µs; UINT64_MAX: none), then pump() until it
    // says false. wait() does all that once.
    int fd() const;
    short events() const;
    std::uint64_t deadline() const;
    Result<bool> pump();
    Result<void> wait();

    // One run on each of the targets that `selector` matches; the batch's object path.
    Result<std::string> runSelected(const std::string& capsule, const Dict& selector, const Strings& args, const Dict& options = {});
    Result<Batch> follow(const std::string& batchPath);
    void stop(const Batch& batch, std::chrono::seconds grace);  // asks and does not wait, as for a run; 0: kills
    Result<void> stopBatch(const std::string& id, std::chrono::seconds grace);
    // A turn of an enabled capsule, now; the batch's object path.
    Result<std::string> runScheduled(const std::string& capsule);
    Result<Dict> plan(const std::string& capsule, const std::string& target, const Strings& args, const Dict& options = {});
    Result<Rows> targets(const Dict& filter = {});
    Result<Rows> capsules();
    Result<Rows> images();
    Result<Rows> backends();
    Result<Rows> policies();
    Result<Rows> schedule();
    Result<Rows> doctor();
    Result<RunPage> runs(const Dict& filter = {}, const Dict& options = {});

    Result<std::string> installCapsule(const std::string& toml, bool replace);  // its object path
    Result<void> removeCapsule(const std::string& name);
    Result<void> enableCapsule(const std::string& name);
    Result<void> disableCapsule(const std::string& name);
    // The image's digest. `archive`: a regular file or a folder, open for reading; `reference`: "docker-daemon:NAME:TAG" and the like.
    // Options: what ImportImage and ImportImageFrom take ("reference", "backend").
    Result<std::string> importImage(int archive, const Dict& options = {});
    Result<std::string> importImageFrom(const std::string& reference, const Dict& options = {});
    Result<void> removeImage(const std::string& image);
    Result<void> scanImage(const std::string& image);
    Result<void> reload();

    // Of one run, by its id.
    Result<Dict> details(const std::string& run);
    Result<OutputChunk> output(const std::string& run, const std::string& stream, std::uint64_t offset, std::uint32_t max);
    Result<UniqueFd> openOutput(const std::string& run, const std::string& stream);  // a pipe that follows the run
    Result<Rows> artifacts(const std::string& run);
    Result<UniqueFd> openArtifact(const std::string& run, const std::string& name);
    Result<void> stop(const std::string& run, std::chrono::seconds grace);
    Result<void> kill(const std::string& run);

private:
    struct Private;
    explicit Client(std::unique_ptr<Private> d);
    std::unique_ptr<Private> d_;
};

}  // namespace recap::client
