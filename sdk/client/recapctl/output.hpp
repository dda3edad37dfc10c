// SPDX-License-Identifier: Apache-2.0
// Where results and complaints go. With --json standard output holds one JSON object and nothing else; otherwise results
// are lines there, one a record, and complaints are lines on standard error.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sdk/base/result.hpp"
#include "sdk/client/recap/value.hpp"

namespace recapctl {

struct Style {
    bool json = false;
    bool legend = true;  // column heads
    bool colour = false;
};
bool mayColour(int fd);  // a terminal, and neither NO_COLOR nor TERM=dumb says no

struct Column {
    std::string head;
    std::function<std::string(const recap::client::Dict&)> cell;  // unescaped
};
Column text(std::string head, std::string key);
Column number(std::string head, std::string key);
Column list(std::string head, std::string key);  // of an array: "a,b"

// Lined-up columns, two spaces between, cells escaped, "-" where there is nothing, no space at a line's end.
std::string table(const std::vector<Column>& columns, const recap::client::Rows& rows, const Style& style);

// All of it, or false (a reader that has gone, a full disk).
bool writeAll(int fd, std::string_view data);

// To standard output; the exit status that goes with it.
int print(std::string_view text);
int printJson(const recap::client::Rows& rows, const std::string& key);  // {"schema":1,KEY:[…]}
int printJson(const recap::client::Dict& dict);                          // {"schema":1,…}
int printRows(const std::vector<Column>& columns, const recap::client::Rows& rows, const std::string& key, const Style& style);
// One sentence on standard error, or the JSON error object on standard output; kOwnFailure.
int complain(const recap::Error& error, const Style& style);
void note(std::string_view sentence);  // "recapctl: …" on standard error

}  // namespace recapctl
