/* Internals of the workload module: traces in memory, generators, and the exact scaling of times. */
#ifndef TANDEM_WORKLOAD_INTERNAL_H
#define TANDEM_WORKLOAD_INTERNAL_H

#include "tandem/rng.h"
#include "tandem/workload.h"

#define WORKLOAD_TOKENS_MAX                                                                                  \
    INT64_C(1000000000)                    /* of one request, prompt or output; fits 32 bits in memory       \
                                            */
#define WORKLOAD_REQUESTS_MAX 1000000000.0 /* bound of the option "requests"; i x 10^9 ns fits 64 bits */

/* --- lines.c: lines of a text file, plain or gzip
 * ----------------------------------------------------------- */

struct lines {
    struct gzFile_s *file; /* zlib's gzFile */
    char *line;            /* the current line without its end, NUL-ended */
    size_t capacity;
    int64_t number; /* of the current line, from 1 */
};

bool lines_open(struct lines *lines, const char *file, struct error *error);

/* Reads the next line into lines->line. *more is false at the end. A byte order mark and the \r of CRLF are
 * dropped. Errors name file and line. */
bool lines_next(struct lines *lines, const char *file, bool *more, struct error *error);
void lines_close(struct lines *lines);

/* --- trace.c: a trace in memory
 * ----------------------------------------------------------------------------- */

struct trace_request {
    int64_t time_ns;
    int32_t prompt_tokens, output_tokens, max_tokens;
};

struct trace {
    struct trace_request *requests; /* in order of time */
    size_t count, capacity;
};

/* Reads a whole file with a reader and its parsed options (NULL: none). sort: rows may come in any order.
 * Times are relative to the first one. */
bool trace_load(const char *file, const struct trace_reader *reader, const void *options, bool sort,
                struct trace *trace, struct error *error);
void trace_clear(struct trace *trace);

/* Keeps the requests with start_ns <= time < start_ns + duration_ns (0: no end), relative to start_ns. */
void trace_window(struct trace *trace, int64_t start_ns, int64_t duration_ns);

/* The reader with a name, NULL when there is none. */
const struct trace_reader *trace_reader_find(const char *name);

/* Fills names (room for capacity) with the readers' names for suggestions; returns their number. */
size_t trace_reader_names(const char **names, size_t capacity);

/* SHA-256 of the file's bytes as they are stored (compressed ones too). */
bool trace_sha256(const char *file, char hex[65], struct error *error);

/* --- scale.c
 * ------------------------------------------------------------------------------------------------- */

/* time_ns / divisor (both >= 0, divisor > 0), from the exact binary value of the divisor, rounded half to
 * even. False when the quotient does not fit. */
bool scale_time(int64_t time_ns, double divisor, int64_t *scaled_ns);

/* --- lengths.c: numbers of tokens
 * ---------------------------------------------------------------------------- */

enum length_kind { LENGTH_FIXED, LENGTH_UNIFORM, LENGTH_LOGNORMALS, LENGTH_EMPIRICAL, LENGTH_PERCENTILES };

struct length {
    enum length_kind kind;
    int64_t min, max; /* fixed: both the value; lognormals: what is outside is drawn again */
    size_t count;     /* of the lists below */
    double *share;    /* lognormals: cumulative weights; percentiles: u of each point; both end at 1 */
    double *ln;       /* lognormals: mu; percentiles: ln(tokens) */
    double *sigma;    /* lognormals */
    int64_t *values;  /* empirical */
};

/* Reads one length specification; in a preset's object the member named by key ("prompt_tokens") is taken. */
bool length_parse(const struct node *node, const char *key, struct length *length, struct error *error);

/* Length of request index: a pure function of its arguments. */
int64_t length_draw(const struct length *length, uint64_t seed, enum rng_purpose purpose, uint64_t index);
void length_clear(struct length *length);

/* --- arrivals.c
 * ---------------------------------------------------------------------------------------------- */

enum arrival_kind { ARRIVAL_POISSON, ARRIVAL_GAMMA, ARRIVAL_FIXED, ARRIVAL_ALL_AT_ONCE, ARRIVAL_CLOSED_LOOP };

struct arrivals {
    enum arrival_kind kind;
    double rate_per_s; /* poisson, gamma, fixed */
    double shape;      /* gamma */
    int64_t users;     /* closed loop; 0 otherwise */
    double think_time_s;
    bool think_exponential;
};

bool arrivals_parse(const struct node *node, struct arrivals *arrivals, struct error *error);

/* Whether the arrivals have a rate that can be scaled. */
bool arrivals_have_rate(const struct arrivals *arrivals);

/* Time of request index, given that of the request before (0 for the first). */
int64_t arrivals_time_ns(const struct arrivals *arrivals, uint64_t seed, int64_t index, int64_t before_ns);
int64_t arrivals_think_ns(const struct arrivals *arrivals, uint64_t seed, uint64_t index);

/* --- workload.c
 * ---------------------------------------------------------------------------------------------- */

/* Whether an optional node of an option table is there. */
bool workload_given(const struct node *node);

#endif
