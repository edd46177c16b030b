/* The report of `tandem memory`: the documents' figures, the engine's capacity, and sums by hand. */
#include "tandem/footprint.h"
#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/roofline.h"
#include "test.h"

#define MOST_WORDS 16

/* Splits a copy of space-separated words; it lives until the next call. */
static size_t split(const char *words, const char **sets)
{
    static char copy[8000];
    size_t count = 0;
    CHECK(strlen(words) < sizeof copy, "too long: %s", words);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        CHECK(count < MOST_WORDS, "too many words: %s", words);
        sets[count++] = word;
    }
    return count;
}

/* Computes the report of space-separated words; the caller calls footprint_clear. */
static struct footprint_report report_of(const char *words)
{
    const char *sets[MOST_WORDS];
    size_t count = split(words, sets);
    struct footprint_report report;
    struct error error = {{0}};
    CHECK(footprint_compute(sets, count, &report, &error), "%s: %s", words, error.text);
    return report;
}

static bool near(double got, double expected, double tolerance)
{
    bool good = fabs(got - expected) <= tolerance * fabs(expected);
    if (!good)
        printf("got %.15g, expected %.15g\n", got, expected);
    return good;
}

static const struct footprint_growth *growth_at(const struct footprint_report *report, int64_t batch,
                                                int64_t length)
{
    for (size_t i = 0; i < report->growth_count; i++)
        if (report->growth[i].batch_sequences == batch && report->growth[i].length_tokens == length)
            return &report->growth[i];
    CHECK(false, "no row of %lld x %lld", (long long)batch, (long long)length);
    return NULL;
}

static int64_t context_of(const struct footprint_report *report, int64_t tensor_parallel, int64_t batch)
{
    for (size_t i = 0; i < report->context_count; i++)
        if (report->contexts[i].tensor_parallel == tensor_parallel &&
            report->contexts[i].batch_sequences == batch)
            return report->contexts[i].max_context_tokens;
    return -1;
}

static int64_t batch_of(const struct footprint_report *report, int64_t tensor_parallel, int64_t length)
{
    for (size_t i = 0; i < report->batch_count; i++)
        if (report->batches[i].tensor_parallel == tensor_parallel &&
            report->batches[i].length_tokens == length)
            return report->batches[i].max_batch_sequences;
    return -1;
}

/* A model of the growth report's coarse shape: multi-head attention, two matrices of an MLP 4/3 as wide as
 * the model (rounded down), an embedding of 32,000 rows that is the head too, one norm of weight and bias a
 * layer. */
struct coarse {
    const char *name;
    int64_t layers, hidden, mlp_width;
    int64_t weight_bytes, kv_1k, kv_8k, kv_32k; /* bytes, of 16 bits */
    int64_t context_80, context_40;             /* tokens, on GPUs of so many GiB */
};

static const struct coarse coarse_models[] = {
    {"7B", 32, 4096, 5461, 7420772352, 536870912, 4294967296, 17179869184, 121378, 39458},
    {"13B", 40, 5120, 6826, 14308966400, 838860800, 6710886400, 26843545600, 52456, 27},
    {"70B", 80, 8192, 10922, 72107950080, 2684354560, 21474836480, 85899345920, 0, 0},
    {"GPT-4-class", 100, 12288, 16384, 202117939200, 5033164800, 40265318400, 161061273600, 0, 0},
};

/* The document's rule: all of the memory, twice the weights for activations, no blocks. */
static struct footprint_report coarse_report(const struct coarse *model, int memory_gib, const char *more)
{
    char words[2000];
    snprintf(
        words, sizeof words,
        "model={\"name\":\"coarse\",\"source\":\"document\",\"layers\":%lld,\"hidden\":%lld,\"heads\":%lld,"
        "\"head_dim\":128,\"mlp_width\":%lld,\"gated_mlp\":false,\"vocabulary\":32000,"
        "\"tied_embeddings\":true,\"norm\":\"layer\",\"norms\":1,\"final_norm\":false,"
        "\"max_context_tokens\":32768} gpu=h100-sxm gpu.memory_gib=%d kv.memory_utilization=1 "
        "kv.block_tokens=1 reserve_activations=weights %s",
        (long long)model->layers, (long long)model->hidden, (long long)model->hidden / 128,
        (long long)model->mlp_width, memory_gib, more);
    return report_of(words);
}

static void documents_models(void)
{
    for (size_t i = 0; i < sizeof coarse_models / sizeof *coarse_models; i++) {
        const struct coarse *model = &coarse_models[i];
        struct footprint_report on_80 = coarse_report(model, 80, ""), on_40 = coarse_report(model, 40, "");
        CU_ASSERT_EQUAL(on_80.summary.parameters, model->weight_bytes / 2);
        CU_ASSERT_EQUAL(on_80.summary.model_weight_bytes, model->weight_bytes);
        CU_ASSERT_EQUAL(growth_at(&on_80, 1, 1024)->model_kv_bytes, model->kv_1k);
        CU_ASSERT_EQUAL(growth_at(&on_80, 1, 8192)->model_kv_bytes, model->kv_8k);
        CU_ASSERT_EQUAL(growth_at(&on_80, 1, 32768)->model_kv_bytes, model->kv_32k);
        CU_ASSERT_EQUAL(growth_at(&on_80, 1, 32768)->kv_bytes, model->kv_32k);
        CU_ASSERT_EQUAL(context_of(&on_80, 1, 1), model->context_80);
        CU_ASSERT_EQUAL(context_of(&on_40, 1, 1), model->context_40);
        footprint_clear(&on_80);
        footprint_clear(&on_40);
    }
}

static void documents_gpus(void)
{
    static const struct {
        int gib;
        int64_t context_1, context_4;
    } gpus[] = {{24, 6690, 1672}, {40, 39458, 9864}, {80, 121378, 30344}, {96, 154146, 38536}};
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        struct footprint_report report = coarse_report(&coarse_models[0], gpus[i].gib, "");
        CU_ASSERT_EQUAL(context_of(&report, 1, 1), gpus[i].context_1);
        CU_ASSERT_EQUAL(context_of(&report, 1, 4), gpus[i].context_4);
        CU_ASSERT_EQUAL(report.summary.activation_bytes, 2 * report.summary.weight_bytes);
        CU_ASSERT_EQUAL(report.summary.reserve_bytes, 0);
        footprint_clear(&report);
    }
}

static void documents_growth(void)
{
    struct footprint_report report = coarse_report(&coarse_models[0], 80, "");
    CU_ASSERT_EQUAL(report.summary.model_kv_bytes_per_token, 524288);
    CU_ASSERT_EQUAL(report.summary.kv_bytes_per_token_and_layer, 16384);
    CU_ASSERT_EQUAL(lround(1e4 * growth_at(&report, 1, 32768)->kv_fraction), 6984);
    CU_ASSERT_EQUAL(report.width_count, 6);
    CU_ASSERT_EQUAL(report.length_count, 9);
    for (size_t i = 0; i < report.growth_count; i++) {
        const struct footprint_growth *one = &report.growth[i];
        CU_ASSERT_EQUAL(one->model_kv_bytes, one->batch_sequences * one->length_tokens * 524288);
        CU_ASSERT_EQUAL(one->total_bytes, 3 * 7420772352 + one->kv_bytes);
        CU_ASSERT_EQUAL(one->fits, one->total_bytes <= INT64_C(80) << 30);
    }
    footprint_clear(&report);
}

/* Llama-2-7B and 70B as they are: 12.6 GiB, not 6.9, and grouped heads. */
static void models_are_exact(void)
{
    struct footprint_report report = report_of("model=llama-2-7b gpu=a100-sxm-40gb");
    CU_ASSERT_EQUAL(report.summary.parameters, 6738415616);
    CU_ASSERT_EQUAL(report.summary.model_weight_bytes, 13476831232);
    footprint_clear(&report);
    report = report_of("model=llama-2-70b gpu=h100-sxm lengths=4096");
    CU_ASSERT_EQUAL(growth_at(&report, 1, 4096)->model_kv_bytes, 1342177280);
    CU_ASSERT(report.summary.cache_bytes < 0);
    CU_ASSERT_EQUAL(report.summary.capacity_blocks, 0);
    CU_ASSERT_EQUAL(growth_at(&report, 1, 4096)->fits, 0);
    CU_ASSERT_EQUAL(context_of(&report, 1, 1), 0);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 4096), 0);
    CU_ASSERT(context_of(&report, 4, 1) > 0);
    footprint_clear(&report);
}

/* KV sizes of the other documents: 2 layers kv_heads head_dim tokens bytes. */
static void documents_caches(void)
{
    static const struct {
        const char *words;
        int64_t length, bytes;
    } sizes[] = {
        {"model=gpt-3-175b gpu=h100-sxm lengths=2048", 2048, 9663676416},
        {"model=llama-2-70b model.kv_heads=64 gpu=h100-sxm lengths=4096", 4096, 10737418240},
        /* The lab's text says 4,194,304,000, its own formula this. */
        {"model=llama-2-13b gpu=h100-sxm lengths=4096", 4096, 3355443200},
        {"model=llama-2-13b gpu=h100-sxm lengths=4096 kv_dtype=fp8", 4096, 1677721600},
        {"model=llama-2-13b model.kv_heads=1 gpu=h100-sxm lengths=4096", 4096, 83886080},
        {"model=llama-2-7b gpu=h100-sxm lengths=2048", 2048, 1073741824},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct footprint_report report = report_of(sizes[i].words);
        CU_ASSERT_EQUAL(growth_at(&report, 1, sizes[i].length)->model_kv_bytes, sizes[i].bytes);
        footprint_clear(&report);
    }
}

/* "512 MB of activations": hidden states of all layers; "512 MiB a layer": scores without FlashAttention,
 * which grow with the square of the length in prefill and with the length in decode. */
static void documents_activations(void)
{
    struct footprint_report report = report_of("model=llama-2-7b gpu=h100-sxm");
    const struct footprint_growth *one = growth_at(&report, 1, 2048), *twice = growth_at(&report, 1, 4096);
    CU_ASSERT_EQUAL(one->all_layers_activation_bytes, 536870912);
    CU_ASSERT_EQUAL(one->prefill_score_bytes, 512 << 20);
    CU_ASSERT_EQUAL(twice->prefill_score_bytes, 4 * one->prefill_score_bytes);
    CU_ASSERT_EQUAL(one->decode_score_bytes, 4 * 32 * 2048);
    CU_ASSERT_EQUAL(twice->decode_score_bytes, 2 * one->decode_score_bytes);
    CU_ASSERT_EQUAL(one->prefill_activation_bytes, 2 * 2048 * (4096 + 2 * 11008));
    CU_ASSERT_EQUAL(one->decode_activation_bytes, 2 * (4096 + 2 * 11008));
    CU_ASSERT_EQUAL(growth_at(&report, 8, 2048)->decode_activation_bytes, 8 * one->decode_activation_bytes);
    footprint_clear(&report);
    report = report_of("model=llama-2-7b gpu=h100-sxm tensor_parallel=4 lengths=2048");
    CU_ASSERT_EQUAL(growth_at(&report, 1, 2048)->prefill_score_bytes, 128 << 20);
    footprint_clear(&report);
}

/* A GPU with room for so much and not a byte more: each verdict changes at its own sum. */
static void can_schedule(void)
{
    struct footprint_report large = report_of("model=llama-2-7b gpu=h100-sxm batches=4 lengths=4096");
    const struct footprint_growth *row = large.growth;
    int64_t base = large.summary.weight_bytes + row->kv_bytes + large.summary.reserve_bytes;
    const struct {
        int64_t bytes;
        int fitting;
    } sums[] = {{base + row->decode_activation_bytes, 1},
                {base + row->decode_activation_bytes + row->decode_score_bytes, 2},
                {base + row->prefill_activation_bytes, 3},
                {base + row->prefill_activation_bytes + row->prefill_score_bytes, 4}};
    for (int i = 0; i < 4; i++)
        for (int missing = 0; missing < 2; missing++) {
            char words[200];
            snprintf(words, sizeof words,
                     "model=llama-2-7b gpu=h100-sxm batches=4 lengths=4096 kv.memory_utilization=1 "
                     "gpu.memory_gib=%.17g",
                     (double)(sums[i].bytes - missing) / 1073741824);
            struct footprint_report report = report_of(words);
            CU_ASSERT_EQUAL(report.summary.usable_bytes, sums[i].bytes - missing);
            const struct footprint_growth *one = report.growth;
            CU_ASSERT_EQUAL(one->decode_fits + one->decode_scores_fit + one->prefill_fits +
                                one->prefill_scores_fit,
                            sums[i].fitting - missing);
            footprint_clear(&report);
        }
    footprint_clear(&large);
}

/* The engine's capacity is the simulation's (roofline asks plan_find_capacity), whatever the layout. */
static void capacity_is_the_engines(void)
{
    static const char *const layouts[] = {
        "model=llama-2-7b gpu=h100-sxm",
        "model=llama-2-70b gpu=a100-sxm-80gb tensor_parallel=2 pipeline_parallel=3",
        "model=llama-3.1-8b gpu=l4 weight_dtype=fp8 kv_dtype=fp8 scheduler.max_num_batched_tokens=4096",
        "model=gemma-3-27b gpu=l40s tensor_parallel=4 kv.block_tokens=32 kv.memory_utilization=0.8",
        "model=gpt-oss-120b gpu=h100-sxm tensor_parallel=2",
        "model=deepseek-v3 gpu=h200-sxm attention_data_parallel=8 expert_parallel=8",
        "model=llama-2-7b gpu=h100-sxm kv.blocks=1000",
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const char *sets[MOST_WORDS];
        struct roofline_report engine;
        struct error error = {{0}};
        struct footprint_report report = report_of(layouts[i]);
        size_t count = split(layouts[i], sets);
        CHECK(roofline_compute(sets, count, &engine, &error), "%s: %s", layouts[i], error.text);
        CU_ASSERT(engine.capacity_blocks > 0);
        CU_ASSERT_EQUAL(report.summary.capacity_blocks / report.summary.pipeline_parallel,
                        engine.capacity_blocks);
        const struct footprint_summary *sum = &report.summary;
        CU_ASSERT_EQUAL(sum->cache_bytes,
                        sum->usable_bytes - sum->weight_bytes - sum->activation_bytes - sum->reserve_bytes);
        if (!strstr(layouts[i], "kv.blocks")) /* one is vLLM's null block */
            CU_ASSERT_EQUAL(sum->capacity_blocks, sum->cache_bytes / sum->block_bytes - 1);
        CU_ASSERT_EQUAL(report.summary.model_kv_bytes_per_token, engine.kv_bytes_per_token);
        CU_ASSERT_EQUAL(report.summary.gpus, engine.gpus);
        CU_ASSERT_EQUAL(report.summary.max_num_batched_tokens, engine.max_num_batched_tokens);
        roofline_clear(&engine);
        footprint_clear(&report);
    }
}

/* Longest contexts and largest batches from blocks, with three micro-batches that share them: 100 blocks are
 * 33 for each; 4 sequences are 2 for the fullest. */
static void limits_by_hand(void)
{
    struct footprint_report report =
        report_of("model=llama-2-70b gpu=h100-sxm pipeline_parallel=3 kv.blocks=100 "
                  "batches=1,4,99,100 lengths=16,17,528,529");
    CU_ASSERT_EQUAL(context_of(&report, 1, 1), 33 * 16);
    CU_ASSERT_EQUAL(context_of(&report, 1, 4), 16 * 16);
    CU_ASSERT_EQUAL(context_of(&report, 1, 99), 16);
    CU_ASSERT_EQUAL(context_of(&report, 1, 100), 0);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 16), 99);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 17), 3 * 16);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 528), 3);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 529), 0);
    for (size_t i = 0; i < report.growth_count; i++)
        CU_ASSERT_EQUAL(report.growth[i].fits, report.growth[i].length_tokens <=
                                                   context_of(&report, 1, report.growth[i].batch_sequences));
    CU_ASSERT_EQUAL(growth_at(&report, 4, 17)->decode_activation_bytes, 2 * 2 * (8192 + 2 * 28672));
    footprint_clear(&report);
}

/* Tensor parallelisms that divide 96 heads, and the one that was asked for; on all GPUs of the catalogue. */
static void limits_of_all(void)
{
    struct footprint_report report = report_of("model=gpt-3-175b gpu=h100-sxm tensor_parallel=3 batches=1");
    CU_ASSERT_EQUAL(report.context_count, 6);
    static const int64_t expected[] = {1, 2, 3, 4, 8, 16};
    for (size_t i = 0; i < 6 && i < report.context_count; i++)
        CU_ASSERT_EQUAL(report.contexts[i].tensor_parallel, expected[i]);
    size_t rows = report.context_count;
    footprint_clear(&report);
    report =
        report_of("model=gpt-3-175b gpu=h100-sxm tensor_parallel=24 batches=1 lengths=512 all_gpus=true");
    CU_ASSERT(report.context_count >= 20 * rows && report.context_count % rows == 0);
    CU_ASSERT_EQUAL(report.batch_count, report.context_count);
    CU_ASSERT_EQUAL(report.contexts[5].tensor_parallel, 24);
    size_t own = 0;
    for (size_t i = 0; i < report.context_count; i++)
        own += strcmp(report.contexts[i].gpu, "h100-sxm") == 0;
    CU_ASSERT_EQUAL(own, rows);
    /* The same figures as the report of that GPU alone. */
    struct footprint_report alone = report_of("model=gpt-3-175b gpu=a100-sxm-40gb batches=1");
    for (size_t i = 0; i < report.context_count; i++)
        if (strcmp(report.contexts[i].gpu, "a100-sxm-40gb") == 0 && report.contexts[i].tensor_parallel == 16)
            CU_ASSERT_EQUAL(report.contexts[i].max_context_tokens, context_of(&alone, 16, 1));
    CU_ASSERT(context_of(&alone, 16, 1) > 0);
    footprint_clear(&alone);
    footprint_clear(&report);
}

static void documents_padding(void)
{
    struct footprint_report report = report_of("model=llama-2-7b gpu=h100-sxm prompts=100,150,80");
    CU_ASSERT_EQUAL(report.padding.real_tokens, 330);
    CU_ASSERT_EQUAL(report.padding.padded_tokens, 450);
    CU_ASSERT_EQUAL(report.padding.wasted_tokens, 120);
    CU_ASSERT(near(report.padding.wasted_of_real, 0.36, 0.011));
    CU_ASSERT(near(report.padding.wasted_of_padded, 0.267, 2e-3));
    CU_ASSERT_EQUAL(report.step_count, 1);
    CU_ASSERT_EQUAL(report.allocation.max_length_tokens, 0);
    footprint_clear(&report);
}

/* 100, 150 and 80 tokens through 100 steps. The document has 10 increments between steps 10 and 100; it is 9.
 */
static void documents_evolution(void)
{
    struct footprint_report report =
        report_of("model=llama-2-7b gpu=h100-sxm prompts=100,150,80 outputs=101 kv.block_tokens=1");
    const struct footprint_step *steps = report.steps;
    CU_ASSERT_EQUAL_FATAL(report.step_count, 101);
    static const struct {
        int64_t step, longest, tokens;
    } expected[] = {{0, 150, 330}, {1, 151, 333}, {10, 160, 360}, {20, 170, 390}, {100, 250, 630}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct footprint_step *one = &steps[expected[i].step];
        CU_ASSERT_EQUAL(one->step, expected[i].step);
        CU_ASSERT_EQUAL(one->phase, expected[i].step > 0);
        CU_ASSERT_EQUAL(one->longest_tokens, expected[i].longest);
        CU_ASSERT_EQUAL(one->kv_tokens, expected[i].tokens);
        CU_ASSERT_EQUAL(one->model_kv_bytes, expected[i].tokens * 524288);
        CU_ASSERT_EQUAL(one->kv_bytes, one->model_kv_bytes);
        CU_ASSERT_EQUAL(one->padded_tokens, 3 * expected[i].longest);
    }
    CU_ASSERT_EQUAL(steps[0].packed_tokens, 330);
    CU_ASSERT_EQUAL(steps[0].score_bytes, 4 * 3 * 32 * 150 * 150);
    CU_ASSERT_EQUAL(steps[10].packed_tokens, 3);
    CU_ASSERT_EQUAL(steps[10].score_bytes, 4 * 3 * 32 * 160);
    int64_t increment = steps[20].padded_activation_bytes - steps[10].padded_activation_bytes;
    CU_ASSERT_EQUAL(increment, 2 * 30 * (4096 + 2 * 11008));
    CU_ASSERT_EQUAL(steps[100].padded_activation_bytes - steps[10].padded_activation_bytes, 9 * increment);
    CU_ASSERT_EQUAL(steps[100].packed_activation_bytes, steps[10].packed_activation_bytes);
    footprint_clear(&report);
}

/* A sequence of n tokens is in the steps 1 .. n - 1; with it goes its cache, and the longest may be another.
 */
static void sequences_leave(void)
{
    struct footprint_report report =
        report_of("model=llama-2-7b gpu=h100-sxm prompts=100,150,80 outputs=1,2,4 max_length=160");
    CU_ASSERT_EQUAL_FATAL(report.step_count, 4);
    static const int64_t expected[][4] = {
        {3, 150, 330, 7 + 10 + 5}, {2, 151, 232, 10 + 6}, {1, 82, 82, 6}, {1, 83, 83, 6}};
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(report.steps[i].sequences, expected[i][0]);
        CU_ASSERT_EQUAL(report.steps[i].longest_tokens, expected[i][1]);
        CU_ASSERT_EQUAL(report.steps[i].kv_tokens, expected[i][2]);
        CU_ASSERT_EQUAL(report.steps[i].kv_bytes, expected[i][3] * 16 * 524288);
    }
    CU_ASSERT_EQUAL(report.allocation.used_tokens, 100 + 151 + 83);
    CU_ASSERT_EQUAL(report.allocation.paged_blocks, 7 + 10 + 6);
    footprint_clear(&report);
}

/* Steps fit or not by the byte, packed and padded with scores. */
static void steps_that_fit(void)
{
    struct footprint_report large = report_of("model=llama-2-7b gpu=h100-sxm prompts=1000,10");
    const struct footprint_step *step = large.steps;
    int64_t base = large.summary.weight_bytes + step->kv_bytes + large.summary.reserve_bytes;
    const int64_t sums[] = {base + step->packed_activation_bytes,
                            base + step->padded_activation_bytes + step->score_bytes};
    for (int i = 0; i < 2; i++)
        for (int missing = 0; missing < 2; missing++) {
            char words[200];
            snprintf(
                words, sizeof words,
                "model=llama-2-7b gpu=h100-sxm prompts=1000,10 kv.memory_utilization=1 gpu.memory_gib=%.17g",
                (double)(sums[i] - missing) / 1073741824);
            struct footprint_report report = report_of(words);
            CU_ASSERT_EQUAL(report.steps[0].packed_fits + report.steps[0].padded_fits, i + 1 - missing);
            footprint_clear(&report);
        }
    footprint_clear(&large);
}

/* "16,384 allocated, 8,340 used": 49.1 % internal fragmentation. */
static void documents_allocation(void)
{
    struct footprint_report report = report_of(
        "model=llama-2-7b gpu=h100-sxm prompts=512,1024,256,2048,800,1500,300,1900 max_length=2048");
    const struct footprint_allocation *one = &report.allocation;
    CU_ASSERT_EQUAL(one->preallocated_tokens, 16384);
    CU_ASSERT_EQUAL(one->used_tokens, 8340);
    CU_ASSERT(near(one->internal_fragmentation, 0.491, 1e-3));
    CU_ASSERT_EQUAL(one->preallocated_bytes, 16384 * INT64_C(524288));
    CU_ASSERT_EQUAL(one->used_bytes, 8340 * INT64_C(524288));
    CU_ASSERT_EQUAL(one->paged_blocks, 32 + 64 + 16 + 128 + 50 + 94 + 19 + 119);
    CU_ASSERT_EQUAL(one->paged_tokens, one->paged_blocks * 16);
    CU_ASSERT(one->paged_tokens - one->used_tokens < 8 * 16); /* less than a block each */
    footprint_clear(&report);
    static const struct {
        const char *prompt;
        double utilization;
    } scenarios[] = {{"512", 0.25}, {"1200", 0.59}, {"1800", 0.88}};
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        char words[200];
        snprintf(words, sizeof words, "model=llama-2-7b gpu=h100-sxm max_length=2048 prompts=%s",
                 scenarios[i].prompt);
        report = report_of(words);
        CU_ASSERT(near(report.allocation.preallocated_utilization, scenarios[i].utilization, 0.008));
        footprint_clear(&report);
    }
}

/* 100 requests of 512 tokens in caches of 4,096: 12.5 % utilized; 3,200 blocks of 16 save 87.5 %. "128 KB a
 * token" is Llama-3-8B's. */
static void documents_paged_savings(void)
{
    struct text words = {0};
    text_append(&words, "model=llama-3-8b gpu=h100-sxm max_length=4096 prompts=512");
    for (int i = 1; i < 100; i++)
        text_append(&words, ",512");
    struct footprint_report report = report_of(text_string(&words));
    text_clear(&words);
    CU_ASSERT_EQUAL(report.summary.model_kv_bytes_per_token, 128 << 10);
    CU_ASSERT(near(report.allocation.preallocated_utilization, 0.125, 1e-15));
    CU_ASSERT_EQUAL(report.allocation.paged_blocks, 3200);
    CU_ASSERT_EQUAL(report.allocation.paged_utilization, 1);
    CU_ASSERT(near(report.allocation.saved_fraction, 0.875, 1e-15));
    CU_ASSERT_EQUAL(report.allocation.preallocated_bytes, 53687091200); /* "52.4 GB" of 1000 KB */
    CU_ASSERT_EQUAL(report.allocation.paged_bytes, 6710886400);
    footprint_clear(&report);
}

/* 13B with 50 GB for the cache. The document counts a token as 1 MB (2 GB at most, 800 MB on average): 50,000
 * of them are 25 sequences set aside and 62 by need; a token really is 819,200 bytes. */
static void documents_case_study(void)
{
    struct footprint_report report = report_of("model=llama-2-13b gpu=a100-sxm-80gb kv.block_tokens=1 "
                                               "kv.blocks=50000 lengths=800,2000");
    CU_ASSERT_EQUAL(batch_of(&report, 1, 2000), 25);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 800), 62);
    CU_ASSERT_EQUAL(report.summary.model_kv_bytes_per_token, 819200);
    footprint_clear(&report);
    report =
        report_of("model=llama-2-13b gpu=a100-sxm-80gb kv.block_tokens=1 kv.blocks=61035 lengths=800,2048");
    CU_ASSERT_EQUAL(batch_of(&report, 1, 2048), 29);
    CU_ASSERT_EQUAL(batch_of(&report, 1, 800), 76);
    footprint_clear(&report);
}

/* 24 GB, weights of 14 GB, 356 MB of cache and activations a request, which is the cache of 679 tokens: 28
 * requests; with a margin of 6 % of the memory 24. */
static void documents_batch_exercise(void)
{
    static const struct {
        const char *utilization;
        int64_t batch;
    } cases[] = {{"1", 28}, {"0.94", 24}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[300];
        snprintf(words, sizeof words,
                 "model=tests/unit/sim/lab-7b.json gpu=h100-sxm gpu.memory_gib=%.17g kv.block_tokens=1 "
                 "lengths=679 "
                 "reserve_activations=none kv.memory_utilization=%s",
                 24e9 / 1073741824, cases[i].utilization);
        struct footprint_report report = report_of(words);
        CU_ASSERT(near((double)growth_at(&report, 1, 679)->kv_bytes, 356e6, 1e-4));
        CU_ASSERT_EQUAL(batch_of(&report, 1, 679), cases[i].batch);
        footprint_clear(&report);
    }
}

static int64_t integer_at(const struct node *object, const char *key)
{
    const struct node *value = node_get(object, key);
    CHECK(value, "no %s in the report", key);
    return (int64_t)node_number(value);
}

/* What is printed as JSON is the report: all tables, integers as such. */
static void json_is_the_report(void)
{
    struct footprint_report report =
        report_of("model=llama-2-7b gpu=h100-sxm prompts=100,150 outputs=3 max_length=200");
    struct text text = {0};
    struct config *config = NULL;
    struct error error = {{0}};
    footprint_print_json(&report, &text);
    CHECK(config_parse(text_string(&text), "report", &config, &error), "%s", error.text);
    const struct node *root = config_root(config), *growth = node_get(root, "growth");
    CU_ASSERT_EQUAL(node_size(root), 7);
    CU_ASSERT_EQUAL(integer_at(node_get(root, "summary"), "cache_bytes"), report.summary.cache_bytes);
    CU_ASSERT_STRING_EQUAL(node_string(node_get(node_get(root, "summary"), "model")), "llama-2-7b");
    CU_ASSERT_EQUAL_FATAL(node_size(growth), report.growth_count);
    for (size_t i = 0; i < report.growth_count; i++) {
        CU_ASSERT_EQUAL(integer_at(node_at(growth, i), "kv_bytes"), report.growth[i].kv_bytes);
        CU_ASSERT(node_number(node_get(node_at(growth, i), "kv_fraction")) == report.growth[i].kv_fraction);
        CU_ASSERT_EQUAL(node_bool(node_get(node_at(growth, i), "fits")), report.growth[i].fits);
    }
    CU_ASSERT_EQUAL(node_size(node_get(root, "max_context")), report.context_count);
    CU_ASSERT_EQUAL(node_size(node_get(root, "max_batch")), report.batch_count);
    CU_ASSERT_EQUAL(integer_at(node_get(root, "padding"), "padded_tokens"), 300);
    CU_ASSERT_EQUAL(integer_at(node_get(root, "allocation"), "preallocated_tokens"), 400);
    const struct node *steps = node_get(root, "evolution");
    CU_ASSERT_EQUAL_FATAL(node_size(steps), 3);
    CU_ASSERT_STRING_EQUAL(node_string(node_get(node_at(steps, 0), "phase")), "prefill");
    CU_ASSERT_STRING_EQUAL(node_string(node_get(node_at(steps, 2), "phase")), "decode");
    CU_ASSERT_EQUAL(integer_at(node_at(steps, 2), "kv_tokens"), 254);
    config_free(config);
    text_clear(&text);
    footprint_clear(&report);
}

/* Nor after an error. */
static void nothing_is_kept(void)
{
    const char *sets[] = {"model=llama-2-7b", "gpu=h100-sxm", "prompts=1,2", "outputs=3,4,5"};
    struct footprint_report report;
    struct error error = {{0}};
    CU_ASSERT(!footprint_compute(sets, 4, &report, &error));
    footprint_clear(&report);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
    CU_ASSERT(!footprint_compute(sets, 1, &report, &error));
    footprint_clear(&report);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
    report = report_of("model=llama-2-7b gpu=h100-sxm prompts=1,2 all_gpus=true");
    footprint_clear(&report);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"the documents' models", documents_models},
        {"the documents' GPUs", documents_gpus},
        {"the documents' growth", documents_growth},
        {"models are exact", models_are_exact},
        {"the documents' caches", documents_caches},
        {"the documents' activations", documents_activations},
        {"what can be scheduled", can_schedule},
        {"capacity is the engine's", capacity_is_the_engines},
        {"limits by hand", limits_by_hand},
        {"limits of all layouts and GPUs", limits_of_all},
        {"the documents' padding", documents_padding},
        {"the documents' evolution", documents_evolution},
        {"sequences leave", sequences_leave},
        {"steps that fit", steps_that_fit},
        {"the documents' allocation", documents_allocation},
        {"the documents' savings", documents_paged_savings},
        {"the documents' case study", documents_case_study},
        {"the documents' exercise", documents_batch_exercise},
        {"JSON is the report", json_is_the_report},
        {"nothing is kept", nothing_is_kept},
    };
    return test_main("sim/footprint", cases, sizeof cases / sizeof *cases);
}
