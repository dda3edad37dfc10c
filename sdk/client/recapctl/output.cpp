// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "sdk/client/recapctl/exit_status.hpp"
#include "sdk/client/recapctl/json.hpp"
#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using recap::client::Dict;
using recap::client::Rows;

namespace {

std::string joined(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
    std::string line;
    std::size_t owed = 0;  // spaces, written only if something follows
    for (std::size_t i = 0; i < cells.size(); ++i) {
        line.append(owed, ' ');
        line += cells[i];
        owed = widths[i] - width(cells[i]) + 2;
    }
    return line;
}

}  // namespace

bool mayColour(int fd) {
    const char* none = std::getenv("NO_COLOR");
    const char* term = std::getenv("TERM");
    return (!none || !*none) && term && std::string_view(term) != "dumb" && ::isatty(fd);
}

Column text(std::string head, std::string key) {
    return {std::move(head), [key = std::move(key)](const Dict& row) { return std::string(row.text(key)); }};
}

Column number(std::string head, std::string key) {
    return {std::move(head), [key = std::move(key)](const Dict& row) { return row.has(key) ? std::to_string(row.number(key)) : ""; }};
}

Column list(std::string head, std::string key) {
    return {std::move(head), [key = std::move(key)](const Dict& row) {
                std::string all;
                for (const auto& one : row.strings(key)) all += (all.empty() ? "" : ",") + one;
                return all;
            }};
}

std::string table(const std::vector<Column>& columns, const Rows& rows, const Style& style) {
    std::vector<std::vector<std::string>> lines;
    std::vector<std::size_t> widths(columns.size(), 0);
    const auto add = [&](auto&& cellOf) {
        auto& cells = lines.emplace_back();
        for (std::size_t i = 0; i < columns.size(); ++i) {
            std::string cell = escaped(cellOf(columns[i]));
            cells.push_back(cell.empty() ? "-" : std::move(cell));
            widths[i] = std::max(widths[i], width(cells.back()));
        }
    };
    if (style.legend) add([](const Column& column) { return column.head; });
    for (const auto& row : rows) add([&](const Column& column) { return column.cell(row); });
    std::string out;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool bold = style.colour && style.legend && i == 0;
        out += (bold ? "\033[1m" : "") + joined(lines[i], widths) + (bold ? "\033[0m\n" : "\n");
    }
    return out;
}

bool writeAll(int fd, std::string_view data) {
    while (!data.empty()) {
        const ssize_t written = ::write(fd, data.data(), data.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) {  // whoever shares this end has made it non-blocking
            pollfd room{fd, POLLOUT, 0};
            ::poll(&room, 1, -1);
            continue;
        }
        if (written < 0) return false;
        data.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

int print(std::string_view text) {
    if (writeAll(STDOUT_FILENO, text)) return kSuccess;
    note(std::string("standard output: ") + ::strerrordesc_np(errno));
    return kOwnFailure;
}

int printJson(const Rows& rows, const std::string& key) {
    Json json = document();
    json[key] = toJson(rows);
    return print(line(json));
}

int printJson(const Dict& dict) {
    Json json = document();
    json.update(toJson(dict));
    return print(line(json));
}

int printRows(const std::vector<Column>& columns, const Rows& rows, const std::string& key, const Style& style) {
    if (style.json) return printJson(rows, key);
    return rows.empty() ? kSuccess : print(table(columns, rows, style));
}

int complain(const recap::Error& error, const Style& style) {
    if (style.json)
        writeAll(STDOUT_FILENO, line(errorDocument(error)));
    else
        note(error.message);
    return kOwnFailure;
}

void note(std::string_view sentence) {
    // Line breaks of a longer explanation stay; whatever else could move a cursor does not.
    std::string out = "recapctl: ";
    while (!sentence.empty()) {
        const std::size_t end = std::min(sentence.find('\n'), sentence.size());
        out += escaped(sentence.substr(0, end)) + "\n";
        sentence.remove_prefix(std::min(end + 1, sentence.size()));
    }
    writeAll(STDERR_FILENO, out);
}

}  // namespace recapctl
