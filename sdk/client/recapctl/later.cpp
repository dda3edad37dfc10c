// SPDX-License-Identifier: Apache-2.0
// Verbs that are declared, so that their names are taken and scripts get a clear answer.
#include "sdk/client/recapctl/cli.hpp"

namespace recapctl {

namespace {

Verb& declare(Cli& cli, const char* name, const char* description) {
    return cli.top.verb(name, description, [&cli, name] {
        const std::string says = "'" + std::string(name) + "' is not supported yet by this version (" RECAP_VERSION ")";
        return complain({recap::Errc::NotSupported, says}, cli.style);
    });
}

}  // namespace

void addLater(Cli& cli) { declare(cli, "events", "Print targets and runs as they come and go (not supported yet by this version)"); }

}  // namespace recapctl
