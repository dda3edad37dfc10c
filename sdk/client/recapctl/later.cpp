// SPDX-License-Identifier: Apache-2.0
// Verbs that are declared, so that their names are taken and scripts get a clear answer.
#include "sdk/client/recapctl/cli.hpp"

namespace recapctl {

namespace {

void declare(Cli& cli, const std::string& name, const std::string& description, bool takesTarget) {
    auto* verb = cli.verb(nullptr, name, description + " (not supported yet by this version)", [&cli, name] {
        return complain({recap::Errc::NotSupported, "'" + name + "' is not supported yet by this version (" RECAP_VERSION ")"}, cli.style);
    });
    if (takesTarget) verb->add_option("TARGET", "BACKEND:NAME-OR-ID, or a bare name");
}

}  // namespace

void addLater(Cli& cli) {
    declare(cli, "shell", "Open a shell beside a target", true);
    declare(cli, "events", "Print targets and runs as they come and go", false);
}

}  // namespace recapctl
