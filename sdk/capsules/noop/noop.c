// SPDX-License-Identifier: Apache-2.0
// The smallest payload: static, and gone at once. "--stamp": when it began, in microseconds of CLOCK_MONOTONIC.
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(int argc, char** argv) {
    struct timespec now;
    if (argc < 2 || strcmp(argv[1], "--stamp") != 0) return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return printf("%lld\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000) < 0;
}
