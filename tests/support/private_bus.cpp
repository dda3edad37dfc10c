// SPDX-License-Identifier: Apache-2.0
#include "tests/support/private_bus.hpp"

#include <csignal>
#include <stdexcept>

namespace recap::test {

PrivateBus::PrivateBus()
    : daemon_(Command{.argv = {"dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1",
                               "--address=unix:path=" + (folder_.path() / "bus").string()}}) {
    if (!daemon_.waitForOutput("\n", Deadline(kPatience)))
        throw std::runtime_error("dbus-daemon did not start: " + daemon_.wait(Deadline(kPatience)).all());
    address_ = trimmed(daemon_.out());
}

std::map<std::string, std::string> PrivateBus::environment() const {
    return {{"DBUS_SYSTEM_BUS_ADDRESS", address_}, {"DBUS_SESSION_BUS_ADDRESS", address_}};
}

void PrivateBus::stop() {
    daemon_.signal(SIGKILL);
    daemon_.wait(Deadline(kPatience));
}

}  // namespace recap::test
