// SPDX-License-Identifier: Apache-2.0
// The smallest useful backend, and what a new one starts from: containers as small files in a folder. A file "web" that
// holds "PID IMAGE KEY=VALUE…" is a container named web with these labels; files whose names begin with '.' are none. Its images are
// tars in the folder's own folder ".images".
#include <unistd.h>
#include <recap/plugin.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

namespace plugin = recap::plugin;

// Field 22 of proc(5) stat. The second field may hold spaces and parentheses, so counting starts behind its last one.
std::uint64_t startTime(std::int32_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(stat, line, '\0');
    const auto name = line.rfind(')');
    if (name == std::string::npos) return 0;
    std::istringstream rest(line.substr(name + 1));
    std::string field;
    for (int i = 3; i <= 22; ++i) rest >> field;
    return rest ? std::stoull(field) : 0;
}

class Demo {
public:
    explicit Demo(plugin::Settings& settings)
        : folder_(settings.text("folder").value_or("/run/recap-demo")),
          interval_(settings.duration("interval").value_or(std::chrono::seconds(1))) {}

    void run(plugin::Sink& sink) {
        do {
            if (!std::filesystem::is_directory(folder_)) {
                sink.waiting("no folder '" + folder_.string() + "'");
                continue;
            }
            sink.snapshot(list());
        } while (sink.wait(interval_));
    }

    void find(plugin::Sink& sink, std::string_view id) {
        for (const auto& target : list()) {
            if (target.id == id) return sink.added(target);
        }
        throw plugin::Error(plugin::Code::NotFound, "no container '" + std::string(id) + "' in '" + folder_.string() + "'");
    }

    void exportImage(std::string_view reference, int out, int stopFd) {
        const auto path = folder_ / ".images" / reference;
        std::ifstream file(path, std::ios::binary);
        if (path.filename() != reference || !std::filesystem::is_regular_file(path) || !file)
            throw plugin::Error(plugin::Code::NotFound, "no such image: " + std::string(reference));
        std::vector<char> block(64 * 1024);
        while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
            write(out, {block.data(), static_cast<std::size_t>(file.gcount())});
            pollfd stop{stopFd, POLLIN, 0};
            if (::poll(&stop, 1, 0) > 0) throw plugin::Error(plugin::Code::Unavailable, "told to stop");
        }
    }

private:
    static void write(int out, std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::write(out, bytes.data(), bytes.size());
            if (written < 0 && errno != EINTR)
                throw plugin::Error(plugin::Code::Unavailable, "write: " + std::string(std::strerror(errno)));
            bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
        }
    }

    std::vector<plugin::Target> list() const {
        std::vector<plugin::Target> found;
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
            plugin::Target target;
            target.id = target.name = entry.path().filename();
            target.runtime = "demo";
            std::ifstream file(entry.path());
            file >> target.pid >> target.image;
            for (std::string label; file >> label;) {
                const auto equals = std::min(label.find('='), label.size());
                target.labels[label.substr(0, equals)] = label.substr(std::min(equals + 1, label.size()));
            }
            target.startTime = startTime(target.pid);
            if (target.startTime == 0 || target.name.starts_with('.')) continue;
            found.push_back(std::move(target));
        }
        return found;
    }

    std::filesystem::path folder_;
    std::chrono::milliseconds interval_;
};

}  // namespace

RECAP_BACKEND_PLUGIN(Demo, "demo", "1.0.0");
