/* Lengths: distributions against GSL and against their tables, and what is refused. */
#include "support.h"

#include <gsl/gsl_cdf.h>

#include "tandem/text.h"

#define DRAWS     100000
#define TABLE_MAX 200

static const char *const presets[] = {"azure-conv", "azure-code", "mooncake-conversation"};

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Sorted lengths of a generator; prompts from one specification, outputs from the other. */
static void draw(const char *prompt, const char *output, int64_t *prompts, int64_t *outputs)
{
    struct text json = {0};
    struct workload_request request;
    text_append(
        &json,
        "{\"synthetic\": {\"prompt_tokens\": %s, \"output_tokens\": %s, \"arrivals\": \"all-at-once\", "
        "\"requests\": %d}}",
        prompt, output, DRAWS);
    struct workload *workload = support_good(text_string(&json), 7);
    text_clear(&json);
    for (size_t i = 0; workload_next(workload, &request); i++) {
        prompts[i] = request.prompt_tokens;
        outputs[i] = request.output_tokens;
    }
    workload_free(workload);
    qsort(prompts, DRAWS, sizeof *prompts, compare);
    qsort(outputs, DRAWS, sizeof *outputs, compare);
}

static int64_t prompts[DRAWS], outputs[DRAWS];

/* Largest distance between the shares of drawn lengths <= x and a distribution at x + 1/2, over all x. */
static double distance(const int64_t *sorted, double (*cdf)(double, const void *), const void *parameters)
{
    double largest = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        if (i + 1 < DRAWS && sorted[i + 1] == sorted[i])
            continue;
        double at = fabs((double)(i + 1) / DRAWS - cdf((double)sorted[i] + 0.5, parameters));
        largest = at > largest ? at : largest;
    }
    return largest;
}

static double mean(const int64_t *values)
{
    double sum = 0;
    for (size_t i = 0; i < DRAWS; i++)
        sum += (double)values[i];
    return sum / DRAWS;
}

/* --- presets against their own tables
 * ------------------------------------------------------------------------ */

struct table {
    size_t count;
    double percent[TABLE_MAX], tokens[TABLE_MAX];
};

static double table_cdf(double tokens, const void *parameters)
{
    const struct table *table = parameters;
    if (tokens >= table->tokens[table->count - 1])
        return 1;
    for (size_t i = table->count - 1; i-- > 0;)
        if (table->tokens[i] <= tokens) {
            double part = log(tokens / table->tokens[i]) / log(table->tokens[i + 1] / table->tokens[i]);
            return (table->percent[i] + part * (table->percent[i + 1] - table->percent[i])) / 100;
        }
    return 0;
}

static char *read_preset(const char *name, const char *suffix)
{
    char path[512];
    char *bytes = NULL;
    size_t count = 0;
    struct error error;
    snprintf(path, sizeof path, "%s/clusters/workloads/%s%s.json", TANDEM_SOURCE_DIR, name, suffix);
    CU_ASSERT_TRUE_FATAL(config_read_file(path, &bytes, &count, &error));
    return bytes;
}

static void read_table(const struct node *preset, const char *key, struct table *table)
{
    const struct node *percentiles = node_get(node_get(preset, key), "percentiles");
    const struct node *percent = node_get(percentiles, "percent"), *tokens = node_get(percentiles, "tokens");
    CU_ASSERT_TRUE_FATAL(percent && tokens && node_size(percent) <= TABLE_MAX);
    table->count = node_size(percent);
    for (size_t i = 0; i < table->count; i++) {
        table->percent[i] = node_number(node_at(percent, i));
        table->tokens[i] = node_number(node_at(tokens, i));
    }
}

/* The means of the traces; a table's own mean is off by up to 1.6 % (the tail above its last percentile but
 * one). */
static void test_presets(void)
{
    static const double means[][2] = {{1154.7, 211.1}, {2047.9, 27.9}, {12035.1, 342.6}};
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        char *json = read_preset(presets[i], "");
        struct config *config = NULL;
        struct error error;
        struct table table;
        CU_ASSERT_TRUE_FATAL(config_parse(json, "preset", &config, &error));
        CU_ASSERT_STRING_EQUAL(node_string(node_get(config_root(config), "name")), presets[i]);
        draw(json, json, prompts, outputs);
        read_table(config_root(config), "prompt_tokens", &table);
        CU_ASSERT(distance(prompts, table_cdf, &table) <= 0.01);
        CU_ASSERT_DOUBLE_EQUAL(mean(prompts), means[i][0], 0.025 * means[i][0]);
        read_table(config_root(config), "output_tokens", &table);
        CU_ASSERT(distance(outputs, table_cdf, &table) <= 0.01);
        CU_ASSERT_DOUBLE_EQUAL(mean(outputs), means[i][1], 0.025 * means[i][1]);
        config_free(config);
        mem_free(json);
    }
}

/* As an experiment names them: a preset by name, replaced on the command line by another. */
static void test_references(void)
{
    static const struct config_reference references[] = {
        {"workload.synthetic.prompt_tokens", "workloads", "length preset"},
        {"workload.synthetic.output_tokens", "workloads", "length preset"},
    };
    static const char experiment[] =
        "{\"workload\": {\"synthetic\": {\"prompt_tokens\": \"azure-conv\", \"output_tokens\": "
        "\"azure-conv\", "
        "\"arrivals\": {\"poisson\": {\"rate_per_s\": 5}}, \"requests\": 20000}}}";
    static const char *const sets[] = {"workload.synthetic.output_tokens=azure-code-mixture"};
    const char *path = support_write("experiment.json", experiment, strlen(experiment));
    struct config *config = NULL;
    struct workload *workload = NULL;
    struct error error;
    CU_ASSERT_TRUE_FATAL(config_load(path, references, 2, sets, 1, &config, &error));
    CU_ASSERT_TRUE_FATAL(workload_create(node_get(config_root(config), "workload"), 1, &workload, &error));
    struct support_sums sums = support_walk(workload);
    CU_ASSERT_DOUBLE_EQUAL((double)sums.prompt_tokens / 20000, 1154.7, 30);
    CU_ASSERT_DOUBLE_EQUAL((double)sums.output_tokens / 20000, 27.9, 3);
    workload_free(workload);
    config_free(config);
    remove(path);
    support_path(NULL);
}

/* --- lognormals against GSL
 * ---------------------------------------------------------------------------------- */

struct mixture {
    size_t count;
    double weights[4], mu[4], sigma[4], min, max;
};

static double untruncated(double tokens, const struct mixture *mixture)
{
    double share = 0;
    for (size_t i = 0; i < mixture->count; i++)
        share += mixture->weights[i] * gsl_cdf_lognormal_P(tokens, mixture->mu[i], mixture->sigma[i]);
    return share;
}

static double mixture_cdf(double tokens, const void *parameters)
{
    const struct mixture *mixture = parameters;
    double low = untruncated(mixture->min - 0.5, mixture), high = untruncated(mixture->max + 0.5, mixture);
    return (untruncated(tokens, mixture) - low) / (high - low);
}

static void test_lognormal(void)
{
    struct mixture wide = {1, {1}, {5.2}, {0.8}, 1, 1e9}, narrow = {1, {1}, {5.2}, {0.8}, 100, 400};
    draw("{\"lognormal\": {\"mu\": 5.2, \"sigma\": 0.8}}",
         "{\"lognormal\": {\"mu\": 5.2, \"sigma\": 0.8, \"min\": 100, \"max\": 400}}", prompts, outputs);
    CU_ASSERT(distance(prompts, mixture_cdf, &wide) <= 0.006);
    CU_ASSERT(distance(outputs, mixture_cdf, &narrow) <= 0.006);
    CU_ASSERT_EQUAL(outputs[0], 100);
    CU_ASSERT_EQUAL(outputs[DRAWS - 1], 400);
    CU_ASSERT_DOUBLE_EQUAL(mean(prompts), exp(5.2 + 0.32), 3);
}

static void read_mixture(const struct node *preset, const char *key, struct mixture *mixture)
{
    const struct node *node = node_get(node_get(preset, key), "lognormal_mixture");
    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    mixture->count = node_size(node_get(node, "weights"));
    for (size_t i = 0; i < mixture->count; i++) {
        mixture->weights[i] = node_number(node_at(node_get(node, "weights"), i));
        mixture->mu[i] = node_number(node_at(node_get(node, "mu"), i));
        mixture->sigma[i] = node_number(node_at(node_get(node, "sigma"), i));
    }
    mixture->min = node_number(node_get(node, "min"));
    mixture->max = node_number(node_get(node, "max"));
}

static void test_mixtures(void)
{
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        char *json = read_preset(presets[i], "-mixture");
        struct config *config = NULL;
        struct error error;
        struct mixture mixture;
        CU_ASSERT_TRUE_FATAL(config_parse(json, "preset", &config, &error));
        draw(json, json, prompts, outputs);
        read_mixture(config_root(config), "prompt_tokens", &mixture);
        CU_ASSERT(distance(prompts, mixture_cdf, &mixture) <= 0.006);
        read_mixture(config_root(config), "output_tokens", &mixture);
        CU_ASSERT(distance(outputs, mixture_cdf, &mixture) <= 0.006);
        config_free(config);
        mem_free(json);
    }
}

/* --- the plain ones
 * ------------------------------------------------------------------------------------------ */

static double uniform_cdf(double tokens, const void *parameters)
{
    const double *range = parameters;
    return gsl_cdf_flat_P(tokens, range[0] - 0.5, range[1] + 0.5);
}

static void test_uniform(void)
{
    static const double range[2] = {100, 299};
    draw("{\"uniform\": {\"min\": 100, \"max\": 299}}", "{\"uniform\": {\"min\": 5, \"max\": 5}}", prompts,
         outputs);
    CU_ASSERT(distance(prompts, uniform_cdf, range) <= 0.006);
    CU_ASSERT(prompts[0] == 100 && prompts[DRAWS - 1] == 299);
    CU_ASSERT(outputs[0] == 5 && outputs[DRAWS - 1] == 5);
}

static void test_fixed_and_empirical(void)
{
    draw("{\"fixed\": 512}", "{\"empirical\": [8, 3, 3, 1000]}", prompts, outputs);
    CU_ASSERT(prompts[0] == 512 && prompts[DRAWS - 1] == 512);
    CU_ASSERT_EQUAL(outputs[DRAWS / 4], 3);
    CU_ASSERT_EQUAL(outputs[DRAWS * 5 / 8], 8);
    CU_ASSERT_EQUAL(outputs[DRAWS * 7 / 8], 1000);
    CU_ASSERT_DOUBLE_EQUAL(mean(outputs), 253.5, 5);
}

static void test_table(void)
{
    draw("{\"percentiles\": {\"percent\": [0, 50, 100], \"tokens\": [10, 10, 1000]}}",
         "{\"percentiles\": {\"percent\": [0, 100], \"tokens\": [7, 7]}}", prompts, outputs);
    CU_ASSERT_EQUAL(prompts[0], 10);
    CU_ASSERT_EQUAL(prompts[DRAWS / 2 - DRAWS / 100], 10);
    CU_ASSERT_DOUBLE_EQUAL((double)prompts[DRAWS * 3 / 4], 100, 3);
    CU_ASSERT(outputs[0] == 7 && outputs[DRAWS - 1] == 7);
}

static void refused(const char *lengths, const char *words)
{
    struct text json = {0};
    text_append(&json,
                "{\"synthetic\": {\"prompt_tokens\": %s, \"output_tokens\": {\"fixed\": 1}, \"arrivals\": "
                "\"all-at-once\", \"requests\": 1}}",
                lengths);
    support_refused(text_string(&json), words);
    support_refused(text_string(&json), "synthetic.prompt_tokens");
    text_clear(&json);
}

static void test_refused(void)
{
    refused("\"azure\"", "expected a preset's name or an object");
    refused("12", "expected a preset's name or an object");
    refused("{}", "exactly one kind");
    refused("{\"fixed\": 1, \"empirical\": [1]}", "exactly one kind");
    refused("{\"fixd\": 1}", "fixed");
    refused("{\"fixed\": 0}", "at least 1");
    refused("{\"fixed\": 1.5}", "fixed");
    refused("{\"uniform\": null}", "expected an object");
    refused("{\"uniform\": {\"min\": 9, \"max\": 8}}", "min (9) is above max (8)");
    refused("{\"uniform\": {\"min\": 0, \"max\": 8}}", "min");
    refused("{\"lognormal\": {\"mu\": 5}}", "sigma");
    refused("{\"lognormal\": {\"mu\": 5, \"sigma\": 0.1, \"min\": 1000}}", "only");
    refused("{\"lognormal\": {\"mu\": 5, \"sigma\": 0.1, \"min\": 10, \"max\": 5}}",
            "min (10) is above max (5)");
    refused("{\"empirical\": []}", "not empty");
    refused("{\"empirical\": [3, \"x\"]}", "empirical[1]");
    refused("{\"empirical\": [3, 4.5]}", "expected a whole number of tokens, found 4.5");
    refused("{\"empirical\": [3, 0]}", "expected a number from 1");
}

static void test_refused_tables(void)
{
    refused("{\"percentiles\": {\"percent\": [0, 100], \"tokens\": [1]}}", "one size");
    refused("{\"percentiles\": {\"percent\": [0], \"tokens\": [1]}}", "one size");
    refused("{\"percentiles\": {\"percent\": [1, 100], \"tokens\": [1, 2]}}", "begin with 0");
    refused("{\"percentiles\": {\"percent\": [0, 0, 100], \"tokens\": [1, 2, 3]}}",
            "percent[1]: must be above");
    refused("{\"percentiles\": {\"percent\": [0, 50, 100], \"tokens\": [1, 3, 2]}}",
            "tokens[2]: must not be below");
    refused("{\"lognormal_mixture\": {\"weights\": [0.5, 0.4], \"mu\": [1, 2], \"sigma\": [1, 1]}}",
            "sum to 0.9");
    refused("{\"lognormal_mixture\": {\"weights\": [0.5, 0.5], \"mu\": [1], \"sigma\": [1, 1]}}", "one size");
    refused("{\"lognormal_mixture\": {\"weights\": [1], \"mu\": [1], \"sigma\": [0]}}", "sigma[0]");
    refused("{\"name\": \"x\", \"source\": \"y\", \"output_tokens\": {\"fixed\": 1}}", "prompt_tokens");
}

int main(void)
{
    static const struct test_case cases[] = {
        {"presets against their tables", test_presets},
        {"presets by name", test_references},
        {"lognormal", test_lognormal},
        {"mixtures", test_mixtures},
        {"uniform", test_uniform},
        {"fixed and empirical", test_fixed_and_empirical},
        {"table of percentiles", test_table},
        {"refused lengths", test_refused},
        {"refused tables and mixtures", test_refused_tables},
    };
    return test_main("workload lengths", cases, sizeof cases / sizeof cases[0]);
}
