/* HuggingFace's config.json: each architecture that is read, and each way to be refused. Objects below have
 * the keys of the published files that matter, some that do not, and nulls as they are there. */
#include "cluster_file.h"
#include "tandem/model.h"
#include "test.h"

/* Architecture, then keys in single quotes. The object ends the process where it cannot be read. */
static struct config *object(const char *keys)
{
    char json[4000];
    struct config *config = NULL;
    struct error error = {{0}};
    snprintf(json, sizeof json, "{%s}", keys);
    for (char *c = json; *c; c++)
        if (*c == '\'')
            *c = '"';
    if (!config_parse(json, "config.json", &config, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return config;
}

static const struct published {
    const char *keys;
    const char *same_as; /* model of clusters/models with the same sizes, or NULL */
    int64_t parameters;  /* where there is none; the published total (Hugging Face pages), or by hand */
} published[] = {
    {"'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'attention_bias': false, 'hidden_act': "
     "'silu', 'hidden_size': 4096, 'intermediate_size': 14336, 'max_position_embeddings': 131072, "
     "'mlp_bias': false, 'num_attention_heads': 32, 'num_hidden_layers': 32, 'num_key_value_heads': 8, "
     "'rope_scaling': {'factor': 8.0, 'rope_type': 'llama3'}, 'tie_word_embeddings': false, 'vocab_size': "
     "128256",
     "llama-3.1-8b", 0},
    /* Files of Llama 1 had no num_key_value_heads. */
    {"'model_type': 'llama', 'hidden_size': 4096, 'intermediate_size': 11008, 'max_position_embeddings': "
     "4096, 'num_attention_heads': 32, 'num_hidden_layers': 32, 'vocab_size': 32000",
     "llama-2-7b", 0},
    {"'architectures': ['MistralForCausalLM'], 'head_dim': 128, 'hidden_size': 5120, 'intermediate_size': "
     "32768, 'max_position_embeddings': 32768, 'num_attention_heads': 32, 'num_hidden_layers': 40, "
     "'num_key_value_heads': 8, 'sliding_window': null, 'vocab_size': 131072",
     "mistral-small-24b", 0},
    {"'architectures': ['MixtralForCausalLM'], 'hidden_size': 4096, 'intermediate_size': 14336, "
     "'max_position_embeddings': 32768, 'num_attention_heads': 32, 'num_experts_per_tok': 2, "
     "'num_hidden_layers': 32, 'num_key_value_heads': 8, 'num_local_experts': 8, 'sliding_window': null, "
     "'vocab_size': 32000",
     "mixtral-8x7b", 0},
    {"'architectures': ['Qwen2ForCausalLM'], 'hidden_size': 3584, 'intermediate_size': 18944, "
     "'max_position_embeddings': 131072, 'max_window_layers': 28, 'num_attention_heads': 28, "
     "'num_hidden_layers': 28, 'num_key_value_heads': 4, 'sliding_window': 131072, 'use_sliding_window': "
     "false, 'vocab_size': 152064",
     "qwen2.5-7b", 0},
    {"'architectures': ['Qwen3ForCausalLM'], 'attention_bias': false, 'head_dim': 128, 'hidden_size': 2560, "
     "'intermediate_size': 9728, 'max_position_embeddings': 40960, 'max_window_layers': 36, "
     "'num_attention_heads': 32, 'num_hidden_layers': 36, 'num_key_value_heads': 8, 'sliding_window': null, "
     "'tie_word_embeddings': true, 'vocab_size': 151936",
     "qwen3-4b", 0},
    {"'architectures': ['Qwen3MoeForCausalLM'], 'decoder_sparse_step': 1, 'head_dim': 128, 'hidden_size': "
     "2048, 'intermediate_size': 6144, 'max_position_embeddings': 40960, 'mlp_only_layers': [], "
     "'moe_intermediate_size': 768, 'num_attention_heads': 32, 'num_experts': 128, 'num_experts_per_tok': 8, "
     "'num_hidden_layers': 48, 'num_key_value_heads': 4, 'vocab_size': 151936",
     "qwen3-30b-a3b", 0},
    {"'architectures': ['DeepseekV3ForCausalLM'], 'first_k_dense_replace': 3, 'hidden_size': 7168, "
     "'intermediate_size': 18432, 'kv_lora_rank': 512, 'max_position_embeddings': 163840, "
     "'moe_intermediate_size': 2048, 'moe_layer_freq': 1, 'n_routed_experts': 256, 'n_shared_experts': 1, "
     "'num_attention_heads': 128, 'num_experts_per_tok': 8, 'num_hidden_layers': 61, 'num_key_value_heads': "
     "128, 'num_nextn_predict_layers': 1, 'q_lora_rank': 1536, 'qk_nope_head_dim': 128, 'qk_rope_head_dim': "
     "64, 'v_head_dim': 128, 'vocab_size': 129280, 'quantization_config': {'activation_scheme': 'dynamic', "
     "'fmt': 'e4m3', 'quant_method': 'fp8', 'weight_block_size': [128, 128]}",
     "deepseek-v3", 0},
    /* DeepSeek-V2-Lite: no latent of queries. */
    {"'architectures': ['DeepseekV2ForCausalLM'], 'first_k_dense_replace': 1, 'hidden_size': 2048, "
     "'intermediate_size': 10944, 'kv_lora_rank': 512, 'max_position_embeddings': 163840, "
     "'moe_intermediate_size': 1408, 'n_routed_experts': 64, 'n_shared_experts': 2, 'num_attention_heads': "
     "16, 'num_experts_per_tok': 6, 'num_hidden_layers': 27, 'q_lora_rank': null, 'qk_nope_head_dim': 128, "
     "'qk_rope_head_dim': 64, 'v_head_dim': 128, 'vocab_size': 102400",
     NULL, 15706484224},
    {"'architectures': ['GptOssForCausalLM'], 'attention_bias': true, 'head_dim': 64, 'hidden_size': 2880, "
     "'intermediate_size': 2880, 'max_position_embeddings': 131072, 'num_attention_heads': 64, "
     "'num_experts_per_tok': 4, 'num_hidden_layers': 36, 'num_key_value_heads': 8, 'num_local_experts': 128, "
     "'sliding_window': 128, 'vocab_size': 201088, 'quantization_config': {'quant_method': 'mxfp4'}",
     "gpt-oss-120b", 0},
    {"'architectures': ['Gemma3ForConditionalGeneration'], 'model_type': 'gemma3', 'text_config': {"
     "'hidden_size': 2560, 'intermediate_size': 10240, 'model_type': 'gemma3_text', 'num_hidden_layers': 34, "
     "'sliding_window': 1024}, 'vision_config': {'hidden_size': 1152}",
     "gemma-3-4b", 0},
    {"'architectures': ['Gemma3ForCausalLM'], 'head_dim': 256, 'hidden_size': 1152, 'intermediate_size': "
     "6912, 'max_position_embeddings': 32768, 'num_attention_heads': 4, 'num_hidden_layers': 26, "
     "'num_key_value_heads': 1, 'sliding_window': 512, 'sliding_window_pattern': 6, 'vocab_size': 262144",
     NULL, 999885952},
    {"'architectures': ['Gemma2ForCausalLM'], 'head_dim': 256, 'hidden_size': 3584, 'intermediate_size': "
     "14336, 'max_position_embeddings': 8192, 'num_attention_heads': 16, 'num_hidden_layers': 42, "
     "'num_key_value_heads': 8, 'sliding_window': 4096, 'vocab_size': 256000",
     NULL, 9241705984},
    {"'architectures': ['GemmaForCausalLM'], 'head_dim': 256, 'hidden_size': 2048, 'intermediate_size': "
     "16384, 'max_position_embeddings': 8192, 'num_attention_heads': 8, 'num_hidden_layers': 18, "
     "'num_key_value_heads': 1, 'vocab_size': 256000",
     NULL, 2506172416},
    /* Phi-2. */
    {"'architectures': ['PhiForCausalLM'], 'hidden_size': 2560, 'intermediate_size': 10240, "
     "'max_position_embeddings': 2048, 'num_attention_heads': 32, 'num_hidden_layers': 32, "
     "'num_key_value_heads': null, 'qk_layernorm': false, 'tie_word_embeddings': false, 'vocab_size': 51200",
     NULL, 2779683840},
    {"'architectures': ['Phi3ForCausalLM'], 'hidden_size': 3072, 'intermediate_size': 8192, "
     "'max_position_embeddings': 131072, 'num_attention_heads': 32, 'num_hidden_layers': 32, "
     "'num_key_value_heads': 32, 'sliding_window': 262144, 'vocab_size': 32064",
     "phi-3-mini", 0},
    {"'architectures': ['OPTForCausalLM'], '_remove_final_layer_norm': false, 'do_layer_norm_before': true, "
     "'ffn_dim': 20480, 'hidden_size': 5120, 'max_position_embeddings': 2048, 'num_attention_heads': 40, "
     "'num_hidden_layers': 40, 'vocab_size': 50272, 'word_embed_proj_dim': 5120",
     "opt-13b", 0},
    {"'architectures': ['BloomForCausalLM'], 'n_embed': 14336, 'n_layer': 70, 'num_attention_heads': 112, "
     "'vocab_size': 250880, 'n_inner': null, 'seq_length': 2048",
     "bloom-176b", 0},
    /* GPT-3 in the layout of GPT-2. */
    {"'architectures': ['GPT2LMHeadModel'], 'n_ctx': 2048, 'n_embd': 12288, 'n_head': 96, 'n_layer': 96, "
     "'n_positions': 2048, 'vocab_size': 50257",
     "gpt-3-175b", 0},
    /* GPT-NeoX-20B. */
    {"'architectures': ['GPTNeoXForCausalLM'], 'hidden_size': 6144, 'intermediate_size': 24576, "
     "'max_position_embeddings': 2048, 'num_attention_heads': 64, 'num_hidden_layers': 44, "
     "'tie_word_embeddings': false, 'vocab_size': 50432",
     NULL, 20554567680},
    /* Falcon-7B, and 40B by hand: 60 x (8192 x 144 x 64 + 9 x 8192^2 + 4 x 8192) + 65024 x 8192 + 2 x 8192.
     */
    {"'architectures': ['FalconForCausalLM'], 'bias': false, 'hidden_size': 4544, 'multi_query': true, "
     "'new_decoder_architecture': false, 'num_attention_heads': 71, 'num_hidden_layers': 32, "
     "'parallel_attn': true, 'vocab_size': 65024",
     NULL, 6921720704},
    {"'architectures': ['FalconForCausalLM'], 'hidden_size': 8192, 'new_decoder_architecture': true, "
     "'num_attention_heads': 128, 'num_hidden_layers': 60, 'num_kv_heads': 8, 'vocab_size': 65024",
     NULL, 41303293952},
};

/* Every member but name and source. */
static void compare(const struct model *got, const struct model *wanted)
{
    for (size_t i = 0; i < model_options.count; i++) {
        const struct option *option = &model_options.options[i];
        const char *a = (const char *)got + option->offset, *b = (const char *)wanted + option->offset;
        bool same = true;
        if (option->type == OPTION_INTEGER)
            same = *(const int64_t *)a == *(const int64_t *)b;
        else if (option->type == OPTION_BOOL)
            same = *(const bool *)a == *(const bool *)b;
        else if (option->type == OPTION_CHOICE)
            same = *(const int *)a == *(const int *)b;
        if (!same)
            printf("\n%s of %s", option->name, wanted->name);
        CU_ASSERT_TRUE(same);
    }
}

static void test_architectures(void)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct config *config = object(published[i].keys), *file = NULL;
        struct model model, same;
        struct error error = {{0}};
        CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
        if (error.text[0])
            printf("\n%s", error.text);
        CU_ASSERT_STRING_EQUAL(model.name, "config.json");
        if (published[i].same_as) {
            char path[200];
            snprintf(path, sizeof path, "models/%s", published[i].same_as);
            file = cluster_file(path);
            CU_ASSERT_TRUE_FATAL(model_parse(config_root(file), &same, &error));
            compare(&model, &same);
            config_free(file);
        } else {
            CU_ASSERT_EQUAL(model_parameters(&model), published[i].parameters);
        }
        config_free(config);
    }
}

#define LLAMA                                                                                                \
    "'hidden_size': 64, 'intermediate_size': 128, 'max_position_embeddings': 4096, 'num_attention_heads': "  \
    "4, 'num_hidden_layers': 4, 'vocab_size': 100"
#define LATENT                                                                                               \
    ", 'kv_lora_rank': 8, 'qk_rope_head_dim': 8, 'qk_nope_head_dim': 8, 'v_head_dim': 8, "                   \
    "'n_routed_experts': 4, 'moe_intermediate_size': 8"

/* Layers with a window, by every rule that there is. */
static void test_windows(void)
{
    static const struct {
        const char *keys;
        int64_t window, layers;
    } rows[] = {
        {"'model_type': 'llama', " LLAMA, 0, 0},
        {"'model_type': 'mistral', 'sliding_window': 1024, " LLAMA, 1024, 4},
        {"'model_type': 'mistral', 'sliding_window': 4096, " LLAMA, 0, 0},
        {"'model_type': 'qwen2', 'use_sliding_window': true, 'sliding_window': 64, 'max_window_layers': "
         "1, " LLAMA,
         64, 3},
        {"'model_type': 'qwen2', 'use_sliding_window': true, 'sliding_window': 64, 'max_window_layers': "
         "9, " LLAMA,
         0, 0},
        {"'model_type': 'qwen3', 'use_sliding_window': false, 'sliding_window': 64, " LLAMA, 0, 0},
        {"'model_type': 'gemma2', 'sliding_window': 64, " LLAMA, 64, 2},
        {"'model_type': 'gemma3_text', 'sliding_window': 64, 'sliding_window_pattern': 3, " LLAMA, 64, 3},
        {"'model_type': 'gemma2', 'sliding_window': 64, 'layer_types': ['full_attention', 'full_attention', "
         "'sliding_attention', 'full_attention'], " LLAMA,
         64, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = object(rows[i].keys);
        struct model model;
        struct error error = {{0}};
        CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
        CU_ASSERT_EQUAL(model.sliding_window, rows[i].window);
        CU_ASSERT_EQUAL(model.sliding_window_layers, rows[i].layers);
        config_free(config);
    }
}

/* Keys that say what another architecture implies. */
static void test_variants(void)
{
    static const struct {
        const char *keys;
        int64_t more; /* parameters than of the same without the keys */
    } rows[] = {
        {"'model_type': 'llama', 'tie_word_embeddings': true, ", -100 * 64},
        {"'model_type': 'llama', 'attention_bias': true, ", 4 * 4 * 64},
        {"'model_type': 'llama', 'mlp_bias': true, ", 4 * (2 * 128 + 64)},
        {"'model_type': 'llama', 'head_dim': 32, ", 4 * 4 * 64 * 64},
        {"'model_type': 'llama', 'num_key_value_heads': 1, ", -4 * 2 * 64 * 48},
    };
    struct config *config = object("'model_type': 'llama', " LLAMA);
    struct error error = {{0}};
    struct model model;
    CU_ASSERT_TRUE_FATAL(model_parse(config_root(config), &model, &error));
    int64_t plain = model_parameters(&model);
    config_free(config);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char keys[1000];
        snprintf(keys, sizeof keys, "%s" LLAMA, rows[i].keys);
        config = object(keys);
        CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
        CU_ASSERT_EQUAL(model_parameters(&model) - plain, rows[i].more);
        config_free(config);
    }
    /* OPT-350m's norms come after; Qwen's listed layers have an MLP. */
    config = object("'model_type': 'opt', 'do_layer_norm_before': false, 'ffn_dim': 128, " LLAMA);
    CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
    CU_ASSERT_FALSE(model.final_norm);
    config_free(config);
    config = object("'model_type': 'qwen3_moe', 'num_experts': 4, 'num_experts_per_tok': 2, "
                    "'moe_intermediate_size': 8, 'mlp_only_layers': [0, 3], " LLAMA);
    CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
    CU_ASSERT_EQUAL(model.dense_layers, 2);
    config_free(config);
}

/* What the checkpoint is stored in. */
static void test_quantization(void)
{
    static const struct {
        const char *keys;
        enum dtype weights, experts;
    } rows[] = {
        {"'model_type': 'llama', " LLAMA, DTYPE_BF16, DTYPE_BF16},
        {"'model_type': 'llama', 'quantization_config': null, " LLAMA, DTYPE_BF16, DTYPE_BF16},
        {"'model_type': 'llama', 'quantization_config': {'quant_method': 'fp8'}, " LLAMA, DTYPE_FP8,
         DTYPE_FP8},
        {"'model_type': 'llama', 'quantization_config': {'quant_method': 'awq', 'bits': 4}, " LLAMA,
         DTYPE_INT4, DTYPE_INT4},
        {"'model_type': 'llama', 'quantization_config': {'quant_method': 'gptq', 'bits': 8}, " LLAMA,
         DTYPE_INT8, DTYPE_INT8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = object(rows[i].keys);
        struct model model;
        struct error error = {{0}};
        CU_ASSERT_TRUE(model_parse(config_root(config), &model, &error));
        CU_ASSERT_EQUAL(model.weight_dtype, (int)rows[i].weights);
        CU_ASSERT_EQUAL(model.expert_dtype, (int)rows[i].experts);
        config_free(config);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *keys, *message; /* a message that ends in * may go on */
    } rows[] = {
        {"'architectures': ['MambaForCausalLM'], " LLAMA,
         "config.json: architectures[0]: unknown architecture 'MambaForCausalLM'; known are "
         "LlamaForCausalLM, *"},
        {"'model_type': 't5'",
         "config.json: model_type: unknown architecture 't5'; known are LlamaForCausalLM, *"},
        {"'architectures': []", "config.json: architectures: expected the name of an architecture; take the "
                                "model's config.json as it was published"},
        {"'architectures': [3]",
         "config.json: architectures[0]: expected the name of an architecture; take the "
         "model's config.json as it was published"},
        {"'model_type': 'llama'", "config.json: missing 'num_hidden_layers': decoder layers"},
        {"'model_type': 'llama', 'num_hidden_layers': null",
         "config.json: missing 'num_hidden_layers': decoder layers"},
        {"'model_type': 'llama', 'num_hidden_layers': 2, 'hidden_size': 8, 'num_attention_heads': 2",
         "config.json: missing 'intermediate_size': intermediate width of the MLP"},
        {"'model_type': 'gpt2', 'n_layer': 2, 'n_embd': 8",
         "config.json: missing 'n_head': query heads of a layer"},
        {"'model_type': 'opt', 'num_hidden_layers': 2, 'hidden_size': 8, 'num_attention_heads': 2",
         "config.json: missing 'ffn_dim': intermediate width of the MLP"},
        {"'model_type': 'mixtral', 'num_local_experts': 4, " LLAMA,
         "config.json: missing 'num_experts_per_tok': experts that a token is sent to"},
        {"'model_type': 'mixtral', 'num_local_experts': 4, 'num_experts_per_tok': 5, " LLAMA,
         "config.json: 5 of 4 experts per token: from 1 to all of them"},
        {"'model_type': 'deepseek_v3', " LLAMA,
         "config.json: missing 'kv_lora_rank': width of the cached latent"},
        {"'model_type': 'deepseek_v3', 'num_experts_per_tok': 2, 'moe_layer_freq': 2, " LLAMA LATENT,
         "config.json: moe_layer_freq: 2 is out of bounds: from 1 to 1"},
        {"'model_type': 'qwen3_moe', 'num_experts': 4, 'num_experts_per_tok': 2, 'moe_intermediate_size': 8, "
         "'mlp_only_layers': 1, " LLAMA,
         "config.json: mlp_only_layers: expected a list of layers, not a number"},
        {"'model_type': 'llama', 'quantization_config': {'quant_method': 'gptq', 'bits': 3}, " LLAMA,
         "config.json: quantization_config: quantization 'gptq' is not understood (fp8, mxfp4, and awq or "
         "gptq "
         "with 4 or 8 bits are): remove quantization_config and set weight_dtype of the pools"},
        {"'model_type': 'llama', 'num_hidden_layers': '4'",
         "config.json: num_hidden_layers: expected an integer, not a string"},
        {"'model_type': 'llama', 'num_key_value_heads': 3, " LLAMA,
         "config.json: 3 does not divide the 4 query heads: each key head serves the same number of them"},
        {"'model_type': 'opt', 'ffn_dim': 128, 'word_embed_proj_dim': 32, " LLAMA,
         "config.json: word_embed_proj_dim: an embedding of another width than hidden_size is not "
         "understood; *"},
        {"'model_type': 'gpt_oss', 'num_local_experts': 4, 'num_experts_per_tok': 2, 'layer_types': "
         "['full_attention'], " LLAMA,
         "config.json: layer_types: expected a list of 4 types, one a layer"},
        {"'model_type': 'qwen3', 'layer_types': ['full_attention', 'linear_attention', 'full_attention', "
         "'full_attention'], " LLAMA,
         "config.json: layer_types[1]: unknown type of a layer; understood are full_attention and "
         "sliding_attention"},
        {"'model_type': 'gemma3', 'text_config': {'model_type': 'gemma3_text', 'hidden_size': 64}",
         "config.json: text_config: missing 'num_hidden_layers': decoder layers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = object(rows[i].keys);
        struct model model;
        struct error error = {{0}};
        size_t length = strlen(rows[i].message);
        bool goes_on = rows[i].message[length - 1] == '*';
        CU_ASSERT_FALSE(model_parse(config_root(config), &model, &error));
        bool same = goes_on ? strncmp(error.text, rows[i].message, length - 1) == 0
                            : strcmp(error.text, rows[i].message) == 0;
        if (!same)
            printf("\n%s\n%s", error.text, rows[i].message);
        CU_ASSERT_TRUE(same);
        config_free(config);
    }
}

int main(void)
{
    const struct test_case cases[] = {
        {"architectures", test_architectures}, {"sliding windows", test_windows}, {"variants", test_variants},
        {"quantization", test_quantization},   {"refused", test_refused},
    };
    return test_main("huggingface", cases, sizeof cases / sizeof *cases);
}
