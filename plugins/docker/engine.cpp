// SPDX-License-Identifier: Apache-2.0
#include "plugins/docker/engine.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "plugins/docker/events.hpp"

namespace recap::docker {
namespace {

constexpr std::size_t kMaxList = 32 * 1024 * 1024;
constexpr std::size_t kMaxInspect = 1024 * 1024;
constexpr std::size_t kMaxArchive = std::size_t{16} * 1024 * 1024 * 1024;
constexpr std::size_t kMaxName = 255;
constexpr long kMaxEventSpeed = 1024 * 1024;  // thousands of events a second; a flood leaves time for the rest

struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    auto operator<=>(const Version&) const = default;
};
constexpr Version kNewest{1, 51};  // whose answers RECap reads

std::optional<Version> versionIn(std::string_view text) {
    Version version;
    const char* end = text.data() + text.size();
    const auto major = std::from_chars(text.data(), end, version.major);
    if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
    const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
    if (minor.ec != std::errc() || minor.ptr != end) return std::nullopt;
    return version;
}

bool isAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool consistsOf(std::string_view text, std::string_view others) {
    return !text.empty() && text.size() <= kMaxName && isAlnum(text.front()) &&
           std::all_of(text.begin(), text.end(), [&](char c) { return isAlnum(c) || others.find(c) != std::string_view::npos; });
}

// An answer that is not 200, as the engine says why.
Error refusalOf(const std::string& what, const Answer& answer) {
    const std::string why = readMessage(answer.body);
    const Errc code = answer.status == 404 ? Errc::NotFound : Errc::Unavailable;
    return {code, what + " is answered with status " + std::to_string(answer.status) + (why.empty() ? "" : ": " + why)};
}

}  // namespace

Result<Dialect> negotiate(const Answer& ping) {
    const auto header = ping.headers.find("api-version");
    if (header == ping.headers.end()) return fail(Errc::Unavailable, "the answer to GET /_ping has no Api-Version: no Docker Engine");
    const auto version = versionIn(header->second);
    if (!version) return fail(Errc::Unavailable, "the engine's Api-Version is '" + shortened(header->second, 32) + "', which is none");
    const Version both = std::min(*version, kNewest);
    Dialect dialect{std::to_string(both.major) + "." + std::to_string(both.minor), {}};
    const auto libpod = ping.headers.find("libpod-api-version");
    if (libpod != ping.headers.end() && consistsOf(libpod->second, ".-")) dialect.libpod = libpod->second;
    return dialect;
}

Engine::Engine(std::string socket, Waiting waiting, EngineTimes times)
    : http_(std::move(socket)), waiting_(std::move(waiting)), times_(times) {}

bool Engine::step(std::chrono::milliseconds timeout) {
    if (waiting_.goOn && !waiting_.goOn()) return false;
    http_.step(std::array{waiting_.stopFd}, std::clamp(timeout, std::chrono::milliseconds(0), kSlice));
    return true;
}

Request Engine::request(const std::string& path, std::size_t maxBody) const {
    Request made;
    made.path = "/v" + dialect_.version + path;
    made.what = "GET " + path.substr(0, path.find('?'));
    made.maxBody = maxBody;
    made.deadline = times_.answer;
    return made;
}

Result<Answer> Engine::await(Request request, const std::function<bool()>& goOn) {
    const std::string what = request.what;
    std::optional<Result<Answer>> answer;
    const auto id = http_.get(std::move(request), [&](Result<Answer> got) { answer = std::move(got); });
    while (!answer) {
        if (step(std::chrono::seconds(1)) && goOn()) continue;
        http_.cancel(id);
        return fail(Errc::Unavailable, what + " was given up");
    }
    if (!*answer) return std::move(*answer);
    if ((*answer)->status != 200) return tl::unexpected(refusalOf(what, **answer));
    return std::move(*answer);
}

Result<Answer> Engine::fetch(Request request) {
    return await(std::move(request), [] { return true; });
}

Result<void> Engine::connect() {
    auto answer = fetch({.path = "/_ping", .what = "GET /_ping", .deadline = times_.answer});
    if (!answer) return forward(std::move(answer));
    auto dialect = negotiate(*answer);
    if (!dialect) return forward(std::move(dialect));
    dialect_ = std::move(*dialect);
    if (!dialect_.libpod.empty()) return {};  // podman's containers each say theirs
    auto info = fetch(request("/info", kMaxInspect));
    if (!info && info.error().code == Errc::Timeout) return forward(std::move(info));
    userNamespaces_ = info && readUserNamespaces(info->body);  // a proxy before the engine may refuse it
    return {};
}

Result<void> Engine::ping() {
    auto answer = fetch({.path = "/_ping", .what = "GET /_ping", .deadline = times_.answer});
    if (!answer) return forward(std::move(answer));
    return {};
}

Result<std::vector<std::string>> Engine::list() {
    auto answer = fetch(request("/containers/json", kMaxList));
    if (!answer) return forward(std::move(answer));
    return readList(answer->body);
}

void Engine::inspect(const std::string& idOrName, Inspected done) {
    Request made = request("/containers/" + idOrName + "/json", kMaxInspect);
    made.deadline = times_.inspect;
    const std::string what = made.what;
    http_.get(std::move(made), [this, what, done = std::move(done)](Result<Answer> answer) {
        if (!answer) return done(forward(std::move(answer)));
        if (answer->status != 200) return done(tl::unexpected(refusalOf(what, *answer)));
        auto container = readContainer(answer->body);
        if (!container || !container->running || dialect_.libpod.empty()) return done(std::move(container));
        askRuntime(std::move(*container), done);
    });
}

void Engine::askRuntime(Container container, Inspected done) {
    if (const auto known = runtimes_.find(container.id); known != runtimes_.end()) {
        container.runtime = known->second;
        return done(std::move(container));
    }
    Request made = request("", kMaxInspect);
    made.what = "GET /libpod/containers/" + container.id + "/json";
    made.path = "/v" + dialect_.libpod + made.what.substr(4);
    made.deadline = times_.inspect;
    http_.get(std::move(made), [this, container = std::move(container), done = std::move(done)](Result<Answer> answer) mutable {
        const std::string runtime = answer && answer->status == 200 ? readOciRuntime(answer->body) : std::string();
        if (runtimes_.size() >= kMaxContainers) runtimes_.clear();
        if (!runtime.empty()) container.runtime = runtimes_[container.id] = runtime;
        done(std::move(container));
    });
}

Result<Container> Engine::inspect(const std::string& idOrName) {
    // Shared: the answer may come when nobody waits for it any more.
    const auto answer = std::make_shared<std::optional<Result<Container>>>();
    inspect(idOrName, [answer](Result<Container> got) { *answer = std::move(got); });
    while (!*answer) {
        if (!step()) return fail(Errc::Unavailable, "GET /containers/" + idOrName + "/json was given up");
    }
    return std::move(**answer);
}

Http::Id Engine::events(std::uint64_t since, OnBytes onBytes, std::function<void(Error)> ended) {
    Request made = request("/events?" + eventsQuery(since), 0);
    made.deadline = std::chrono::milliseconds(0);
    made.maxSpeed = kMaxEventSpeed;
    made.onBody = std::move(onBytes);
    const std::string what = made.what;
    return http_.get(std::move(made), [what, ended = std::move(ended)](Result<Answer> answer) {
        if (!answer) return ended(std::move(answer).error());
        if (answer->status != 200) return ended(refusalOf(what, *answer));
        ended({Errc::Unavailable, "the engine ended its stream of events"});
    });
}

Result<void> Engine::awaitHead(Http::Id id) {
    const auto end = std::chrono::steady_clock::now() + times_.answer;
    while (!http_.isAnswered(id)) {
        if (!http_.isUnderWay(id)) return fail(Errc::Unavailable, "the answer to GET /events ended before it began");
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return fail(Errc::Timeout, "no answer to GET /events");
        if (!step(left)) return fail(Errc::Unavailable, "GET /events was given up");
    }
    return {};
}

Result<void> Engine::exportImage(const std::string& reference, OnBytes onBytes) {
    auto known = fetch(request("/images/" + reference + "/json", kMaxInspect));
    if (!known && known.error().code == Errc::NotFound) return fail(Errc::NotFound, "no image '" + reference + "'");
    if (!known) return forward(std::move(known));
    auto last = std::chrono::steady_clock::now();
    std::size_t written = 0;
    Request made = request("/images/" + reference + "/get", 0);
    made.deadline = std::chrono::milliseconds(0);
    made.onBody = [&](std::string_view bytes) -> Result<void> {
        written += bytes.size();
        if (written > kMaxArchive) return fail(Errc::LimitExceeded, "image '" + reference + "' is larger than 16 GiB");
        auto taken = onBytes(bytes);
        last = std::chrono::steady_clock::now();
        return taken;
    };
    auto answer = await(std::move(made), [&] { return std::chrono::steady_clock::now() - last < times_.silence; });
    if (!answer) return forward(std::move(answer));
    return {};
}

bool isReference(std::string_view text) {
    return consistsOf(text, "._-/:@") && text.find("..") == std::string_view::npos && text.find("//") == std::string_view::npos;
}

bool isName(std::string_view text) { return consistsOf(text, "._-"); }

}  // namespace recap::docker
