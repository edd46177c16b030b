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

/* Parameters. Sources: the safetensors totals on the models' Hugging Face pages; BLOOM's model card; for
 * GPT-3 (175B in arXiv 2005.14165) and OPT (13B, 66B in arXiv 2205.01068) the tensors of the published
 * layouts added up. DeepSeek: the tensors of the checkpoint without the MTP layer ("671B of the main model
 * weights" in README_WEIGHTS). Gemma: the text part as llama.cpp counts it (arXiv 2503.19786 table 1: 27B is
 * 1,416M + 25,600M). KV bytes of a token in 16 bits: by hand, 4 layers kv_heads head_dim; DeepSeek 61 x 576
 * x 2. */
static const struct {
    const char *name;
    int64_t parameters;
    int64_t kv_bytes;
} published[] = {
    {"llama-2-7b", 6738415616, 524288},         {"llama-2-13b", 13015864320, 819200},
    {"llama-2-70b", 68976648192, 327680},       {"llama-3-8b", 8030261248, 131072},
    {"llama-3-70b", 70553706496, 327680},       {"llama-3.1-8b", 8030261248, 131072},
    {"llama-3.1-70b", 70553706496, 327680},     {"llama-3.1-405b", 405853388800, 516096},
    {"llama-3.3-70b", 70553706496, 327680},     {"mistral-7b", 7241732096, 131072},
    {"mistral-small-24b", 23572403200, 163840}, {"mixtral-8x7b", 46702792704, 131072},
    {"mixtral-8x22b", 140620634112, 229376},    {"qwen2.5-7b", 7615616512, 57344},
    {"qwen2.5-14b", 14770033664, 196608},       {"qwen2.5-32b", 32763876352, 262144},
    {"qwen2.5-72b", 72706203648, 327680},       {"qwen3-4b", 4022468096, 147456},
    {"qwen3-8b", 8190735360, 147456},           {"qwen3-14b", 14768307200, 163840},
    {"qwen3-32b", 32762123264, 262144},         {"qwen3-30b-a3b", 30532122624, 98304},
    {"qwen3-235b-a22b", 235093634560, 192512},  {"deepseek-v3", 671026419200, 70272},
    {"deepseek-r1", 671026419200, 70272},       {"gpt-oss-20b", 20914757184, 49152},
    {"gpt-oss-120b", 116829156672, 73728},      {"gemma-3-4b", 3880263168, 139264},
    {"gemma-3-12b", 11766034176, 393216},       {"gemma-3-27b", 27009346304, 507904},
    {"phi-3-mini", 3821079552, 393216},         {"phi-4", 14659507200, 204800},
    {"bloom-176b", 176247271424, 4014080},      {"gpt-3-175b", 174604259328, 4718592},
    {"opt-13b", 12853473280, 819200},           {"opt-66b", 65719701504, 2359296},
};

static void test_parameters(void)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct config *config = NULL;
        struct model model = load(published[i].name, &config);
        CU_ASSERT_STRING_EQUAL(model.name, published[i].name);
        CU_ASSERT_EQUAL(model_parameters(&model), published[i].parameters);
        CU_ASSERT_EQUAL(model_kv_bytes_per_token(&model, DTYPE_BF16), published[i].kv_bytes);
        /* On one GPU in 16 bits nothing is padded or copied. */
        struct model_layout layout = model_layout(1, DTYPE_BF16, DTYPE_BF16);
        CU_ASSERT_EQUAL(model_weight_bytes(&model, &layout), 2 * published[i].parameters);
        config_free(config);
    }
}

/* What a token passes. By hand: all but the matrices (and biases) of the other experts; as published: 12.9
 * and 39B of Mixtral, A3B and A22B of Qwen, 37B of DeepSeek, 5.1B of gpt-oss-120b without the embedding of
 * 0.58B. */
static void test_active_parameters(void)
{
    static const struct {
        const char *name;
        int64_t others; /* experts that a token is not sent to, in all layers */
        int64_t expert;
        double billions;
    } rows[] = {
        {"mixtral-8x7b", 6 * 32, 3 * 4096 * 14336, 12.9},
        {"mixtral-8x22b", 6 * 56, 3 * 6144 * 16384, 39},
        {"qwen3-30b-a3b", 120 * 48, 3 * 2048 * 768, 3.3},
        {"qwen3-235b-a22b", 120 * 94, 3 * 4096 * 1536, 22},
        {"deepseek-v3", 248 * 58, 3 * 7168 * 2048, 37},
        {"gpt-oss-120b", 124 * 36, 3 * 2880 * 2880 + 2 * 2880 + 2880, 5.1 + 0.58},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = NULL;
        struct model model = load(rows[i].name, &config);
        int64_t active = model_active_parameters(&model);
        CU_ASSERT_EQUAL(active, model_parameters(&model) - rows[i].others * rows[i].expert);
        CU_ASSERT_DOUBLE_EQUAL((double)active / 1e9, rows[i].billions, 0.02 * rows[i].billions);
        config_free(config);
    }
    struct config *config = NULL;
    struct model model = load("phi-4", &config);
    CU_ASSERT_EQUAL(model_active_parameters(&model), model_parameters(&model));
    config_free(config);
}

static void model_is_sane(const char *path)
{
    struct config *config = NULL;
    struct model model = load(path + strlen("models/"), &config);
    CU_ASSERT_STRING_EQUAL(model.name, path + strlen("models/"));
    CU_ASSERT(strlen(model.source) > 10);
    struct text text = {0};
    model_describe(&model, &text);
    CU_ASSERT(strstr(text_string(&text), "parameters") != NULL);
    text_clear(&text);
    config_free(config);
}

static void test_all_files(void)
{
    CU_ASSERT(cluster_files("models", model_is_sane) == (int)(sizeof published / sizeof *published));
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

/* A scale for each key and value of each head and token, in INT4 a zero point too. By hand: layers x 2 x
 * kv_heads x (values + scales); 9 values of half a byte are 5 bytes. */
static void test_quantized_kv(void)
{
    const struct {
        const char *name;
        int64_t kv_heads, head_dim; /* 0: the model's own */
        int64_t int8, int4;
    } rows[] = {
        {"llama-2-7b", 0, 0, 32 * 2 * 32 * (128 + 2), 32 * 2 * 32 * (64 + 4)},
        {"llama-3.1-8b", 0, 0, 32 * 2 * 8 * (128 + 2), 32 * 2 * 8 * (64 + 4)},
        {"llama-3.1-8b", 1, 0, 32 * 2 * (128 + 2), 32 * 2 * (64 + 4)},
        {"llama-3.1-8b", 1, 9, 32 * 2 * (9 + 2), 32 * 2 * (5 + 4)},
    };
    struct config *config = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model model = load(rows[i].name, &config);
        model.kv_heads = rows[i].kv_heads > 0 ? rows[i].kv_heads : model.kv_heads;
        model.head_dim = rows[i].head_dim > 0 ? rows[i].head_dim : model.head_dim;
        CU_ASSERT_EQUAL(model_kv_bytes_per_token(&model, DTYPE_INT8), rows[i].int8);
        CU_ASSERT_EQUAL(model_kv_bytes_per_token(&model, DTYPE_INT4), rows[i].int4);
        config_free(config);
    }
    struct model model = load("llama-2-70b", &config);
    struct model_layout layout = model_layout(16, DTYPE_BF16, DTYPE_INT8); /* a KV head on each two GPUs */
    CU_ASSERT_EQUAL(model_kv_bytes_per_token_and_gpu(&model, &layout, 0), 80 * 2 * (128 + 2));
    CU_ASSERT_EQUAL(model_shape(&model, &layout, 0).kv_value_bytes, 130.0 / 128);
    layout.kv_dtype = DTYPE_INT4;
    CU_ASSERT_EQUAL(model_shape(&model, &layout, 0).kv_value_bytes, 68.0 / 128);
    struct text text = {0};
    model_describe(&model, &text);
    CU_ASSERT(strstr(text_string(&text), "in 16 bits\n    in fp8               163840  bytes\n"
                                         "    in int8              166400  bytes, scales included\n"
                                         "    in int4              87040  bytes, scales and zero") != NULL);
    text_clear(&text);
    config_free(config);
}

/* Latent attention has kernels for 16 bits and FP8. */
static void test_latent_kv(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct model model = load("deepseek-v3", &config);
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        struct model_layout layout = model_layout(8, DTYPE_FP8_BLOCK, (enum dtype)dtype);
        CU_ASSERT_EQUAL(model_check_layout(&model, &layout, config_root(config), &error),
                        dtype == DTYPE_BF16 || dtype == DTYPE_FP16 || dtype == DTYPE_FP8);
    }
    CU_ASSERT_EQUAL(model_kv_bytes_per_token(&model, DTYPE_FP8), 61 * 576);
    struct text text = {0};
    model_describe(&model, &text);
    CU_ASSERT(strstr(text_string(&text), "in int") == NULL);
    text_clear(&text);
    config_free(config);
}

/* Layers with a window, of all: 5 of 6 in Gemma 3, each other one in gpt-oss. */
static void test_sliding_windows(void)
{
    const struct {
        const char *name;
        int64_t window, layers, bytes;
    } rows[] = {
        {"gemma-3-27b", 1024, 52, 52 * 8192},
        {"gemma-3-4b", 1024, 29, 29 * 4096},
        {"gpt-oss-120b", 128, 18, 18 * 2048},
        {"llama-3-8b", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = NULL;
        struct model model = load(rows[i].name, &config);
        CU_ASSERT_EQUAL(model.sliding_window, rows[i].window);
        CU_ASSERT_EQUAL(model.sliding_window_layers, rows[i].layers);
        CU_ASSERT_EQUAL(model_sliding_kv_bytes_per_token(&model, DTYPE_BF16), rows[i].bytes);
        config_free(config);
    }
}

static bool splits(const struct model *model, int64_t tp, const struct node *node, struct error *error)
{
    struct model_layout layout = model_layout(tp, DTYPE_BF16, DTYPE_BF16);
    return model_check_layout(model, &layout, node, error);
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
        struct model_layout layout = model_layout(rows[i].tp, rows[i].dtype, DTYPE_BF16);
        CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, &layout, 0), rows[i].bytes);
        config_free(config);
    }
}

/* One layer of DeepSeek's kind by hand: hidden 96, 12 heads, latents 32 and 48, keys 8 + 16, values 16. */
static void test_weights_of_latents_and_experts(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct model model;
    const char *json = "{\"name\": \"m\", \"source\": \"s\", \"layers\": 2, \"hidden\": 96, \"heads\": 12, "
                       "\"mla_latent\": 32, \"mla_query_latent\": 48, \"mla_rope\": 8, \"mla_nope\": 16, "
                       "\"mla_value\": 16, \"qkv_bias\": true, \"mlp_width\": 384, \"experts\": 8, "
                       "\"experts_per_token\": 2, \"expert_width\": 64, \"shared_expert_width\": 128, "
                       "\"dense_layers\": 1, \"router_bias\": true, \"vocabulary\": 1000, "
                       "\"max_context_tokens\": 100}";
    CU_ASSERT_TRUE_FATAL(config_parse(json, "m.json", &config, &error));
    CU_ASSERT_TRUE_FATAL(model_parse(config_root(config), &model, &error));
    for (int64_t tp = 1; tp <= 4; tp *= 2) {
        int64_t heads = 12 / tp;
        int64_t attention = 96 * (48 + 32 + 8) + 48 * heads * 24 + 32 * heads * 32 + heads * 16 * 96;
        int64_t matrices = 2 * attention + 3 * 96 * (384 + 8 * 64 + 128) / tp;
        int64_t layers = 2 * (48 + 32 + (48 + 32 + 8) + 2 * 96) + 8 * 96 + 8; /* norms, biases, router */
        int64_t rest = 2 * 1000 / tp * 96 + layers + 96;
        struct model_layout layout = model_layout(tp, DTYPE_FP8, DTYPE_BF16);
        CU_ASSERT_TRUE(model_check_layout(&model, &layout, config_root(config), &error));
        CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, &layout, 0), matrices + 2 * rest);
        CU_ASSERT_EQUAL(model_kv_copies(&model, tp), tp);
        if (tp == 1)
            CU_ASSERT_EQUAL(model_parameters(&model), matrices + rest);
    }
    /* Both layers' attention, MLP, 2 + 2 experts' widths and the router; keys of 24, values of 16. */
    CU_ASSERT_EQUAL(model_linear_flops_per_token(&model),
                    2.0 * (2 * (8448 + 13824 + 12288 + 18432) + 288 * (384 + 128 + 128) + 768));
    CU_ASSERT_EQUAL(model_attention_flops(&model, 10), 2.0 * 12 * (24 + 16) * 2 * 10);
    CU_ASSERT_EQUAL(model_kv_bytes_per_token(&model, DTYPE_FP4), 40); /* 2 x (32 + 8) half bytes */
    model.mla_latent = 0;
    model.sliding_window = 4;
    model.sliding_window_layers = 1;
    CU_ASSERT_EQUAL(model_attention_flops(&model, 10), 2.0 * 12 * (24 + 24) * (10 + 4));
    CU_ASSERT_FALSE(splits(&model, 5, config_root(config), &error));
    model.expert_width = 65;
    CU_ASSERT_FALSE(splits(&model, 2, config_root(config), &error));
    CU_ASSERT(strstr(error.text, "does not divide the expert width 65 of m") != NULL);
    model.expert_width = 64;
    model.shared_expert_width = 65;
    CU_ASSERT_FALSE(splits(&model, 2, config_root(config), &error));
    CU_ASSERT(strstr(error.text, "does not divide the shared experts' width 65 of m") != NULL);
    config_free(config);
}

static void test_tensor_parallel(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct model llama = load("llama-2-70b", &config);
    const struct node *node = config_root(config);
    for (int64_t tp = 1; tp <= 64; tp *= 2)
        CU_ASSERT_TRUE(splits(&llama, tp, node, &error));
    CU_ASSERT_FALSE(splits(&llama, 3, node, &error));
    CU_ASSERT(strstr(error.text, "tensor parallelism 3 does not divide the 64 heads of llama-2-70b") != NULL);
    CU_ASSERT_FALSE(splits(&llama, 0, node, &error));
    llama.kv_heads = 6;
    CU_ASSERT_FALSE(splits(&llama, 4, node, &error));
    CU_ASSERT(strstr(error.text, "KV heads") != NULL);
    llama.kv_heads = 8;
    llama.mlp_width = 1001;
    CU_ASSERT_FALSE(splits(&llama, 2, node, &error));
    CU_ASSERT(strstr(error.text, "MLP width 1001") != NULL);
    config_free(config);
}

/* The stages of a replica together have the whole model once, and each what belongs to it. */
static void test_stages(void)
{
    struct config *config = NULL;
    struct model model = load("deepseek-v3", &config); /* 61 layers, the first 3 dense */
    struct model_layout layout = model_layout(1, DTYPE_BF16, DTYPE_BF16);
    int64_t whole = model_weight_bytes(&model, &layout), sum = 0, layers = 0, experts = 0;
    layout.pipeline_parallel = 4;
    const int64_t of_stage[] = {15, 15, 16, 15}; /* one is left over: before the last */
    for (int64_t stage = 0; stage < 4; stage++) {
        struct work_shape shape = model_shape(&model, &layout, stage);
        CU_ASSERT_EQUAL(model_stage_layers(&model, 4, stage), of_stage[stage]);
        CU_ASSERT_EQUAL(shape.layers, of_stage[stage]);
        CU_ASSERT_EQUAL(shape.expert_layers, of_stage[stage] - (stage == 0 ? 3 : 0));
        CU_ASSERT_EQUAL(shape.vocabulary, stage == 3 ? 129280 : 0);
        CU_ASSERT_EQUAL(model_kv_bytes_per_token_and_gpu(&model, &layout, stage), of_stage[stage] * 576 * 2);
        layers += shape.layers;
        experts += shape.expert_layers;
        sum += model_weight_bytes_per_gpu(&model, &layout, stage);
    }
    CU_ASSERT_EQUAL(layers, 61);
    CU_ASSERT_EQUAL(experts, 58);
    CU_ASSERT_EQUAL(sum, whole);
    config_free(config);

    model = load("gemma-3-4b", &config); /* tied: the last stage has the embedding again */
    layout = model_layout(1, DTYPE_BF16, DTYPE_BF16);
    whole = model_weight_bytes(&model, &layout);
    layout.pipeline_parallel = 3;
    CU_ASSERT_EQUAL(model_weight_bytes(&model, &layout), whole + 2 * model.vocabulary * model.hidden);
    int64_t sliding = 0;
    for (int64_t stage = 0; stage < 3; stage++)
        sliding += model_shape(&model, &layout, stage).sliding_layers;
    CU_ASSERT_EQUAL(sliding, model.sliding_window_layers);
    config_free(config);
}

/* 16 GPUs: 2 for a matrix, 8 lanes; experts whole on each GPU, or each over 4 of them. */
static void test_expert_layouts(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct model model = load("deepseek-v3", &config);
    const struct node *node = config_root(config);
    struct model_layout layout = {2, 1, 8, 16, DTYPE_FP8_BLOCK, DTYPE_FP8_BLOCK, DTYPE_BF16};
    struct model_layout alone = {2, 1, 1, 1, DTYPE_FP8_BLOCK, DTYPE_FP8_BLOCK, DTYPE_BF16};
    int64_t experts = INT64_C(58) * 256 * 3 * 7168 * 2048; /* bytes in 8 bits */
    CU_ASSERT_TRUE(model_check_layout(&model, &layout, node, &error));
    /* What is not of experts is the same on each GPU of a lane however many lanes there are. */
    int64_t rest = model_weight_bytes_per_gpu(&model, &alone, 0) - experts / 2;
    CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, &layout, 0), rest + experts / 16);
    struct work_shape shape = model_shape(&model, &layout, 0);
    CU_ASSERT_EQUAL(shape.expert_tensor_parallel, 1);
    CU_ASSERT_EQUAL(shape.lanes, 8);
    CU_ASSERT_EQUAL(shape.query_heads, 64);
    layout.expert_parallel = 4;
    CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, &layout, 0), rest + experts / 16);
    CU_ASSERT_EQUAL(model_shape(&model, &layout, 0).expert_tensor_parallel, 4);
    CU_ASSERT_EQUAL(model_weight_bytes(&model, &layout), 16 * rest + experts);
    /* Experts in 4 bits with a scale for 32 of them. */
    layout.expert_dtype = DTYPE_MXFP4;
    CU_ASSERT_EQUAL(model_weight_bytes_per_gpu(&model, &layout, 0), rest + experts / 16 * 17 / 32);
    config_free(config);
}

/* Bytes of weights as they are divided and as the GPU files' matrices have them. */
static void test_data_types(void)
{
    static const double bytes[DTYPE_COUNT] = {2, 2, 1, 1, 0.5625, 1, 0.515625, 0.53125, 0.53125};
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        CU_ASSERT_EQUAL(dtype_weight_bytes((enum dtype)dtype), bytes[dtype]);
    CU_ASSERT_EQUAL(dtype_bytes(DTYPE_FP4), 0.5);
    CU_ASSERT_STRING_EQUAL(dtype_names[DTYPE_MXFP4_A8], "mxfp4-a8");
    CU_ASSERT_STRING_EQUAL(dtype_choices[DTYPE_INT4 + 1], "int4");
}

static struct work_shape shape_of(const struct model *model, int64_t tp, enum dtype weights, enum dtype kv)
{
    struct model_layout layout = model_layout(tp, weights, kv);
    return model_shape(model, &layout, 0);
}

static void test_replication(void)
{
    struct config *config = NULL;
    struct model model = load("llama-2-70b", &config);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 1), 1);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 8), 1);
    CU_ASSERT_EQUAL(model_kv_copies(&model, 16), 2);
    struct work_shape shape = shape_of(&model, 4, DTYPE_FP8, DTYPE_FP16);
    CU_ASSERT_EQUAL(shape.query_heads, 16);
    CU_ASSERT_EQUAL(shape.kv_heads, 2);
    CU_ASSERT_EQUAL(shape.mlp_width, 7168);
    CU_ASSERT_EQUAL(shape.vocabulary, 8000);
    CU_ASSERT_EQUAL(shape.layers, 80);
    CU_ASSERT_EQUAL(shape.tensor_parallel, 4);
    CU_ASSERT_EQUAL(shape.weight_dtype, DTYPE_FP8);
    CU_ASSERT_EQUAL(shape.kv_value_bytes, 2);
    shape = shape_of(&model, 16, DTYPE_BF16, DTYPE_FP8);
    CU_ASSERT_EQUAL(shape.query_heads, 4);
    CU_ASSERT_EQUAL(shape.kv_heads, 1);
    CU_ASSERT_EQUAL(shape.kv_value_bytes, 1);
    config_free(config);
    model = load("gpt-3-175b", &config);
    CU_ASSERT_EQUAL(shape_of(&model, 8, DTYPE_BF16, DTYPE_BF16).vocabulary, 6283); /* 50257 / 8, rounded up */
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

/* Keys that need others, or that contradict each other. */
static void test_refused(void)
{
    const struct {
        const char *more, *message;
    } rows[] = {
        {", \"mla_rope\": 8", "m.json: mla_* without mla_latent, the width of the cached latent; set it"},
        {", \"mla_latent\": 32, \"mla_rope\": 8",
         "m.json: mla_latent needs mla_rope, mla_nope and mla_value; set them"},
        {", \"expert_width\": 8", "m.json: sizes of experts without their number; set experts"},
        {", \"experts\": 8, \"experts_per_token\": 9",
         "m.json: experts_per_token: 9 of 8 experts per token: from 1 to all of them"},
        {", \"experts\": 8", "m.json: 0 of 8 experts per token: from 1 to all of them"},
        {", \"experts\": 8, \"experts_per_token\": 2",
         "m.json: missing 'expert_width': intermediate width of an expert"},
        {", \"experts\": 8, \"experts_per_token\": 2, \"expert_width\": 8, \"dense_layers\": 3",
         "m.json: dense_layers: 3 of 2 layers have no experts; set fewer"},
        {", \"sliding_window\": 8, \"sliding_window_layers\": 3",
         "m.json: sliding_window_layers: 3 of 2 layers have a sliding window; set fewer"},
        {", \"expert\": 8", "m.json: expert: unknown key (did you mean 'experts'?)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model model;
        struct error error = {{0}};
        CU_ASSERT_FALSE(parse(rows[i].more, &model, &error));
        CU_ASSERT_STRING_EQUAL(error.text, rows[i].message);
    }
    struct config *config = NULL;
    struct error error = {{0}};
    struct model model;
    const char *json = "{\"name\": \"m\", \"source\": \"s\", \"layers\": 2, \"hidden\": 96, \"heads\": 12, "
                       "\"vocabulary\": 1000, \"max_context_tokens\": 100}";
    CU_ASSERT_TRUE_FATAL(config_parse(json, "m.json", &config, &error));
    CU_ASSERT_FALSE(model_parse(config_root(config), &model, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "m.json: missing 'mlp_width': intermediate width of the MLP");
    config_free(config);
    const char *vast =
        "{\"name\": \"m\", \"source\": \"s\", \"layers\": 1000, \"hidden\": 96, \"heads\": 12, "
        "\"experts\": 1000000, \"experts_per_token\": 1, \"expert_width\": 10000000, "
        "\"vocabulary\": 1000, \"max_context_tokens\": 100}";
    CU_ASSERT_TRUE_FATAL(config_parse(vast, "m.json", &config, &error));
    CU_ASSERT_FALSE(model_parse(config_root(config), &model, &error));
    CU_ASSERT_STRING_EQUAL(error.text,
                           "m.json: 2.88e+18 elements in experts are too many to count; check their sizes");
    config_free(config);
    CU_ASSERT_TRUE(parse(", \"sliding_window\": 8", &model, &error));
    CU_ASSERT_EQUAL(model.sliding_window_layers, 2);
}

int main(void)
{
    const struct test_case cases[] = {
        {"stages", test_stages},
        {"layouts of experts", test_expert_layouts},
        {"data types", test_data_types},
        {"published parameter counts", test_parameters},
        {"active parameters", test_active_parameters},
        {"all files", test_all_files},
        {"KV bytes", test_kv_bytes},
        {"KV bytes with scales", test_quantized_kv},
        {"KV bytes of latents", test_latent_kv},
        {"sliding windows", test_sliding_windows},
        {"weights per GPU", test_weights_per_gpu},
        {"weights of latents and experts", test_weights_of_latents_and_experts},
        {"tensor parallelism", test_tensor_parallel},
        {"replicated KV heads", test_replication},
        {"FLOPs", test_flops},
        {"parsing", test_parsing},
        {"keys that do not fit together", test_refused},
    };
    return test_main("model", cases, sizeof cases / sizeof *cases);
}
