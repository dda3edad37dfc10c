// SPDX-License-Identifier: Apache-2.0
#include "sdk/qt/types.hpp"

#include <QDBusMetaType>

#include "sdk/qt/error.hpp"

namespace Recap {

void registerTypes() {
    qDBusRegisterMetaType<Rows>();
    qDBusRegisterMetaType<Phases>();
    qDBusRegisterMetaType<Counts>();
}

QString errorCode(const QDBusError& error) {
    const QLatin1String prefix("org.recap1.Error.");
    return error.name().startsWith(prefix) ? error.name().mid(prefix.size()) : QString();
}

}  // namespace Recap
