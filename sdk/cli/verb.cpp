// SPDX-License-Identifier: Apache-2.0
#include "sdk/cli/verb.hpp"

#include <algorithm>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace recap::cli {

Verb::Verb(const std::string& name, const std::string& says) : top_(std::make_unique<CLI::App>(says)), app_(top_.get()) {
    app_->name(name);
    app_->set_version_flag("--version", name + " " RECAP_VERSION, "Print the version");
    app_->fallthrough();
}
Verb::Verb(CLI::App& app, std::function<int()> act) : app_(&app), act_(std::move(act)) { app_->fallthrough(); }
Verb::~Verb() = default;

Verb& Verb::flag(const std::string& names, bool& to, const std::string& says) {
    app_->add_flag(names, to, says);
    return *this;
}
Verb& Verb::option(const std::string& names, std::string& to, const std::string& says, Strings choices) {
    auto* added = app_->add_option(names, to, says);
    if (!choices.empty()) added->check(CLI::IsMember(std::move(choices)));
    return *this;
}
Verb& Verb::option(const std::string& names, std::uint32_t& to, const std::string& says) {
    app_->add_option(names, to, says);
    return *this;
}
Verb& Verb::list(const std::string& names, Strings& to, const std::string& says) {
    app_->add_option(names, to, says);
    return *this;
}
Verb& Verb::operand(const std::string& name, std::string& to, const std::string& says) {
    app_->add_option(name, to, says)->required();
    return *this;
}
Verb& Verb::operands(const std::string& name, Strings& to, const std::string& says) {
    app_->add_option(name, to, says)->required();
    return *this;
}
Verb& Verb::optionalOperand(const std::string& name, std::string* to, const std::string& says) {
    if (to)
        app_->add_option(name, *to, says);
    else
        app_->add_option(name, says);
    return *this;
}
Verb& Verb::footer(const std::string& says) {
    app_->footer(says);
    return *this;
}
Verb& Verb::passesArguments() {
    passes_ = true;
    return *this;
}
Verb& Verb::verb(const std::string& name, const std::string& says, std::function<int()> act) {
    app_->require_subcommand(1);
    verbs_.push_back(std::unique_ptr<Verb>(new Verb(*app_->add_subcommand(name, says), std::move(act))));
    return *verbs_.back();
}

const Verb* Verb::chosen() const {
    const auto below = std::ranges::find_if(verbs_, [](const auto& verb) { return verb->app_->parsed(); });
    return below == verbs_.end() ? this : (*below)->chosen();
}

Result<Verb::Chosen> Verb::parse(Strings words) {
    std::ranges::reverse(words);  // as CLI11 takes them
    try {
        app_->parse(std::move(words));
    } catch (const CLI::CallForVersion& version) {
        return Chosen{chosen(), std::string(version.what()) + "\n"};
    } catch (const CLI::CallForHelp&) {
        std::string above;  // "recapctl image", for the usage of one of its verbs
        for (const CLI::App* app = chosen()->app_->get_parent(); app; app = app->get_parent())
            above = app->get_name() + (above.empty() ? "" : " ") + above;
        return Chosen{chosen(), chosen()->app_->help(above)};
    } catch (const CLI::ParseError& error) {
        const std::string message = error.what();
        return fail(Errc::InvalidArgument, message.substr(0, message.find('\n')));
    }
    return Chosen{chosen(), {}};
}

}  // namespace recap::cli
