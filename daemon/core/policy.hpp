// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/core/sandbox.hpp"
#include "sdk/base/result.hpp"

namespace recap {

// One thing that a policy took away, in words for `recapctl plan`: "memory: 512 MiB narrowed to 256 MiB".
struct Narrowing {
    std::string policy;
    std::string what;
};

struct Narrowed {
    SandboxSpec sandbox;
    std::vector<Narrowing> taken;
};

// Pure: no clock, no files, no system calls. May only take away (narrowAll() in daemon/plan checks that it did), or deny
// with Errc::Denied and a sentence that says what would allow it.
class Policy {
public:
    virtual ~Policy() = default;
    virtual std::string_view name() const = 0;
    virtual Result<Narrowed> narrow(SandboxSpec asked) const = 0;
};

}  // namespace recap
