/* All check vectors of the roofline timer (2,280 iterations of 5 models on 11 GPUs), where the file is there.
 * They are of its first form: FP8 and FP4 matrices have better coefficients since, and mixed batches a kernel
 * of their own on some GPUs, so those are set back to the first ones. */
#include "timer_test.h"

#define COLUMNS 18

static struct gpu cached_gpu;
static struct config *cached_config, *coefficients;
static char cached_name[64];

static double number(const struct node *node, const char *key)
{
    return node_number(node_get(node, key));
}

static void set_first_form(struct gpu *gpu)
{
    static const char *const names[] = {"fp8", "fp4"};
    static const enum dtype dtypes[] = {DTYPE_FP8, DTYPE_FP4};
    const struct node *gpus = node_get(config_root(coefficients), "gpus");
    const struct node *groups = node_get(node_get(gpus, gpu->name), "gemm");
    for (size_t i = 0; i < 2; i++) {
        const struct node *group = node_get(groups, names[i]);
        if (group)
            gpu->gemm[dtypes[i]] = (struct gpu_gemm){.present = true,
                                                     .ec = number(group, "ec"),
                                                     .em = number(group, "em"),
                                                     .t0 = number(group, "t0"),
                                                     .p = number(group, "p"),
                                                     .kq = number(group, "kq"),
                                                     .r = number(group, "r"),
                                                     .mul = number(group, "mul"),
                                                     .weight_bytes = number(group, "weight_bytes"),
                                                     .act_bytes = number(group, "weight_bytes")};
    }
    gpu->mixed_attention.present = false;
}

static const struct gpu *gpu_by_name(const char *name)
{
    if (strcmp(cached_name, name) != 0) {
        config_free(cached_config);
        cached_gpu = timer_test_gpu(name, &cached_config);
        set_first_form(&cached_gpu);
        snprintf(cached_name, sizeof cached_name, "%s", name);
    }
    return &cached_gpu;
}

static enum dtype dtype_by_name(const char *name)
{
    if (strcmp(name, "fp8") == 0)
        return DTYPE_FP8;
    return strcmp(name, "fp4") == 0 ? DTYPE_FP4 : DTYPE_BF16;
}

/* Splits a line at its commas; false when the number of columns is another. */
static bool split(char *line, char *columns[COLUMNS])
{
    int count = 0;
    for (char *word = strtok(line, ",\r\n"); word; word = strtok(NULL, ",\r\n")) {
        if (count == COLUMNS)
            return false;
        columns[count++] = word;
    }
    return count == COLUMNS;
}

static bool agrees(char *columns[COLUMNS])
{
    struct work_shape shape =
        timer_test_shape(columns[1], atoll(columns[2]), dtype_by_name(columns[3]), atof(columns[4]));
    struct work work = {.prefill_tokens = atoll(columns[5]),
                        .prefill_work_x2 = (int64_t)(2 * atof(columns[6])),
                        .decode_sequences = atoll(columns[7]),
                        .decode_context_tokens = atoll(columns[8]),
                        .logit_rows = atoll(columns[9])};
    struct timer_config config = {.level = TIMER_CALIBRATED, .iteration_overhead_ms = 0.5};
    struct timer *timer = timer_new(gpu_by_name(columns[0]), &shape, &config);
    struct timer_parts p = timer_iteration_parts(timer, &work);
    int64_t ns = timer_iteration_ns(timer, &work);
    timer_free(timer);
    const double got[] = {
        p.linear, p.prefill_attention, p.decode_attention, p.elementwise, p.allreduce, p.head, p.overhead,
        p.total};
    /* The file has ten digits: half a unit of the last one is 5e-10 of a value that starts with 1. */
    for (int i = 0; i < 8; i++)
        if (!timer_test_near(got[i], atof(columns[10 + i]), 1e-9))
            return false;
    return fabs((double)ns - p.total * 1e9) <= 0.51;
}

static void test_vectors(void)
{
    FILE *file = fopen(test_shared_file("roofline/vectors.csv"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char line[1024], original[1024];
    char *columns[COLUMNS];
    int rows = 0, wrong = 0;
    struct error error = {{0}};
    CU_ASSERT_TRUE_FATAL(
        config_load(test_shared_file("roofline/coefficients.json"), NULL, 0, NULL, 0, &coefficients, &error));
    CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof line, file)); /* header */
    while (fgets(line, sizeof line, file)) {
        snprintf(original, sizeof original, "%s", line);
        rows++;
        if (!split(line, columns) || !agrees(columns)) {
            if (wrong++ < 5)
                printf("disagrees: %s", original);
        }
    }
    fclose(file);
    config_free(cached_config);
    config_free(coefficients);
    printf("%d rows, %d disagree ", rows, wrong);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(rows, 2280);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    if (!test_shared_file("roofline/vectors.csv"))
        return TEST_SKIP_EXIT_CODE;
    const struct test_case cases[] = {{"check vectors", test_vectors}};
    return test_main("roofline vectors", cases, 1);
}
