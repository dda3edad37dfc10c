// SPDX-License-Identifier: Apache-2.0
// Values to and from sd-bus messages. Every function returns what sd-bus does: negative errno on failure.
#pragma once

#include <systemd/sd-bus.h>

#include "sdk/client/recap/value.hpp"

namespace recap::client {

int append(sd_bus_message* message, const Dict& dict);         // a{sv}
int append(sd_bus_message* message, const Strings& strings);   // as
int append(sd_bus_message* message, const std::string& text);  // s
int append(sd_bus_message* message, std::uint32_t number);     // u
int append(sd_bus_message* message, std::uint64_t number);     // t
int append(sd_bus_message* message, BorrowedFd fd);            // h

int read(sd_bus_message* message, Dict& dict);         // a{sv} and any other a{s*}
int read(sd_bus_message* message, Rows& rows);         // aa{sv}
int read(sd_bus_message* message, std::string& text);  // s, o or ay
int read(sd_bus_message* message, bool& flag);         // b

}  // namespace recap::client
