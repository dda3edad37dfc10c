// SPDX-License-Identifier: Apache-2.0
// What containerd hands on from others, as bytes that it does not look into itself: payloads of events, a container's OCI spec,
// options of its runtime. Pure; what makes no sense is nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recap::containerd {

// What containerd lets a namespace or a container be called, or nearly: fit for a filter, a path or a sentence.
bool isName(std::string_view text);

struct Event {
    enum class Kind {
        Started,    // a task: the container runs
        Ended,      // its first process
        Changed,    // paused, resumed, other labels
        Forgotten,  // the container itself is gone
    } kind = Kind::Changed;
    std::string nameSpace;
    std::string container;
    pid_t pid = 0;  // of Ended: whose end; 0: not said
    bool operator==(const Event&) const = default;
};

// Of an envelope's payload (`type` is "containerd.events.TaskExit" and the like, `bytes` that message). None: not about a
// container's own life, as the end of an exec.
std::optional<Event> eventOf(std::string_view nameSpace, std::string_view type, std::string_view bytes);

struct SpecFacts {
    std::string cgroupsPath;  // as runc is told: a path, or "slice:prefix:name" for systemd
    bool ownUserNamespace = false;
    bool operator==(const SpecFacts&) const = default;
};
SpecFacts specOf(std::string_view json);

// The shortest true word: "runc" for runc's shims, or what they are told to run in its stead; else the shim's whole name
// ("io.containerd.kata.v2"), by which a virtual machine is known.
std::string runtimeOf(std::string_view name, std::string_view optionsType, std::string_view options);

// Whether `cgroup`, a process's, is that of container `id`, whose spec has `cgroupsPath`.
bool isCgroupOf(std::string_view cgroup, std::string_view id, std::string_view cgroupsPath);

}  // namespace recap::containerd
