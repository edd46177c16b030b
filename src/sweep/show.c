/* What a sweep prints: the list of its points, progress, run.json. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <dirent.h>
#include <stdlib.h>

#include "queue.h"

#define TERMINAL_INTERVAL_S 0.5
#define LOG_INTERVAL_S      5.0

double show_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void show_point(const struct candidates *candidates, size_t point, size_t candidate, struct text *text)
{
    text_append(text, "point %zu (", point);
    candidates_print(candidates, candidates->chosen[candidate], text);
    text_append(text, ")");
}

void show_points(const struct candidates *candidates, struct text *text)
{
    double wall_s = 0;
    size_t invalid = 0;
    const char *noun = candidates_noun(candidates);
    text_append(text, "%6s %6s %9s %9s %10s  %s\n", candidates->is_search ? "cand." : noun, "GPUs", "USD/h",
                "requests", "about", "what is set");
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->all[candidates->chosen[i]];
        text_append(text, "%6zu %6.0f %9.2f %9lld %8.3f s  ", i, candidate->gpus,
                    candidate->cost_usd_per_hour, (long long)candidate->requests, candidate->wall_s);
        candidates_print(candidates, candidates->chosen[i], text);
        text_append(text, "\n");
        if (candidate->state == CANDIDATE_INVALID)
            text_append(text, "       invalid: %s\n", candidates->errors[candidates->chosen[i]]);
        invalid += candidate->state == CANDIDATE_INVALID;
        wall_s += candidate->wall_s;
    }
    text_append(
        text, "%zu %ss, %zu of them invalid; %zu more are not as `where` says; about %.3g s of one rank%s\n",
        candidates->count, noun, invalid, candidates->space.count - candidates->count, wall_s,
        candidates->is_search ? " for one run of each" : "");
}

/* --- progress
 * ----------------------------------------------------------------------------------------------------- */

/* number: of a file. */
static double forecast_of(const struct sweep *sweep, size_t number)
{
    const struct candidates *candidates = &sweep->candidates;
    size_t candidate =
        candidates->is_search ? search_probe_of(&candidates->search, number).candidate : number;
    return candidate < candidates->count ? candidates->all[candidates->chosen[candidate]].wall_s : 0;
}

/* Forecasts of all points; of a search of those that were asked for and of what may be to come. */
static double total_s(const struct sweep *sweep)
{
    const struct search *search = &sweep->search;
    double sum_s = 0;
    if (sweep->candidates.is_search) {
        for (size_t i = 0; i < search->probe_count; i++)
            sum_s += search->probes[i].forecast_s;
        return sum_s + search->to_come.forecast_s;
    }
    for (size_t i = 0; i < sweep->candidates.count; i++)
        sum_s += forecast_of(sweep, i);
    return sum_s;
}

/* Points with a file, and their forecasts. */
static size_t count_done(const struct sweep *sweep, double *forecast_s)
{
    size_t count = 0;
    DIR *directory = opendir(text_string(&sweep->folder));
    *forecast_s = 0;
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        size_t digits = strspn(entry->d_name, "0123456789"), number = strtoul(entry->d_name, NULL, 10);
        if (digits == 0 || strcmp(entry->d_name + digits, ".json") != 0)
            continue;
        count++;
        *forecast_s += forecast_of(sweep, number);
    }
    if (directory)
        closedir(directory);
    return count;
}

void show_progress_begin(struct sweep *sweep)
{
    struct progress_line *line = &sweep->progress;
    *line = (struct progress_line){.enabled = !sweep->options->sim.quiet, .terminal = isatty(STDERR_FILENO)};
    line->start_s = show_clock_s();
    line->next_s = line->start_s + (line->terminal ? 1.0 : LOG_INTERVAL_S);
    line->done_at_start = count_done(sweep, &line->done_at_start_s);
}

void show_progress(void *context)
{
    struct sweep *sweep = context;
    struct progress_line *line = &sweep->progress;
    double now_s = show_clock_s(), forecast_s;
    if (!line->enabled || now_s < line->next_s)
        return;
    line->next_s = now_s + (line->terminal ? TERMINAL_INTERVAL_S : LOG_INTERVAL_S);
    size_t done = count_done(sweep, &forecast_s), mine = done - line->done_at_start;
    size_t claims = queue_claims(text_string(&sweep->folder));
    double elapsed_s = now_s - line->start_s, worked_s = forecast_s - line->done_at_start_s;
    fprintf(stderr, "%s%zu ", line->terminal ? "\r" : "tandem: ", done);
    if (!sweep->candidates.is_search)
        fprintf(stderr, "of %zu ", sweep->candidates.count);
    fprintf(stderr, "points done, %zu running, %.3g points/s", claims > mine ? claims - mine : 0,
            (double)mine / elapsed_s);
    if (sweep->candidates.is_search)
        fprintf(stderr, ", round %zu of perhaps %.0f with %zu probes", sweep->search.rounds,
                (double)sweep->search.rounds + sweep->search.to_come.rounds, sweep->round_count);
    double left_s =
        total_s(sweep) - forecast_s; /* of a search that was resumed more may be there than was asked for */
    if (worked_s > 0)
        fprintf(stderr, ", %s%.0f s to go", sweep->candidates.is_search ? "perhaps " : "",
                (left_s > 0 ? left_s : 0) * elapsed_s / worked_s);
    fputs(line->terminal ? "   " : "\n", stderr);
    fflush(stderr);
    line->shown++;
}

void show_progress_end(struct sweep *sweep)
{
    if (sweep->progress.terminal && sweep->progress.shown > 0)
        fputc('\n', stderr);
}

/* --- run.json
 * ----------------------------------------------------------------------------------------------------- */

static void append_field(struct text *text, const char *key, const char *value)
{
    text_append(text, "  \"%s\": ", key);
    text_append_json(text, value);
    text_append(text, ",\n");
}

void show_report(const struct sweep *sweep, const struct assembly *assembly, struct text *text)
{
    char host[256] = "", date[64] = "", checksum[20], identity[IDENTITY_BYTES];
    time_t now = time(NULL);
    struct tm utc;
    double point_s = 0;
    gethostname(host, sizeof host - 1);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(checksum, sizeof checksum, "%016llx", (unsigned long long)assembly->checksum);
    for (size_t i = 0; i < sweep->point_count; i++)
        point_s += assembly->wall_s[i];
    folder_identity(sweep, identity);
    text_append(text, "{\n");
    append_field(text, "kind", sweep->candidates.space.section);
    append_field(text, "tandem_version", TANDEM_VERSION);
    append_field(text, "identity", identity);
    append_field(text, "experiment", sweep->options->sim.experiment);
    append_field(text, "output", sweep->options->sim.output);
    append_field(text, "checksum", checksum);
    append_field(text, "date", date);
    append_field(text, "host", host);
    text_append(text, "  \"ranks\": %d,\n  \"ranks_per_point\": %d,\n  \"wall_s\": %.6f,\n", sweep->ranks,
                sweep->options->ranks_per_point, show_clock_s() - sweep->start_s);
    text_append(text, "  \"setup_s\": %.6f,\n  \"output_s\": %.6f,\n", sweep->setup_s, sweep->output_s);
    text_append(text, "  \"points\": %zu,\n  \"resumed\": %zu,\n", sweep->point_count, sweep->resumed);
    for (int status = 0; point_status_names[status]; status++)
        text_append(text, "  \"%s\": %zu,\n", point_status_names[status], assembly->count[status]);
    text_append(text, "  \"points_s\": %.6f,\n  \"point_s\": [", point_s);
    for (size_t i = 0; i < sweep->point_count; i++)
        text_append(text, "%s%.6f", i > 0 ? ", " : "", assembly->wall_s[i]);
    text_append(text, "]\n}\n");
}
