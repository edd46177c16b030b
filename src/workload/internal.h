/* Internals of the workload module: rows of traces, generators, and the exact scaling of times. */
#ifndef TANDEM_WORKLOAD_INTERNAL_H
#define TANDEM_WORKLOAD_INTERNAL_H

#include "tandem/rng.h"
#include "tandem/workload.h"

#define WORKLOAD_TOKENS_MAX   INT64_C(1000000000) /* of one request, prompt or output; fits 32 bits */
#define WORKLOAD_PRIORITY_MAX INT64_C(255)        /* the last class; fits 8 bits */
#define WORKLOAD_SESSION_MAX  INT64_C(1000000000000000)
#define WORKLOAD_REQUESTS_MAX 1000000000.0 /* bound of the option "requests"; i x 10^9 ns fits 64 bits */

/* --- lines.c: lines of a text file, plain or gzip
 * ----------------------------------------------------------- */

struct lines {
    int descriptor;        /* of the file as it is stored; belongs to file */
    struct gzFile_s *file; /* zlib's gzFile */
    char *buffer;          /* [at, end): read, but not given yet */
    size_t capacity, at, end;
    const char *zero; /* the first zero byte of the block that was read last, NULL: none */
    char *line;       /* the current line without its end, NUL-ended; lives until the next */
    int64_t number;   /* of the current line, from 1 */
};

bool lines_open(struct lines *lines, const char *file, struct error *error);

/* SHA-256 of the file's bytes as they are stored (compressed ones too). */
bool lines_sha256(const struct lines *lines, const char *file, char hex[65], struct error *error);

/* Reads the next line into lines->line. *more is false at the end. A byte order mark and the \r of CRLF are
 * dropped. Errors name file and line. */
bool lines_next(struct lines *lines, const char *file, bool *more, struct error *error);

/* The first line is next. For files of which lines_sha256 was found: pipes cannot. */
void lines_rewind(struct lines *lines, const char *file);
void lines_close(struct lines *lines);

/* --- trace.c: rows of a trace file, one by one
 * -------------------------------------------------------------- */

/* Rows that own what they point to. */
struct trace_rows {
    struct trace_row *rows;
    size_t count, capacity;
    uint64_t *hashes; /* of all rows, one after another */
    size_t hash_count, hash_capacity;
};

void trace_rows_clear(struct trace_rows *rows);

struct trace {
    const struct trace_reader *reader;
    void *state; /* the reader's */
    char *file;
    char sha256[65];
    struct lines lines;
    bool sort;
    struct trace_rows sorted; /* sort: all rows; else they are read when they are asked for */
    size_t read;              /* rows, as written, since the beginning */
    int64_t read_ns;          /* time of the last of them */
    int64_t spread_ns;        /* > 0: rows of one time t lie anywhere in [t, t + spread_ns) */
    uint64_t seed;            /* where */
    struct trace_rows tied;   /* those of one time */
    size_t tied_given;        /* of them */
    struct trace_row ahead;   /* the row behind them */
    bool has_ahead;
    size_t given;                /* rows since the beginning */
    int64_t first_ns, before_ns; /* of the first row and of the one given last */
};

/* How rows of a trace are taken. */
struct trace_order {
    bool sort;         /* they may come in any order of time, and are all held in memory */
    int64_t spread_ns; /* those of one time t lie anywhere in [t, t + spread_ns), but before the next time */
    uint64_t seed;     /* of where they lie */
};

/* Opens a file with a reader and its parsed options (NULL: none). Close it after an error too. */
bool trace_open(struct trace *trace, const char *file, const struct trace_reader *reader, const void *options,
                const struct trace_order *order, struct error *error);
void trace_close(struct trace *trace);

/* The next row in order of time, checked; its time is relative to the first row's. *more is false at the end
 * (a file without any row is an error). Errors name file and line. */
bool trace_next(struct trace *trace, struct trace_row *row, bool *more, struct error *error);

/* The first row is next. */
void trace_rewind(struct trace *trace);

/* All rows that trace_next gives; the caller clears *rows, after an error too. */
bool trace_collect(struct trace *trace, struct trace_rows *rows, struct error *error);

/* The reader with a name, NULL when there is none. */
const struct trace_reader *trace_reader_find(const char *name);

/* Fills names (room for capacity) with the readers' names for suggestions; returns their number. */
size_t trace_reader_names(const char **names, size_t capacity);

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
    uint32_t *guide;  /* of shares: the first position whose share is not below i / guide_count */
    size_t guide_count;
};

/* Reads one length specification; in a preset's object the member named by key ("prompt_tokens") is taken. */
bool length_parse(const struct node *node, const char *key, struct length *length, struct error *error);

/* Length of request index: a pure function of its arguments. */
int64_t length_draw(const struct length *length, uint64_t seed, enum rng_purpose purpose, uint64_t index);
void length_clear(struct length *length);

/* The numbers of a list within [min, max]; the caller owns them. NULL with the error set when one is not. */
double *numbers_parse(const struct node *list, double min, double max, size_t *count, struct error *error);

/* Shares, called noun in the error, to cumulative ones that end at exactly 1. */
bool shares_accumulate(const struct node *list, const char *noun, double *shares, size_t count,
                       struct error *error);

/* --- priorities.c: classes of requests
 * ----------------------------------------------------------------------- */

struct priorities {
    size_t count;   /* of classes; 0: all are of class 0 */
    double *shares; /* cumulative, ending at 1 */
};

/* Reads a list of shares, that of class 0 first; NULL or null: none. The caller: priorities_clear. */
bool priorities_parse(const struct node *list, struct priorities *priorities, struct error *error);

/* Class of request index: a pure function of its arguments. */
int64_t priorities_draw(const struct priorities *priorities, uint64_t seed, uint64_t index);
void priorities_clear(struct priorities *priorities);

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

/* Time of the last of count requests: walks over random gaps, computes the others. */
int64_t arrivals_last_ns(const struct arrivals *arrivals, uint64_t seed, int64_t count);
int64_t arrivals_think_ns(const struct arrivals *arrivals, uint64_t seed, uint64_t index);

/* --- workload.c
 * ---------------------------------------------------------------------------------------------- */

/* Whether an optional node of an option table is there. */
bool workload_given(const struct node *node);

#endif
