// SPDX-License-Identifier: Apache-2.0
// What --json prints: one object, {"schema": 1, …}. Keys of rows are the bus's with _ for -, so that jq takes them as they
// are; keys inside labels and the like are somebody's data and stay.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "sdk/base/result.hpp"
#include "sdk/client/recap/value.hpp"

namespace recapctl {

using Json = nlohmann::ordered_json;

Json document();                              // {"schema": 1}
Json toJson(const recap::client::Dict& row);  // "exit-code" becomes "exit_code", phases count from "received"
Json toJson(const recap::client::Rows& rows);
Json toJson(const recap::Error& error);                                        // {"code": "NotFound", "message": "…"}
Json errorDocument(const recap::Error& error);                                 // {"schema": 1, "error": {…}}
void setBytes(Json& object, const std::string& key, const std::string& data);  // as text, or as key_base64
std::string line(const Json& json);                                            // compact, one line, always valid UTF-8

}  // namespace recapctl
