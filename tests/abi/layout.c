/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of 1.0, frozen: a line here may be added, never changed. x86-64 and other LP64 machines. */
#include <recap/plugin.h>

#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")

AT(recap_text, data, 0);
AT(recap_text, size, 8);
AT(recap_pair, key, 0);
AT(recap_pair, value, 16);
AT(recap_error, size, 0);
AT(recap_error, code, 4);
AT(recap_error, message, 8);

AT(recap_target, size, 0);
AT(recap_target, state, 4);
AT(recap_target, pid, 8);
AT(recap_target, label_count, 12);
AT(recap_target, start_time, 16);
AT(recap_target, id, 24);
AT(recap_target, name, 40);
AT(recap_target, image, 56);
AT(recap_target, runtime, 72);
AT(recap_target, cgroup, 88);
AT(recap_target, labels, 104);
/* 1.1 */
AT(recap_target, aliases, 112);
AT(recap_target, details, 120);
AT(recap_target, alias_count, 128);
AT(recap_target, detail_count, 132);
AT(recap_image_source, size, 0);
AT(recap_image_source, self, 8);
AT(recap_image_source, export_image, 16);

AT(recap_backend_sink, size, 0);
AT(recap_backend_sink, stop_fd, 4);
AT(recap_backend_sink, host, 8);
AT(recap_backend_sink, snapshot_begin, 16);
AT(recap_backend_sink, snapshot_target, 24);
AT(recap_backend_sink, snapshot_end, 32);
AT(recap_backend_sink, added, 40);
AT(recap_backend_sink, changed, 48);
AT(recap_backend_sink, removed, 56);
AT(recap_backend_sink, state, 64);
AT(recap_backend_sink, alive, 72);

AT(recap_host, size, 0);
AT(recap_host, abi_minor, 4);
AT(recap_host, self, 8);
AT(recap_host, name, 16);
AT(recap_host, instance, 24);
AT(recap_host, get_extension, 32);

AT(recap_backend, size, 0);
AT(recap_backend, self, 8);
AT(recap_backend, run, 16);
AT(recap_backend, find, 24);
AT(recap_backend, get_extension, 32);
AT(recap_backend, destroy, 40);

AT(recap_backend_factory, size, 0);
AT(recap_backend_factory, create, 8);

AT(recap_plugin_entry, size, 0);
AT(recap_plugin_entry, abi_major, 4);
AT(recap_plugin_entry, abi_minor, 8);
AT(recap_plugin_entry, name, 16);
AT(recap_plugin_entry, version, 24);
AT(recap_plugin_entry, get_factory, 32);

/* Also how a plugin in C is written: what the C++ header makes, by hand. */
static const void *get_factory(const recap_plugin_entry *entry, const char *id) {
    (void)entry;
    (void)id;
    return NULL;
}
extern const recap_plugin_entry recap_test_entry;
const recap_plugin_entry recap_test_entry = {
    sizeof(recap_plugin_entry), RECAP_PLUGIN_ABI_MAJOR, RECAP_PLUGIN_ABI_MINOR, 0, "c", "1.0.0", get_factory};
