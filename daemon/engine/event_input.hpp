// SPDX-License-Identifier: Apache-2.0
// What happened, for the stdin of a run that an event started.
#pragma once

#include <string>

#include "daemon/core/run.hpp"
#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"

namespace recap {

// {"on": "oom", "time": µs of the epoch, "facts": {"KEY": "value", …}} and a line's end.
std::string occurrenceText(const Occurrence& occurrence);

// A pipe with this text in it, that nobody writes to any more: to be read as far as its end. LimitExceeded: it does not fit.
Result<UniqueFd> filledPipe(const std::string& text);

// Where the plan's run readsOccurrence(): its stdin is such a pipe.
Result<void> giveOccurrence(RunPlan& plan);

}  // namespace recap
