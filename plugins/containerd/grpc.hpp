// SPDX-License-Identifier: Apache-2.0
// What the files that use gRPC share: its statuses in the house's words.
#pragma once

#include <grpcpp/support/status.h>

#include <algorithm>
#include <string>

#include "sdk/base/result.hpp"

namespace recap::containerd {

inline Errc errcOf(const grpc::Status& status) {
    switch (status.error_code()) {
        case grpc::StatusCode::INVALID_ARGUMENT: return Errc::InvalidArgument;
        case grpc::StatusCode::NOT_FOUND: return Errc::NotFound;
        case grpc::StatusCode::PERMISSION_DENIED: return Errc::AccessDenied;
        case grpc::StatusCode::UNIMPLEMENTED: return Errc::NotSupported;
        case grpc::StatusCode::DEADLINE_EXCEEDED: return Errc::Timeout;
        case grpc::StatusCode::RESOURCE_EXHAUSTED: return Errc::LimitExceeded;
        case grpc::StatusCode::UNAVAILABLE:
        case grpc::StatusCode::CANCELLED: return Errc::Unavailable;
        default: return Errc::Internal;
    }
}

// containerd's own words, which may be anything: cut, and one line.
inline std::string sentenceOf(const grpc::Status& status) {
    constexpr std::size_t longest = 200;
    std::string text = status.error_message().substr(0, longest);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    return text.empty() ? "error " + std::to_string(status.error_code()) : text;
}

}  // namespace recap::containerd
