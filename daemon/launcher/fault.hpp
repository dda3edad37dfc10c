// SPDX-License-Identifier: Apache-2.0
// For the crash matrix alone (tests/hostile/crash_test.cpp): a build that defines RECAP_TEST_FAULTS stands still at one step of an attach
// or a teardown, chosen by a page of memory that it shares with the test, until the test lets it go on; meanwhile somebody is killed. In
// every other build nothing of this is in the program: a test looks for it there.
#pragma once

#include <string_view>

#ifdef RECAP_TEST_FAULTS
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#endif

namespace recap::launcher {

#ifdef RECAP_TEST_FAULTS

struct FaultPage {
    char wanted[64];                   // "init: root", or empty
    std::atomic<std::uint32_t> there;  // somebody stands at it
    std::atomic<std::uint32_t> turn;   // changes when it is to go on
    std::atomic<std::uint32_t> size;   // of log
    char log[16384];                   // every step that was reached, a line each
};

// Mapped once by the supervisor, from the file that RECAP_TEST_FAULTS names; children have it until they execute.
inline FaultPage* faultPage() {
    static FaultPage* const page = [] {
        const char* path = std::getenv("RECAP_TEST_FAULTS");
        const int file = path != nullptr ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
        void* memory = file >= 0 ? ::mmap(nullptr, sizeof(FaultPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
        if (file >= 0) ::close(file);
        return memory == MAP_FAILED ? nullptr : static_cast<FaultPage*>(memory);
    }();
    return page;
}

inline void faultPoint(std::string_view who, std::string_view what) {
    FaultPage* const page = faultPage();
    if (page == nullptr) return;
    char name[64] = {};
    who.copy(name, 24);
    std::strcat(name, ": ");
    what.copy(name + std::strlen(name), 32);
    const auto length = static_cast<std::uint32_t>(std::strlen(name));
    if (const std::uint32_t at = page->size.fetch_add(length + 1); at + length + 1 < sizeof(page->log)) {
        std::memcpy(page->log + at, name, length);
        page->log[at + length] = '\n';
    }
    std::uint32_t nobody = 0;
    const std::uint32_t turn = page->turn;
    if (std::strcmp(name, page->wanted) != 0 || !page->there.compare_exchange_strong(nobody, 1)) return;
    while (page->turn == turn) __builtin_ia32_pause();  // no system call: a filter may forbid it by now
}

#else

constexpr void faultPoint(std::string_view, std::string_view) {}

#endif

}  // namespace recap::launcher
