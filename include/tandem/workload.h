/* Workloads: requests from traces or generators, in order of sending. All local; only the router's rank has
 * one.
 *
 * Times: a trace's origin is its first request. The window start_s, duration_s is in the trace's own time and
 * its start is the run's time 0, so the first request of a window is sent at its own offset. rate_scale then
 * divides each time (not each gap) by the exact binary value of the number, rounded half to even. Generators:
 * gaps are rounded one by one and summed, then scaled; the first request of poisson and gamma comes after one
 * gap, that of fixed at 0. Request i draws with count i of each purpose, so its lengths depend on neither
 * arrivals nor rate. */
#ifndef TANDEM_WORKLOAD_H
#define TANDEM_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"

/* One request as its client knows it. */
struct workload_request {
    int64_t send_ns; /* since the start of the run; closed loop: 0, the caller sets the time */
    int64_t prompt_tokens;
    int64_t output_tokens; /* >= 1; hidden from policies */
    int64_t
        max_tokens; /* the visible limit: the trace's, else "max_tokens", else the output; >= output_tokens */
    int64_t priority; /* class, 0 the most urgent */
    int64_t session;  /* number of the conversation, -1: none */
    int64_t turn;     /* of the session, from 1; 0: not known */
    /* What its blocks of workload_hash_tokens() hold, the prompt's first: equal hashes are equal blocks with
     * the same blocks before them. Of full blocks only; there may be fewer (the rest is like no other) or
     * more (they go on over the output). Borrowed until the next request is asked for. */
    const uint64_t *hashes;
    size_t hash_count;
};

struct workload;

extern const struct option_table workload_options;       /* the "workload" object */
extern const struct option_table workload_trace_options; /* its "trace" */
extern const struct option_table workload_synthetic_options;
extern const struct option_table workload_session_options; /* its "sessions" */
extern const struct option_table workload_length_options; /* prompt_tokens and output_tokens of "synthetic" */
extern const struct option_table workload_arrival_options; /* its "arrivals" */
extern const struct option_table workload_preset_options;  /* a length preset's file */

/* Reads the "workload" object: checks the whole trace row by row (bad rows are errors with file and line), or
 * sets a generator up. Memory does not grow with the requests, but for a trace with "sort". The caller owns
 * *workload, which keeps nothing of the tree. */
bool workload_create(const struct node *node, uint64_t seed, struct workload **workload, struct error *error);
void workload_free(struct workload *workload);

/* From now on rows of traces (of files up to 64 MiB) stay in memory once they are read, and workloads of this
 * process with the same file and keys share them: for many runs on one trace. false gives them back, when no
 * workload has them any more. */
void workload_keep_traces(bool wanted);

/* The next request in order of send time (of sessions: one session after another, send_ns 0). False at the
 * end. Rows of a trace are read when they are asked for,
 * from the file that workload_create opened: where they are not those that it checked, the process ends
 * (log_fatal). */
bool workload_next(struct workload *workload, struct workload_request *request);

/* Number of requests that it will give. */
int64_t workload_count(const struct workload *workload);

/* Tokens of the blocks that requests' hashes name; 0: requests have none. */
int64_t workload_hash_tokens(const struct workload *workload);

/* Whether any request is part of a session. */
bool workload_has_sessions(const struct workload *workload);

/* Classes of priority, from 0 to the highest that it has; at least 1. */
int64_t workload_classes(const struct workload *workload);

/* Send time of the last request (found by workload_create); of sessions that come at a rate, when the last
 * begins; SIMTIME_NEVER where all times follow from the run. */
int64_t workload_last_send_ns(const struct workload *workload);

/* Clients wait for an answer before they send again: users of a closed loop (without sessions, workload_next
 * gives what they send), or sessions. Their number; 0: open loop. */
int64_t workload_users(const struct workload *workload);

/* The `index`-th think time of a closed loop without sessions (they are counted as requests end). */
int64_t workload_think_ns(const struct workload *workload, uint64_t index);

/* The next client that comes, and when it sends for the first time; in order of time. A number is used again
 * when its client has gone. False: all have come. */
bool workload_next_client(struct workload *workload, uint32_t *client, int64_t *send_ns);

/* What a client sends now; send_ns is 0. False: nothing is left for it. */
bool workload_next_of(struct workload *workload, uint32_t client, struct workload_request *request);

/* A client has its answer: time until it sends again. False: it has gone. */
bool workload_answered(struct workload *workload, uint32_t client, int64_t *time_ns);

/* A client's request was refused, and with it the rest of the session: its turns, one after the other. False:
 * there is none (any more). */
bool workload_turn_left(struct workload *workload, uint32_t client, struct workload_request *request);

/* From now on counts the requests that workload_next gives with more prompt and output tokens than a number
 * (for the max_model_len warning); workload_longer: how many there were. */
void workload_count_longer(struct workload *workload, int64_t tokens);
int64_t workload_longer(const struct workload *workload);

/* Path as written and SHA-256 of the trace file; "" for generators. */
const char *workload_trace_path(const struct workload *workload);
const char *workload_trace_sha256(const struct workload *workload);

/* `tandem trace info PATH`: appends format, rows, span, rates, burstiness, length quantiles. format NULL:
 * guessed; settings: object with the reader's own keys, NULL: its defaults. */
bool workload_trace_info(const char *path, const char *format, const struct node *settings, struct text *text,
                         struct error *error);

/* A trace reader: one file in src/workload/readers. */
struct trace_row {
    int64_t time_ns; /* any origin; the workload starts at the first row */
    int64_t prompt_tokens;
    int64_t output_tokens;
    int64_t max_tokens; /* 0: not given */
    int64_t priority;   /* class, 0 the most urgent and where there is none */
    int64_t session;    /* number of the conversation, -1: none */
    /* Of its blocks, as in struct workload_request; borrowed from the reader until its next line. */
    const uint64_t *hashes;
    size_t hash_count;
};

struct trace_reader {
    const char *name; /* value of "format" */
    const char *doc;
    const struct option_table *options; /* keys beside format and path, or NULL */
    size_t options_size;                /* bytes of the structure that they fill */
    /* Whether the first line looks like this format, for `trace info`. */
    bool (*recognizes)(const char *first_line);
    /* Parses one line (without its end; number counts from 1). *row is set and *is_row says whether it holds
     * a request (headers and empty lines do not). state: what start returned; a file may be read more than
     * once, from its first line. Errors say what was expected; the caller adds file and line. */
    bool (*line)(void *state, const char *line, int64_t number, struct trace_row *row, bool *is_row,
                 struct error *error);
    /* State of a reader for one file, from its parsed options (NULL without), of which it keeps copies. stop
     * frees it. */
    void *(*start)(const void *options);
    void (*stop)(void *state);
    /* Tokens of the blocks that rows have hashes of. NULL: rows have none. */
    int64_t (*hash_tokens)(const void *state);
};

extern const struct trace_reader *const trace_readers[]; /* generated from src/workload/readers, NULL-ended */

#endif
