// SPDX-License-Identifier: Apache-2.0
#include "tests/hostile/fault_page.hpp"

#define RECAP_TEST_FAULTS
#include "daemon/launcher/fault.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "sdk/base/unique_fd.hpp"

namespace recap::test {

struct FaultPage::Layout : launcher::FaultPage {};

FaultPage::FaultPage() {
    writeFile(path(), std::string(sizeof(Layout), '\0'));
    const UniqueFd file(::open(path().c_str(), O_RDWR | O_CLOEXEC));
    void* memory = ::mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no page for faults");
    page_ = static_cast<Layout*>(memory);
}

FaultPage::~FaultPage() { ::munmap(page_, sizeof(Layout)); }

void FaultPage::want(const std::string& step) {
    std::ranges::fill(page_->wanted, '\0');
    step.copy(page_->wanted, sizeof(page_->wanted) - 1);
    page_->there = 0;
    page_->size = 0;
}

bool FaultPage::somebodyIsThere() const { return page_->there != 0; }
void FaultPage::goOn() { ++page_->turn; }

std::vector<std::string> FaultPage::reached() const {
    std::istringstream log(std::string(page_->log, std::min<std::size_t>(page_->size, sizeof(page_->log))));
    std::vector<std::string> steps;
    for (std::string line; std::getline(log, line);)
        if (std::ranges::find(steps, line) == steps.end()) steps.push_back(line);
    return steps;
}

}  // namespace recap::test
