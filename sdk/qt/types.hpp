// SPDX-License-Identifier: Apache-2.0
// What the bus's containers are in Qt; the generated glue includes this too.
#pragma once

#include <QList>
#include <QMap>
#include <QMetaType>
#include <QString>
#include <QVariantMap>

namespace Recap {

using Rows = QList<QVariantMap>;           // aa{sv}
using Phases = QMap<QString, qulonglong>;  // a{st}
using Counts = QMap<QString, uint>;        // a{su}

// Called by every object of this library before it meets the bus; may be called again.
void registerTypes();

}  // namespace Recap
