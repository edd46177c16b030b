#include <math.h>
#include <stddef.h>
#include <string.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/hash.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"
#include "tandem/text.h"

#define SPAN_MAX_S       1e8 /* three years of requests: far below 2^63 ns even with bursts */
#define RATE_MIN_PER_S   1e-4
#define READER_NAMES_MAX 64

struct settings {
    const struct node *trace, *synthetic, *sessions;
    double rate_scale;
    int64_t max_requests;
    double start_s, duration_s;
    int64_t max_tokens;
};

struct trace_settings {
    const char *format, *path;
    bool sort;
    double spread_ties_ms;
};

struct synthetic_settings {
    const struct node *prompt_tokens, *output_tokens, *arrivals, *priority_shares;
    int64_t requests;
};

#define AT(field) offsetof(struct settings, field)
static const struct option workload_rows[] = {
    {"trace", OPTION_NODE, "null", 0, 0, NULL, AT(trace), "requests from a file: {\"format\", \"path\", ..}"},
    {"synthetic", OPTION_NODE, "null", 0, 0, NULL, AT(synthetic), "requests from distributions"},
    {"sessions", OPTION_NODE, "null", 0, 0, NULL, AT(sessions), "conversations of several turns"},
    {"rate_scale", OPTION_NUMBER, "1", 1e-6, 1e6, NULL, AT(rate_scale),
     "divides the times between requests (of sessions: between their begins): 2 is twice the load"},
    {"max_requests", OPTION_INTEGER, "0", 0, 1e15, NULL, AT(max_requests), "only the first of them (0: all)"},
    {"start_s", OPTION_NUMBER, "0", 0, 1e9, NULL, AT(start_s),
     "begin of the window of a trace, in its own time from its first request; the run's time 0"},
    {"duration_s", OPTION_NUMBER, "0", 0, 1e9, NULL, AT(duration_s),
     "length of the window, in the trace's own time (0: to its end)"},
    {"max_tokens", OPTION_INTEGER, "0", 0, (double)WORKLOAD_TOKENS_MAX, NULL, AT(max_tokens),
     "visible limit of output tokens where a request has none of its own, at least its output (0: its "
     "output)"},
};
OPTION_TABLE(workload_options, "workload",
             "where requests come from: exactly one of trace, synthetic and sessions", workload_rows);

static const struct option trace_rows[] = {
    {"format", OPTION_STRING, NULL, 0, 0, NULL, offsetof(struct trace_settings, format),
     "name of a trace reader"},
    {"path", OPTION_STRING, NULL, 0, 0, NULL, offsetof(struct trace_settings, path),
     "the file, plain or .gz; relative to the file that names it"},
    {"sort", OPTION_BOOL, "false", 0, 0, NULL, offsetof(struct trace_settings, sort),
     "accept rows in any order of time and sort them; only then is the whole trace held in memory"},
    {"spread_ties_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, offsetof(struct trace_settings, spread_ties_ms),
     "time stamps were rounded down to multiples of so much: rows of one time are sent at random within it, "
     "in "
     "their order, before the next time (Mooncake's traces: 3000); 0: when they say"},
};
OPTION_TABLE(workload_trace_options, "trace", "requests from a file", trace_rows);

#define SYNTHETIC_AT(field) offsetof(struct synthetic_settings, field)
static const struct option synthetic_rows[] = {
    {"prompt_tokens", OPTION_NODE, NULL, 0, 0, NULL, SYNTHETIC_AT(prompt_tokens),
     "lengths of prompts: a preset's name or a distribution"},
    {"output_tokens", OPTION_NODE, NULL, 0, 0, NULL, SYNTHETIC_AT(output_tokens),
     "lengths of outputs: a preset's name or a distribution"},
    {"arrivals", OPTION_NODE, NULL, 0, 0, NULL, SYNTHETIC_AT(arrivals), "when requests are sent"},
    {"requests", OPTION_INTEGER, NULL, 1, WORKLOAD_REQUESTS_MAX, NULL, SYNTHETIC_AT(requests), "how many"},
    {"priority_shares", OPTION_NODE, "null", 0, 0, NULL, SYNTHETIC_AT(priority_shares),
     "list: share of each class of priority, class 0, the most urgent, first (null: all are of class 0)"},
};
OPTION_TABLE(workload_synthetic_options, "synthetic", "requests from distributions", synthetic_rows);

bool workload_given(const struct node *node)
{
    return node && node_type(node) != NODE_NULL;
}

/* --- traces
 * -------------------------------------------------------------------------------------------------- */

static bool unknown_format(const struct node *format, struct error *error)
{
    const char *names[READER_NAMES_MAX];
    size_t count = trace_reader_names(names, READER_NAMES_MAX);
    struct text known = {0};
    for (size_t i = 0; i < count; i++)
        text_append(&known, "%s%s", i > 0 ? ", " : "", names[i]);
    const char *near = text_suggest(node_string(format), names, count);
    node_error(format, error, "unknown trace format '%s' (%s%s%sknown: %s)", node_string(format),
               near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", text_string(&known));
    text_clear(&known);
    return false;
}

/* The reader that "format" names; its keys are known only then. */
static bool find_reader(const struct node *node, const struct trace_reader **reader, struct error *error)
{
    const struct node *format = node_get(node, "format");
    if (node_type(node) != NODE_OBJECT || !format)
        return node_error(node, error, "expected an object with \"format\" and \"path\"");
    if (node_type(format) != NODE_STRING)
        return node_error(format, error, "expected the name of a trace format");
    *reader = trace_reader_find(node_string(format));
    return *reader ? true : unknown_format(format, error);
}

static char *resolve_path(const struct node *node)
{
    struct text text = {0};
    node_append_path(node_get(node, "path"), &text);
    char *copy = mem_string(text_string(&text));
    text_clear(&text);
    return copy;
}

/* A file that is missing is the user's most likely mistake: say where the path was written and what the
 * format is. */
static bool check_file(const struct node *node, const char *file, const struct trace_reader *reader,
                       struct error *error)
{
    struct lines lines;
    struct error reason = {0};
    if (lines_open(&lines, file, &reason)) {
        lines_close(&lines);
        return true;
    }
    return node_error(node_get(node, "path"), error, "%s (format \"%s\": %s)", reason.text, reader->name,
                      reader->doc);
}

static bool open_trace(struct workload *workload, const struct node *node, const struct trace_reader *reader,
                       const struct trace_settings *settings, const void *options, struct error *error)
{
    char *file = resolve_path(node);
    struct trace_order order = {.sort = settings->sort,
                                .spread_ns = simtime_from_ns(settings->spread_ties_ms * 1e6),
                                .seed = workload->seed};
    struct text key = {0};
    if (trace_keeps()) {
        text_append(&key, "%s\n", file);
        node_print(node, &key);
        order.key = text_string(&key);
    }
    bool good = ((order.key && trace_is_kept(order.key)) || check_file(node, file, reader, error)) &&
                trace_open(&workload->trace, file, reader, options, &order, error);
    text_clear(&key);
    mem_free(file);
    workload->path = mem_string(settings->path);
    return good;
}

static bool read_trace(struct workload *workload, const struct node *node, struct error *error)
{
    const struct trace_reader *reader = NULL;
    struct trace_settings settings = {0};
    if (!find_reader(node, &reader, error))
        return false;
    void *options = mem_array(1, reader->options_size);
    struct option_part parts[2] = {{&workload_trace_options, &settings}, {reader->options, options}};
    bool good = option_parse_parts(parts, reader->options ? 2 : 1, node, error) &&
                open_trace(workload, node, reader, &settings, options, error);
    mem_free(options);
    return good;
}

/* The next row in the window, with its time in there; *more is false at the end of the file. */
static bool next_in_window(struct workload *workload, struct trace_row *row, bool *more, struct error *error)
{
    do {
        if (!trace_next(&workload->trace, row, more, error))
            return false;
        row->time_ns -= workload->start_ns;
    } while (*more &&
             (row->time_ns < 0 || (workload->duration_ns > 0 && row->time_ns >= workload->duration_ns)));
    return true;
}

static uint64_t hash_row(uint64_t hash, const struct trace_row *row)
{
    hash = hash_mix64(hash ^ (uint64_t)row->time_ns);
    hash = hash_mix64(hash ^ ((uint64_t)row->prompt_tokens << 32 | (uint64_t)row->output_tokens));
    for (size_t i = 0; i < row->hash_count; i++)
        hash = hash_mix64(hash ^ row->hashes[i]);
    hash = hash_mix64(hash ^ ((uint64_t)row->priority << 32 | (uint64_t)row->max_tokens));
    return row->session >= 0 ? hash_mix64(hash ^ (uint64_t)row->session) : hash;
}

/* Reads the whole trace once, and leaves it at its beginning: every row is checked, and what must be known
 * before a run is found. */
static bool check_trace(struct workload *workload, const struct node *node, const struct settings *settings,
                        struct error *error)
{
    struct trace *trace = &workload->trace;
    struct trace_row row;
    bool more = true;
    int64_t last_ns = 0, last_given_ns = 0; /* in the window */
    workload->start_ns = simtime_from_seconds(settings->start_s);
    workload->duration_ns = simtime_from_seconds(settings->duration_s);
    for (;;) {
        if (!next_in_window(workload, &row, &more, error))
            return false;
        if (!more)
            break;
        last_ns = row.time_ns;
        if (settings->max_requests > 0 && workload->count == settings->max_requests)
            continue;
        last_given_ns = row.time_ns;
        workload->count++;
        workload->trace_sessions |= row.session >= 0;
        if (row.priority > workload->highest_class)
            workload->highest_class = row.priority;
        workload->rows_hash = hash_row(workload->rows_hash, &row);
    }
    if (workload->count == 0)
        return node_error(node, error,
                          "no request lies in the window from start_s %g of duration_s %g; the trace "
                          "spans %.3f s",
                          settings->start_s, settings->duration_s,
                          (double)(trace->before_ns - trace->first_ns) / 1e9);
    if (!scale_time(last_ns, settings->rate_scale, &workload->last_send_ns))
        return node_error(node, error, "rate_scale %g puts requests beyond 292 years", settings->rate_scale);
    scale_time(last_given_ns, settings->rate_scale, &workload->last_send_ns);
    trace_rewind(trace);
    return true;
}

static bool create_trace(struct workload *workload, const struct node *node, const struct settings *settings,
                         struct error *error)
{
    return read_trace(workload, settings->trace, error) && check_trace(workload, node, settings, error);
}

/* --- generators
 * ---------------------------------------------------------------------------------------------- */

/* What a generator makes, in the words of its messages. */
struct noun {
    const char *generator, *plural, *key;
};

/* Settings of the workload that mean nothing for these arrivals of so many. */
static bool check_arrivals(const struct arrivals *arrivals, int64_t count, const struct noun *noun,
                           const struct node *node, const struct settings *settings, struct error *error)
{
    if (settings->start_s > 0 || settings->duration_s > 0)
        return node_error(node_get(node, settings->start_s > 0 ? "start_s" : "duration_s"), error,
                          "%s no window: remove it, and set %s", noun->generator, noun->key);
    if (!arrivals_have_rate(arrivals)) {
        if (settings->rate_scale != 1)
            return node_error(
                node_get(node, "rate_scale"), error,
                "these arrivals have no rate to scale: remove it, or use poisson, gamma or fixed "
                "arrivals");
        return true;
    }
    double rate = arrivals->rate_per_s * settings->rate_scale;
    if (rate < RATE_MIN_PER_S || (double)count / rate > SPAN_MAX_S)
        return node_error(node, error,
                          "%lld %s at %g per second take over %g s or are slower than %g per "
                          "second: raise rate_per_s or lower %s",
                          (long long)count, noun->plural, rate, SPAN_MAX_S, RATE_MIN_PER_S, noun->plural);
    return true;
}

int64_t workload_scaled(const struct workload *workload, int64_t time_ns)
{
    int64_t scaled_ns = 0;
    CHECK(scale_time(time_ns, workload->rate_scale, &scaled_ns), "synthetic times beyond 292 years");
    return scaled_ns;
}

static bool create_synthetic(struct workload *workload, const struct node *node,
                             const struct settings *settings, struct error *error)
{
    struct synthetic_settings synthetic = {0};
    if (!option_parse(&workload_synthetic_options, settings->synthetic, &synthetic, error) ||
        !length_parse(synthetic.prompt_tokens, "prompt_tokens", &workload->prompt, error) ||
        !length_parse(synthetic.output_tokens, "output_tokens", &workload->output, error) ||
        !arrivals_parse(synthetic.arrivals, &workload->arrivals, error) ||
        !priorities_parse(synthetic.priority_shares, &workload->priorities, error))
        return false;
    workload->count = synthetic.requests;
    static const struct noun noun = {"a synthetic workload has", "requests", "synthetic.requests"};
    if (!check_arrivals(&workload->arrivals, workload->count, &noun, node, settings, error))
        return false;
    if (settings->max_requests > 0 && settings->max_requests < workload->count)
        workload->count = settings->max_requests;
    workload->last_send_ns =
        workload_scaled(workload, arrivals_last_ns(&workload->arrivals, workload->seed, workload->count));
    return true;
}

static bool create_sessions(struct workload *workload, const struct node *node,
                            const struct settings *settings, struct error *error)
{
    static const struct noun noun = {"sessions have", "sessions", "sessions.count"};
    struct dialogues *dialogues = &workload->dialogues;
    if (settings->max_requests > 0)
        return node_error(node_get(node, "max_requests"), error,
                          "sessions have all their turns: remove it, and set sessions.count");
    if (!dialogues_parse(settings->sessions, workload->seed, dialogues, &workload->count, error) ||
        !check_arrivals(&dialogues->arrivals, dialogues->count, &noun, node, settings, error))
        return false;
    int64_t begin_ns =
        workload_scaled(workload, arrivals_last_ns(&dialogues->arrivals, workload->seed, dialogues->count));
    workload->last_send_ns = begin_ns > 0 ? begin_ns : SIMTIME_NEVER;
    return true;
}

/* --- the workload
 * -------------------------------------------------------------------------------------------- */

static bool create(struct workload *workload, const struct node *node, struct error *error)
{
    struct settings settings = {0};
    if (!option_parse(&workload_options, node, &settings, error))
        return false;
    bool trace = workload_given(settings.trace), sessions = workload_given(settings.sessions);
    int found = trace + sessions + workload_given(settings.synthetic);
    if (found != 1)
        return node_error(node, error,
                          "expected exactly one of \"trace\", \"synthetic\" and \"sessions\", found %d",
                          found);
    workload->rate_scale = settings.rate_scale;
    workload->max_tokens = settings.max_tokens;
    workload->longer_than = INT64_MAX;
    if (sessions)
        return create_sessions(workload, node, &settings, error);
    return (trace ? create_trace : create_synthetic)(workload, node, &settings, error);
}

bool workload_create(const struct node *node, uint64_t seed, struct workload **workload, struct error *error)
{
    struct workload *new = mem_array(1, sizeof *new);
    new->seed = seed;
    if (create(new, node, error)) {
        *workload = new;
        return true;
    }
    workload_free(new);
    return false;
}

void workload_free(struct workload *workload)
{
    if (!workload)
        return;
    trace_close(&workload->trace);
    length_clear(&workload->prompt);
    length_clear(&workload->output);
    priorities_clear(&workload->priorities);
    dialogues_clear(&workload->dialogues);
    mem_free(workload->sessions);
    mem_free(workload->free_clients);
    mem_free(workload->path);
    mem_free(workload);
}

/* Hashes of a row without that of a last block that the prompt does not fill: what fills it is not known. */
static size_t full_blocks(const struct workload *workload, const struct trace_row *row)
{
    int64_t hash_tokens = workload_hash_tokens(workload);
    size_t full = hash_tokens > 0 ? (size_t)(row->prompt_tokens / hash_tokens) : 0;
    return full < row->hash_count ? full : row->hash_count;
}

/* The rows are those that workload_create has checked: others would be a run for which nothing was set up. */
static void give_trace(struct workload *workload, struct workload_request *request)
{
    struct trace_row row;
    struct error error;
    error.text[0] = '\0'; /* not all of its 2 KiB for each row */
    bool more = true;
    bool good = next_in_window(workload, &row, &more, &error) && more &&
                scale_time(row.time_ns, workload->rate_scale, &request->send_ns);
    if (good) {
        workload->given_hash = hash_row(workload->given_hash, &row);
        good = workload->given + 1 < workload->count || workload->given_hash == workload->rows_hash;
    }
    if (!good) {
        const char *reason = more ? "its rows are not the same any more" : "it ends too early";
        log_fatal(
            "%s: changed after it was checked (%s); keep it as it is until the run has ended, and run again",
            workload->trace.file, error.text[0] ? error.text : reason);
    }
    request->prompt_tokens = row.prompt_tokens;
    request->output_tokens = row.output_tokens;
    request->max_tokens = row.max_tokens;
    request->priority = row.priority;
    request->session = row.session;
    request->turn = 0;
    request->hashes = row.hashes;
    request->hash_count = full_blocks(workload, &row);
}

static void give_synthetic(struct workload *workload, struct workload_request *request)
{
    uint64_t index = (uint64_t)workload->given;
    workload->before_ns =
        arrivals_time_ns(&workload->arrivals, workload->seed, workload->given, workload->before_ns);
    request->send_ns = workload_scaled(workload, workload->before_ns);
    request->prompt_tokens = length_draw(&workload->prompt, workload->seed, 0, RNG_PROMPT_TOKENS, index);
    request->output_tokens = length_draw(&workload->output, workload->seed, 0, RNG_OUTPUT_TOKENS, index);
    request->max_tokens = 0;
    request->priority = priorities_draw(&workload->priorities, workload->seed, index);
    request->session = -1;
    request->turn = 0;
    request->hashes = NULL;
    request->hash_count = 0;
}

/* One session after another, as no client would send them. */
static void give_turn(struct workload *workload, struct workload_request *request)
{
    if (workload->walked.turn == workload->walked.turns)
        workload->walked = dialogues_begin(&workload->dialogues, workload->walked_count++);
    dialogues_turn(&workload->dialogues, &workload->walked, request);
}

void workload_finish(struct workload *workload, struct workload_request *request)
{
    if (request->max_tokens == 0)
        request->max_tokens = workload->max_tokens;
    if (request->max_tokens < request->output_tokens)
        request->max_tokens = request->output_tokens;
    workload->longer += request->prompt_tokens + request->output_tokens > workload->longer_than;
}

bool workload_next(struct workload *workload, struct workload_request *request)
{
    if (workload->given == workload->count)
        return false;
    if (workload->path)
        give_trace(workload, request);
    else if (workload->dialogues.count > 0)
        give_turn(workload, request);
    else
        give_synthetic(workload, request);
    workload_finish(workload, request);
    workload->given++;
    return true;
}

int64_t workload_count(const struct workload *workload)
{
    return workload->count;
}

int64_t workload_hash_tokens(const struct workload *workload)
{
    const struct trace *trace = &workload->trace;
    if (workload->dialogues.count > 0)
        return workload->dialogues.block_tokens;
    return trace->reader && trace->reader->hash_tokens ? trace->reader->hash_tokens(trace->state) : 0;
}

bool workload_has_sessions(const struct workload *workload)
{
    return workload->trace_sessions || workload->dialogues.count > 0;
}

int64_t workload_classes(const struct workload *workload)
{
    const struct priorities *priorities =
        workload->dialogues.count > 0 ? &workload->dialogues.priorities : &workload->priorities;
    int64_t shares = (int64_t)priorities->count;
    return shares > workload->highest_class + 1 ? shares : workload->highest_class + 1;
}

int64_t workload_last_send_ns(const struct workload *workload)
{
    return workload->arrivals.users > 0 ? SIMTIME_NEVER : workload->last_send_ns;
}

void workload_count_longer(struct workload *workload, int64_t tokens)
{
    workload->longer_than = tokens;
}

int64_t workload_longer(const struct workload *workload)
{
    return workload->longer;
}

const char *workload_trace_path(const struct workload *workload)
{
    return workload->path ? workload->path : "";
}

const char *workload_trace_sha256(const struct workload *workload)
{
    return workload->trace.sha256;
}
