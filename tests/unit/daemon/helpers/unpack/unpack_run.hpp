// SPDX-License-Identifier: Apache-2.0
// recap-unpack as the launcher starts it, in a folder that has neighbours which must not change.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "sdk/base/unique_fd.hpp"
#include "tests/support/files.hpp"
#include "tests/support/outside.hpp"
#include "tests/support/raw_image.hpp"

namespace recap::test {

struct Unpacked {
    int status = -1;  // 128+n for signal n
    std::string sentence;
};

class UnpackRun {
public:
    UnpackRun();
    std::filesystem::path staging() const { return folder_.path() / "store/incoming/1"; }
    std::filesystem::path folder() const { return folder_.path(); }

    pid_t start(int input);  // with fd 0 = input
    Unpacked finish();       // of the started one
    Unpacked archive(const std::string& bytes);
    Unpacked layout(const RawImage& image);  // as an archive
    Unpacked layer(const std::string& tar) { return layout({.layers = {tar}}); }

    std::vector<std::string> outsideChanges() const;  // beside the staging folder; empty: nothing

private:
    TempDir folder_{"recap-unpack"};
    Picture before_;
    pid_t pid_ = -1;
    UniqueFd errors_;
};

}  // namespace recap::test
