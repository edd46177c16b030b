/* What a search found: tables of results.h5, and what is printed. */
#include "internal.h"

#include <math.h>
#include <string.h>

#include "tandem/mem.h"

#define NONE (-1) /* no row */

static double rate_at(const struct sweep *sweep, long rate)
{
    const struct search_spec *spec = sweep->search.spec;
    return rate < 0 || rate >= (long)spec->grid ? NAN : spec->rates[rate];
}

static enum search_status status_of(const struct search_spec *spec, const struct search_bracket *bracket)
{
    return bracket->failed                          ? SEARCH_FAILED
           : bracket->holds + 1 == (long)spec->grid ? SEARCH_BEYOND_HIGH
           : bracket->fails == 0                    ? SEARCH_OUT_OF_REACH
           : bracket->fails - bracket->holds == 1   ? SEARCH_FOUND
                                                    : SEARCH_DOMINATED;
}

/* Requests within the SLO for a dollar. */
static double per_usd(double goodput_per_s, double cost_usd_per_hour)
{
    return cost_usd_per_hour > 0 ? 3600 * goodput_per_s / cost_usd_per_hour : NAN;
}

/* The row of a bracket's highest rate that holds, or NULL. */
static const struct point_row *row_of(const struct sweep *sweep, const struct search_bracket *bracket,
                                      const struct point_row *rows, int32_t *point)
{
    size_t found = bracket->holds < 0
                       ? sweep->point_count
                       : rounds_find(sweep, bracket->candidate, bracket->seed, (size_t)bracket->holds);
    bool there = found < sweep->point_count;
    *point = there ? (int32_t)found : NONE;
    return there ? &rows[found] : NULL;
}

/* Means over all seeds of a candidate at a rate that holds; only of what is set here. */
static struct summary mean_of(const struct sweep *sweep, const struct point_row *rows, size_t candidate,
                              size_t rate)
{
    size_t seeds = sweep->search.spec->seed_count;
    struct summary mean = {0};
    for (size_t seed = 0; seed < seeds; seed++) {
        const struct summary *summary = &rows[rounds_find(sweep, candidate, seed, rate)].summary;
        mean.goodput_per_s += summary->goodput_per_s;
        mean.goodput_per_s_per_gpu += summary->goodput_per_s_per_gpu;
        mean.slo_attainment += summary->slo_attainment;
        mean.usd_per_million_output_tokens += summary->usd_per_million_output_tokens;
    }
    mean.goodput_per_s /= (double)seeds;
    mean.goodput_per_s_per_gpu /= (double)seeds;
    mean.slo_attainment /= (double)seeds;
    mean.usd_per_million_output_tokens /= (double)seeds;
    return mean;
}

/* What a candidate tunes. */
static char *parameters_of(const struct candidates *candidates, size_t index)
{
    struct space_value values[SPACE_MOST_PATHS];
    struct text text = {0};
    size_t count = space_values(&candidates->space, index, values);
    for (size_t i = space_named(&candidates->space, index); i < count; i++) {
        text_append(&text, "%s%s=", text.length > 0 ? " " : "", values[i].path);
        space_print(values[i].value, &text);
    }
    char *string = mem_string(text_string(&text));
    text_clear(&text);
    return string;
}

static void make_candidates(const struct sweep *sweep, const struct point_row *rows, struct answer *answer)
{
    const struct candidates *candidates = &sweep->candidates;
    const struct search *search = &sweep->search;
    for (size_t i = 0; i < answer->candidate_count; i++) {
        const struct candidate *candidate = &candidates->all[candidates->chosen[i]];
        const struct search_candidate *searched = &search->candidates[i];
        const struct search_bracket *bracket = &searched->bracket;
        struct search_candidate_row *row = &answer->candidates[i];
        const char *error = candidates->errors[candidates->chosen[i]];
        answer->parameters[i] = parameters_of(candidates, candidates->chosen[i]);
        *row =
            (struct search_candidate_row){.deployment = space_name(&candidates->space, candidates->chosen[i]),
                                          .parameters = answer->parameters[i],
                                          .error = error ? error : "",
                                          .gpus = (uint32_t)candidate->gpus,
                                          .cost_usd_per_hour = candidate->cost_usd_per_hour,
                                          .goodput_rate = NAN,
                                          .fails_at_rate = NAN,
                                          .goodput_per_s = NAN,
                                          .goodput_per_s_per_gpu = NAN,
                                          .slo_attainment = NAN,
                                          .usd_per_million_output_tokens = NAN,
                                          .good_requests_per_usd = NAN};
        row->status = (uint8_t)(!searched->usable        ? SEARCH_INVALID
                                : !search->spec->goodput ? SEARCH_NOT_SEARCHED
                                                         : status_of(search->spec, bracket));
        answer->invalid_count += !searched->usable;
        if (!searched->usable || !search->spec->goodput)
            continue;
        row->best = search->deployments[searched->deployment].best == i;
        row->goodput_rate = rate_at(sweep, bracket->holds);
        row->fails_at_rate = rate_at(sweep, bracket->fails);
        if (bracket->holds < 0)
            continue;
        struct summary at = mean_of(sweep, rows, i, (size_t)bracket->holds);
        row->goodput_per_s = at.goodput_per_s;
        row->goodput_per_s_per_gpu = at.goodput_per_s_per_gpu;
        row->slo_attainment = at.slo_attainment;
        row->usd_per_million_output_tokens = at.usd_per_million_output_tokens;
        row->good_requests_per_usd = per_usd(row->goodput_per_s, row->cost_usd_per_hour);
    }
    for (size_t i = 0; i < sweep->point_count; i++)
        answer->candidates[sweep->points[i].candidate].probes++;
}

/* Adds the seeds of a deployment's best to /seeds, each alone, and their spread to its row. */
static void add_seeds(const struct sweep *sweep, const struct point_row *rows,
                      const struct search_deployment *deployment, struct search_deployment_row *row,
                      struct answer *answer)
{
    const struct search_spec *spec = sweep->search.spec;
    for (size_t seed = 0; seed < spec->seed_count; seed++) {
        const struct search_bracket *bracket = &deployment->seeds[seed];
        struct search_seed_row *of_seed = &answer->seeds[answer->seed_count++];
        const struct point_row *at = row_of(sweep, bracket, rows, &of_seed->point);
        of_seed->deployment = row->deployment;
        of_seed->seed = spec->seeds[seed];
        of_seed->status = (uint8_t)status_of(spec, bracket);
        of_seed->goodput_rate = at ? at->rate : 0;
        of_seed->goodput_per_s = at ? at->summary.goodput_per_s : 0;
        of_seed->usd_per_million_output_tokens = at ? at->summary.usd_per_million_output_tokens : NAN;
        if (bracket->failed)
            continue;
        row->goodput_rate_low = fmin(row->goodput_rate_low, of_seed->goodput_rate);
        row->goodput_rate_high = fmax(row->goodput_rate_high, of_seed->goodput_rate);
    }
}

/* Of a deployment none of whose candidates holds a rate: what most of an answer they have. */
static enum search_status status_without_best(const struct answer *answer, const char *deployment)
{
    enum search_status status = SEARCH_INVALID;
    for (size_t i = 0; i < answer->candidate_count; i++) {
        const struct search_candidate_row *row = &answer->candidates[i];
        if (strcmp(row->deployment, deployment) != 0 || row->status == SEARCH_INVALID)
            continue;
        status = status == SEARCH_OUT_OF_REACH || row->status != SEARCH_FAILED ? SEARCH_OUT_OF_REACH
                                                                               : SEARCH_FAILED;
    }
    return status;
}

static void make_deployments(const struct sweep *sweep, const struct point_row *rows, struct answer *answer)
{
    for (size_t i = 0; i < answer->deployment_count; i++) {
        const struct search_deployment *deployment = &sweep->search.deployments[i];
        const char *name = sweep->candidates.space.families[i].name;
        bool found = deployment->best != SIZE_MAX;
        const struct search_candidate_row *best = found ? &answer->candidates[deployment->best] : NULL;
        struct search_deployment_row *row = &answer->deployments[i];
        *row = (struct search_deployment_row){
            .deployment = name,
            .parameters = found ? best->parameters : "",
            .status = (uint8_t)(found ? best->status : status_without_best(answer, name)),
            .candidate = found ? (int32_t)deployment->best : NONE,
            .gpus = found ? best->gpus : 0,
            .seeds = found ? (uint32_t)sweep->search.spec->seed_count : 0,
            .cost_usd_per_hour = found ? best->cost_usd_per_hour : NAN,
            .goodput_rate = found ? best->goodput_rate : NAN,
            .goodput_rate_low = NAN,
            .goodput_rate_high = NAN,
            .goodput_per_s = found ? best->goodput_per_s : NAN,
            .goodput_per_s_per_gpu = found ? best->goodput_per_s_per_gpu : NAN,
            .slo_attainment = found ? best->slo_attainment : NAN,
            .usd_per_million_output_tokens = found ? best->usd_per_million_output_tokens : NAN,
            .good_requests_per_usd = found ? best->good_requests_per_usd : NAN};
        if (found)
            add_seeds(sweep, rows, deployment, row, answer);
    }
}

static void make_cheapest(const struct sweep *sweep, const struct point_row *rows, struct answer *answer)
{
    const struct search_spec *spec = sweep->search.spec;
    for (size_t i = 0; i < answer->cheapest_count; i++) {
        size_t found = sweep->search.cheapest[i];
        struct search_cheapest_row *row = &answer->cheapest[i];
        *row = (struct search_cheapest_row){.deployment = "",
                                            .parameters = "",
                                            .candidate = NONE,
                                            .point = NONE,
                                            .rate = spec->rates[spec->grid + i],
                                            .cost_usd_per_hour = NAN,
                                            .slo_attainment = NAN,
                                            .usd_per_million_output_tokens = NAN};
        if (found == SIZE_MAX)
            continue;
        const struct search_candidate_row *candidate = &answer->candidates[found];
        struct summary mean = mean_of(sweep, rows, found, spec->grid + i);
        row->deployment = candidate->deployment;
        row->parameters = candidate->parameters;
        row->candidate = (int32_t)found;
        row->point = (int32_t)rounds_find(sweep, found, 0, spec->grid + i);
        row->gpus = candidate->gpus;
        row->cost_usd_per_hour = candidate->cost_usd_per_hour;
        row->slo_attainment = mean.slo_attainment;
        row->usd_per_million_output_tokens = mean.usd_per_million_output_tokens;
    }
}

static void add_table(struct answer *answer, const struct column_table *columns, const void *rows,
                      size_t row_bytes, size_t count)
{
    answer->tables[answer->table_count++] =
        (struct output_table){.columns = columns, .rows = rows, .row_bytes = row_bytes, .count = count};
}

void answer_make(const struct sweep *sweep, const struct point_row *rows, struct answer *answer)
{
    const struct search_spec *spec = sweep->search.spec;
    *answer = (struct answer){.candidate_count = sweep->candidates.count,
                              .deployment_count = spec->goodput ? sweep->search.deployment_count : 0,
                              .cheapest_count = spec->count - spec->grid};
    answer->candidates = mem_array(answer->candidate_count, sizeof *answer->candidates);
    answer->parameters = mem_array(answer->candidate_count, sizeof *answer->parameters);
    answer->deployments = mem_array(answer->deployment_count, sizeof *answer->deployments);
    answer->seeds = mem_array(answer->deployment_count * spec->seed_count, sizeof *answer->seeds);
    answer->cheapest = mem_array(answer->cheapest_count, sizeof *answer->cheapest);
    make_candidates(sweep, rows, answer);
    make_deployments(sweep, rows, answer);
    make_cheapest(sweep, rows, answer);
#define ADD(table, list, number)                                                                             \
    add_table(answer, &(table), answer->list, sizeof *answer->list, answer->number)
    ADD(column_search_candidates, candidates, candidate_count);
    if (spec->goodput) {
        ADD(column_search_deployments, deployments, deployment_count);
        ADD(column_search_seeds, seeds, seed_count);
    }
    if (spec->cheapest)
        ADD(column_search_cheapest, cheapest, cheapest_count);
}

void answer_clear(struct answer *answer)
{
    for (size_t i = 0; i < answer->candidate_count; i++)
        mem_free(answer->parameters[i]);
    mem_free(answer->parameters);
    mem_free(answer->candidates);
    mem_free(answer->deployments);
    mem_free(answer->seeds);
    mem_free(answer->cheapest);
    *answer = (struct answer){0};
}

/* --- printed
 * ----------------------------------------------------------------------------------------------------- */

static const char *or_nothing(const char *parameters)
{
    return parameters[0] ? parameters : "(nothing to tune)";
}

/* How many there are, and why some are none. */
static void print_candidates(const struct answer *answer, struct text *text)
{
    size_t shown = 0;
    text_append(text, "candidates    %zu: %zu can run, %zu invalid\n", answer->candidate_count,
                answer->candidate_count - answer->invalid_count, answer->invalid_count);
    for (size_t i = 0; i < answer->candidate_count && shown < MOST_SHOWN; i++) {
        const struct search_candidate_row *row = &answer->candidates[i];
        if (row->status != SEARCH_INVALID)
            continue;
        text_append(text, "  %zu is invalid (%s: %s): %s\n", i, row->deployment, or_nothing(row->parameters),
                    row->error);
        shown++;
    }
    if (answer->invalid_count > shown)
        text_append(text, "  and %zu more: /candidates/error of results.h5 has all\n",
                    answer->invalid_count - shown);
}

static void print_deployments(const struct sweep *sweep, const struct answer *answer, struct text *text)
{
    const struct search_spec *spec = sweep->search.spec;
    text_append(text, "goodput: the highest %s at which the SLO holds, %zu seed%s\n", spec->rate_path,
                spec->seed_count, spec->seed_count == 1 ? "" : "s together");
    text_append(text, "  %-20s %5s %8s %10s %9s %11s %10s %12s  %s\n", "deployment", "GPUs", "USD/h", "rate",
                "good/s", "good/s/GPU", "good/USD", "USD/M output", "best candidate");
    for (size_t i = 0; i < answer->deployment_count; i++) {
        const struct search_deployment_row *row = &answer->deployments[i];
        if (row->candidate == NONE) {
            text_append(text, "  %-20s %s\n", row->deployment, search_status_names[row->status]);
            continue;
        }
        text_append(text, "  %-20s %5u %8.2f %10.4g %9.4g %11.4g %10.4g %12.4g  %s%s\n", row->deployment,
                    row->gpus, row->cost_usd_per_hour, row->goodput_rate, row->goodput_per_s,
                    row->goodput_per_s_per_gpu, row->good_requests_per_usd,
                    row->usd_per_million_output_tokens, or_nothing(row->parameters),
                    row->status == SEARCH_BEYOND_HIGH ? " (beyond-high: raise search.goodput.high)" : "");
    }
}

/* The row with the highest value; NULL: none has one. */
static const struct search_deployment_row *winner(const struct answer *answer,
                                                  double (*value)(const struct search_deployment_row *row))
{
    const struct search_deployment_row *best = NULL;
    for (size_t i = 0; i < answer->deployment_count; i++) {
        const struct search_deployment_row *row = &answer->deployments[i];
        if (row->candidate != NONE && !isnan(value(row)) && (!best || value(row) > value(best)))
            best = row;
    }
    return best;
}

static double goodput_of(const struct search_deployment_row *row)
{
    return row->goodput_per_s;
}

static double value_of_a_dollar(const struct search_deployment_row *row)
{
    return row->good_requests_per_usd;
}

/* With how many seeds a deployment holds as high a rate as another; the rows of both are in the order of
 * seeds. */
static size_t seeds_as_high(const struct answer *answer, const char *deployment, const char *other)
{
    size_t as_high = 0, k = 0;
    for (size_t i = 0; i < answer->seed_count; i++) {
        if (strcmp(answer->seeds[i].deployment, deployment) != 0)
            continue;
        while (strcmp(answer->seeds[k].deployment, other) != 0)
            k++;
        as_high += answer->seeds[i].goodput_rate >= answer->seeds[k++].goodput_rate;
    }
    return as_high;
}

/* Who holds as high a rate as the winner with some of the seeds: it may be chance. */
static void print_ties(const struct sweep *sweep, const struct answer *answer,
                       const struct search_deployment_row *most, struct text *text)
{
    for (size_t i = 0; i < answer->deployment_count; i++) {
        const struct search_deployment_row *row = &answer->deployments[i];
        size_t count = row == most || row->candidate == NONE
                           ? 0
                           : seeds_as_high(answer, row->deployment, most->deployment);
        if (count > 0)
            text_append(text, "not sure      %s holds as high a rate with %zu of %zu seed%s\n",
                        row->deployment, count, sweep->search.spec->seed_count,
                        sweep->search.spec->seed_count == 1 ? "" : "s");
    }
}

/* What starts the candidate, and what of it that does not say. */
static void print_serve(const struct sweep *sweep, const struct search_deployment_row *row, struct text *text)
{
    const struct candidates *candidates = &sweep->candidates;
    size_t index = candidates->chosen[row->candidate];
    struct space_value values[SPACE_MOST_PATHS];
    struct config *config;
    struct error error;
    struct text elsewhere = {0};
    uint32_t bad;
    text_append(text, "to serve %s\n", row->deployment);
    if (!candidates_config(candidates, index, NULL, &config, &bad, &error) ||
        !sim_serve(config, text, &error))
        text_append(text, "  %s\n", error.text);
    config_free(config);
    size_t count = space_values(&candidates->space, index, values);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(values[i].path, "cluster.pools[", 14) == 0 || strcmp(values[i].path, "cluster") == 0)
            continue;
        text_append(&elsewhere, "%s%s=", elsewhere.length > 0 ? ", " : "", values[i].path);
        space_print(values[i].value, &elsewhere);
    }
    if (elsewhere.length > 0)
        text_append(text, "  not of an engine's instances: %s\n", text_string(&elsewhere));
    text_clear(&elsewhere);
}

static void print_winners(const struct sweep *sweep, const struct answer *answer, struct text *text)
{
    const struct search_deployment_row *most = winner(answer, goodput_of),
                                       *dollar = winner(answer, value_of_a_dollar);
    if (!most) {
        text_append(text, "winner        none: no candidate holds the SLO at the lowest rate\n");
        return;
    }
    text_append(text, "most goodput  %s: %s\n", most->deployment, or_nothing(most->parameters));
    print_ties(sweep, answer, most, text);
    if (dollar)
        text_append(text, "per dollar    %s: %s\n", dollar->deployment, or_nothing(dollar->parameters));
    print_serve(sweep, most, text);
    if (dollar && dollar != most)
        print_serve(sweep, dollar, text);
}

static void print_cheapest(const struct sweep *sweep, const struct answer *answer, struct text *text)
{
    text_append(text, "cheapest that holds the SLO\n  %10s %8s %5s %12s  %s\n", sweep->search.spec->rate_path,
                "USD/h", "GPUs", "USD/M output", "candidate");
    for (size_t i = 0; i < answer->cheapest_count; i++) {
        const struct search_cheapest_row *row = &answer->cheapest[i];
        if (row->candidate == NONE)
            text_append(text, "  %10.4g none\n", row->rate);
        else
            text_append(text, "  %10.4g %8.2f %5u %12.4g  %s: %s\n", row->rate, row->cost_usd_per_hour,
                        row->gpus, row->usd_per_million_output_tokens, row->deployment,
                        or_nothing(row->parameters));
    }
}

void answer_print(const struct sweep *sweep, const struct answer *answer, struct text *text)
{
    print_candidates(answer, text);
    if (sweep->search.spec->goodput) {
        print_deployments(sweep, answer, text);
        print_winners(sweep, answer, text);
    }
    if (sweep->search.spec->cheapest)
        print_cheapest(sweep, answer, text);
}
