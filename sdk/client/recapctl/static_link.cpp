// SPDX-License-Identifier: Apache-2.0
// What libdbus-1.a refers to and a client never calls; in the statically linked recapctl only. Without these it would need
// libsystemd, of which Debian has no static library, and the C library's databases of users and hosts, which a static
// program would have to load from shared libraries. Whatever is asked here is answered with "there is none".
#include <grp.h>
#include <netdb.h>
#include <pwd.h>

#include <cerrno>

// NOLINTBEGIN(readability-identifier-naming): other libraries' names
#pragma GCC visibility push(hidden)
extern "C" {

// systemd's sockets: for programs that listen.
int sd_listen_fds(int);
int sd_listen_fds(int) { return 0; }
int sd_is_socket(int, int, int, int);
int sd_is_socket(int, int, int, int) { return -ENOTSUP; }

// Users: for buses that check who may connect, and for the login with cookies in a home folder. A login with credentials,
// the system bus's only one, sends the number.
int getpwnam_r(const char*, struct passwd*, char*, size_t, struct passwd** found) {
    *found = nullptr;
    return 0;
}
int getpwuid_r(uid_t, struct passwd*, char*, size_t, struct passwd** found) {
    *found = nullptr;
    return 0;
}
int getgrouplist(const char*, gid_t, gid_t*, int* count) {
    *count = 0;
    return 0;
}

// Hosts: for addresses that begin with tcp: and nonce-tcp:, which carry no descriptors anyway.
int getaddrinfo(const char*, const char*, const struct addrinfo*, struct addrinfo** found) {
    *found = nullptr;
    return EAI_FAMILY;
}
void freeaddrinfo(struct addrinfo*) {}
}
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)
