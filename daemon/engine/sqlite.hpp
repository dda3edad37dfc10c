// SPDX-License-Identifier: Apache-2.0
// One prepared statement, used once by one thread.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "sdk/base/result.hpp"

namespace recap {

class Statement {
public:
    Statement(sqlite3* database, const std::string& sql) : database_(database) {
        result_ = ::sqlite3_prepare_v2(database, sql.c_str(), -1, &statement_, nullptr);
    }
    ~Statement() { ::sqlite3_finalize(statement_); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    // Parameters in their order.
    Statement& bind(std::string_view text) {
        if (result_ == SQLITE_OK)
            result_ = ::sqlite3_bind_text(statement_, ++bound_, text.data() == nullptr ? "" : text.data(), static_cast<int>(text.size()),
                                          SQLITE_TRANSIENT);
        return *this;
    }
    Statement& bind(std::int64_t number) {
        if (result_ == SQLITE_OK) result_ = ::sqlite3_bind_int64(statement_, ++bound_, number);
        return *this;
    }
    Statement& bind(std::uint64_t number) { return bind(static_cast<std::int64_t>(number)); }

    bool step() {  // true: there is a row
        if (result_ == SQLITE_OK || result_ == SQLITE_ROW) result_ = ::sqlite3_step(statement_);
        column_ = 0;
        return result_ == SQLITE_ROW;
    }
    void again() {
        ::sqlite3_reset(statement_);
        bound_ = 0;
        result_ = SQLITE_OK;
    }
    Result<void> outcome(std::string_view what) const {
        if (result_ == SQLITE_OK || result_ == SQLITE_ROW || result_ == SQLITE_DONE) return {};
        return fail(Errc::Io, std::string(what) + ": " + ::sqlite3_errmsg(database_));
    }

    // Columns in their order.
    std::string text() {
        const int column = column_++;
        const auto* data = static_cast<const char*>(::sqlite3_column_blob(statement_, column));
        const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column));
        return data == nullptr ? std::string() : std::string(data, size);
    }
    std::uint64_t number() { return static_cast<std::uint64_t>(::sqlite3_column_int64(statement_, column_++)); }

private:
    sqlite3* database_;
    sqlite3_stmt* statement_ = nullptr;
    int result_ = SQLITE_OK;
    int bound_ = 0;
    int column_ = 0;
};

}  // namespace recap
