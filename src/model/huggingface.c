/* HuggingFace's config.json: tables from its keys to the members of struct model, and for each architecture
 * what its definition implies without a key. Definitions and defaults: the classes of Transformers
 * (configuration_*.py and modeling_*.py of github.com/huggingface/transformers). */
#include "huggingface.h"

#include <string.h>

#include "parts.h"
#include "tandem/text.h"

/* The model, and keys that decide about its members. */
struct reading {
    struct model model;
    const struct node *layer_types, *quantization;
    bool use_sliding_window;
    int64_t first_sliding_layer; /* layers below have no window */
    int64_t full_every;          /* each n-th layer has no window; 0: none */
    int64_t shared_experts;
    int64_t only; /* target of keys that may have one value only */
    const struct node *dense_layer_list;
    int64_t projection_width;
    bool norm_first, no_final_norm, bias, multi_query, new_decoder, parallel_attention;
    int64_t parallel_norms;
};

#define FIELD(member)   offsetof(struct reading, model.member)
#define READING(member) offsetof(struct reading, member)
#define COUNT(key, fallback, max, member, doc)                                                               \
    {                                                                                                        \
        key, OPTION_INTEGER, fallback, 1, max, NULL, FIELD(member), doc                                      \
    }
#define FLAG(key, fallback, offset)                                                                          \
    {                                                                                                        \
        key, OPTION_BOOL, fallback, 0, 0, NULL, offset, ""                                                   \
    }
#define TIED(fallback) FLAG("tie_word_embeddings", fallback, FIELD(tied_embeddings))
/* Only the plain case is understood. */
#define ALWAYS(key, value)                                                                                   \
    {                                                                                                        \
        key, OPTION_INTEGER, #value, value, value, NULL, READING(only), ""                                   \
    }

/* Keys that most architectures share. What has to be there is checked when aliases have been read as well. */
static const struct option shared_rows[] = {
    COUNT("num_hidden_layers", "0", 10000, layers, "decoder layers"),
    COUNT("hidden_size", "0", 1e6, hidden, "width of the residual stream"),
    COUNT("num_attention_heads", "0", 10000, heads, "query heads of a layer"),
    COUNT("num_key_value_heads", "0", 10000, kv_heads, "key and value heads of a layer"),
    COUNT("head_dim", "0", 10000, head_dim, "width of a head"),
    COUNT("intermediate_size", "0", 1e7, mlp_width, "intermediate width of the MLP"),
    COUNT("vocab_size", "0", 1e8, vocabulary, "rows of the embedding"),
    COUNT("max_position_embeddings", "0", 1e9, max_context_tokens, "longest context"),
    {"sliding_window", OPTION_INTEGER, "0", 0, 1e9, NULL, FIELD(sliding_window), ""},
    {"layer_types", OPTION_NODE, "null", 0, 0, NULL, READING(layer_types), ""},
    {"quantization_config", OPTION_NODE, "null", 0, 0, NULL, READING(quantization), ""},
    TIED("false"),
};
static OPTION_TABLE(shared_table, "model", "HuggingFace's config.json", shared_rows);

#define ROWS(name) static OPTION_TABLE(name##_table, "model", "HuggingFace's config.json", name##_rows)

static const struct option llama_rows[] = {
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
    FLAG("mlp_bias", "false", FIELD(mlp_bias)),
};
ROWS(llama);

#define QWEN_WINDOW                                                                                          \
    FLAG("use_sliding_window", "false", READING(use_sliding_window)),                                        \
    {                                                                                                        \
        "max_window_layers", OPTION_INTEGER, "0", 0, 10000, NULL, READING(first_sliding_layer), ""           \
    }

static const struct option qwen2_rows[] = {QWEN_WINDOW};
ROWS(qwen2);

static const struct option qwen3_rows[] = {
    QWEN_WINDOW,
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
    COUNT("head_dim", "128", 10000, head_dim, ""),
};
ROWS(qwen3);

static const struct option qwen3_moe_rows[] = {
    QWEN_WINDOW,
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
    COUNT("num_experts", NULL, 1e6, experts, "experts of a layer"),
    COUNT("num_experts_per_tok", NULL, 1e6, experts_per_token, "experts that a token is sent to"),
    COUNT("moe_intermediate_size", NULL, 1e7, expert_width, "intermediate width of an expert"),
    ALWAYS("decoder_sparse_step", 1),
    {"mlp_only_layers", OPTION_NODE, "null", 0, 0, NULL, READING(dense_layer_list), ""},
};
ROWS(qwen3_moe);

/* Mixtral's experts have the width of the MLP that they stand for. */
static const struct option mixtral_rows[] = {
    COUNT("num_local_experts", NULL, 1e6, experts, "experts of a layer"),
    COUNT("num_experts_per_tok", NULL, 1e6, experts_per_token, "experts that a token is sent to"),
    COUNT("intermediate_size", NULL, 1e7, expert_width, "intermediate width of an expert"),
};
ROWS(mixtral);

static const struct option gpt_oss_rows[] = {
    COUNT("num_local_experts", NULL, 1e6, experts, "experts of a layer"),
    COUNT("num_experts_per_tok", NULL, 1e6, experts_per_token, "experts that a token is sent to"),
    COUNT("intermediate_size", NULL, 1e7, expert_width, "intermediate width of an expert"),
    COUNT("head_dim", "64", 10000, head_dim, ""),
    FLAG("attention_bias", "true", FIELD(qkv_bias)),
    FLAG("attention_bias", "true", FIELD(attention_output_bias)),
};
ROWS(gpt_oss);

static const struct option deepseek_rows[] = {
    COUNT("kv_lora_rank", NULL, 1e6, mla_latent, "width of the cached latent"),
    COUNT("q_lora_rank", "0", 1e6, mla_query_latent, ""),
    COUNT("qk_rope_head_dim", NULL, 10000, mla_rope, "rotated width of a key"),
    COUNT("qk_nope_head_dim", NULL, 10000, mla_nope, "width of the rest of a head's key"),
    COUNT("v_head_dim", NULL, 10000, mla_value, "width of a head's value"),
    COUNT("n_routed_experts", NULL, 1e6, experts, "routed experts of a layer"),
    COUNT("num_experts_per_tok", NULL, 1e6, experts_per_token, "experts that a token is sent to"),
    COUNT("moe_intermediate_size", NULL, 1e7, expert_width, "intermediate width of an expert"),
    {"n_shared_experts", OPTION_INTEGER, "0", 0, 1e6, NULL, READING(shared_experts), ""},
    {"first_k_dense_replace", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(dense_layers), ""},
    ALWAYS("moe_layer_freq", 1),
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
};
ROWS(deepseek);

static const struct option gemma_rows[] = {
    COUNT("head_dim", "256", 10000, head_dim, ""),
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
    TIED("true"),
};
ROWS(gemma);

/* The files of Gemma 3 leave out what is a default of its class. */
static const struct option gemma3_rows[] = {
    COUNT("num_attention_heads", "8", 10000, heads, ""),
    COUNT("num_key_value_heads", "4", 10000, kv_heads, ""),
    COUNT("head_dim", "256", 10000, head_dim, ""),
    COUNT("vocab_size", "262208", 1e8, vocabulary, ""),
    COUNT("max_position_embeddings", "131072", 1e9, max_context_tokens, ""),
    {"sliding_window", OPTION_INTEGER, "4096", 0, 1e9, NULL, FIELD(sliding_window), ""},
    {"sliding_window_pattern", OPTION_INTEGER, "6", 1, 10000, NULL, READING(full_every), ""},
    FLAG("attention_bias", "false", FIELD(qkv_bias)),
    FLAG("attention_bias", "false", FIELD(attention_output_bias)),
    TIED("true"),
};
ROWS(gemma3);

static const struct option phi_rows[] = {FLAG("qk_layernorm", "false", FIELD(qk_norm))};
ROWS(phi);

static const struct option opt_rows[] = {
    COUNT("ffn_dim", "0", 1e7, mlp_width, "intermediate width of the MLP"),
    {"word_embed_proj_dim", OPTION_INTEGER, "0", 1, 1e6, NULL, READING(projection_width), ""},
    FLAG("do_layer_norm_before", "true", READING(norm_first)),
    FLAG("_remove_final_layer_norm", "false", READING(no_final_norm)),
    FLAG("enable_bias", "true", READING(bias)),
    TIED("true"),
};
ROWS(opt);

static const struct option bloom_rows[] = {
    COUNT("n_layer", "0", 10000, layers, "decoder layers"),
    COUNT("n_embed", "0", 1e6, hidden, "width of the residual stream"),
    COUNT("n_head", "0", 10000, heads, "query heads of a layer"),
    COUNT("seq_length", "2048", 1e9, max_context_tokens, ""),
    TIED("true"),
};
ROWS(bloom);

static const struct option gpt2_rows[] = {
    COUNT("n_layer", "0", 10000, layers, "decoder layers"),
    COUNT("n_embd", "0", 1e6, hidden, "width of the residual stream"),
    COUNT("n_head", "0", 10000, heads, "query heads of a layer"),
    COUNT("n_inner", "0", 1e7, mlp_width, ""),
    COUNT("n_positions", "0", 1e8, max_context_tokens, "rows of position embeddings"),
    TIED("true"),
};
ROWS(gpt2);

static const struct option neox_rows[] = {
    FLAG("attention_bias", "true", FIELD(qkv_bias)),
    FLAG("attention_bias", "true", FIELD(attention_output_bias)),
};
ROWS(neox);

static const struct option falcon_rows[] = {
    COUNT("n_layer", "0", 10000, layers, ""),
    COUNT("n_head", "0", 10000, heads, ""),
    COUNT("num_kv_heads", "0", 10000, kv_heads, ""),
    COUNT("ffn_hidden_size", "0", 1e7, mlp_width, ""),
    COUNT("max_position_embeddings", "2048", 1e9, max_context_tokens, ""),
    {"num_ln_in_parallel_attn", OPTION_INTEGER, "0", 1, 2, NULL, READING(parallel_norms), ""},
    FLAG("multi_query", "true", READING(multi_query)),
    FLAG("new_decoder_architecture", "false", READING(new_decoder)),
    FLAG("parallel_attn", "true", READING(parallel_attention)),
    FLAG("bias", "false", READING(bias)),
    TIED("true"),
};
ROWS(falcon);

static void finish_qwen2(struct reading *reading)
{
    reading->model.qkv_bias = true;
}

static void finish_qwen3(struct reading *reading)
{
    reading->model.qk_norm = true;
}

static void finish_qwen3_moe(struct reading *reading)
{
    if (reading->dense_layer_list)
        reading->model.dense_layers = (int64_t)node_size(reading->dense_layer_list);
    finish_qwen3(reading);
}

static void finish_deepseek_v2(struct reading *reading)
{
    reading->model.shared_expert_width = reading->shared_experts * reading->model.expert_width;
}

/* Its router adds a bias to the scores that experts are chosen by. */
static void finish_deepseek_v3(struct reading *reading)
{
    reading->model.router_bias = true;
    finish_deepseek_v2(reading);
}

static void finish_gpt_oss(struct reading *reading)
{
    reading->full_every = 2;
    reading->model.attention_sinks = true;
    reading->model.router_bias = true;
    reading->model.mlp_bias = true;
}

static void finish_gemma2(struct reading *reading)
{
    reading->full_every = 2;
    reading->model.norms = 4;
}

static void finish_gemma3(struct reading *reading)
{
    reading->model.norms = 4;
    finish_qwen3(reading);
}

/* LayerNorm, an MLP of two matrices, and biases all over. */
static void set_gpt(struct model *model, bool bias)
{
    model->norm = NORM_LAYER;
    model->gated_mlp = false;
    model->qkv_bias = model->attention_output_bias = model->mlp_bias = bias;
}

static void finish_phi(struct reading *reading)
{
    set_gpt(&reading->model, true);
    reading->model.norms = 1;
    reading->model.head_bias = true;
}

static void finish_opt(struct reading *reading)
{
    struct model *model = &reading->model;
    set_gpt(model, reading->bias);
    model->final_norm = reading->norm_first && !reading->no_final_norm;
    model->position_embeddings = model->max_context_tokens + 2; /* two rows before the first position */
}

static void finish_bloom(struct reading *reading)
{
    set_gpt(&reading->model, true);
    reading->model.embedding_norm = true;
}

static void finish_gpt2(struct reading *reading)
{
    set_gpt(&reading->model, true);
    reading->model.position_embeddings = reading->model.max_context_tokens;
}

static void finish_neox(struct reading *reading)
{
    bool bias = reading->model.qkv_bias;
    set_gpt(&reading->model, true);
    reading->model.qkv_bias = reading->model.attention_output_bias = bias;
}

static void finish_falcon(struct reading *reading)
{
    struct model *model = &reading->model;
    set_gpt(model, reading->bias);
    if (!reading->new_decoder)
        model->kv_heads = reading->multi_query ? 1 : model->heads;
    if (reading->parallel_norms > 0)
        model->norms = reading->parallel_norms;
    else
        model->norms = reading->new_decoder || !reading->parallel_attention ? 2 : 1;
}

struct architecture {
    const char *name; /* of the class in architectures */
    const char *source;
    const char *model_type;
    const struct option_table *table;        /* keys beside the shared ones, or with other defaults */
    void (*finish)(struct reading *reading); /* sets what the architecture implies */
    int64_t mlp_of_hidden; /* width of the MLP in hidden widths where no key gives it; 0: one has to */
};

#define CLASS(name) name, "config.json of HuggingFace, " name

static const struct architecture architectures[] = {
    {CLASS("LlamaForCausalLM"), "llama", &llama_table, NULL, 0},
    {CLASS("MistralForCausalLM"), "mistral", NULL, NULL, 0},
    {CLASS("MixtralForCausalLM"), "mixtral", &mixtral_table, NULL, 0},
    {CLASS("Qwen2ForCausalLM"), "qwen2", &qwen2_table, finish_qwen2, 0},
    {CLASS("Qwen3ForCausalLM"), "qwen3", &qwen3_table, finish_qwen3, 0},
    {CLASS("Qwen3MoeForCausalLM"), "qwen3_moe", &qwen3_moe_table, finish_qwen3_moe, 0},
    {CLASS("DeepseekV2ForCausalLM"), "deepseek_v2", &deepseek_table, finish_deepseek_v2, 0},
    {CLASS("DeepseekV3ForCausalLM"), "deepseek_v3", &deepseek_table, finish_deepseek_v3, 0},
    {CLASS("GptOssForCausalLM"), "gpt_oss", &gpt_oss_table, finish_gpt_oss, 0},
    {CLASS("GemmaForCausalLM"), "gemma", &gemma_table, NULL, 0},
    {CLASS("Gemma2ForCausalLM"), "gemma2", &gemma_table, finish_gemma2, 0},
    {CLASS("Gemma3ForCausalLM"), "gemma3_text", &gemma3_table, finish_gemma3, 0},
    {CLASS("PhiForCausalLM"), "phi", &phi_table, finish_phi, 0},
    {CLASS("Phi3ForCausalLM"), "phi3", NULL, NULL, 0},
    {CLASS("OPTForCausalLM"), "opt", &opt_table, finish_opt, 0},
    {CLASS("BloomForCausalLM"), "bloom", &bloom_table, finish_bloom, 4},
    {CLASS("GPT2LMHeadModel"), "gpt2", &gpt2_table, finish_gpt2, 4},
    {CLASS("GPTNeoXForCausalLM"), "gpt_neox", &neox_table, finish_neox, 0},
    {CLASS("FalconForCausalLM"), "falcon", &falcon_table, finish_falcon, 4},
};

#define ARCHITECTURES (sizeof architectures / sizeof *architectures)

bool huggingface_is(const struct node *node)
{
    return node_get(node, "architectures") || node_get(node, "model_type");
}

static bool unknown_architecture(const struct node *node, struct error *error)
{
    struct text known = {0};
    for (size_t i = 0; i < ARCHITECTURES; i++)
        text_append(&known, "%s%s", i > 0 ? ", " : "", architectures[i].name);
    node_error(node, error,
               "unknown architecture '%s'; known are %s; describe another one by Tandem's own keys "
               "(`tandem describe model`)",
               node_string(node), text_string(&known));
    text_clear(&known);
    return false;
}

/* The class that the file names, else its model_type; NULL with an error. */
static const struct architecture *find_architecture(const struct node *node, struct error *error)
{
    const struct node *classes = node_get(node, "architectures"), *type = node_get(node, "model_type");
    bool has_class = classes && node_type(classes) == NODE_ARRAY && node_size(classes) > 0;
    const struct node *wanted = has_class ? node_at(classes, 0) : type;
    if (!wanted || node_type(wanted) != NODE_STRING) {
        node_error(wanted ? wanted : classes, error,
                   "expected the name of an architecture; take the model's config.json as it was published");
        return NULL;
    }
    for (size_t i = 0; i < ARCHITECTURES; i++)
        if (strcmp(node_string(wanted), has_class ? architectures[i].name : architectures[i].model_type) == 0)
            return &architectures[i];
    unknown_architecture(wanted, error);
    return NULL;
}

/* Values that their keys' rows cannot judge. */
static bool check_values(const struct node *node, const struct reading *reading, struct error *error)
{
    const struct node *list = reading->dense_layer_list;
    if (list && node_type(list) != NODE_ARRAY)
        return node_error(list, error, "expected a list of layers, not %s", node_type_name(node_type(list)));
    return reading->projection_width == 0 || reading->projection_width == reading->model.hidden ||
           node_error(node_get(node, "word_embed_proj_dim"), error,
                      "an embedding of another width than hidden_size is not understood; describe the model "
                      "by Tandem's own keys (`tandem describe model`)");
}

/* Whether a key gave what every model has; aliases have been read by now. */
static bool check_given(const struct node *node, const struct architecture *architecture,
                        const struct reading *reading, struct error *error)
{
    static const size_t required[] = {FIELD(layers),    FIELD(hidden),     FIELD(heads),
                                      FIELD(mlp_width), FIELD(vocabulary), FIELD(max_context_tokens)};
    const struct option_table *tables[] = {architecture->table, &shared_table};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (*(const int64_t *)((const char *)reading + required[i]) > 0)
            continue;
        for (size_t t = 0; t < 2; t++)
            for (size_t j = 0; tables[t] && j < tables[t]->count; j++) {
                const struct option *option = &tables[t]->options[j];
                if (option->offset == required[i])
                    return node_error(node, error, "missing '%s': %s", option->name, option->doc);
            }
    }
    return true;
}

/* Layers with a window: as listed, else by the rule of the architecture. */
static bool count_windows(struct reading *reading, struct error *error)
{
    struct model *model = &reading->model;
    const struct node *types = reading->layer_types;
    int64_t count = reading->use_sliding_window ? model->layers - reading->first_sliding_layer : 0;
    if (count > 0 && reading->full_every > 0)
        count -= model->layers / reading->full_every;
    if (types && (node_type(types) != NODE_ARRAY || (int64_t)node_size(types) != model->layers))
        return node_error(types, error, "expected a list of %lld types, one a layer",
                          (long long)model->layers);
    if (types)
        count = 0;
    for (size_t i = 0; types && i < node_size(types); i++) {
        const struct node *type = node_at(types, i);
        const char *word = node_type(type) == NODE_STRING ? node_string(type) : "";
        bool slides = strcmp(word, "sliding_attention") == 0;
        if (!slides && strcmp(word, "full_attention") != 0)
            return node_error(type, error,
                              "unknown type of a layer; understood are full_attention and sliding_attention");
        count += slides;
    }
    /* A window as long as the context hides nothing. */
    if (count <= 0 || model->sliding_window >= model->max_context_tokens)
        model->sliding_window = 0;
    model->sliding_window_layers = model->sliding_window > 0 ? count : 0;
    return true;
}

static const char *string_of(const struct node *node, const char *key)
{
    const struct node *member = node_get(node, key);
    return member && node_type(member) == NODE_STRING ? node_string(member) : "";
}

/* How the checkpoint's weights are stored. expert_dtype is a choice: one more than the data type. */
static bool read_quantization(struct reading *reading, struct error *error)
{
    const struct node *node = reading->quantization;
    struct model *model = &reading->model;
    if (!node || node_type(node) != NODE_OBJECT)
        return true;
    const char *method = string_of(node, "quant_method");
    const struct node *bits = node_get(node, "bits");
    int64_t width = bits && node_type(bits) == NODE_NUMBER ? (int64_t)node_number(bits) : 0;
    if (strcmp(method, "fp8") == 0)
        model->weight_dtype = node_get(node, "weight_block_size") ? DTYPE_FP8_BLOCK : DTYPE_FP8;
    else if (strcmp(method, "mxfp4") == 0)
        model->expert_dtype = DTYPE_MXFP4 + 1;
    else if ((strcmp(method, "awq") == 0 || strcmp(method, "gptq") == 0) && (width == 4 || width == 8))
        model->weight_dtype = width == 4 ? DTYPE_INT4 : DTYPE_INT8;
    else
        return node_error(node, error,
                          "quantization '%s' is not understood (fp8, mxfp4, and awq or gptq with 4 or 8 bits "
                          "are): remove quantization_config and set weight_dtype of the pools",
                          method);
    return true;
}

bool huggingface_parse(const struct node *node, struct model *model, struct error *error)
{
    struct reading reading = {.use_sliding_window = true};
    const struct node *text_part = node_get(node, "text_config");
    if (text_part && huggingface_is(text_part))
        return huggingface_parse(text_part, model, error);
    const struct architecture *architecture = find_architecture(node, error);
    if (!architecture)
        return false;
    const struct option_part parts[] = {{&shared_table, &reading}, {architecture->table, &reading}};
    if (!option_parse_foreign(parts, architecture->table ? 2 : 1, node, error))
        return false;
    reading.model.name = node_file(node);
    reading.model.source = architecture->source;
    reading.model.gated_mlp = reading.model.final_norm = true;
    reading.model.norms = 2;
    if (reading.model.mlp_width == 0)
        reading.model.mlp_width = architecture->mlp_of_hidden * reading.model.hidden;
    if (!check_given(node, architecture, &reading, error) || !check_values(node, &reading, error))
        return false;
    if (architecture->finish)
        architecture->finish(&reading);
    if (!count_windows(&reading, error) || !read_quantization(&reading, error))
        return false;
    *model = reading.model;
    return true;
}
