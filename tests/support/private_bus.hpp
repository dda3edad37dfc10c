// SPDX-License-Identifier: Apache-2.0
// A message bus of one's own: ready when its address has arrived, gone with everything on it when it goes out of scope.
#pragma once

#include <map>
#include <string>

#include "tests/support/command.hpp"
#include "tests/support/files.hpp"

namespace recap::test {

class PrivateBus {
public:
    PrivateBus();  // throws std::runtime_error
    const std::string& address() const { return address_; }
    // What a program needs to take this for the system bus (and the session bus).
    std::map<std::string, std::string> environment() const;
    void stop();  // all connections end

private:
    TempDir folder_{"recap-bus"};  // its socket's
    Child daemon_;
    std::string address_;
};

}  // namespace recap::test
