// SPDX-License-Identifier: Apache-2.0
// recap-capsule: what authors of capsules use. Needs no daemon and no right.
#include <exception>
#include <iostream>

#include "sdk/tools/verbs.hpp"

int main(int argc, char** argv) {
    CLI::App app{"makes and checks capsules for RECap", "recap-capsule"};
    app.set_version_flag("--version", "recap-capsule " RECAP_VERSION);
    app.require_subcommand(1);
    int status = 0;
    recap::tools::addCheck(app, status);
    recap::tools::addBuild(app, status);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::cerr << "recap-capsule: " << error.what() << '\n';
        return 1;
    }
    return status;
}
