// SPDX-License-Identifier: Apache-2.0
// The three standard streams of `recapctl run`. Pipes and /dev/null go to the capsule as they are. All else is
// more than a way for bytes (a terminal takes ioctls, a file modes, a socket leads into our network namespace) and never does: the
// capsule gets a pipe, and this pumps between the two.
#pragma once

#include <poll.h>

#include <array>
#include <string>

#include "sdk/base/result.hpp"
#include "sdk/base/unique_fd.hpp"
#include "sdk/client/recap/client.hpp"
#include "sdk/client/recapctl/keys.hpp"

namespace recapctl {

class Stdio {
public:
    // Looks at descriptors 0, 1 and 2. Without `outputs` recapd keeps both output streams, and only input is attached.
    static recap::Result<Stdio> open(bool outputs);

    // A run with a terminal of its own: pipes to and from it, whatever ours are.
    static recap::Result<Stdio> forTerminal(DetachKeys keys);
    // To a run that is attached to.
    static Stdio attached(recap::client::Attachment ends, bool terminal, DetachKeys keys);

    void holdInput() { held_ = true; }  // nothing is read of standard input, until letInput()
    void letInput() { held_ = false; }
    bool inputHeld() const { return held_; }
    bool keysPressed() const { return keys_.pressed(); }
    bool cutOff() const { return launchers_ && !input_ && !outputs_[0] && !outputs_[1]; }
    void close();  // outputs first: a run's input does not end when somebody leaves it

    int given(int stream) const { return given_[static_cast<std::size_t>(stream)]; }  // what the capsule gets; -1: nothing
    void handedOver();  // the request has left: this side's copies of the capsule's ends are closed, or no end would show

    static constexpr std::size_t kPolls = 4;
    std::array<pollfd, kPolls> polls() const;
    void pump(const std::array<pollfd, kPolls>& ready);
    void drain();  // after the end: what is still in the pipes

private:
    recap::Result<void> pipeIn();
    recap::Result<void> pipeOut(int stream);
    void readInput();
    void writeInput();
    bool copyOutput(std::size_t which);  // false: nothing there, or the end

    std::array<int, 3> given_{-1, -1, -1};
    std::array<recap::UniqueFd, 3> handed_;   // own ends among given_
    std::array<recap::UniqueFd, 2> outputs_;  // read ends: stdout (or both), stderr
    recap::UniqueFd input_;                   // write end of the capsule's stdin
    std::string typed_;                       // read, not yet written
    DetachKeys keys_;
    bool terminal_ = false;   // it has one: the end of our input is a character there
    bool launchers_ = false;  // the other sides are the launcher's, not the capsule's
    bool held_ = false;
};

}  // namespace recapctl
