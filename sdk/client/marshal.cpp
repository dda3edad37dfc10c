// SPDX-License-Identifier: Apache-2.0
#include "sdk/client/marshal.hpp"

#include <cerrno>

namespace recap::client {

namespace {

constexpr int kMaxDepth = 16;  // of containers in containers; D-Bus itself allows 64

int readValue(sd_bus_message* message, char type, const char* contents, Value& value, int depth);
int readDict(sd_bus_message* message, const char* entry, Dict& dict, int depth);

template <class Wire, class Kept = Wire>
int readBasic(sd_bus_message* message, char type, Value& value) {
    Wire wire{};
    const int r = sd_bus_message_read_basic(message, type, &wire);
    if (r > 0) value = static_cast<Kept>(wire);
    return r;
}

int readBytes(sd_bus_message* message, std::string& text) {
    const void* bytes = nullptr;
    std::size_t size = 0;
    const int r = sd_bus_message_read_array(message, 'y', &bytes, &size);
    if (r >= 0) text.assign(static_cast<const char*>(bytes), size);
    return r;
}

int readStrings(sd_bus_message* message, char type, Strings& strings) {
    int r = sd_bus_message_enter_container(message, 'a', std::string(1, type).c_str());
    const char* text = nullptr;
    while (r >= 0 && (r = sd_bus_message_read_basic(message, type, &text)) > 0) strings.emplace_back(text);
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

int readRows(sd_bus_message* message, const char* contents, Rows& rows, int depth) {
    int r = sd_bus_message_enter_container(message, 'a', contents);
    while (r >= 0 && (r = sd_bus_message_at_end(message, 0)) == 0) {
        Dict row;
        r = readDict(message, contents + 1, row, depth + 1);
        if (r >= 0) rows.push_back(std::move(row));
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

int readArray(sd_bus_message* message, const std::string& contents, Value& value, int depth) {
    if (contents == "y") {
        std::string bytes;
        const int r = readBytes(message, bytes);
        value = std::move(bytes);
        return r;
    }
    if (contents == "s" || contents == "o" || contents == "g") {
        Strings strings;
        const int r = readStrings(message, contents[0], strings);
        value = std::move(strings);
        return r;
    }
    if (contents.starts_with("{s")) {
        Dict dict;
        const int r = readDict(message, contents.c_str(), dict, depth);
        value = std::move(dict);
        return r;
    }
    if (contents.starts_with("a{s")) {
        Rows rows;
        const int r = readRows(message, contents.c_str(), rows, depth);
        value = std::move(rows);
        return r;
    }
    return sd_bus_message_skip(message, ("a" + contents).c_str());
}

// `entry` is the array's contents: "{sv}", "{st}", …
int readDict(sd_bus_message* message, const char* entry, Dict& dict, int depth) {
    const std::string inside(entry + 1, std::string_view(entry).size() - 2);
    int r = sd_bus_message_enter_container(message, 'a', entry);
    while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', inside.c_str())) > 0) {
        const char* key = nullptr;
        if ((r = sd_bus_message_read_basic(message, 's', &key)) < 0) return r;
        std::string name = key;
        char type = 0;
        const char* contents = nullptr;
        if ((r = sd_bus_message_peek_type(message, &type, &contents)) < 0) return r;
        Value value;
        if ((r = readValue(message, type, contents, value, depth + 1)) < 0) return r;
        dict.set(std::move(name), std::move(value));
        r = sd_bus_message_exit_container(message);
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

int readVariant(sd_bus_message* message, const std::string& contents, Value& value, int depth) {
    int r = sd_bus_message_enter_container(message, 'v', contents.c_str());
    if (r < 0) return r;
    char type = 0;
    const char* inner = nullptr;
    if ((r = sd_bus_message_peek_type(message, &type, &inner)) < 0) return r;
    if ((r = readValue(message, type, inner, value, depth + 1)) < 0) return r;
    return sd_bus_message_exit_container(message);
}

int readText(sd_bus_message* message, char type, Value& value) {
    const char* text = nullptr;
    const int r = sd_bus_message_read_basic(message, type, &text);
    if (r > 0) value = std::string(text);
    return r;
}

int readValue(sd_bus_message* message, char type, const char* contents, Value& value, int depth) {
    if (depth > kMaxDepth) return -EBADMSG;
    switch (type) {
        case 's':
        case 'o':
        case 'g':
            return readText(message, type, value);
        case 'b':
            return readBasic<int, bool>(message, type, value);
        case 'y':
            return readBasic<std::uint8_t, std::uint32_t>(message, type, value);
        case 'n':
            return readBasic<std::int16_t, std::int32_t>(message, type, value);
        case 'q':
            return readBasic<std::uint16_t, std::uint32_t>(message, type, value);
        case 'i':
            return readBasic<std::int32_t>(message, type, value);
        case 'u':
            return readBasic<std::uint32_t>(message, type, value);
        case 'x':
            return readBasic<std::int64_t>(message, type, value);
        case 't':
            return readBasic<std::uint64_t>(message, type, value);
        case 'd':
            return readBasic<double>(message, type, value);
        case 'v':
            return readVariant(message, contents, value, depth);
        case 'a':
            return readArray(message, contents, value, depth);
        default:
            return sd_bus_message_skip(message, nullptr);
    }
}

int appendVariant(sd_bus_message* message, const char* type, auto&& contents) {
    int r = sd_bus_message_open_container(message, 'v', type);
    if (r >= 0) r = contents();
    return r < 0 ? r : sd_bus_message_close_container(message);
}

int appendLabels(sd_bus_message* message, const Labels& labels) {
    int r = sd_bus_message_open_container(message, 'a', "{ss}");
    for (const auto& [key, text] : labels) {
        if (r < 0) return r;
        r = sd_bus_message_append(message, "{ss}", key.c_str(), text.c_str());
    }
    return r < 0 ? r : sd_bus_message_close_container(message);
}

struct VariantAppender {
    sd_bus_message* message;

    int operator()(std::monostate) const { return -EINVAL; }
    int operator()(bool is) const { return sd_bus_message_append(message, "v", "b", static_cast<int>(is)); }
    int operator()(std::int32_t is) const { return sd_bus_message_append(message, "v", "i", is); }
    int operator()(std::uint32_t is) const { return sd_bus_message_append(message, "v", "u", is); }
    int operator()(std::int64_t is) const { return sd_bus_message_append(message, "v", "x", is); }
    int operator()(std::uint64_t is) const { return sd_bus_message_append(message, "v", "t", is); }
    int operator()(double is) const { return sd_bus_message_append(message, "v", "d", is); }
    int operator()(const std::string& is) const { return sd_bus_message_append(message, "v", "s", is.c_str()); }
    int operator()(const Strings& is) const {
        return appendVariant(message, "as", [&] { return append(message, is); });
    }
    int operator()(const Labels& is) const {
        return appendVariant(message, "a{ss}", [&] { return appendLabels(message, is); });
    }
    int operator()(const Dict& is) const {
        return appendVariant(message, "a{sv}", [&] { return append(message, is); });
    }
    int operator()(const Rows&) const { return -EINVAL; }
    int operator()(BorrowedFd is) const { return sd_bus_message_append(message, "v", "h", is.fd); }
};

}  // namespace

int append(sd_bus_message* message, const Dict& dict) {
    int r = sd_bus_message_open_container(message, 'a', "{sv}");
    for (const auto& [key, value] : dict) {
        if (r >= 0) r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0) r = sd_bus_message_append_basic(message, 's', key.c_str());
        if (r >= 0) r = std::visit(VariantAppender{message}, value.is);
        if (r >= 0) r = sd_bus_message_close_container(message);
        if (r < 0) return r;
    }
    return r < 0 ? r : sd_bus_message_close_container(message);
}

int append(sd_bus_message* message, const Strings& strings) {
    int r = sd_bus_message_open_container(message, 'a', "s");
    for (const auto& text : strings)
        if (r >= 0) r = sd_bus_message_append_basic(message, 's', text.c_str());
    return r < 0 ? r : sd_bus_message_close_container(message);
}

int append(sd_bus_message* message, const std::string& text) {
    return sd_bus_message_append_basic(message, 's', text.c_str());
}
int append(sd_bus_message* message, std::uint32_t number) {
    return sd_bus_message_append_basic(message, 'u', &number);
}
int append(sd_bus_message* message, std::uint64_t number) {
    return sd_bus_message_append_basic(message, 't', &number);
}
int append(sd_bus_message* message, BorrowedFd fd) {
    return sd_bus_message_append_basic(message, 'h', &fd.fd);
}

int read(sd_bus_message* message, Dict& dict) {
    Value value;
    char type = 0;
    const char* contents = nullptr;
    int r = sd_bus_message_peek_type(message, &type, &contents);
    if (r >= 0) r = r == 0 || type != 'a' ? -EBADMSG : readValue(message, type, contents, value, 0);
    if (r < 0) return r;
    auto* found = std::get_if<Dict>(&value.is);
    if (!found) return -EBADMSG;
    dict = std::move(*found);
    return 1;
}

int read(sd_bus_message* message, Rows& rows) {
    return readRows(message, "a{sv}", rows, 0);
}

int read(sd_bus_message* message, std::string& text) {
    char type = 0;
    const char* contents = nullptr;
    int r = sd_bus_message_peek_type(message, &type, &contents);
    if (r < 0) return r;
    if (type == 'a') return readBytes(message, text);
    if (r == 0 || (type != 's' && type != 'o')) return -EBADMSG;
    const char* borrowed = nullptr;
    if ((r = sd_bus_message_read_basic(message, type, &borrowed)) >= 0) text = borrowed;
    return r;
}

int read(sd_bus_message* message, bool& flag) {
    int wire = 0;
    const int r = sd_bus_message_read_basic(message, 'b', &wire);
    flag = wire != 0;
    return r;
}

}  // namespace recap::client
