// SPDX-License-Identifier: Apache-2.0
#include "daemon/plan/enablings.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "sdk/base/unique_fd.hpp"
#include "sdk/manifest/files.hpp"
#include "sdk/manifest/values.hpp"

namespace recap::plan {
namespace {

std::uint64_t usec(const timespec& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_nsec) / 1000;
}
timespec timespecOf(std::uint64_t usec) { return {static_cast<time_t>(usec / 1'000'000), static_cast<long>(usec % 1'000'000 * 1000)}; }

std::uint64_t realtime() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return usec(now);
}

template <class Number>
bool takeNumber(std::string_view& text, std::string_view key, Number& into) {
    if (!text.starts_with(key)) return false;
    text.remove_prefix(key.size());
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (error != std::errc() || end == text.data() + text.size() || *end != '\n') return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
    return true;
}

std::optional<Enabling> parse(std::string_view text) {
    constexpr std::string_view kAsks = "asks ";
    Enabling enabling;
    if (!takeNumber(text, "uid ", enabling.uid) || !takeNumber(text, "since ", enabling.since)) return {};
    if (!text.starts_with(kAsks) || !text.ends_with('\n')) return {};
    enabling.asks = text.substr(kAsks.size(), text.size() - kAsks.size() - 1);
    if (enabling.asks.find('\n') != std::string::npos) return {};
    return enabling;
}

std::string format(const Enabling& enabling) {
    return "uid " + std::to_string(enabling.uid) + "\nsince " + std::to_string(enabling.since) + "\nasks " + enabling.asks + "\n";
}

}  // namespace

std::string Enablings::load() {
    std::map<std::string, Enabling, std::less<>> next;
    std::string problems;
    std::error_code error;
    for (std::filesystem::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (!manifest::checkName(name).empty()) continue;  // one that is being written
        const auto text = manifest::readText(it->path());
        auto enabling = text ? parse(*text) : std::nullopt;
        struct stat file {};
        if (!enabling || ::stat(it->path().c_str(), &file) != 0) {
            problems += (problems.empty() ? "" : "\n") + it->path().string() + ": " +
                        (text ? "is none of recapd's; capsule '" + name + "' has to be enabled again" : text.error().message);
            continue;
        }
        const std::uint64_t touched = usec(file.st_mtim);
        enabling->last = touched > enabling->since ? touched : 0;
        next.emplace(name, std::move(*enabling));
    }
    all_ = std::move(next);
    return problems;
}

std::optional<Enabling> Enablings::find(std::string_view name) const {
    const auto found = all_.find(name);
    return found == all_.end() ? std::nullopt : std::optional(found->second);
}

Result<Enabling> Enablings::add(const std::string& name, std::uint32_t uid, const std::string& asks) {
    return put(name, {uid, asks, realtime(), 0});
}

Result<Enabling> Enablings::put(const std::string& name, const Enabling& enabling) {
    if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return failErrno("mkdir " + folder_.string());
    auto written = write(name, enabling);
    if (written) return all_[name] = enabling;
    if (const auto before = all_.find(name); before != all_.end())
        (void)write(name, before->second);
    else
        ::unlink((folder_ / name).c_str());
    return forward(std::move(written));
}

Result<void> Enablings::write(const std::string& name, const Enabling& enabling) const {
    const auto path = folder_ / name;
    if (auto written = manifest::writeText(path, format(enabling), 0600); !written) return written;
    const timespec time = timespecOf(std::max(enabling.since, enabling.last));
    const timespec times[] = {time, time};
    if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) return failErrno("the time of " + path.string());
    return {};
}

Result<void> Enablings::remove(const std::string& name) {
    if (all_.erase(name) == 0) return {};
    const auto path = folder_ / name;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failErrno("remove " + path.string());
    const UniqueFd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) != 0) return failErrno("sync " + folder_.string());
    return {};
}

std::uint64_t Enablings::ran(const std::string& name) {
    const auto found = all_.find(name);
    if (found == all_.end()) return 0;
    const std::uint64_t now = realtime();
    const timespec times[] = {timespecOf(now), timespecOf(now)};
    ::utimensat(AT_FDCWD, (folder_ / name).c_str(), times, 0);  // where that fails, a catch-up comes early
    return found->second.last = now;
}

}  // namespace recap::plan
