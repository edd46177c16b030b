/* What the tests of the timer share: shapes of models, written down here so that hardware is tested without
 * model. */
#ifndef TANDEM_TIMER_TEST_H
#define TANDEM_TIMER_TEST_H

#include "cluster_file.h"
#include "tandem/timer.h"
#include "test.h"

struct timer_test_model {
    const char *name;
    int64_t layers, hidden, heads, kv_heads, mlp_width;
    bool gated;
    int64_t vocabulary;
};

static const struct timer_test_model timer_test_models[] = {
    {"llama-2-7b", 32, 4096, 32, 32, 11008, true, 32000},
    {"llama-2-13b", 40, 5120, 40, 40, 13824, true, 32000},
    {"llama-2-70b", 80, 8192, 64, 8, 28672, true, 32000},
    {"llama-3.1-8b", 32, 4096, 32, 8, 14336, true, 128256},
    {"llama-3.1-70b", 80, 8192, 64, 8, 28672, true, 128256},
    {"mistral-7b", 32, 4096, 32, 8, 14336, true, 32000},
    {"qwen2.5-72b", 80, 8192, 64, 8, 29568, true, 152064},
    {"gpt-3-175b", 96, 12288, 96, 96, 49152, false, 50257},
    {"bloom-176b", 70, 14336, 112, 112, 57344, false, 250880},
    {"opt-66b", 64, 9216, 72, 72, 36864, false, 50272},
};

/* The shapes on one GPU of tp; every head is 128 wide. */
static inline struct work_shape timer_test_shape(const char *model, int64_t tp, enum dtype dtype,
                                                 double kv_bytes)
{
    for (size_t i = 0; i < sizeof timer_test_models / sizeof *timer_test_models; i++) {
        const struct timer_test_model *m = &timer_test_models[i];
        if (strcmp(m->name, model) == 0)
            return (struct work_shape){.layers = m->layers,
                                       .hidden = m->hidden,
                                       .query_heads = m->heads / tp,
                                       .kv_heads = m->kv_heads > tp ? m->kv_heads / tp : 1,
                                       .head_dim = 128,
                                       .mlp_width = m->mlp_width / tp,
                                       .gated_mlp = m->gated,
                                       .vocabulary = (m->vocabulary + tp - 1) / tp,
                                       .tensor_parallel = tp,
                                       .weight_dtype = dtype,
                                       .kv_value_bytes = kv_bytes};
    }
    fprintf(stderr, "no such model: %s\n", model);
    exit(1);
}

/* The GPU of a data file; the tree that owns its strings goes to *config. */
static inline struct gpu timer_test_gpu(const char *name, struct config **config)
{
    char path[200];
    struct error error = {{0}};
    struct gpu gpu;
    snprintf(path, sizeof path, "gpus/%s", name);
    *config = cluster_file(path);
    if (!gpu_parse(config_root(*config), &gpu, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return gpu;
}

static inline bool timer_test_near(double got, double want, double relative)
{
    return fabs(got - want) <= relative * fabs(want);
}

#endif
