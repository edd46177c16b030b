/* The defaults of power against the mean power that was measured on A100s, where the file is there. */
#include "test.h"

#include "tandem/power.h"

#define COLUMNS 11

struct measured {
    double prompt_tokens, batch, output_tokens, share, prompt_s, token_s, tensor_parallel;
};

/* llama-2-70b: 80 layers of width 8192, 64 query and 8 KV heads of 128, MLP 28672, vocabulary 32000; bf16 on
 * A100 SXM 80 GB: 312 TFLOP/s, 2,039 GB/s. */
#define LAYER_VALUES  (8192.0 * (64 + 2 * 8 + 64) * 128 + 3.0 * 8192 * 28672)
#define TOKEN_FLOPS   (2 * 80 * LAYER_VALUES)
#define ROW_FLOPS     (2.0 * 8192 * 32000)
#define CONTEXT_FLOPS (4.0 * 80 * 8192)
#define WEIGHT_BYTES  (2 * (80 * LAYER_VALUES + 2.0 * 8192 * 32000))
#define KV_BYTES      (2.0 * 80 * 8 * 128 * 2)

static double share_of(const struct power_config *config, const struct measured *row, double flops,
                       double bytes, double time_s)
{
    double gpu_s = row->tensor_parallel * time_s;
    return power_watts(config, 400, flops / (312e12 * gpu_s), bytes / (2039e9 * gpu_s)) / 400;
}

/* Mean over one prefill and the steps after it, at the measured times: weights once an iteration, each
 * context once, new tokens once, as in MBU. */
static double predicted(const struct power_config *config, const struct measured *row)
{
    double prompts = row->batch * row->prompt_tokens, steps = row->output_tokens - 1;
    double context = row->batch * (row->prompt_tokens + row->output_tokens / 2);
    double prefill =
        share_of(config, row,
                 prompts * (TOKEN_FLOPS + CONTEXT_FLOPS * row->prompt_tokens / 2) + row->batch * ROW_FLOPS,
                 WEIGHT_BYTES + 2 * prompts * KV_BYTES, row->prompt_s);
    double decode = share_of(config, row, row->batch * (TOKEN_FLOPS + ROW_FLOPS) + context * CONTEXT_FLOPS,
                             WEIGHT_BYTES + (context + row->batch) * KV_BYTES, row->token_s);
    return (prefill * row->prompt_s + decode * steps * row->token_s) / (row->prompt_s + steps * row->token_s);
}

/* A measured A100 row; false: of another GPU, or its power was not measured. */
static bool parse(char *line, struct measured *row)
{
    const char *columns[COLUMNS];
    int count = 0;
    for (char *word = strtok(line, ",\r\n"); word && count < COLUMNS; word = strtok(NULL, ",\r\n"))
        columns[count++] = word;
    if (count < COLUMNS || strcmp(columns[1], "a100-80gb") != 0)
        return false;
    *row = (struct measured){.prompt_tokens = atof(columns[2]),
                             .batch = atof(columns[3]),
                             .output_tokens = atof(columns[4]),
                             .share = atof(columns[6]),
                             .prompt_s = atof(columns[7]) * 1e-3,
                             .token_s = atof(columns[8]) * 1e-3,
                             .tensor_parallel = atof(columns[10])};
    return row->share > 0;
}

#define MOST 400

static bool known(const struct measured *rows, size_t count, const struct measured *row)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&rows[i], row, sizeof *row) == 0)
            return true;
    return false;
}

/* Each row once: the file has some three times. */
static size_t read_measured(struct measured rows[MOST])
{
    FILE *file = fopen(test_shared_file("data/splitwise_perf_model_llama2-70b.csv"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char line[1024];
    size_t count = 0;
    while (fgets(line, sizeof line, file)) {
        struct measured row;
        if (!parse(line, &row) || known(rows, count, &row))
            continue;
        CU_ASSERT_FATAL(count < MOST);
        rows[count++] = row;
    }
    fclose(file);
    return count;
}

/* Prompts of 8,192 tokens are twice what the model was made for: a mean of 0.17 to 0.18 of the TDP was
 * noted for them, below idle and at a peak of 1; the mean is not of the time that the GPU was busy. */
static void measured_on_a100(void)
{
    struct measured rows[MOST];
    struct power_config config;
    struct error error_text = {{0}};
    CU_ASSERT_FATAL(option_parse(&power_options, NULL, &config, &error_text));
    size_t all = read_measured(rows), count = 0;
    double sum = 0, bias = 0, most = 0;
    for (size_t i = 0; i < all; i++) {
        double error = predicted(&config, &rows[i]) / rows[i].share - 1;
        if (rows[i].prompt_tokens > 4096) {
            CU_ASSERT(rows[i].share < config.idle);
            continue;
        }
        count++;
        sum += fabs(error);
        bias += error;
        most = fabs(error) > most ? fabs(error) : most;
    }
    printf("%zu of %zu rows: mean absolute error %.2f %%, mean %+.2f %%, largest %.1f %%\n", count, all,
           100 * sum / (double)count, 100 * bias / (double)count, 100 * most);
    CU_ASSERT_EQUAL(all, 165);
    CU_ASSERT_EQUAL(count, 150);
    CU_ASSERT(sum / (double)count < 0.036);
    CU_ASSERT(fabs(bias) / (double)count < 0.01);
    CU_ASSERT(most < 0.125);
}

int main(void)
{
    static const struct test_case cases[] = {{"measured on A100", measured_on_a100}};
    if (!test_shared_file("data/splitwise_perf_model_llama2-70b.csv"))
        return TEST_SKIP_EXIT_CODE;
    return test_main("power_measured", cases, sizeof cases / sizeof cases[0]);
}
