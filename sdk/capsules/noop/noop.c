// SPDX-License-Identifier: Apache-2.0
// The smallest payload: static, and gone at once. "--stamp": when it began, in microseconds of CLOCK_MONOTONIC. "--rest": says so, and
// stays until it is ended.
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
    struct timespec now;
    if (argc == 2 && strcmp(argv[1], "--rest") == 0) {
        if (puts("resting") < 0 || fflush(stdout) != 0) return 1;
        for (;;) pause();
    }
    if (argc < 2 || strcmp(argv[1], "--stamp") != 0) return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return printf("%lld\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000) < 0;
}
