/* All check vectors of the operators that were added to the timer (latent attention, quantized experts,
 * all-to-all: 788 on 6 GPUs), where the file is there. */
#include "timer_test.h"

#define COLUMNS 11

struct vector {
    const char *gpu, *model, *op, *variant;
    double tp, ep, tokens, sequences, context, work, seconds;
};

static struct gpu cached_gpu;
static struct config *cached_config, *figures;
static char cached_name[64];

static const struct gpu *gpu_by_name(const char *name)
{
    if (strcmp(cached_name, name) != 0) {
        config_free(cached_config);
        cached_gpu = timer_test_gpu(name, &cached_config);
        snprintf(cached_name, sizeof cached_name, "%s", name);
    }
    return &cached_gpu;
}

struct model_sizes {
    const char *name;
    double hidden, heads, experts, experts_per_token, expert_width;
};

static const struct model_sizes *model_by_name(const char *name)
{
    static const struct model_sizes models[] = {{"deepseek-v3", 7168, 128, 256, 8, 2048},
                                                {"qwen3-235b-a22b", 4096, 64, 128, 8, 1536},
                                                {"mixtral-8x7b", 4096, 32, 8, 2, 14336},
                                                {"gpt-oss-120b", 2880, 64, 128, 4, 2880}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    return NULL;
}

static double attention_seconds(const struct gpu *gpu, const struct vector *v, double heads)
{
    struct latent_heads latent = {heads / v->tp, 512, 64, 128, 128, strcmp(v->variant, "fp8") == 0};
    if (strcmp(v->op, "mla_bmm") == 0)
        return operator_mla_bmm(gpu, &latent, v->tokens).seconds;
    if (strcmp(v->op, "mla_prefill_attention") == 0)
        return operator_mla_prefill(gpu, &latent, v->tokens, v->work).seconds;
    return operator_mla_decode(gpu, &latent, v->sequences, v->context).seconds;
}

static double expert_seconds(const struct gpu *gpu, const struct vector *v, const struct model_sizes *model)
{
    struct expert_sizes sizes = {.hidden = model->hidden,
                                 .width = model->expert_width,
                                 .experts = model->experts,
                                 .experts_per_token = model->experts_per_token,
                                 .tensor_parallel = v->tp,
                                 .expert_parallel = v->ep,
                                 .imbalance = 1,
                                 .dtype = DTYPE_MXFP4,
                                 .kernels = GPU_KERNELS_VLLM};
    if (strcmp(v->op, "moe_fp8") == 0)
        sizes.dtype = DTYPE_FP8;
    if (strcmp(v->op, "moe_fp4") == 0)
        sizes.dtype = DTYPE_FP4;
    /* Balanced, or by the power law: the factor as the file prints it is checked as well. */
    double imbalance = atof(strchr(v->variant, '=') + 1);
    if (imbalance != 1) {
        sizes.imbalance = operator_power_law_imbalance(v->tokens, model->experts, v->ep);
        CU_ASSERT(timer_test_near(sizes.imbalance, imbalance, 1e-8));
    }
    return operator_experts(gpu, &sizes, v->tokens).seconds;
}

/* Two variants that the product does not use have the form of another one and figures of their own. */
static double unused_variant_seconds(const struct gpu *gpu, const struct vector *v,
                                     const struct operator_group *group, double experts_per_token,
                                     double row_bytes)
{
    bool nccl = strcmp(v->variant, "nccl alltoall") == 0;
    const struct node *modes =
        node_get(node_get(node_get(config_root(figures), "gpus"), v->gpu), "all_to_all");
    const struct node *set = nccl ? node_get(node_get(modes, "nccl"), "alltoall")
                                  : node_get(node_get(modes, "trtllm_two_sided"), "combine_low_precision");
    struct gpu own = *gpu;
    enum gpu_all_to_all_mode mode = nccl ? ALL_TO_ALL_NCCL : ALL_TO_ALL_TRTLLM_TWO_SIDED;
    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
    const struct node *sq = node_get(set, "sq"), *tt = node_get(set, "tt");
    own.all_to_all[mode][ALL_TO_ALL_COMBINE] = (struct gpu_all_to_all){.a = node_number(node_get(set, "a")),
                                                                       .an = node_number(node_get(set, "an")),
                                                                       .b = node_number(node_get(set, "b")),
                                                                       .sq = sq ? node_number(sq) : 0,
                                                                       .tt = tt ? node_number(tt) : 0};
    return operator_all_to_all(&own, mode, ALL_TO_ALL_COMBINE, group, nccl ? v->tokens / v->ep : v->tokens,
                               experts_per_token, row_bytes)
        .seconds;
}

/* The vectors' domain is the one of the GPU, the NIC as in their datasheet. */
static double all_to_all_seconds(const struct gpu *gpu, const struct vector *v,
                                 const struct model_sizes *model)
{
    static const struct {
        const char *name;
        enum gpu_all_to_all_mode mode;
        enum gpu_all_to_all_phase phase;
    } variants[] = {{"nccl all_gather", ALL_TO_ALL_NCCL, ALL_TO_ALL_DISPATCH},
                    {"nccl reduce_scatter", ALL_TO_ALL_NCCL, ALL_TO_ALL_COMBINE},
                    {"deepep_normal dispatch", ALL_TO_ALL_DEEPEP_NORMAL, ALL_TO_ALL_DISPATCH},
                    {"deepep_normal combine", ALL_TO_ALL_DEEPEP_NORMAL, ALL_TO_ALL_COMBINE},
                    {"deepep_low_latency dispatch", ALL_TO_ALL_DEEPEP_LOW_LATENCY, ALL_TO_ALL_DISPATCH},
                    {"deepep_low_latency combine", ALL_TO_ALL_DEEPEP_LOW_LATENCY, ALL_TO_ALL_COMBINE},
                    {"trtllm_one_sided dispatch", ALL_TO_ALL_TRTLLM_ONE_SIDED, ALL_TO_ALL_DISPATCH},
                    {"trtllm_one_sided combine", ALL_TO_ALL_TRTLLM_ONE_SIDED, ALL_TO_ALL_COMBINE},
                    {"trtllm_two_sided prepare", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_PREPARE},
                    {"trtllm_two_sided dispatch", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_DISPATCH},
                    {"trtllm_two_sided combine", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_COMBINE}};
    bool b200 = strncmp(v->gpu, "h", 1) != 0;
    double line_rate = b200 ? 100e9 : 50e9;
    struct operator_group group = {v->ep, (double)gpu->nvlink_domain, 0.8 * line_rate, line_rate};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        if (strcmp(variants[i].name, v->variant) != 0)
            continue;
        bool nccl = variants[i].mode == ALL_TO_ALL_NCCL;
        double bytes = nccl || variants[i].phase == ALL_TO_ALL_COMBINE ? 2 : 1.03125;
        double tokens = nccl ? v->tokens / v->ep : v->tokens; /* NCCL's are of all ranks */
        return operator_all_to_all(gpu, variants[i].mode, variants[i].phase, &group, tokens,
                                   model->experts_per_token, model->hidden * bytes)
            .seconds;
    }
    bool low = strstr(v->variant, "low_precision") != NULL; /* listed with a dispatch's bytes */
    return unused_variant_seconds(gpu, v, &group, model->experts_per_token,
                                  model->hidden * (low ? 1.03125 : 2));
}

static bool agrees(const struct vector *v)
{
    const struct gpu *gpu = gpu_by_name(v->gpu);
    const struct model_sizes *model = model_by_name(v->model);
    CU_ASSERT_PTR_NOT_NULL_FATAL(model);
    double got;
    if (strncmp(v->op, "mla_", 4) == 0)
        got = attention_seconds(gpu, v, model->heads);
    else if (strncmp(v->op, "moe_", 4) == 0)
        got = expert_seconds(gpu, v, model);
    else
        got = all_to_all_seconds(gpu, v, model);
    return timer_test_near(got, v->seconds, 1e-9);
}

static bool parse(char *line, struct vector *v)
{
    char *columns[COLUMNS];
    int count = 0;
    for (char *word = strtok(line, ",\r\n"); word && count < COLUMNS; word = strtok(NULL, ",\r\n"))
        columns[count++] = word;
    if (count < COLUMNS)
        return false;
    *v = (struct vector){columns[0],       columns[1],       columns[2],       columns[3],
                         atof(columns[4]), atof(columns[5]), atof(columns[6]), atof(columns[7]),
                         atof(columns[8]), atof(columns[9]), atof(columns[10])};
    return true;
}

static void test_vectors(void)
{
    FILE *file = fopen(test_shared_file("roofline/additions/vectors_additions.csv"), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char line[1024];
    struct vector v = {.gpu = "", .model = "", .op = "", .variant = ""};
    struct error error = {{0}};
    int rows = 0, wrong = 0;
    CU_ASSERT_TRUE_FATAL(config_load(test_shared_file("roofline/additions/additions.json"), NULL, 0, NULL, 0,
                                     &figures, &error));
    CU_ASSERT_PTR_NOT_NULL(fgets(line, sizeof line, file)); /* header */
    while (fgets(line, sizeof line, file)) {
        CU_ASSERT_TRUE_FATAL(parse(line, &v));
        rows++;
        if (!agrees(&v) && wrong++ < 5)
            printf("disagrees: %s %s %s %s\n", v.gpu, v.model, v.op, v.variant);
    }
    fclose(file);
    config_free(cached_config);
    config_free(figures);
    printf("%d rows, %d disagree ", rows, wrong);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(rows, 788);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    if (!test_shared_file("roofline/additions/vectors_additions.csv"))
        return TEST_SKIP_EXIT_CODE;
    const struct test_case cases[] = {{"check vectors", test_vectors}};
    return test_main("vectors of the additions", cases, 1);
}
