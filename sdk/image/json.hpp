// SPDX-License-Identifier: Apache-2.0
// Members of a stranger's JSON objects as values. For this folder's readers only.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "sdk/base/result.hpp"

namespace recap::image {

using Json = nlohmann::json;

inline tl::unexpected<Error> refuse(std::string why) { return fail(Errc::InvalidArgument, std::move(why)); }

// Absent and null are the same in these documents (Go writes both).
inline const Json* member(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

inline Result<void> take(const Json& object, const char* key, std::string& value) {
    const auto* found = member(object, key);
    if (!found) return {};
    if (!found->is_string()) return refuse(std::string("'") + key + "' is not a string");
    value = found->get_ref<const std::string&>();
    return {};
}

inline Result<void> take(const Json& object, const char* key, std::vector<std::string>& value) {
    const auto* found = member(object, key);
    if (!found) return {};
    if (!found->is_array()) return refuse(std::string("'") + key + "' is not an array");
    for (const auto& item : *found) {
        if (!item.is_string()) return refuse(std::string("'") + key + "' is not an array of strings");
        value.push_back(item.get_ref<const std::string&>());
    }
    return {};
}

inline Result<void> take(const Json& object, const char* key, std::map<std::string, std::string>& value) {
    const auto* found = member(object, key);
    if (!found) return {};
    if (!found->is_object()) return refuse(std::string("'") + key + "' is not an object");
    for (const auto& [name, item] : found->items()) {
        if (!item.is_string()) return refuse(std::string("'") + key + "' has a value that is not a string");
        value[name] = item.get_ref<const std::string&>();
    }
    return {};
}

}  // namespace recap::image
