/* The sums behind `tandem memory`. */
#include "tandem/footprint.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "tandem/mem.h"

enum reserve { RESERVE_ENGINE, RESERVE_WEIGHTS, RESERVE_NONE };
static const char *const reserve_names[] = {"engine", "weights", "none", NULL};

/* Bytes of an entry of [B, H, N, N]: softmax is computed in FP32. */
#define SCORE_BYTES 4

/* The textbook's rule: activations take as much as the weights twice. */
#define WEIGHTS_RESERVED 2

#define MOST_SEQUENCES (1 << 20)
#define MOST_TOKENS    (1 << 22)
#define MOST_OUTPUTS   (1 << 16)
#define MOST_WIDTHS    64   /* of a table, each way */
#define MOST_PROMPTS   4096 /* in a batch of its own */

struct settings {
    const struct node *model_node, *batches_node, *lengths_node, *prompts_node, *outputs_node;
    int reserve;
    int64_t max_length;
    bool all_gpus;
};

#define FIELD(member) offsetof(struct settings, member)

static const struct option options[] = {
    {"model", OPTION_NODE, NULL, 0, 0, NULL, FIELD(model_node),
     "name or file of the model, or the model itself"},
    {"batches", OPTION_NODE, "null", 0, 0, NULL, FIELD(batches_node),
     "sequences of a lane, between commas; default 1,2,4,8,16,32"},
    {"lengths", OPTION_NODE, "null", 0, 0, NULL, FIELD(lengths_node),
     "tokens of each, between commas; default 128,256,512,1024,2048,4096,8192,16384,32768"},
    {"prompts", OPTION_NODE, "null", 0, 0, NULL, FIELD(prompts_node),
     "tokens of each prompt of one batch, between commas: its padding, and its memory step by step"},
    {"outputs", OPTION_NODE, "null", 0, 0, NULL, FIELD(outputs_node),
     "tokens that each of them generates, between commas; one number is for all; default 1: prefill alone"},
    {"max_length", OPTION_INTEGER, "0", 0, MOST_TOKENS, NULL, FIELD(max_length),
     "tokens that a contiguous cache sets aside for each prompt and its output; 0: not shown"},
    {"reserve_activations", OPTION_CHOICE, "\"engine\"", 0, 0, reserve_names, FIELD(reserve),
     "what is kept free: engine: 2T(h + 2 ff/tp) for T = max_num_batched_tokens, and 1 GiB; weights: twice "
     "the "
     "weights, a rule of thumb; none"},
    {"all_gpus", OPTION_BOOL, "false", 0, 0, NULL, FIELD(all_gpus),
     "longest contexts and largest batches on every GPU of `tandem list gpus`"},
};
OPTION_TABLE(footprint_options, "memory", "the batches of `tandem memory`; all else are keys of a pool",
             options);

struct list {
    int64_t *values; /* owned */
    size_t count;
};

/* What a report is computed from. */
struct subject {
    const struct node *root;
    struct settings settings;
    struct plan plan; /* its model */
    struct plan_pool pool;
    struct list batches, lengths, prompts, outputs; /* outputs: one for each prompt */
};

static void clear_subject(struct subject *subject)
{
    struct list *const lists[] = {&subject->batches, &subject->lengths, &subject->prompts, &subject->outputs};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        mem_free(lists[i]->values);
}

/* Appends what text stands for: whole numbers between commas. */
static bool read_words(const struct node *node, const char *text, int64_t most, size_t most_count,
                       struct list *list, struct error *error)
{
    for (const char *word = text;; word++) {
        char *end;
        long long value = strtoll(word, &end, 10);
        if (end == word || (*end != ',' && *end != '\0'))
            return node_error(node, error, "'%s': expected whole numbers between commas, such as 100,150,80",
                              text);
        if (value < 1 || value > most)
            return node_error(node, error, "%lld is out of bounds: from 1 to %lld", value, (long long)most);
        if (list->count == most_count)
            return node_error(node, error, "more than %zu numbers", most_count);
        list->values[list->count++] = value;
        word = end;
        if (*end == '\0')
            return true;
    }
}

/* Fills a list from "1,2", 1 or [1, 2]; fallback where there is no node. */
static bool read_list(const struct node *node, const char *fallback, int64_t most, size_t most_count,
                      struct list *list, struct error *error)
{
    struct text text = {0};
    bool is_array = node && node_type(node) == NODE_ARRAY;
    if (!node && !fallback)
        return true;
    for (size_t i = 0; i < (is_array ? node_size(node) : 1); i++) {
        const struct node *one = is_array ? node_at(node, i) : node;
        if (!one || node_type(one) == NODE_STRING)
            text_append(&text, "%s%s", i > 0 ? "," : "", one ? node_string(one) : fallback);
        else if (node_type(one) == NODE_NUMBER)
            text_append(&text, "%s%.17g", i > 0 ? "," : "", node_number(one));
        else
            text_append(&text, "%s%s", i > 0 ? "," : "", node_type_name(node_type(one)));
    }
    list->values = mem_array(most_count, sizeof *list->values);
    bool good = read_words(node, text_string(&text), most, most_count, list, error);
    text_clear(&text);
    return good;
}

static int64_t largest(const struct list *list)
{
    int64_t most = 0;
    for (size_t i = 0; i < list->count; i++)
        most = list->values[i] > most ? list->values[i] : most;
    return most;
}

/* The largest sums are those of score matrices and of the cache. */
static bool check_sums(const struct subject *subject, const struct node *node, int64_t sequences,
                       int64_t tokens, struct error *error)
{
    const struct model *model = &subject->plan.model;
    double b = (double)sequences, n = (double)(tokens + subject->pool.kv.block_tokens);
    double kv = (double)model_kv_bytes_per_token(model, subject->pool.layout.kv_dtype);
    double width = (double)(model->hidden * model->layers + 2 * model->mlp_width +
                            2 * model->experts_per_token * model->expert_width);
    double most = fmax(SCORE_BYTES * (double)model->heads * b * n * n, b * n * fmax(2 * width, kv));
    return most < 0x1p62 ||
           node_error(node ? node : subject->root, error,
                      "%lld sequences of %lld tokens: more bytes than can be counted; use fewer",
                      (long long)sequences, (long long)tokens);
}

static int64_t cached_at_end(const struct subject *subject, size_t i)
{
    return subject->prompts.values[i] + subject->outputs.values[i] - 1; /* the last token is not cached */
}

static bool check_lists(const struct subject *subject, struct error *error)
{
    const struct settings *settings = &subject->settings;
    const struct node *max_length = node_get(subject->root, "max_length");
    int64_t longest = largest(&subject->prompts) + largest(&subject->outputs);
    if (settings->max_length > 0 && subject->prompts.count == 0)
        return node_error(max_length, error, "there is nothing to set it aside for; give prompts as well");
    for (size_t i = 0; settings->max_length > 0 && i < subject->prompts.count; i++)
        if (settings->max_length < cached_at_end(subject, i))
            return node_error(max_length, error, "%lld is less than the %lld tokens that a sequence comes to",
                              (long long)settings->max_length, (long long)cached_at_end(subject, i));
    return check_sums(subject, settings->lengths_node, largest(&subject->batches), largest(&subject->lengths),
                      error) &&
           check_sums(subject, settings->prompts_node, (int64_t)subject->prompts.count, longest, error);
}

/* outputs: as many as prompts. */
static bool complete_outputs(struct subject *subject, struct error *error)
{
    struct list *outputs = &subject->outputs;
    size_t count = subject->prompts.count;
    const struct node *node = subject->settings.outputs_node;
    if (node && count == 0)
        return node_error(node, error, "outputs of no prompts; give prompts as well");
    if (outputs->count != 1 && outputs->count != count && count > 0)
        return node_error(node, error, "%zu outputs for %zu prompts; give one for each, or one for all",
                          outputs->count, count);
    for (; outputs->count < count; outputs->count++)
        outputs->values[outputs->count] = outputs->values[0];
    return true;
}

static bool parse(const struct node *root, struct subject *subject, struct error *error)
{
    struct settings *settings = &subject->settings;
    const struct option_part parts[] = {{&footprint_options, settings}, {plan_table("pool"), &subject->pool}};
    subject->root = root;
    return option_parse_parts(parts, 2, root, error) &&
           model_parse(settings->model_node, &subject->plan.model, error) &&
           plan_read_pool(&subject->plan, &subject->pool, root, error) &&
           read_list(settings->batches_node, "1,2,4,8,16,32", MOST_SEQUENCES, MOST_WIDTHS, &subject->batches,
                     error) &&
           read_list(settings->lengths_node, "128,256,512,1024,2048,4096,8192,16384,32768", MOST_TOKENS,
                     MOST_WIDTHS, &subject->lengths, error) &&
           read_list(settings->prompts_node, NULL, MOST_TOKENS, MOST_PROMPTS, &subject->prompts, error) &&
           read_list(settings->outputs_node, "1", MOST_OUTPUTS, MOST_PROMPTS, &subject->outputs, error) &&
           complete_outputs(subject, error) && check_lists(subject, error);
}

/* Memory of one GPU. */
struct budget {
    struct work_shape shape;
    struct kv_capacity capacity;
    int64_t usable, activations, reserve; /* bytes */
    int64_t cache;                        /* bytes left for it */
    int64_t block_tokens;
    int64_t blocks, members, member_blocks; /* of a lane; micro-batches that share them; blocks of each */
};

static int64_t divide_up(int64_t value, int64_t divisor)
{
    return (value + divisor - 1) / divisor;
}

static struct budget stage_budget(const struct subject *subject, const struct plan_pool *pool, int64_t stage)
{
    int rule = subject->settings.reserve;
    struct budget budget = {.shape = model_shape(&subject->plan.model, &pool->layout, stage),
                            .capacity = plan_stage_capacity(&subject->plan, pool, stage),
                            .block_tokens = pool->kv.block_tokens,
                            .members = pool->layout.pipeline_parallel};
    const struct kv_capacity *capacity = &budget.capacity;
    budget.usable = kv_usable_bytes(&pool->kv, capacity);
    if (rule == RESERVE_ENGINE) {
        budget.activations = kv_activation_bytes(capacity);
        budget.reserve = KV_RESERVE_BYTES;
    } else if (rule == RESERVE_WEIGHTS) {
        budget.activations = WEIGHTS_RESERVED * capacity->weight_bytes;
    }
    budget.cache = budget.usable - capacity->weight_bytes - budget.activations - budget.reserve;
    budget.blocks = rule == RESERVE_ENGINE || pool->kv.blocks > 0 ? kv_capacity_blocks(&pool->kv, capacity)
                                                                  : budget.cache / capacity->block_bytes;
    if (budget.blocks < 0)
        budget.blocks = 0;
    budget.member_blocks = budget.blocks / budget.members;
    return budget;
}

/* Of the stage with the fewest blocks. */
static struct budget find_budget(const struct subject *subject, const struct plan_pool *pool)
{
    struct budget least = stage_budget(subject, pool, 0);
    for (int64_t stage = 1; stage < pool->layout.pipeline_parallel; stage++) {
        struct budget one = stage_budget(subject, pool, stage);
        if (one.blocks < least.blocks || (one.blocks == least.blocks && one.cache < least.cache))
            least = one;
    }
    return least;
}

static int64_t blocks_of(const struct budget *budget, int64_t tokens)
{
    return divide_up(tokens, budget->block_tokens);
}

static int64_t longest_context(const struct budget *budget, int64_t sequences)
{
    return budget->member_blocks / divide_up(sequences, budget->members) * budget->block_tokens;
}

static int64_t largest_batch(const struct budget *budget, int64_t tokens)
{
    return budget->member_blocks / blocks_of(budget, tokens) * budget->members;
}

/* The engine's formula for another number of tokens. */
static int64_t activations_of(const struct budget *budget, int64_t tokens)
{
    struct kv_capacity capacity = budget->capacity;
    capacity.max_num_batched_tokens = tokens;
    return kv_activation_bytes(&capacity);
}

/* Scores of a layer: each of so many queries against so many keys. */
static int64_t scores_of(const struct budget *budget, int64_t sequences, int64_t queries, int64_t keys)
{
    return SCORE_BYTES * sequences * budget->shape.query_heads * queries * keys;
}

/* "Can schedule": weights, cache and activations of this phase, beside what the engine needs itself. */
static bool has_room(const struct budget *budget, int64_t kv_bytes, int64_t activations)
{
    return budget->capacity.weight_bytes + kv_bytes + activations <= budget->usable - budget->reserve;
}

static void summarize(const struct subject *subject, const struct budget *budget,
                      struct footprint_summary *sum)
{
    const struct model *model = &subject->plan.model;
    const struct plan_pool *pool = &subject->pool;
    const struct model_layout *layout = &pool->layout;
    struct model_layout whole = model_layout(1, layout->weight_dtype, layout->kv_dtype);
    whole.expert_dtype = layout->expert_dtype;
    *sum = (struct footprint_summary){
        .model = model->name,
        .gpu = pool->gpu.name,
        .weight_dtype = dtype_names[layout->weight_dtype],
        .expert_dtype = dtype_names[layout->expert_dtype],
        .kv_dtype = dtype_names[layout->kv_dtype],
        .tensor_parallel = layout->tensor_parallel,
        .pipeline_parallel = layout->pipeline_parallel,
        .attention_data_parallel = layout->lanes,
        .expert_parallel = layout->expert_parallel,
        .gpus = pool->gpus,
        .parameters = model_parameters(model),
        .active_parameters = model_active_parameters(model),
        .model_weight_bytes = model_weight_bytes(model, &whole),
        .weight_bytes = budget->capacity.weight_bytes,
        .model_kv_bytes_per_token = model_kv_bytes_per_token(model, layout->kv_dtype),
        .kv_bytes_per_token_and_layer = model_kv_bytes_per_token(model, layout->kv_dtype) / model->layers,
        .kv_bytes_per_token = budget->capacity.block_bytes / budget->block_tokens,
        .memory_bytes = budget->capacity.memory_bytes,
        .usable_bytes = budget->usable,
        .reserve_activations = reserve_names[subject->settings.reserve],
        .activation_bytes = budget->activations,
        .reserve_bytes = budget->reserve,
        .cache_bytes = budget->cache,
        .block_tokens = budget->block_tokens,
        .block_bytes = budget->capacity.block_bytes,
        .capacity_blocks = budget->blocks,
        .capacity_tokens = budget->blocks * budget->block_tokens,
        .max_num_batched_tokens = pool->limits.max_num_batched_tokens,
        .max_num_seqs = pool->limits.max_num_seqs,
        .model_max_context_tokens = model->max_context_tokens,
    };
}

static struct footprint_growth growth_at(const struct budget *budget, const struct footprint_summary *sum,
                                         int64_t batch, int64_t length)
{
    int64_t at_once = divide_up(batch, budget->members);
    struct footprint_growth row = {.batch_sequences = batch, .length_tokens = length};
    row.model_kv_bytes = batch * length * sum->model_kv_bytes_per_token;
    row.kv_bytes = batch * blocks_of(budget, length) * sum->block_bytes;
    row.kv_fraction = (double)row.kv_bytes / (double)(row.kv_bytes + sum->weight_bytes);
    row.total_bytes = sum->weight_bytes + row.kv_bytes + sum->activation_bytes + sum->reserve_bytes;
    row.fits = batch <= largest_batch(budget, length);
    row.prefill_activation_bytes = activations_of(budget, at_once * length);
    row.prefill_score_bytes = scores_of(budget, at_once, length, length);
    row.decode_activation_bytes = activations_of(budget, at_once);
    row.decode_score_bytes = scores_of(budget, at_once, 1, length);
    row.all_layers_activation_bytes = 2 * at_once * length * budget->shape.hidden * budget->shape.layers;
    row.prefill_fits = has_room(budget, row.kv_bytes, row.prefill_activation_bytes);
    row.prefill_scores_fit =
        has_room(budget, row.kv_bytes, row.prefill_activation_bytes + row.prefill_score_bytes);
    row.decode_fits = has_room(budget, row.kv_bytes, row.decode_activation_bytes);
    row.decode_scores_fit =
        has_room(budget, row.kv_bytes, row.decode_activation_bytes + row.decode_score_bytes);
    return row;
}

static void list_growth(const struct subject *subject, const struct budget *budget,
                        struct footprint_report *report)
{
    report->width_count = subject->batches.count;
    report->length_count = subject->lengths.count;
    report->growth = mem_array(report->width_count * report->length_count, sizeof *report->growth);
    for (size_t i = 0; i < report->width_count; i++)
        for (size_t j = 0; j < report->length_count; j++)
            report->growth[report->growth_count++] =
                growth_at(budget, &report->summary, subject->batches.values[i], subject->lengths.values[j]);
}

/* Rows of a pool divided over so many GPUs. */
static void append_limits(const struct subject *subject, int64_t tensor_parallel,
                          struct footprint_report *report, size_t *capacities)
{
    struct plan_pool pool = subject->pool;
    pool.layout.tensor_parallel = tensor_parallel;
    struct budget budget = find_budget(subject, &pool);
    size_t contexts = report->context_count + subject->batches.count;
    size_t batches = report->batch_count + subject->lengths.count;
    report->contexts = mem_grow(report->contexts, &capacities[0], contexts, sizeof *report->contexts);
    report->batches = mem_grow(report->batches, &capacities[1], batches, sizeof *report->batches);
    for (size_t i = 0; i < subject->batches.count; i++)
        report->contexts[report->context_count++] = (struct footprint_context){
            .gpu = pool.gpu.name,
            .memory_bytes = pool.gpu.memory_bytes,
            .tensor_parallel = tensor_parallel,
            .weight_bytes = budget.capacity.weight_bytes,
            .cache_bytes = budget.cache,
            .batch_sequences = subject->batches.values[i],
            .max_context_tokens = longest_context(&budget, subject->batches.values[i])};
    for (size_t i = 0; i < subject->lengths.count; i++)
        report->batches[report->batch_count++] = (struct footprint_batch){
            .gpu = pool.gpu.name,
            .memory_bytes = pool.gpu.memory_bytes,
            .tensor_parallel = tensor_parallel,
            .length_tokens = subject->lengths.values[i],
            .max_batch_sequences = largest_batch(&budget, subject->lengths.values[i])};
}

/* For each usual tensor parallelism that divides the model, and the one that was asked for. */
static void list_limits(const struct subject *subject, struct footprint_report *report, size_t *capacities)
{
    static const int64_t usual[] = {1, 2, 4, 8, 16, INT64_MAX};
    int64_t own = subject->pool.layout.tensor_parallel, last = 0;
    for (size_t i = 0; last < own || usual[i] < INT64_MAX;) {
        struct model_layout layout = subject->pool.layout;
        struct error why = {0};
        layout.tensor_parallel = last < own && own < usual[i] ? own : usual[i++];
        last = layout.tensor_parallel;
        if (model_check_layout(&subject->plan.model, &layout, subject->root, &why))
            append_limits(subject, last, report, capacities);
    }
}

/* Appends the limits of the catalogue's other GPUs. */
static bool list_other_gpus(const struct subject *subject, const char *const *sets, size_t set_count,
                            struct footprint_report *report, size_t *capacities, struct error *error)
{
    static const struct config_reference gpus = {"gpu", "gpus", "GPU"};
    const char **words = mem_array(set_count + 1, sizeof *words);
    struct text names = {0};
    size_t capacity = 0;
    bool good = true;
    config_names(&gpus, &names);
    for (size_t i = 0; i < set_count; i++)
        words[i] = sets[i];
    for (const char *line = text_string(&names); good && *line;) {
        struct subject other = {0};
        char word[NAME_MAX + sizeof "gpu="];
        size_t length = strcspn(line, "\n");
        snprintf(word, sizeof word, "gpu=%.*s", (int)length, line);
        line += length + (line[length] == '\n');
        words[set_count] = word;
        report->others = mem_grow(report->others, &capacity, report->other_count + 1, sizeof *report->others);
        struct config **config = &report->others[report->other_count++];
        *config = NULL;
        good = plan_compose_pool(words, set_count + 1, config, error) &&
               parse(config_root(*config), &other, error);
        if (good && strcmp(other.pool.gpu.name, subject->pool.gpu.name) != 0)
            list_limits(&other, report, capacities);
        clear_subject(&other);
    }
    mem_free(words);
    text_clear(&names);
    return good;
}

static void measure_padding(const struct subject *subject, struct footprint_padding *padding)
{
    const struct list *prompts = &subject->prompts;
    padding->sequences = (int64_t)prompts->count;
    padding->longest_tokens = largest(prompts);
    padding->padded_tokens = padding->sequences * padding->longest_tokens;
    for (size_t i = 0; i < prompts->count; i++)
        padding->real_tokens += prompts->values[i];
    padding->wasted_tokens = padding->padded_tokens - padding->real_tokens;
    padding->wasted_of_real = (double)padding->wasted_tokens / (double)padding->real_tokens;
    padding->wasted_of_padded = (double)padding->wasted_tokens / (double)padding->padded_tokens;
}

static void measure_allocation(const struct subject *subject, const struct budget *budget,
                               const struct footprint_summary *sum, struct footprint_allocation *allocation)
{
    allocation->max_length_tokens = subject->settings.max_length;
    for (size_t i = 0; i < subject->prompts.count; i++) {
        allocation->used_tokens += cached_at_end(subject, i);
        allocation->preallocated_tokens += subject->settings.max_length;
        allocation->paged_blocks += blocks_of(budget, cached_at_end(subject, i));
    }
    allocation->paged_tokens = allocation->paged_blocks * budget->block_tokens;
    allocation->used_bytes = allocation->used_tokens * sum->model_kv_bytes_per_token;
    allocation->preallocated_bytes = allocation->preallocated_tokens * sum->model_kv_bytes_per_token;
    allocation->paged_bytes = allocation->paged_tokens * sum->model_kv_bytes_per_token;
    double used = (double)allocation->used_tokens, set_aside = (double)allocation->preallocated_tokens;
    allocation->preallocated_utilization = used / set_aside;
    allocation->internal_fragmentation = (set_aside - used) / set_aside;
    allocation->paged_utilization = used / (double)allocation->paged_tokens;
    allocation->saved_fraction = (set_aside - (double)allocation->paged_tokens) / set_aside;
}

/* Step 0 computes the prompts and gives the first token of each; a sequence of n tokens is in the decode
 * steps 1 .. n - 1, each of which caches one token more. */
static struct footprint_step step_at(const struct subject *subject, const struct budget *budget,
                                     const struct footprint_summary *sum, int64_t step)
{
    struct footprint_step row = {.step = step, .phase = step > 0};
    int64_t blocks = 0;
    for (size_t i = 0; i < subject->prompts.count; i++) {
        int64_t tokens = subject->prompts.values[i] + step;
        if (step > 0 && subject->outputs.values[i] <= step)
            continue;
        row.sequences++;
        row.kv_tokens += tokens;
        row.longest_tokens = tokens > row.longest_tokens ? tokens : row.longest_tokens;
        blocks += blocks_of(budget, tokens);
    }
    row.model_kv_bytes = row.kv_tokens * sum->model_kv_bytes_per_token;
    row.kv_bytes = blocks * sum->block_bytes;
    row.packed_tokens = step == 0 ? row.kv_tokens : row.sequences;
    row.padded_tokens = row.sequences * row.longest_tokens;
    row.packed_activation_bytes = activations_of(budget, row.packed_tokens);
    row.padded_activation_bytes = activations_of(budget, row.padded_tokens);
    row.score_bytes =
        scores_of(budget, row.sequences, step == 0 ? row.longest_tokens : 1, row.longest_tokens);
    row.packed_fits = has_room(budget, row.kv_bytes, row.packed_activation_bytes);
    row.padded_fits = has_room(budget, row.kv_bytes, row.padded_activation_bytes + row.score_bytes);
    return row;
}

static void follow_batch(const struct subject *subject, const struct budget *budget,
                         struct footprint_report *report)
{
    int64_t steps = largest(&subject->outputs);
    report->steps = mem_array((size_t)steps, sizeof *report->steps);
    for (int64_t step = 0; step < steps; step++)
        report->steps[report->step_count++] = step_at(subject, budget, &report->summary, step);
}

/* All that is of the one GPU. */
static void measure(const struct subject *subject, struct footprint_report *report)
{
    struct budget budget = find_budget(subject, &subject->pool);
    summarize(subject, &budget, &report->summary);
    list_growth(subject, &budget, report);
    if (subject->prompts.count == 0)
        return;
    measure_padding(subject, &report->padding);
    if (subject->settings.max_length > 0)
        measure_allocation(subject, &budget, &report->summary, &report->allocation);
    follow_batch(subject, &budget, report);
}

bool footprint_compute(const char *const *sets, size_t set_count, struct footprint_report *report,
                       struct error *error)
{
    struct subject subject = {0};
    size_t capacities[2] = {0};
    *report = (struct footprint_report){0};
    bool good = plan_compose_pool(sets, set_count, &report->config, error) &&
                parse(config_root(report->config), &subject, error);
    if (good) {
        measure(&subject, report);
        list_limits(&subject, report, capacities);
    }
    if (good && subject.settings.all_gpus)
        good = list_other_gpus(&subject, sets, set_count, report, capacities, error);
    clear_subject(&subject);
    return good;
}

void footprint_clear(struct footprint_report *report)
{
    void *const owned[] = {report->growth, report->contexts, report->batches, report->steps};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        mem_free(owned[i]);
    for (size_t i = 0; i < report->other_count; i++)
        if (report->others[i])
            config_free(report->others[i]);
    mem_free(report->others);
    if (report->config)
        config_free(report->config);
    *report = (struct footprint_report){0};
}
