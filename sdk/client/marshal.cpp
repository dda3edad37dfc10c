// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/marshal.hpp"

#include <memory>

#include "sdk/client/check.hpp"

namespace recap::client {

namespace {

// A container that is given up where filling it fails.
template <class Fill>
bool appendContainer(DBusMessageIter* at, int type, const char* contents, const Fill& fill) {
    DBusMessageIter inside;
    if (!dbus_message_iter_open_container(at, type, contents, &inside)) return false;
    if (fill(&inside)) return dbus_message_iter_close_container(at, &inside);
    dbus_message_iter_abandon_container(at, &inside);
    return false;
}

bool appendLabels(DBusMessageIter* at, const Labels& labels) {
    return appendContainer(at, DBUS_TYPE_ARRAY, "{ss}", [&](DBusMessageIter* array) {
        for (const auto& label : labels) {
            const auto fill = [&](DBusMessageIter* entry) { return append(entry, label.first) && append(entry, label.second); };
            if (!appendContainer(array, DBUS_TYPE_DICT_ENTRY, nullptr, fill)) return false;
        }
        return true;
    });
}

struct VariantAppender {
    DBusMessageIter* at;

    bool with(const char* type, const auto& fill) const { return appendContainer(at, DBUS_TYPE_VARIANT, type, fill); }
    bool basic(int type, const auto& wire) const {
        const char signature[] = {static_cast<char>(type), '\0'};
        return with(signature, [&](DBusMessageIter* in) { return dbus_message_iter_append_basic(in, type, &wire) != 0; });
    }

    bool operator()(bool is) const { return basic(DBUS_TYPE_BOOLEAN, dbus_bool_t{is}); }
    bool operator()(std::int32_t is) const { return basic(DBUS_TYPE_INT32, is); }
    bool operator()(std::uint32_t is) const { return basic(DBUS_TYPE_UINT32, is); }
    bool operator()(std::int64_t is) const { return basic(DBUS_TYPE_INT64, is); }
    bool operator()(std::uint64_t is) const { return basic(DBUS_TYPE_UINT64, is); }
    bool operator()(double is) const { return basic(DBUS_TYPE_DOUBLE, is); }
    bool operator()(const std::string& is) const { return basic(DBUS_TYPE_STRING, is.c_str()); }
    bool operator()(BorrowedFd is) const { return basic(DBUS_TYPE_UNIX_FD, is.fd); }
    bool operator()(const Labels& is) const {
        return with("a{ss}", [&](DBusMessageIter* in) { return appendLabels(in, is); });
    }
    bool operator()(const Strings& is) const {
        return with("as", [&](DBusMessageIter* in) { return append(in, is); });
    }
    bool operator()(const Dict& is) const {
        return with("a{sv}", [&](DBusMessageIter* in) { return append(in, is); });
    }
    bool operator()(std::monostate) const { return false; }
    bool operator()(const Rows&) const { return false; }
    bool operator()(const Numbers&) const { return false; }
};

std::string signatureAt(DBusMessageIter* at) {
    if (dbus_message_iter_get_arg_type(at) == DBUS_TYPE_INVALID) return "";  // libdbus would read past the end
    const std::unique_ptr<char, decltype(&dbus_free)> text(dbus_message_iter_get_signature(at), &dbus_free);
    return text ? text.get() : "";
}

void readValue(DBusMessageIter* at, Value& value, int depth);

template <class Wire>
Wire basicAt(DBusMessageIter* at) {
    Wire wire{};
    dbus_message_iter_get_basic(at, &wire);
    return wire;
}

// Calls `each` on every element of the array, entry or variant that `at` stands on.
void walk(DBusMessageIter* at, const auto& each) {
    DBusMessageIter inside;
    for (dbus_message_iter_recurse(at, &inside); dbus_message_iter_get_arg_type(&inside) != DBUS_TYPE_INVALID;
         dbus_message_iter_next(&inside))
        each(&inside);
}

std::string bytesAt(DBusMessageIter* at) {
    DBusMessageIter inside;
    const char* bytes = nullptr;
    int size = 0;
    dbus_message_iter_recurse(at, &inside);
    dbus_message_iter_get_fixed_array(&inside, &bytes, &size);
    return bytes ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}

Dict dictAt(DBusMessageIter* at, int depth) {
    Dict dict;
    walk(at, [&](DBusMessageIter* entry) {
        DBusMessageIter inside;
        dbus_message_iter_recurse(entry, &inside);
        std::string key = basicAt<const char*>(&inside);
        dbus_message_iter_next(&inside);
        Value value;
        readValue(&inside, value, depth + 1);
        dict.set(std::move(key), std::move(value));
    });
    return dict;
}

Rows rowsAt(DBusMessageIter* at, int depth) {
    Rows rows;
    walk(at, [&](DBusMessageIter* row) { rows.push_back(dictAt(row, depth + 1)); });
    return rows;
}

void readArray(DBusMessageIter* at, Value& value, int depth) {
    const std::string type = signatureAt(at);
    if (type == "ay") {
        value = bytesAt(at);
    } else if (type == "as" || type == "ao" || type == "ag") {
        Strings strings;
        walk(at, [&](DBusMessageIter* one) { strings.emplace_back(basicAt<const char*>(one)); });
        value = std::move(strings);
    } else if (type == "at" || type == "au") {
        Numbers numbers;
        walk(at,
             [&](DBusMessageIter* one) { numbers.push_back(type == "at" ? basicAt<std::uint64_t>(one) : basicAt<std::uint32_t>(one)); });
        value = std::move(numbers);
    } else if (type.starts_with("a{s")) {
        value = dictAt(at, depth);
    } else if (type.starts_with("aa{s")) {
        value = rowsAt(at, depth);
    }
}

// What has no nearest kind (structures, descriptors), and what is nested too deeply, stays without a value.
void readValue(DBusMessageIter* at, Value& value, int depth) {
    if (depth > kMaxDepth) return;
    switch (dbus_message_iter_get_arg_type(at)) {
        case DBUS_TYPE_STRING:
        case DBUS_TYPE_OBJECT_PATH:
        case DBUS_TYPE_SIGNATURE: value = basicAt<const char*>(at); break;
        case DBUS_TYPE_BOOLEAN: value = basicAt<dbus_bool_t>(at) != 0; break;
        case DBUS_TYPE_BYTE: value = std::uint32_t{basicAt<std::uint8_t>(at)}; break;
        case DBUS_TYPE_INT16: value = std::int32_t{basicAt<std::int16_t>(at)}; break;
        case DBUS_TYPE_UINT16: value = std::uint32_t{basicAt<std::uint16_t>(at)}; break;
        case DBUS_TYPE_INT32: value = basicAt<std::int32_t>(at); break;
        case DBUS_TYPE_UINT32: value = basicAt<std::uint32_t>(at); break;
        case DBUS_TYPE_INT64: value = basicAt<std::int64_t>(at); break;
        case DBUS_TYPE_UINT64: value = basicAt<std::uint64_t>(at); break;
        case DBUS_TYPE_DOUBLE: value = basicAt<double>(at); break;
        case DBUS_TYPE_VARIANT: walk(at, [&](DBusMessageIter* inside) { readValue(inside, value, depth + 1); }); break;
        case DBUS_TYPE_ARRAY: readArray(at, value, depth); break;
        default: break;
    }
}

}  // namespace

bool append(DBusMessageIter* at, const Dict& dict) {
    return appendContainer(at, DBUS_TYPE_ARRAY, "{sv}", [&](DBusMessageIter* array) {
        for (const auto& one : dict) {
            const auto fill = [&](DBusMessageIter* entry) {
                return append(entry, one.first) && std::visit(VariantAppender{entry}, one.second.is);
            };
            if (!appendContainer(array, DBUS_TYPE_DICT_ENTRY, nullptr, fill)) return false;
        }
        return true;
    });
}

bool append(DBusMessageIter* at, const Strings& strings) {
    return appendContainer(at, DBUS_TYPE_ARRAY, "s", [&](DBusMessageIter* array) {
        for (const auto& text : strings)
            if (!append(array, text)) return false;
        return true;
    });
}

bool append(DBusMessageIter* at, const std::string& text) {
    const char* wire = text.c_str();
    return dbus_message_iter_append_basic(at, DBUS_TYPE_STRING, &wire);
}
bool append(DBusMessageIter* at, std::uint32_t number) { return dbus_message_iter_append_basic(at, DBUS_TYPE_UINT32, &number); }
bool append(DBusMessageIter* at, std::uint64_t number) { return dbus_message_iter_append_basic(at, DBUS_TYPE_UINT64, &number); }
bool append(DBusMessageIter* at, BorrowedFd fd) { return dbus_message_iter_append_basic(at, DBUS_TYPE_UNIX_FD, &fd.fd); }

bool read(DBusMessageIter* at, Dict& dict) {
    if (!signatureAt(at).starts_with("a{s")) return false;
    dict = dictAt(at, 0);
    dbus_message_iter_next(at);
    return true;
}

bool read(DBusMessageIter* at, Rows& rows) {
    if (!signatureAt(at).starts_with("aa{s")) return false;
    rows = rowsAt(at, 0);
    dbus_message_iter_next(at);
    return true;
}

bool read(DBusMessageIter* at, std::string& text) {
    const int type = dbus_message_iter_get_arg_type(at);
    if (type == DBUS_TYPE_STRING || type == DBUS_TYPE_OBJECT_PATH)
        text = basicAt<const char*>(at);
    else if (type == DBUS_TYPE_ARRAY && dbus_message_iter_get_element_type(at) == DBUS_TYPE_BYTE)
        text = bytesAt(at);
    else
        return false;
    dbus_message_iter_next(at);
    return true;
}

bool read(DBusMessageIter* at, bool& flag) {
    if (dbus_message_iter_get_arg_type(at) != DBUS_TYPE_BOOLEAN) return false;
    flag = basicAt<dbus_bool_t>(at) != 0;
    dbus_message_iter_next(at);
    return true;
}

bool read(DBusMessageIter* at, std::int32_t& number) {
    if (dbus_message_iter_get_arg_type(at) != DBUS_TYPE_INT32) return false;
    number = basicAt<std::int32_t>(at);
    dbus_message_iter_next(at);
    return true;
}

}  // namespace recap::client
