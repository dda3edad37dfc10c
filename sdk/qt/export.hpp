// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <QtGlobal>

#if defined(RECAP_QT_BUILD)
#define RECAP_QT_EXPORT Q_DECL_EXPORT
#else
#define RECAP_QT_EXPORT Q_DECL_IMPORT
#endif
