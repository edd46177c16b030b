/* From the files of points, in their order, to results.h5. */
#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/output.h"

/* What grows as points are read. */
struct gathered {
    struct sweep *sweep;
    struct output_sweep *output;
    struct point_row *rows;
    char (*checksums)[20];
    struct point_pool_row *pools;
    struct point_class_row *classes;
    size_t pool_count, pool_capacity, class_count, class_capacity;
    struct point *points; /* read; their strings are in the rows */
    const char *trace_sha256;
    bool traces_differ;
};

/* NaN in all columns of numbers that are not whole. */
static void set_no_results(struct summary *summary)
{
    for (size_t i = 0; i < column_summary.count; i++)
        if (column_summary.columns[i].type == COLUMN_F64) {
            double nan = NAN;
            memcpy((char *)summary + column_summary.columns[i].offset, &nan, sizeof nan);
        }
}

static void add_tables(struct gathered *gathered, uint32_t number, const struct results *results)
{
    for (size_t i = 0; i < results->pool_count; i++) {
        if (gathered->pool_count == gathered->pool_capacity)
            gathered->pools = mem_grow(gathered->pools, &gathered->pool_capacity, gathered->pool_count + 1,
                                       sizeof *gathered->pools);
        gathered->pools[gathered->pool_count++] = (struct point_pool_row){{number}, results->pools[i]};
    }
    for (size_t i = 0; i < results->class_count; i++) {
        if (gathered->class_count == gathered->class_capacity)
            gathered->classes = mem_grow(gathered->classes, &gathered->class_capacity,
                                         gathered->class_count + 1, sizeof *gathered->classes);
        gathered->classes[gathered->class_count++] = (struct point_class_row){{number}, results->classes[i]};
    }
}

static void add_point(struct gathered *gathered, size_t index, struct assembly *assembly)
{
    const struct candidates *candidates = &gathered->sweep->candidates;
    const struct sweep_point *place = &gathered->sweep->points[index];
    struct point *point = &gathered->points[index];
    struct point_row *row = &gathered->rows[index];
    bool completed = point->status == POINT_COMPLETED;
    char *checksum = gathered->checksums[index];
    if (completed)
        snprintf(checksum, sizeof *gathered->checksums, "%016llx",
                 (unsigned long long)point->results.checksum);
    *row = (struct point_row){.name = space_name(&candidates->space, candidates->chosen[place->candidate]),
                              .status = (uint8_t)point->status,
                              .error = point->error,
                              .warnings = point->warnings,
                              .checksum = checksum};
    if (place->probe) {
        row->candidate = (uint32_t)place->candidate;
        row->seed = candidates->search.seeds[place->probe->seed];
        row->rate = candidates->search.rates[place->probe->rate];
    }
    assembly->count[point->status]++;
    assembly->wall_s[index] = point->wall_s;
    if (!completed) {
        set_no_results(&row->summary);
        return;
    }
    row->summary = point->results.summary;
    assembly->checksum += point->results.checksum;
    add_tables(gathered, (uint32_t)index, &point->results);
    if (point->keep != 0)
        output_sweep_point(gathered->output, index, point->keep, &point->results);
    if (!gathered->trace_sha256)
        gathered->trace_sha256 = point->results.trace_sha256;
    gathered->traces_differ |= strcmp(gathered->trace_sha256, point->results.trace_sha256) != 0;
    results_clear(&point->results);
}

static bool read_all(struct gathered *gathered, struct assembly *assembly, struct error *error)
{
    const struct sweep *sweep = gathered->sweep;
    for (size_t i = 0; i < sweep->point_count; i++) {
        struct point *point = &gathered->points[i];
        size_t number = sweep->points[i].number;
        point->keep = sweep->candidates.space.keep;
        if (!point_read(text_string(&sweep->folder), number, sweep->candidates.identity, point))
            return error_set(error, "%s/%06zu.json: cannot be read back; run again with --resume",
                             text_string(&sweep->folder), number);
        add_point(gathered, i, assembly);
    }
    return true;
}

static bool is_number(const struct candidates *candidates, const char *path)
{
    struct space_value values[SPACE_MOST_PATHS];
    for (size_t i = 0; i < candidates->count; i++) {
        size_t count = space_values(&candidates->space, candidates->chosen[i], values);
        for (size_t k = 0; k < count; k++)
            if (strcmp(values[k].path, path) == 0 && node_type(values[k].value) != NODE_NUMBER)
                return false;
    }
    return true;
}

/* Of one candidate, into values of its paths; texts are owned by texts, which has as many. */
static void set_values(const struct candidates *candidates, size_t candidate,
                       const struct output_parameter *parameters, union output_value *values, char **texts)
{
    struct space_value set[SPACE_MOST_PATHS];
    size_t count = space_values(&candidates->space, candidates->chosen[candidate], set);
    for (size_t i = 0; i < candidates->space.path_count; i++) {
        const struct node *value = NULL;
        for (size_t k = 0; k < count; k++)
            if (strcmp(set[k].path, parameters[i].path) == 0)
                value = set[k].value;
        if (parameters[i].is_number) {
            values[i].number = value ? node_number(value) : NAN;
            continue;
        }
        struct text text = {0};
        if (value)
            space_print(value, &text);
        values[i].text = texts[i] = mem_string(text_string(&text));
        text_clear(&text);
    }
}

static bool write_points(struct gathered *gathered, const struct assembly *assembly,
                         const struct answer *answer, struct error *error)
{
    static const char *const not_in_results[] = {"simulation", NULL};
    const struct candidates *candidates = &gathered->sweep->candidates;
    const struct search_spec *search = candidates->is_search ? &candidates->search : NULL;
    const struct sweep_point *place = gathered->sweep->points;
    size_t set = candidates->space.path_count, paths = set + (search ? 2 : 0);
    size_t count = gathered->sweep->point_count;
    struct output_parameter *parameters = mem_array(paths, sizeof *parameters);
    union output_value *values = mem_array(paths * count, sizeof *values);
    char **texts = mem_array(paths * count, sizeof *texts), checksum[20];
    struct text configuration = {0};
    for (size_t i = 0; i < set; i++)
        parameters[i] = (struct output_parameter){candidates->space.paths[i],
                                                  is_number(candidates, candidates->space.paths[i])};
    if (search) {
        parameters[set] = (struct output_parameter){search->rate_path, true};
        parameters[set + 1] = (struct output_parameter){"seed", true};
    }
    for (size_t i = 0; i < count; i++) {
        set_values(candidates, place[i].candidate, parameters, values + i * paths, texts + i * paths);
        if (search) {
            values[i * paths + set].number = gathered->rows[i].rate;
            values[i * paths + set + 1].number = (double)gathered->rows[i].seed;
        }
    }
    config_print(candidates->base, false, not_in_results, &configuration);
    snprintf(checksum, sizeof checksum, "%016llx", (unsigned long long)assembly->checksum);
    struct output_points points = {
        .rows = gathered->rows,
        .count = count,
        .parameters = parameters,
        .parameter_count = paths,
        .values = values,
        .pools = gathered->pools,
        .pool_count = gathered->pool_count,
        .classes = gathered->classes,
        .class_count = gathered->class_count,
        .checksum = checksum,
        .configuration = text_string(&configuration),
        .trace_sha256 = gathered->trace_sha256 && !gathered->traces_differ ? gathered->trace_sha256 : "",
        .is_search = search != NULL,
        .tables = answer->tables,
        .table_count = answer->table_count};
    bool good = output_sweep_end(gathered->output, &points, error);
    for (size_t i = 0; i < paths * count; i++)
        mem_free(texts[i]);
    mem_free(texts);
    mem_free(values);
    mem_free(parameters);
    text_clear(&configuration);
    return good;
}

/* The first of several, and how many more. */
static void warn_of_points(const struct gathered *gathered, enum point_status status)
{
    size_t count = 0;
    for (size_t i = 0; i < gathered->sweep->point_count; i++) {
        const struct point_row *row = &gathered->rows[i];
        if (row->status != status || count++ >= MOST_SHOWN)
            continue;
        struct text point = {0};
        show_point(&gathered->sweep->candidates, i, gathered->sweep->points[i].candidate, &point);
        log_warning("%s is %s: %s", text_string(&point), point_status_names[status], row->error);
        text_clear(&point);
    }
    if (count > MOST_SHOWN)
        log_warning("%zu points are %s, the first %d are above; /points/error of results.h5 has all", count,
                    point_status_names[status], MOST_SHOWN);
}

/* They have no points; the answer says why. */
static void warn_of_candidates(const struct answer *answer)
{
    if (answer->invalid_count > 0)
        log_warning("%zu of %zu candidates are invalid and were not run; the answer says why",
                    answer->invalid_count, answer->candidate_count);
}

/* Texts of warnings, each once, with the number of points that have it. */
static void warn_of_warnings(const struct gathered *gathered)
{
    size_t different = 0, count = gathered->sweep->point_count;
    for (size_t i = 0; i < count; i++) {
        const char *text = gathered->rows[i].warnings;
        size_t same = 0;
        bool before = false;
        for (size_t k = 0; k < count && text[0]; k++) {
            bool is_same = strcmp(gathered->rows[k].warnings, text) == 0;
            before |= is_same && k < i;
            same += is_same;
            if (before)
                break;
        }
        if (!text[0] || before || different++ >= MOST_SHOWN)
            continue;
        log_warning("in %zu of %zu points: %.*s%s", same, count, (int)strcspn(text, "\n"), text,
                    strchr(text, '\n') ? " (and more)" : "");
    }
    if (different > MOST_SHOWN)
        log_warning("points warn of %zu things in all; /points/warnings of results.h5 has them", different);
}

bool assemble(struct sweep *sweep, struct assembly *assembly, struct error *error)
{
    size_t count = sweep->point_count;
    struct answer answer = {0};
    struct gathered gathered = {.sweep = sweep,
                                .output = output_sweep_begin(sweep->options->sim.output, 1),
                                .rows = mem_array(count, sizeof *gathered.rows),
                                .checksums = mem_array(count, sizeof *gathered.checksums),
                                .points = mem_array(count, sizeof *gathered.points)};
    *assembly = (struct assembly){.wall_s = mem_array(count, sizeof *assembly->wall_s)};
    bool good = read_all(&gathered, assembly, error);
    if (good) {
        if (sweep->candidates.is_search) {
            answer_make(sweep, gathered.rows, &answer);
            answer_print(sweep, &answer, &assembly->answer);
            warn_of_candidates(&answer);
        }
        good = write_points(&gathered, assembly, &answer, error);
        answer_clear(&answer);
        warn_of_warnings(&gathered);
        warn_of_points(&gathered, POINT_INVALID);
        warn_of_points(&gathered, POINT_FAILED);
    } else {
        output_sweep_abandon(gathered.output);
    }
    for (size_t i = 0; i < count; i++)
        point_clear(&gathered.points[i]);
    mem_free(gathered.points);
    mem_free(gathered.rows);
    mem_free(gathered.checksums);
    mem_free(gathered.pools);
    mem_free(gathered.classes);
    return good;
}
