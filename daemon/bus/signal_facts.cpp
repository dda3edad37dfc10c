// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/signal_facts.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/bus/text.hpp"

namespace recap::bus {
namespace {

// JSON text that stops growing: a message may have 128 MiB.
class Text {
public:
    explicit Text(std::size_t room) : room_(room) {}
    void add(std::string_view more) {
        full_ = full_ || more.size() > room_ - text_.size();
        if (!full_) text_ += more;
    }
    bool full() const { return full_; }
    std::string take() { return std::move(text_); }

private:
    std::size_t room_;
    std::string text_;
    bool full_ = false;
};

template <class T>
std::string dumped(const T& value) {
    return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool isText(char type) { return type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH || type == SD_BUS_TYPE_SIGNATURE; }

template <class T>
bool addNumber(sd_bus_message* message, char type, Text& text) {
    T value{};
    if (sd_bus_message_read_basic(message, type, &value) <= 0) return false;
    text.add(dumped(value));
    return true;
}

bool addBasic(sd_bus_message* message, char type, Text& text) {
    switch (type) {
        case SD_BUS_TYPE_BYTE: return addNumber<std::uint8_t>(message, type, text);
        case SD_BUS_TYPE_INT16: return addNumber<std::int16_t>(message, type, text);
        case SD_BUS_TYPE_UINT16: return addNumber<std::uint16_t>(message, type, text);
        case SD_BUS_TYPE_INT32: return addNumber<std::int32_t>(message, type, text);
        case SD_BUS_TYPE_UINT32: return addNumber<std::uint32_t>(message, type, text);
        case SD_BUS_TYPE_INT64: return addNumber<std::int64_t>(message, type, text);
        case SD_BUS_TYPE_UINT64: return addNumber<std::uint64_t>(message, type, text);
        case SD_BUS_TYPE_DOUBLE: return addNumber<double>(message, type, text);
        default: break;
    }
    if (isText(type)) {
        const char* value = nullptr;
        if (sd_bus_message_read_basic(message, type, &value) <= 0) return false;
        text.add(std::string_view(value).size() > kMostSignalBytes ? std::string(kMostSignalBytes + 1, ' ') : dumped(busText(value)));
        return true;
    }
    int value = 0;
    if (sd_bus_message_read_basic(message, type, &value) <= 0) return false;
    text.add(type == SD_BUS_TYPE_BOOLEAN ? (value != 0 ? "true" : "false") : "null");
    return true;
}

bool addValue(sd_bus_message* message, Text& text);

// The key of a dictionary's entry is a basic type, and in JSON a string.
bool addEntry(sd_bus_message* message, Text& text) {
    char type = 0;
    if (sd_bus_message_peek_type(message, &type, nullptr) <= 0) return false;
    Text key(kMostSignalBytes);
    if (!addBasic(message, type, key)) return false;
    const bool quote = !isText(type);
    text.add(key.full() ? std::string(kMostSignalBytes + 1, ' ') : (quote ? "\"" : "") + key.take() + (quote ? "\":" : ":"));
    return addValue(message, text);
}

bool addContainer(sd_bus_message* message, char type, const char* contents, Text& text) {
    const bool object = type == SD_BUS_TYPE_ARRAY && *contents == SD_BUS_TYPE_DICT_ENTRY_BEGIN;
    if (sd_bus_message_enter_container(message, type, contents) <= 0) return false;
    const bool variant = type == SD_BUS_TYPE_VARIANT;
    if (type != SD_BUS_TYPE_DICT_ENTRY && !variant) text.add(object ? "{" : "[");
    if (type == SD_BUS_TYPE_DICT_ENTRY) {
        if (!addEntry(message, text)) return false;
    } else {
        for (bool first = true; !text.full() && sd_bus_message_at_end(message, 0) == 0; first = false) {
            if (!first) text.add(",");
            if (!addValue(message, text)) return false;
        }
    }
    if (type != SD_BUS_TYPE_DICT_ENTRY && !variant) text.add(object ? "}" : "]");
    return !text.full() && sd_bus_message_exit_container(message) >= 0;
}

// False: it is malformed, or there is no more room; the message is then in the middle of something.
bool addValue(sd_bus_message* message, Text& text) {
    char type = 0;
    const char* contents = nullptr;
    if (sd_bus_message_peek_type(message, &type, &contents) <= 0) return false;
    return (contents == nullptr ? addBasic(message, type, text) : addContainer(message, type, contents, text)) && !text.full();
}

// Nothing: there is no room for it.
std::optional<std::string> argument(sd_bus_message* message, std::size_t room) {
    char type = 0;
    if (sd_bus_message_peek_type(message, &type, nullptr) <= 0) return {};
    if (isText(type)) {
        const char* value = nullptr;
        if (sd_bus_message_read_basic(message, type, &value) <= 0 || std::string_view(value).size() > room) return {};
        return value;
    }
    Text text(room);
    if (!addValue(message, text)) return {};
    return text.take();
}

}  // namespace

std::map<std::string, std::string> signalFacts(sd_bus_message* message) {
    std::map<std::string, std::string> facts;
    std::size_t room = kMostSignalBytes;
    bool cut = false;
    const auto add = [&](const std::string& key, std::optional<std::string> value) {
        const std::size_t size = key.size() + (value ? value->size() : 0);
        if (!value || size > room) return false;
        room -= size;
        facts[key] = std::move(*value);
        return true;
    };
    for (const auto& [key, value] : {std::pair{"sender", sd_bus_message_get_sender(message)},
                                     {"interface", sd_bus_message_get_interface(message)},
                                     {"member", sd_bus_message_get_member(message)},
                                     {"signature", sd_bus_message_get_signature(message, 1)},
                                     {"path", sd_bus_message_get_path(message)}})
        cut = !add(key, value == nullptr ? "" : value) || cut;
    for (unsigned number = 0; sd_bus_message_at_end(message, 1) == 0 && !cut; ++number) {
        const std::string key = "arg" + std::to_string(number);
        cut = number >= kMostArguments || !add(key, argument(message, room > key.size() ? room - key.size() : 0));
    }
    if (cut) facts["cut"] = "true";
    return facts;
}

}  // namespace recap::bus
