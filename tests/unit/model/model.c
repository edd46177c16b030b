/* Parameter counts as published, bytes worked out by hand, division by tensor parallelism, and the errors. */
#include "cluster_file.h"
#include "tandem/model.h"
#include "test.h"

static struct model load(const char *name, struct config **config)
{
    char path[200];
    struct model model;
    struct error error = {{0}};
    snprintf(path, sizeof path, "models/%s", name);
    *config = cluster_file(path);
    if (!model_parse(config_root(*config), &model, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return model;
}

/* Sources: the safetensors totals on the models' Hugging Face pages; BLOOM's model card; for GPT-3 (175B in
 * arXiv 2005.14165) and OPT (13B, 66B in arXiv 2205.01068) the tensors of the published layouts added up. */
static const struct {
    const char *name;
    int64_t parameters;
} published[] = {
    {"llama-2-7b", 6738415616},   {"llama-2-13b", 13015864320},   {"llama-2-70b", 68976648192},
    {"llama-3.1-8b", 8030261248}, {"llama-3.1-70b", 70553706496}, {"mistral-7b", 7241732096},
    {"qwen2.5-7b", 7615616512},   {"qwen2.5-72b", 72706203648},   {"bloom-176b", 176247271424},
    {"gpt-3-175b", 174604259328}, {"opt-13b", 12853473280},       {"opt-66b", 65719701504},
};

static void test_parameters(void)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct config *config = NULL;
        struct model model = load(published[i].name, &config);
        CU_ASSERT_STRING_EQUAL(model.name, published[i].name);
        CU_ASSERT_EQUAL(model_parameters(&model), published[i].parameters);
        /* On one GPU in 16 bits nothing is padded or copied. */
        CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, 1, DTYPE_BF16), 2 * published[i].parameters);
        config_free(config);
    }
}

static void model_is_sane(const char *path)
{
    struct config *config = NULL;
    struct model model = load(path + strlen("models/"), &config);
    CU_ASSERT_STRING_EQUAL(model.name, path + strlen("models/"));
    CU_ASSERT(strlen(model.source) > 10);
    CU_ASSERT_EQUAL(model.heads * model.head_dim, model.hidden);
    struct text text = {0};
    model_describe(&model, &text);
    CU_ASSERT(strstr(text_string(&text), "parameters") != NULL);
    text_clear(&text);
    config_free(config);
}

static void test_all_files(void)
{
    CU_ASSERT(cluster_files("models", model_is_sane) >= 12);
}

static void test_kv_bytes(void)
{
    const struct {
        const char *name;
        int64_t tokens, bytes;
    } rows[] = {
        {"llama-2-70b", 4096, 1342177280},
        {"gpt-3-175b", 2048, 9663676416},
        {"llama-2-13b", 4096, 3355443200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = NULL;
        struct model model = load(rows[i].name, &config);
        CU_ASSERT_EQUAL(rows[i].tokens * model_kv_bytes_per_token(&model, DTYPE_FP16), rows[i].bytes);
        CU_ASSERT_EQUAL(rows[i].tokens * model_kv_bytes_per_token(&model, DTYPE_FP8) * 2, rows[i].bytes);
        CU_ASSERT_EQUAL(rows[i].tokens * model_kv_bytes_per_token(&model, DTYPE_FP4) * 4, rows[i].bytes);
        config_free(config);
    }
}

/* Another program's sums over the tensors as vLLM divides them. */
static void test_weights_per_gpu(void)
{
    const struct {
        const char *name;
        int64_t tp;
        enum dtype dtype;
        int64_t bytes;
    } rows[] = {
        {"llama-2-70b", 4, DTYPE_BF16, 34490302464}, {"llama-2-70b", 16, DTYPE_FP16, 8792326144},
        {"llama-2-70b", 8, DTYPE_FP8, 8690089984},   {"llama-3.1-8b", 1, DTYPE_FP4, 6027747328},
        {"gpt-3-175b", 8, DTYPE_FP16, 43707555840},  {"bloom-176b", 8, DTYPE_BF16, 44072455168},
        {"opt-66b", 4, DTYPE_FP16, 32893526016},     {"qwen2.5-72b", 8, DTYPE_BF16, 18178859008},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = NULL;
        struct model model = load(rows[i].name, &config);
        CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, rows[i].tp, rows[i].dtype), rows[i].bytes);
        config_free(config);
    }
}

static void test_tensor_parallel(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct model llama = load("llama-2-70b", &config);
    const struct node *node = config_root(config);
    for (int64_t tp = 1; tp <= 64; tp *= 2)
        CU_ASSERT_TRUE(model_check_tensor_parallel(&llama, tp, node, &error));
    CU_ASSERT_FALSE(model_check_tensor_parallel(&llama, 3, node, &error));
    CU_ASSERT(strstr(error.text, "3 does not divide the 64 heads of llama-2-70b") != NULL);
    CU_ASSERT_FALSE(model_check_tensor_parallel(&llama, 0, node, &error));
    llama.kv_heads = 6;
    CU_ASSERT_FALSE(model_check_tensor_parallel(&llama, 4, node, &error));
    CU_ASSERT(strstr(error.text, "KV heads") != NULL);
    llama.kv_heads = 8;
    llama.mlp_width = 1001;
    CU_ASSERT_FALSE(model_check_tensor_parallel(&llama, 2, node, &error));
    CU_ASSERT(strstr(error.text, "MLP width 1001") != NULL);
    config_free(config);
}

static void test_replication(void)
{
    struct config *config = NULL;
    struct model model = load("llama-2-70b", &config);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 1), 1);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 8), 1);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 16), 2);
    struct work_shape shape = model_shape(&model, 4, DTYPE_FP8, DTYPE_FP16);
    CU_ASSERT_EQUAL(shape.query_heads, 16);
    CU_ASSERT_EQUAL(shape.kv_heads, 2);
    CU_ASSERT_EQUAL(shape.mlp_width, 7168);
    CU_ASSERT_EQUAL(shape.vocabulary, 8000);
    CU_ASSERT_EQUAL(shape.layers, 80);
    CU_ASSERT_EQUAL(shape.tensor_parallel, 4);
    CU_ASSERT_EQUAL(shape.weight_dtype, DTYPE_FP8);
    CU_ASSERT_EQUAL(shape.kv_value_bytes, 2);
    shape = model_shape(&model, 16, DTYPE_BF16, DTYPE_FP8);
    CU_ASSERT_EQUAL(shape.query_heads, 4);
    CU_ASSERT_EQUAL(shape.kv_heads, 1);
    CU_ASSERT_EQUAL(shape.kv_value_bytes, 1);
    config_free(config);
    model = load("gpt-3-175b", &config);
    CU_ASSERT_EQUAL(model_shape(&model, 8, DTYPE_BF16, DTYPE_BF16).vocabulary,
                    6283); /* 50257 / 8, rounded up */
    config_free(config);
}

static void test_flops(void)
{
    struct config *config = NULL;
    struct model model = load("llama-2-7b", &config);
    /* 32 layers of 4 x 4096^2 + 3 x 4096 x 11008 elements; 32 heads of 128 over 4096 tokens. */
    CU_ASSERT_EQUAL(model_linear_flops_per_token(&model), 2.0 * 32 * (67108864 + 135266304));
    CU_ASSERT_EQUAL(model_head_flops_per_row(&model), 2.0 * 4096 * 32000);
    CU_ASSERT_EQUAL(model_attention_flops(&model, 4096), 4.0 * 32 * 4096 * 4096);
    config_free(config);
}

/* Parses a small model that differs from a good one in what is given. */
static bool parse(const char *more, struct model *model, struct error *error)
{
    char json[1000];
    struct config *config = NULL;
    snprintf(json, sizeof json,
             "{\"name\": \"m\", \"source\": \"s\", \"layers\": 2, \"hidden\": 96, \"heads\": 12, "
             "\"mlp_width\": 384, "
             "\"vocabulary\": 1000, \"max_context_tokens\": 100%s}",
             more);
    CU_ASSERT_TRUE_FATAL(config_parse(json, "m.json", &config, error));
    bool good = model_parse(config_root(config), model, error);
    config_free(config);
    return good;
}

static void test_parsing(void)
{
    struct model model;
    struct error error = {{0}};
    CU_ASSERT_TRUE(parse("", &model, &error));
    CU_ASSERT_EQUAL(model.kv_heads, 12);
    CU_ASSERT_EQUAL(model.head_dim, 8);
    /* 2 x (4 x 96^2 + 3 x 96 x 384 + 2 x 96) + 2 x 1000 x 96 + 96, by hand */
    CU_ASSERT_EQUAL(model_parameters(&model), 2 * (36864 + 110592 + 192) + 192000 + 96);
    CU_ASSERT_TRUE(parse(", \"head_dim\": 16, \"kv_heads\": 3, \"gated_mlp\": false, \"mlp_bias\": true",
                         &model, &error));
    /* q and o 2 x 96 x 192, k and v 2 x 96 x 48, MLP 2 x 96 x 384 and biases 384 + 96 */
    CU_ASSERT_EQUAL(model_parameters(&model), 2 * (36864 + 9216 + 73728 + 480 + 192) + 192000 + 96);
    CU_ASSERT_FALSE(parse(", \"kv_heads\": 5", &model, &error));
    CU_ASSERT(strstr(error.text, "m.json") != NULL && strstr(error.text, "kv_heads") != NULL);
    CU_ASSERT_FALSE(parse(", \"norm\": \"batch\"", &model, &error));
    CU_ASSERT_FALSE(parse(", \"kv_head\": 4", &model, &error));
    CU_ASSERT(strstr(error.text, "kv_heads") != NULL);
}

int main(void)
{
    const struct test_case cases[] = {
        {"published parameter counts", test_parameters},
        {"all files", test_all_files},
        {"KV bytes", test_kv_bytes},
        {"weights per GPU", test_weights_per_gpu},
        {"tensor parallelism", test_tensor_parallel},
        {"replicated KV heads", test_replication},
        {"FLOPs", test_flops},
        {"parsing", test_parsing},
    };
    return test_main("model", cases, sizeof cases / sizeof *cases);
}
