// SPDX-License-Identifier: Apache-2.0
// A watch of a file as recap-launcher opens it.
#pragma once

#include <gtest/gtest.h>
#include <sys/inotify.h>

#include <filesystem>

#include "sdk/base/unique_fd.hpp"

namespace recap::test {

inline UniqueFd watchOf(const std::filesystem::path& file) {
    constexpr std::uint32_t changes =
        IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF;
    UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    EXPECT_GE(::inotify_add_watch(inotify.get(), file.c_str(), changes), 0) << file;
    return inotify;
}

}  // namespace recap::test
