// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/progress.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "sdk/client/recapctl/text.hpp"

namespace recapctl {
namespace {

constexpr const char* kTakenAway = "\r\033[K";

void write(int fd, const std::string& text) {  // of a terminal that is gone nobody reads
    [[maybe_unused]] const auto written = ::write(fd, text.data(), text.size());
}

}  // namespace

Progress::Progress(std::string what, int file, int out, std::chrono::milliseconds every)
    : what_(escaped(what)), file_(file), out_(out), every_(every) {
    if (::isatty(out) == 1) thread_ = std::thread([this] { tell(); });
}

Progress::~Progress() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void Progress::tell() {
    const auto start = std::chrono::steady_clock::now();
    bool told = false;
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, every_, [this] { return ended_; })) {
        write(out_, kTakenAway + line(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start)));
        told = true;
    }
    if (told) write(out_, kTakenAway);
}

std::string Progress::line(std::chrono::seconds since) const {
    std::string text = what_ + ": ";
    struct stat about {};
    const off_t at = file_ < 0 ? 0 : ::lseek(file_, 0, SEEK_CUR);
    if (at > 0 && ::fstat(file_, &about) == 0 && about.st_size > 0) text += std::to_string(at * 100 / about.st_size) + "%, ";
    return text + std::to_string(since.count()) + " s";
}

LiveLine::LiveLine(int out) : out_(::isatty(out) == 1 ? out : -1) {}

void LiveLine::show(const std::string& text) {
    if (out_ < 0 || text == shown_) return;
    shown_ = text;
    write(out_, kTakenAway + text);
}

void LiveLine::takeAway() {
    if (!std::exchange(shown_, {}).empty()) write(out_, kTakenAway);
}

}  // namespace recapctl
