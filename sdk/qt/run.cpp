// SPDX-License-Identifier: Apache-2.0
#include "sdk/qt/run.hpp"

#include "manager_interface.h"
#include "run_interface.h"
#include "sdk/qt/names.hpp"

namespace Recap {

class RunPrivate {
public:
    RunPrivate(const QDBusConnection& connection, const QDBusObjectPath& path)
        : manager(kService, kRoot, connection), bus(kService, path.path(), connection) {}
    OrgRecap1Manager manager;  // tells of the end
    OrgRecap1Run bus;
};

Run::Run(const QDBusConnection& connection, const QDBusObjectPath& path, QObject* parent) : QObject(parent) {
    registerTypes();
    d = std::make_unique<RunPrivate>(connection, path);
    connect(&d->manager, &OrgRecap1Manager::RunFinished, this,
            [this](const QDBusObjectPath& run, const QString& outcome, int exitCode, const QVariantMap& details) {
                if (run == this->path()) Q_EMIT finished(outcome, exitCode, details);
            });
}

Run::~Run() = default;

QString Run::id() const { return d->bus.path().section(QLatin1Char('/'), -1); }
QDBusObjectPath Run::path() const { return QDBusObjectPath(d->bus.path()); }
QDBusPendingReply<QVariantMap> Run::details() { return d->bus.GetDetails({}); }
QDBusPendingReply<> Run::stop(uint graceSeconds) { return d->bus.Stop(graceSeconds, {}); }
QDBusPendingReply<> Run::kill() { return d->bus.Kill({}); }
QDBusPendingReply<QDBusUnixFileDescriptor, QDBusUnixFileDescriptor, QDBusUnixFileDescriptor> Run::attach(const QVariantMap& options) {
    return d->bus.Attach(options);
}
QDBusPendingReply<> Run::resize(uint rows, uint columns) { return d->bus.Resize(rows, columns, {}); }
QDBusPendingReply<> Run::detach() { return d->bus.Detach({}); }
QDBusPendingReply<QByteArray, bool> Run::output(const QString& stream, qulonglong offset, uint max) {
    return d->bus.GetOutput(stream, offset, max, {});
}
QDBusPendingReply<Rows> Run::artifacts() { return d->bus.ListArtifacts({}); }

}  // namespace Recap
