// SPDX-License-Identifier: Apache-2.0
// May this caller? Root by its credentials on the bus, everybody else by polkit. Never waits: answers come on the loop.
#pragma once

#include <sdbus-c++/sdbus-c++.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/bus/options.hpp"

namespace recap::bus {

// Who calls, read from the message before the handler returns.
struct Asker {
    std::string busName;
    bool interactive = false;  // the message's flag or the option: polkit may ask a human

    static Asker current(sdbus::IObject& object, bool interactiveOption);
};

struct Right {
    std::string action;                          // "org.recap1.run"
    std::map<std::string, std::string> details;  // for rules
    std::string message;                         // for whoever is asked, with $(detail)
    std::string sentence;                        // of the refusal: what is not allowed
    std::optional<std::uint32_t> owner;          // this uid needs no right
};

class Authority {
public:
    using Allowed = std::function<void(std::uint32_t uid)>;
    using Refused = std::function<void(const sdbus::Error&)>;

    explicit Authority(sdbus::IConnection& bus);

    // Somebody is about to be asked about: the bus looks up who that is while the question is being put together.
    void expect(const std::string& busName);
    // Exactly one of the two is called, at once or on a later turn; none where the asker leaves the bus before.
    void ask(const Asker& asker, Right right, Allowed allowed, const Refused& refused);
    // Who that is, which nobody needs a right for; calls back as ask() does.
    void identify(const std::string& busName, Allowed then, Refused refused);
    // That connection is gone: whoever polkit is asking about it, is not asked any more.
    void left(const std::string& busName);

private:
    // A question that polkit has not answered yet.
    struct Check {
        std::string busName;
        std::uint32_t uid = 0;
        sdbus::PendingAsyncCall call;
    };

    // Somebody whose user the bus has not told yet.
    struct Waiting {
        Allowed then;
        Refused refused;
    };

    void identified(const std::string& busName, const sdbus::Error* error, std::uint32_t uid);
    void remember(const std::string& busName, std::uint32_t uid);
    Result<void> checkRoom(std::uint32_t uid) const;
    void askPolkit(const Asker& asker, const Right& right, std::uint32_t uid, Allowed allowed, Refused refused);
    void cancel(std::uint64_t check);

    std::unique_ptr<sdbus::IProxy> driver_;
    std::unique_ptr<sdbus::IProxy> polkit_;
    std::map<std::string, std::uint32_t> uids_;  // a unique name is never given to another connection
    std::deque<std::string> oldest_;
    std::map<std::string, std::vector<Waiting>> waiting_;  // by bus name, while the bus is being asked
    std::map<std::uint64_t, Check> checks_;                // by what its cancellation_id is made of
    std::uint64_t asked_ = 0;
};

}  // namespace recap::bus
