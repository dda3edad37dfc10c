// SPDX-License-Identifier: Apache-2.0
// Values to and from libdbus messages.
#pragma once

#include <dbus/dbus.h>

#include "sdk/client/recap/value.hpp"

namespace recap::client {

// Only of what check() has nothing against. False: no memory, or a descriptor that cannot be duplicated (errno then).
bool append(DBusMessageIter* at, const Dict& dict);         // a{sv}
bool append(DBusMessageIter* at, const Strings& strings);   // as
bool append(DBusMessageIter* at, const std::string& text);  // s
bool append(DBusMessageIter* at, std::uint32_t number);     // u
bool append(DBusMessageIter* at, std::uint64_t number);     // t
bool append(DBusMessageIter* at, BorrowedFd fd);            // h; libdbus duplicates it

// Reads the argument and goes on to the next. False: it is of another type.
bool read(DBusMessageIter* at, Dict& dict);            // a{sv} and any other a{s*}
bool read(DBusMessageIter* at, Rows& rows);            // aa{sv} and any other aa{s*}
bool read(DBusMessageIter* at, std::string& text);     // s, o or ay
bool read(DBusMessageIter* at, bool& flag);            // b
bool read(DBusMessageIter* at, std::int32_t& number);  // i

}  // namespace recap::client
