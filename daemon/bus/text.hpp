// SPDX-License-Identifier: Apache-2.0
// Text of strangers (names of files, processes and containers, labels, an image's words) for the bus: sd-bus refuses a
// message with a string that is not what it calls valid, so that no such string may get as far.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace recap::bus {

// U+FFFD for what sd-bus refuses: bytes that are not UTF-8, noncharacters and NUL.
std::string busText(std::string_view text);
std::vector<std::string> busText(const std::vector<std::string>& texts);
std::map<std::string, std::string> busText(const std::map<std::string, std::string>& texts);

// Likewise, and cut with "…": for properties, which GetManagedObjects sends of every object at once.
std::string briefText(std::string_view text);

// Likewise whole, for sentences: without the folder of recapd's state, which is nobody's business.
std::string busSentence(std::string_view text);
void hideFolder(std::string path);  // once, at start

}  // namespace recap::bus
