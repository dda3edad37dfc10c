// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QDBusError>
#include <QString>

#include "sdk/qt/export.hpp"

namespace Recap {

// "NotFound" for org.recap1.Error.NotFound; empty for an error that is not recapd's own.
RECAP_QT_EXPORT QString errorCode(const QDBusError& error);

}  // namespace Recap
