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
    bool shared;              /* the rows below are not its own */
    struct trace_rows sorted; /* sort, and where they are kept: all rows; else they are read when asked for */
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
    const char
        *key; /* rows are kept under it (workload_keep_traces): all that they depend on; NULL: are not */
};

/* Opens a file with a reader and its parsed options (NULL: none). Close it after an error too. */
bool trace_open(struct trace *trace, const char *file, const struct trace_reader *reader, const void *options,
                const struct trace_order *order, struct error *error);
void trace_close(struct trace *trace);

/* Whether rows are to be kept; whether those of a key are. */
bool trace_keeps(void);
bool trace_is_kept(const char *key);

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

/* Length of request index of an entity (rng.h; 0 where there is one alone): a pure function of its arguments.
 */
int64_t length_draw(const struct length *length, uint64_t seed, uint32_t entity, enum rng_purpose purpose,
                    uint64_t index);
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

/* Time from an answer to the next request. */
struct think {
    double time_s; /* mean */
    bool exponential;
};

struct arrivals {
    enum arrival_kind kind;
    double rate_per_s; /* poisson, gamma, fixed */
    double shape;      /* gamma */
    int64_t users;     /* closed loop; 0 otherwise */
    struct think think;
};

bool arrivals_parse(const struct node *node, struct arrivals *arrivals, struct error *error);

/* Whether the arrivals have a rate that can be scaled. */
bool arrivals_have_rate(const struct arrivals *arrivals);

/* Time of request index, given that of the request before (0 for the first). */
int64_t arrivals_time_ns(const struct arrivals *arrivals, uint64_t seed, int64_t index, int64_t before_ns);

/* Time of the last of count requests: walks over random gaps, computes the others. */
int64_t arrivals_last_ns(const struct arrivals *arrivals, uint64_t seed, int64_t count);

/* The index-th think time of an entity. */
int64_t think_ns(const struct think *think, uint64_t seed, uint32_t entity, uint64_t index);

/* --- sessions.c: conversations
 * ------------------------------------------------------------------------------- */

/* One of them, as far as it has come. */
struct session {
    int64_t number;
    int64_t turn, turns;    /* that were given; in all */
    int64_t context_tokens; /* with which the next prompt begins */
    uint64_t system_prompt; /* which */
};

struct dialogues {
    int64_t count; /* of sessions; 0: the workload has none */
    uint64_t seed;
    struct arrivals arrivals;
    struct length turns, user, output, system_prompt;
    struct priorities priorities;
    struct think think; /* between turns; arrivals.think: between a user's sessions */
    int64_t system_tokens, max_context_tokens, block_tokens;
    uint64_t *hashes; /* of the turn given last */
    size_t hash_capacity;
};

/* Reads the "sessions" object; *requests: the turns of all. The caller: dialogues_clear, after an error too.
 */
bool dialogues_parse(const struct node *node, uint64_t seed, struct dialogues *dialogues, int64_t *requests,
                     struct error *error);
void dialogues_clear(struct dialogues *dialogues);

/* A session before its first turn. */
struct session dialogues_begin(const struct dialogues *dialogues, int64_t number);

/* The next turn of a session that has one; send_ns and max_tokens are 0. */
void dialogues_turn(struct dialogues *dialogues, struct session *session, struct workload_request *request);

/* From the answer to the turn given last to the next one, or to the user's next session. */
int64_t dialogues_think_ns(const struct dialogues *dialogues, const struct session *session);

/* --- workload.c
 * ---------------------------------------------------------------------------------------------- */

struct workload {
    int64_t count;
    int64_t last_send_ns;
    uint64_t seed;
    double rate_scale;
    int64_t max_tokens;
    struct trace trace;
    int64_t start_ns, duration_ns; /* the window of a trace; duration 0: no end */
    uint64_t rows_hash;            /* of the rows that will be given, as they were checked */
    char *path;                    /* as written; NULL: synthetic */
    struct length prompt, output;
    struct arrivals arrivals;
    struct priorities priorities;
    int64_t highest_class; /* of a trace */
    bool trace_sessions;   /* some of its rows have one */
    struct dialogues dialogues;
    /* What was given so far. */
    int64_t given;
    int64_t before_ns; /* generators: time of the request (or session) before, not scaled */
    uint64_t given_hash;
    int64_t longer_than, longer; /* tokens, requests */
    struct session walked;       /* workload_next: the session at hand */
    int64_t walked_count;        /* sessions that it has begun */
    /* Clients. */
    int64_t clients_come, sessions_begun;
    uint64_t thinks;          /* closed loop without sessions */
    struct session *sessions; /* by client */
    uint32_t *free_clients;   /* of those that came, numbers that are used again */
    size_t session_count, session_capacity, free_count, free_capacity;
};

/* A generator's time as it is sent. */
int64_t workload_scaled(const struct workload *workload, int64_t time_ns);

/* What all requests have in common: their limit, and their count. */
void workload_finish(struct workload *workload, struct workload_request *request);

/* Whether an optional node of an option table is there. */
bool workload_given(const struct node *node);

#endif
