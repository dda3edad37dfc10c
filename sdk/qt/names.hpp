// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QLatin1String>

namespace Recap {

inline constexpr QLatin1String kService{"org.recap1"};
inline constexpr QLatin1String kRoot{"/org/recap1"};

}  // namespace Recap
