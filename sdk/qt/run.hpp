// SPDX-License-Identifier: Apache-2.0
// One run, by the path that Manager::run() replied with.
#pragma once

#include <QDBusConnection>
#include <QDBusObjectPath>
#include <QDBusPendingReply>
#include <QDBusUnixFileDescriptor>
#include <QObject>
#include <memory>

#include "sdk/qt/export.hpp"
#include "sdk/qt/types.hpp"

namespace Recap {

class RunPrivate;

class RECAP_QT_EXPORT Run : public QObject {
    Q_OBJECT

public:
    Run(const QDBusConnection& connection, const QDBusObjectPath& path, QObject* parent = nullptr);
    ~Run() override;

    QString id() const;
    QDBusObjectPath path() const;

    // id, capsule, target, state, outcome, exit-code, escape, phases, …: org.recap1.Run.xml says all of them.
    QDBusPendingReply<QVariantMap> details();
    QDBusPendingReply<> stop(uint graceSeconds);
    QDBusPendingReply<> kill();
    // stdin to write to, stdout and stderr to read from; options: take-over (bool), replay (qulonglong)
    QDBusPendingReply<QDBusUnixFileDescriptor, QDBusUnixFileDescriptor, QDBusUnixFileDescriptor> attach(const QVariantMap& options = {});
    QDBusPendingReply<> resize(uint rows, uint columns);
    QDBusPendingReply<> detach();  // goes on when its caller leaves the bus
    QDBusPendingReply<QByteArray, bool> output(const QString& stream, qulonglong offset, uint max);
    QDBusPendingReply<Rows> artifacts();

Q_SIGNALS:
    // Once. A run that ended before this object was made is found by details().
    void finished(const QString& outcome, int exitCode, const QVariantMap& details);

private:
    std::unique_ptr<RunPrivate> d;
};

}  // namespace Recap
