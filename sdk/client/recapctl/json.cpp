// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/recapctl/json.hpp"

#include <algorithm>

#include "sdk/client/recapctl/text.hpp"

namespace recapctl {

using recap::client::BorrowedFd;
using recap::client::Dict;
using recap::client::Rows;
using recap::client::Value;

namespace {

Json verbatim(const Value& value);

Json verbatim(const Dict& dict) {
    Json object = Json::object();
    for (const auto& [key, value] : dict) object[key] = verbatim(value);
    return object;
}

struct ToJson {
    Json operator()(std::monostate) const { return nullptr; }
    Json operator()(BorrowedFd) const { return nullptr; }
    Json operator()(const Dict& is) const { return verbatim(is); }
    Json operator()(const Rows& is) const { return toJson(is); }
    Json operator()(const auto& is) const { return Json(is); }
};

Json verbatim(const Value& value) { return std::visit(ToJson{}, value.is); }

// CLOCK_MONOTONIC means nothing to who reads this: phases as microseconds since the run was received.
Json sinceReceived(const Dict& phases) {
    const std::int64_t start = phases.number("received");
    Json object = Json::object();
    for (const auto& [phase, value] : phases) object[phase] = phases.number(phase) - start;
    return object;
}

}  // namespace

Json document() { return {{"schema", 1}}; }

Json toJson(const Dict& row) {
    Json object = Json::object();
    for (const auto& [key, value] : row) {
        std::string name = key;
        std::ranges::replace(name, '-', '_');
        const auto* phases = key == "phases" ? std::get_if<Dict>(&value.is) : nullptr;
        object[name] = phases ? sinceReceived(*phases) : verbatim(value);
    }
    return object;
}

Json toJson(const Rows& rows) {
    Json array = Json::array();
    for (const auto& row : rows) array.push_back(toJson(row));
    return array;
}

Json toJson(const recap::Error& error) { return {{"code", std::string(name(error.code))}, {"message", error.message}}; }

Json errorDocument(const recap::Error& error) {
    Json json = document();
    json["error"] = toJson(error);
    return json;
}

void setBytes(Json& object, const std::string& key, const std::string& data) {
    if (isUtf8(data))
        object[key] = data;
    else
        object[key + "_base64"] = base64(data);
}

std::string line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace recapctl
