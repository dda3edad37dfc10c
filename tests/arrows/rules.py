# SPDX-License-Identifier: Apache-2.0
"""Which room of the house may know which: the one place where the arrows are written down."""

# Room: the folder a file is in (longest match), and the rooms or single files that it may include. A room may always
# include itself. "" as a prefix of nothing: what is not listed here is not looked at (tests may know everything).
SDK = ["sdk/base", "sdk/manifest", "sdk/image", "sdk/plugin", "sdk/capsule", "sdk/cli", "sdk/client"]
SHARED_WITH_HELPERS = ["daemon/launcher/protocol.hpp", "daemon/launcher/codec.hpp", "daemon/launcher/ceiling.hpp",
                       "daemon/launcher/weaken.hpp"]

ROOMS = {
    "sdk/base": [],
    "sdk/manifest": ["sdk/base"],
    "sdk/image": ["sdk/base"],
    "sdk/plugin": ["sdk/base"],
    "sdk/capsule": ["sdk/base"],
    "sdk/cli": ["sdk/base"],
    "sdk/client": ["sdk/base", "sdk/cli"],
    "sdk/qt": [],
    "sdk/tools": SDK,
    "sdk/capsules": ["sdk/base", "sdk/capsule"],
    "daemon/core": ["sdk/base"],
    "daemon/bus": ["daemon/core", "sdk/base"],
    "daemon/triggers": ["daemon/core", "sdk/base"],
    "daemon/plan": ["daemon/core", "sdk/base", "sdk/manifest"],
    "daemon/images": ["daemon/core", "sdk/base", "sdk/manifest", "sdk/image"],
    "daemon/engine": ["daemon/core", "sdk/base", "sdk/manifest", "sdk/image"],
    "daemon/host": ["daemon/core", "sdk/base", "sdk/cli", "sdk/plugin", "sdk/manifest"],
    "daemon/launcher": ["sdk/base"],
    "daemon/helpers": ["sdk/base", "sdk/manifest", "sdk/image"] + SHARED_WITH_HELPERS,
    "daemon": ["daemon", "sdk"],  # main.cpp, the one file that knows every room
    "plugins": ["sdk/base", "sdk/plugin"],
    # It makes archives of images out of containerd's store, and so reads and writes their documents.
    "plugins/containerd": ["sdk/base", "sdk/plugin", "sdk/image"],
    "policies": ["sdk/base", "sdk/plugin"],
}

# recapd's client of the launcher lives beside the protocol and is linked into recapd only: it alone implements core's
# interface and uses recapd's loop. The supervisor, its workers and capsule-init never include these files.
CLIENT = {side: ["daemon/launcher", "daemon/core", "sdk/base"] for side in ("daemon/launcher/client", "daemon/launcher/convert")}

# Siblings of plugins/ never know each other: plugins/docker is a room of its own, and so on.
EACH_FOLDER_A_ROOM = ["plugins"]

# Third-party library: how it looks in an #include, how in a link line (both regular expressions), and its homes.
# A home is a room; what is linked in tests/ is free.
LIBRARIES = {
    "sdbus-c++": (r"sdbus-c\+\+/", r"SDBusCpp|sdbus", ["daemon/bus"]),
    "libdbus": (r"^dbus/dbus", r"^dbus-1$|PkgConfig::DBUS$", ["sdk/client"]),
    "CLI11": (r"CLI/", r"CLI11", ["sdk/cli"]),
    "toml++": (r"toml\+\+/|toml\.hpp", r"tomlplusplus", ["sdk/manifest"]),
    "libseccomp": (r"seccomp\.h$", r"seccomp", ["daemon/plan"]),
    "libcap": (r"sys/capability\.h", r"^(lib)?cap(\.a)?$|PkgConfig::(lib)?cap$", ["daemon/launcher"]),
    "libarchive": (r"archive(_entry)?\.h$", r"(lib)?archive", ["sdk/image"]),
    "SQLite": (r"sqlite3\.h$", r"sqlite3?", ["daemon/engine"]),
    "QtDBus": (r"QtDBus|QDBus\w+", r"Qt\d?::DBus", ["sdk/qt"]),
    "Qt": (r"Qt\w+/|Q[A-Z]\w+$", r"Qt\d?::", ["sdk/qt"]),
    "dlopen": (r"dlfcn\.h$", r"CMAKE_DL_LIBS|^dl$", ["daemon/host"]),
    "libsystemd": (r"systemd/sd-", r"systemd",
                   ["daemon", "daemon/core", "daemon/bus", "daemon/triggers", "daemon/engine", "daemon/host", "daemon/images", "daemon/launcher/client"]),
    "libcurl": (r"curl/", r"curl", ["plugins/docker", "plugins/kubernetes"]),
    "gRPC": (r"grpc(pp)?/|grpc\+\+/|google/protobuf/", r"grpc|protobuf", ["plugins/containerd"]),
    "yaml-cpp": (r"yaml-cpp/", r"yaml-cpp", ["plugins/kubernetes"]),
    "libcrypto": (r"openssl/", r"OpenSSL::|crypto", ["sdk/image"]),
    # Used in many rooms, never by the launcher, whose only library is libcap, nor by what it links.
    "fmt": (r"fmt/", r"fmt::", "outside the launcher"),
    "nlohmann-json": (r"nlohmann/", r"nlohmann", "outside the launcher"),
}
LAUNCHER = ["daemon/launcher", "sdk/base"]

# Kernel headers that look like a library's.
NOT_LIBRARIES = [r"^linux/"]
