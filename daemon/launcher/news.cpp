// SPDX-License-Identifier: Apache-2.0
#include "daemon/launcher/news.hpp"

#include <algorithm>
#include <cstring>

namespace recap::launcher {

std::optional<InitStatement> readNews(std::string_view bytes) {
    InitStatement news;
    if (bytes.size() < sizeof(news.what)) return {};
    std::memcpy(&news.what, bytes.data(), sizeof(news.what));
    std::string_view text = bytes.substr(sizeof(news.what));
    if (news.what.news < InitNews::Attached || news.what.news > InitNews::Exited) return {};
    if (news.what.news == InitNews::Failed) news.step = text;
    if (news.what.news != InitNews::Attached) return news;
    while (!text.empty()) {
        const auto end = std::min(text.find('\0'), text.size());
        news.omitted.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return news;
}

}  // namespace recap::launcher
