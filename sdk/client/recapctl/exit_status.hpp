// SPDX-License-Identifier: Apache-2.0
// What recapctl exits with. A capsule's own status is passed on as it is; these are everything else.
#pragma once

#include "sdk/client/recap/client.hpp"

namespace recapctl {

inline constexpr int kSuccess = 0;
inline constexpr int kFindings = 1;         // doctor found something that does not work
inline constexpr int kTimedOut = 124;       // as timeout(1)
inline constexpr int kOwnFailure = 125;     // RECap's, not the capsule's: wrong usage, refused, no recapd, lost
inline constexpr int kNotExecutable = 126;  // as a shell: found in the image, but not a program that can run
inline constexpr int kNotFound = 127;       // as a shell: no such command in the image

inline int exitStatus(const recap::client::RunEnd& end) {
    if (end.outcome == "succeeded") return kSuccess;
    if (end.outcome == "failed") return end.exitCode > 0 && end.exitCode < 256 ? end.exitCode : kFindings;
    // Cut short is no success, even where the capsule took TERM for a good reason to exit with 0.
    if (end.outcome == "killed") return end.exitCode > 0 && end.exitCode < 256 ? end.exitCode : 128 + 15;
    if (end.outcome == "timed-out") return kTimedOut;
    if (end.outcome == "not-started" && (end.exitCode == kNotExecutable || end.exitCode == kNotFound)) return end.exitCode;
    return kOwnFailure;
}

}  // namespace recapctl
