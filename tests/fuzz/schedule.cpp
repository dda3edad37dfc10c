// SPDX-License-Identifier: Apache-2.0
// The schedule file: recapd's word, read by recap-schedule as root.
#include "daemon/helpers/schedule_lines.hpp"

#include <algorithm>

#include "sdk/manifest/values.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace recap::fuzz {

std::vector<std::string> seeds() {
    return {"recap-schedule 1\n",
            "recap-schedule 1\nclock-check run-once 30000000 every 90000000\nnightly skip 0 calendar Mon..Fri *-*-* 03:00:00\n",
            "recap-schedule 1\na skip 0 calendar %h\na skip 00 every 1\n../b run-once 1 every 1000000"};
}

void input(std::string_view bytes) {
    const auto file = helpers::readSchedule(bytes);
    if (!file) return;
    promise(file->entries.size() <= helpers::kMostEntries, "timers are bounded");
    for (const auto& entry : file->entries) {
        promise(manifest::checkName(entry.capsule).empty(), "a timer's name is a capsule's");
        promise(entry.calendar.empty() != (entry.everyUsec == 0), "one of calendar and every");
        promise(entry.calendar.find_first_of("%\n\r\\\"'$;#=[]") == std::string::npos, "a calendar is no unit file");
        const std::uint64_t wait = helpers::firstWaitUsec(entry, {1, 2}, bytes.size());
        const std::string dropIn = helpers::dropInOf(entry, wait);
        const auto lines = static_cast<std::size_t>(std::count(dropIn.begin(), dropIn.end(), '\n'));
        promise(lines == (entry.calendar.empty() ? 4u : 5u), "a drop-in has the lines that it has");
        promise(helpers::lineIn(dropIn) == helpers::lineOf(entry), "a drop-in says what it was made of");
    }
}

}  // namespace recap::fuzz
