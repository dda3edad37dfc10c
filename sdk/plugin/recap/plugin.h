/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin ABI of RECap, 1.1. C++ authors include <recap/plugin.hpp> and never see this file.
 *
 * A plugin is a shared object with one exported symbol, `recap_plugin`. Everything else is reached from it by asking for
 * an id, so that what exists never changes its shape.
 *
 * Growth      Every table and record begins with its own size. Fields are only appended. Who reads a table checks its size
 *             before reading a field that 1.0 did not have. `abi_major` of plugin and host must be equal; a larger
 *             `abi_minor` than the reader knows is no error.
 * Threads     [main]    the host's main thread.
 *             [worker]  a thread that the host made for this plugin. `run`, `find` and `export_image` have one each: they may overlap;
 *                       no function overlaps itself. They may block.
 *             [any]     any thread, also several at once.
 *             Order: get_factory, create, then run and find, then (run returned, no find under way) destroy.
 * Ownership   Text and records handed to either side are borrowed for the call: copy what is to be kept. Nobody frees
 *             what the other side allocated. Tables live until `destroy` (recap_backend), or as long as the process.
 * Errors      A function that returns int32_t answers RECAP_OK, or one of the codes below with a sentence in the caller's
 *             recap_error: lower-case, naming the thing and the value. No exception, longjmp or exit crosses this border.
 * Isolation   recap-plugin-host runs one plugin in a process of its own, under a user of its own. stderr is the journal.
 */
#ifndef RECAP_PLUGIN_H
#define RECAP_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RECAP_PLUGIN_ABI_MAJOR 1
#define RECAP_PLUGIN_ABI_MINOR 1 /* 1: aliases and details of a target, images of a backend */

/* Kinds of factory. 1.0 hosts load backends; the other ids are kept for what their names say. */
#define RECAP_BACKEND_FACTORY "recap.backend/1"
#define RECAP_POLICY_FACTORY "recap.policy/1"
#define RECAP_ADMISSION_FACTORY "recap.admission/1"
#define RECAP_TRIGGER_FACTORY "recap.trigger/1"
#define RECAP_IMAGE_SOURCE_FACTORY "recap.image-source/1"

/* What the one symbol is declared with. */
#define RECAP_PLUGIN_EXPORT __attribute__((visibility("default")))

/* Codes. Append only. */
#define RECAP_OK 0
#define RECAP_INVALID 1       /* a setting or an argument is wrong */
#define RECAP_NOT_FOUND 2     /* no such target */
#define RECAP_UNAVAILABLE 3   /* the engine is away; trying again may help */
#define RECAP_NOT_SUPPORTED 4 /* not by this plugin, engine or kernel */
#define RECAP_DENIED 5        /* there, but never a target: a kernel thread, one of RECap's own */
#define RECAP_INTERNAL 6      /* anything else */

/* UTF-8, not terminated; data may be null where size is 0. The host replaces bytes that are not valid UTF-8, and control
 * characters, by '?'. */
typedef struct recap_text {
    const char *data;
    size_t size;
} recap_text;

typedef struct recap_pair {
    recap_text key;
    recap_text value;
} recap_pair;

/* The caller's memory, `size` set by the caller, the rest zero. `message` ends in 0, cut where it does not fit. */
typedef struct recap_error {
    uint32_t size;
    int32_t code;
    char message[512];
} recap_error;

/* States of a target. */
#define RECAP_TARGET_RUNNING 0u
#define RECAP_TARGET_PAUSED 1u
#define RECAP_TARGET_STOPPED 2u

/* States of a backend: its engine is absent (no error: it may come); `snapshot_end` says by itself that it is ready;
 * the engine is there, but does not answer as it should. */
#define RECAP_BACKEND_WAITING 0u
#define RECAP_BACKEND_UNAVAILABLE 2u

/* One container, as numbers and strings. `id` names it for sure within this backend and is never given to another life of
 * it that may overlap this one; `name` is what people call it. */
typedef struct recap_target {
    uint32_t size;
    uint32_t state;       /* RECAP_TARGET_… */
    int32_t pid;          /* its first process in the host's pid namespace; 0: has none now */
    uint32_t label_count; /* at most 256 are passed on */
    uint64_t start_time;  /* of pid: field 22 of proc(5) stat, read by the plugin; 0 only where pid is 0 */
    recap_text id;        /* 1..255 bytes */
    recap_text name;
    recap_text image;   /* as the engine names it; may be empty */
    recap_text runtime; /* "runc", "crun", "process", … */
    recap_text cgroup;  /* path of pid's cgroup ("/docker/3f2…") as the plugin read it; empty: not known */
    const recap_pair *labels;
    /* Since 1.1. */
    const recap_text *aliases; /* further names that people use ("shop/web"); they need not be unique */
    const recap_pair *details; /* what the engine knows beside: RECAP_DETAIL_…, or a plugin's own key */
    uint32_t alias_count;      /* at most 8 are passed on */
    uint32_t detail_count;     /* at most 16 */
} recap_target;

/* Keys of details; each may be absent. */
#define RECAP_DETAIL_HEALTH "health"                 /* "starting", "healthy", "unhealthy" */
#define RECAP_DETAIL_RESTARTS "restarts"             /* a number */
#define RECAP_DETAIL_USER_NAMESPACE "user-namespace" /* "host": of the engine's own; else how the engine calls the container's */

/* Where a backend puts what it learns. The host's; valid until destroy. `host` goes first into every function.
 * A host passes on what comes; where it is slow, calls block. A target outside of a snapshot may be told twice: the last
 * word counts. */
typedef struct recap_backend_sink {
    uint32_t size;
    int32_t stop_fd; /* becomes readable when `run` has to return, within 5 seconds; never read from it */
    void *host;
    /* [any] A whole new picture: all targets between begin and end, and no others, exist. `run` sends one at its start and
     * whenever it may have missed something. `added` and the like in between count as well. */
    void (*snapshot_begin)(void *host);
    void (*snapshot_target)(void *host, const recap_target *target);
    void (*snapshot_end)(void *host); /* makes the backend ready */
    /* [any] Single changes. removed: the id is forgotten; an unknown one is ignored. */
    void (*added)(void *host, const recap_target *target);
    void (*changed)(void *host, const recap_target *target);
    void (*removed)(void *host, recap_text id);
    /* [any] RECAP_BACKEND_…, with a sentence why. Targets are kept. */
    void (*state)(void *host, uint32_t state, recap_text detail);
    /* [worker] `run` calls this at least every RECAP_ALIVE_SECONDS, else the plugin counts as hung: its process is ended
     * and started again. */
    void (*alive)(void *host);
} recap_backend_sink;

#define RECAP_ALIVE_SECONDS 30

/* What the plugin may ask its host. Valid as long as the process. */
typedef struct recap_host {
    uint32_t size;
    uint32_t abi_minor; /* the host's */
    void *self;
    const char *name;     /* "recap-plugin-host 0.1.0" */
    const char *instance; /* the settings' table name: what the backend is called; differs from the plugin's ("podman") */
    /* [any] Tables of later versions by id; null: not offered. */
    const void *(*get_extension)(void *self, const char *id);
} recap_host;

/* Extension of a backend (since 1.1): the engine's own images. `self` goes first into every function. */
#define RECAP_IMAGES_EXTENSION RECAP_IMAGE_SOURCE_FACTORY
typedef struct recap_image_source {
    uint32_t size;
    uint32_t reserved; /* 0 */
    void *self;
    /* [worker] Writes the image that `reference` names, in the engine's own words, as one tar archive into `out`: an OCI image
     * layout (image-layout.md of the image specification) or what `docker save` writes. `out` is a pipe or a file of the host's
     * that blocks; a reader that has gone is EPIPE (SIGPIPE is ignored). Answers RECAP_NOT_FOUND for no such image, and
     * RECAP_UNAVAILABLE soon after stop_fd is readable. May run while run and find do. */
    int32_t (*export_image)(void *self, recap_text reference, int32_t out, int32_t stop_fd, recap_error *error);
} recap_image_source;

/* One backend: made by create, ended by destroy. `self` goes first into every function. */
typedef struct recap_backend {
    uint32_t size;
    uint32_t reserved; /* 0 */
    void *self;
    /* [worker] Called once. Reports to the sink until stop_fd is readable, then answers RECAP_OK. An absent engine is no
     * error: say RECAP_BACKEND_WAITING and go on looking for it. An error ends the process; it is started again. */
    int32_t (*run)(void *self, const recap_backend_sink *sink, recap_error *error);
    /* [worker] Finds one target by id or name, where it was not told by itself: emits it by `added` before it answers
     * RECAP_OK. Has 10 seconds. May be null: then nothing can be found but what was told. */
    int32_t (*find)(void *self, recap_text id, const recap_backend_sink *sink, recap_error *error);
    /* [main] Tables of later versions by id; null: not offered. May itself be null. */
    const void *(*get_extension)(void *self, const char *id);
    /* [main] The last call. */
    void (*destroy)(void *self);
} recap_backend;

/* Answer of get_factory(RECAP_BACKEND_FACTORY). */
typedef struct recap_backend_factory {
    uint32_t size;
    uint32_t reserved; /* 0 */
    /* [main] Called once. settings: the table [plugins.INSTANCE] of recapd.toml without the host's own keys; a list is its
     * key several times, a nested table is "outer.inner", numbers and booleans are as TOML writes them. A setting that the
     * plugin does not know is an error that names it. Must not wait for the engine. Null: failed, error says why. */
    const recap_backend *(*create)(const struct recap_backend_factory *factory, const recap_host *host, const recap_pair *settings,
                                   size_t setting_count, recap_error *error);
} recap_backend_factory;

/* The one symbol. */
typedef struct recap_plugin_entry {
    uint32_t size;
    uint32_t abi_major; /* RECAP_PLUGIN_ABI_MAJOR as compiled; unequal: refused before anything is called */
    uint32_t abi_minor;
    uint32_t reserved;   /* 0 */
    const char *name;    /* "docker": a-z 0-9 -, as its file, NAME.so */
    const char *version; /* the plugin's own */
    /* [main] A factory by its id; null: not offered. */
    const void *(*get_factory)(const struct recap_plugin_entry *entry, const char *id);
} recap_plugin_entry;

extern RECAP_PLUGIN_EXPORT const recap_plugin_entry recap_plugin;

#ifdef __cplusplus
}
#endif

#endif
