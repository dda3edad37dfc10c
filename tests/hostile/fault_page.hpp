// SPDX-License-Identifier: Apache-2.0
// The test's side of daemon/launcher/fault.hpp: the page by which a launcher is made to stand still at a step.
#pragma once

#include <string>
#include <vector>

#include "tests/support/files.hpp"

namespace recap::test {

class FaultPage {
public:
    FaultPage();
    ~FaultPage();
    FaultPage(const FaultPage&) = delete;
    FaultPage& operator=(const FaultPage&) = delete;

    std::filesystem::path path() const { return folder_.path() / "page"; }
    void want(const std::string& step);  // empty: nobody is to stand still
    bool somebodyIsThere() const;
    void goOn();
    std::vector<std::string> reached() const;  // since want(), in order, each once

private:
    struct Layout;
    TempDir folder_{"recap-faults"};
    Layout* page_ = nullptr;
};

}  // namespace recap::test
