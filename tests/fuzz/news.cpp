// SPDX-License-Identifier: Apache-2.0
// What a capsule's init says to the supervisor, which runs as root.
#include "daemon/launcher/news.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

namespace {

std::string message(launcher::InitNews news, std::int32_t value, std::string_view text) {
    const launcher::InitMessage what{news, value, 42};
    return std::string(reinterpret_cast<const char*>(&what), sizeof(what)).append(text);
}

}  // namespace

std::vector<std::string> seeds() {
    using launcher::InitNews;
    return {message(InitNews::Attached, launcher::kArtifactsFd | launcher::kUpperFd, std::string_view("fuse /a\0nfs /b", 14)),
            message(InitNews::Executing, 0, {}), message(InitNews::Failed, 2, "executable"), message(InitNews::Exited, 256, {})};
}

void input(std::string_view bytes) {
    const auto news = launcher::readNews(bytes);
    if (!news) return;
    std::size_t said = news->step.size();
    for (const auto& mount : news->omitted) {
        promise(mount.find('\0') == std::string::npos, "a mount's name ends at a NUL");
        said += mount.size();
    }
    promise(said + sizeof(news->what) <= bytes.size(), "no more is read than was said");
}

}  // namespace recap::fuzz
