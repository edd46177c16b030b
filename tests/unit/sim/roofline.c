/* The report of `tandem roofline`: its sums, against counts of the model and by hand; the documents' worked
 * examples (tests/unit/sim/lab-*.json). */
#include "tandem/roofline.h"
#include "tandem/check.h"
#include "test.h"

#define MOST_WORDS 12

/* Computes the report of space-separated words; the caller calls roofline_clear. */
static struct roofline_report report_of(const char *words)
{
    static char copy[1000];
    const char *sets[MOST_WORDS];
    size_t count = 0;
    struct roofline_report report;
    struct error error = {{0}};
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        CHECK(count < MOST_WORDS, "too many words: %s", words);
        sets[count++] = word;
    }
    CHECK(roofline_compute(sets, count, &report, &error), "%s: %s", words, error.text);
    return report;
}

static bool near(double got, double expected, double tolerance)
{
    bool good = fabs(got - expected) <= tolerance * fabs(expected);
    if (!good)
        printf("got %.15g, expected %.15g\n", got, expected);
    return good;
}

static const struct roofline_operator *operator_named(const struct roofline_report *report, const char *name)
{
    for (size_t i = 0; i < report->operator_count; i++)
        if (strcmp(report->operators[i].name, name) == 0)
            return &report->operators[i];
    return NULL;
}

/* Every kind of model, host and batch. */
static const char *const batches[] = {
    "model=llama-2-7b gpu=h100-sxm",
    "model=llama-2-70b gpu=h100-sxm tensor_parallel=4 batch=32 context=1000 prefill=700 prompts=3 cached=100",
    "model=llama-2-7b gpu=h100-sxm prefill=512 timer.host=vllm-0.4-eager",
    "model=llama-2-7b gpu=h100-sxm timer.attention=materialized prefill=512",
    "model=llama-2-70b gpu=a100-sxm-80gb tensor_parallel=2 pipeline_parallel=3 batch=8 timer.level=universal",
    "model=gemma-3-27b gpu=l40s tensor_parallel=4 batch=8 context=5000 prefill=3000",
    "model=gpt-oss-120b gpu=h100-sxm batch=16",
    "model=deepseek-v3 gpu=h200-sxm tensor_parallel=8 prefill=2000 batch=100",
    ("model=deepseek-v3 gpu=h100-sxm attention_data_parallel=16 expert_parallel=16 batch=64 "
     "pipeline_parallel=2 timer.host=vllm-0.4-eager network.node_link=ib-ndr-400g"),
};

static void check_sums(const struct roofline_report *report)
{
    const struct roofline_time *time = &report->time;
    double seconds = 0, shares = 0, stage_s = report->stage_gpu_s + report->stage_host_s;
    for (size_t i = 0; i < report->operator_count; i++) {
        const struct roofline_operator *one = &report->operators[i];
        const struct operator_cost *cost = &one->cost;
        double parts[] = {cost->compute_s, cost->memory_s, cost->fixed_s};
        seconds += cost->seconds;
        shares += one->share;
        for (int part = 0; part < 3 && !cost->link; part++)
            CU_ASSERT(parts[one->bound] >= parts[part]);
        CU_ASSERT(cost->link == (one->bound == ROOFLINE_LINK));
        CU_ASSERT(cost->link == (strncmp(one->name, "all-", 4) == 0));
        CU_ASSERT(one->times > 0 && cost->seconds > 0);
    }
    CU_ASSERT(near(seconds, report->stage_gpu_s, 1e-12));
    CU_ASSERT(near(shares + report->stage_host_s / stage_s, 1, 1e-12));
    CU_ASSERT(near(time->gpu_s + time->host_s + time->send_s, time->seconds, 1e-12));
    CU_ASSERT((time->send_s > 0) == (report->layout.pipeline_parallel > 1));
    CU_ASSERT(time->gpu_s >= report->stage_gpu_s);
    CU_ASSERT(report->mfu > 0 && report->mfu < 1 && report->mbu > 0 && report->mbu < 1);
    if (report->layout.pipeline_parallel == 1)
        CU_ASSERT(near(stage_s, time->seconds, 1e-12));
}

static void operators_add_up(void)
{
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct roofline_report report = report_of(batches[i]);
        check_sums(&report);
        roofline_clear(&report);
    }
}

/* The operators of all GPUs do what the model's own count says: MFU is that over the peak. */
static void flops_are_the_models(void)
{
    static const char *const dense[] = {
        "model=llama-2-7b gpu=h100-sxm prefill=512 batch=3",
        ("model=llama-2-70b gpu=h100-sxm tensor_parallel=4 batch=32 context=1000 prefill=700 prompts=3 "
         "cached=100"),
        "model=gemma-3-27b gpu=h100-sxm batch=8 context=5000 prefill=3000",
        "model=gpt-oss-120b gpu=h100-sxm batch=16 timer.moe_imbalance=1",
    };
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        struct roofline_report report = report_of(dense[i]);
        double flops = 0;
        for (size_t j = 0; j < report.operator_count; j++)
            flops += report.operators[j].cost.flops * (double)report.gpus;
        double available = report.peak_flops * (double)report.gpus * report.time.seconds;
        CU_ASSERT(near(report.mfu, flops / available, 1e-9));
        roofline_clear(&report);
    }
}

static double send_s(const char *sets)
{
    struct roofline_report report = report_of(sets);
    double seconds = report.time.send_s;
    roofline_clear(&report);
    return seconds;
}

/* DeepEP as it was measured over this link between two nodes of H200: 50.87 GB/s, the link's efficiency in
 * it. */
static void deepep_as_measured(void)
{
    struct roofline_report report =
        report_of("model=deepseek-v3 gpu=h200-sxm attention_data_parallel=16 expert_parallel=16 batch=64 "
                  "timer.all_to_all=deepep-low-latency network.node_link=ib-ndr-400g");
    double bytes = 64.0 * 8 * 7168 * 2; /* half of them stay on the node, at 253.2 GB/s */
    double combine_s = 21.59e-6 + 1.842e-6 + bytes / 2 / 50.87e9 + bytes / 2 / 253.2e9;
    CU_ASSERT(near(operator_named(&report, "all-to-all, combine")->cost.seconds, 58 * combine_s, 1e-9));
    roofline_clear(&report);
}

/* All-reduces of 2 x 64 x 8192 bytes over 16 GPUs: between two nodes a ring has the NICs of 8 GPUs, at 70 %
 * of 12.5 GB/s; in a rack of NVLink none. */
static void nodes_and_nics(void)
{
    static const struct {
        const char *words;
        double bandwidth; /* 0: that of NVLink */
    } runs[] = {
        {"gpu=h100-sxm network.node_link=ethernet-100g", 8 * 8.75e9},
        {"gpu=h100-sxm network.node_link=ethernet-100g network.nics_per_gpu=2", 2 * 8 * 8.75e9},
        {"gpu=gb200", 0},
        {"gpu=gb200 gpu.gpus_per_node=8 gpu.nvlink_domain=8 network.node_link=ethernet-100g", 8 * 8.75e9},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        char words[200];
        snprintf(words, sizeof words, "model=llama-3.1-70b tensor_parallel=16 batch=64 %s", runs[i].words);
        struct roofline_report report = report_of(words);
        double seconds = operator_named(&report, "all-reduce")->cost.memory_s;
        double ring = 160 * 2 * 15.0 / 16 * 1048576;
        bool good =
            runs[i].bandwidth > 0 ? near(seconds, ring / runs[i].bandwidth, 1e-9) : seconds < ring / 250e9;
        CU_ASSERT(good);
        roofline_clear(&report);
    }
}

/* Four stages of two GPUs: on one node three sends inside it, on two of four GPUs one of them crosses. */
static void stages_fill_nodes(void)
{
#define STAGES "model=llama-2-7b gpu=h100-sxm tensor_parallel=2 prefill=512 network.node_link=ib-ndr-400g "
    double inside = send_s(STAGES "pipeline_parallel=4") / 3;
    double across = send_s(STAGES "pipeline_parallel=2 gpus_per_node=2");
    CU_ASSERT(across > 2 * inside);
    CU_ASSERT(near(send_s(STAGES "pipeline_parallel=4 gpus_per_node=4"), 2 * inside + across, 1e-12));
    CU_ASSERT(near(send_s(STAGES "pipeline_parallel=4 gpus_per_node=2"), 3 * across, 1e-12));
#undef STAGES
}

/* 2 x parameters a token over the weights, once and once more with the cache. */
static void documents_prefill(void)
{
    struct roofline_report report = report_of("model=tests/unit/sim/lab-7b.json "
                                              "gpu=tests/unit/sim/lab-a100.json prefill=512");
    CU_ASSERT(near(report.ridge, 208, 1e-12));
    /* "2 x 7B x 512 = 7.2 TFLOPs" and "14 GB": 7e9 parameters, ours are 2,560 more. */
    CU_ASSERT(near(report.weights_alone.flops, 7.168e12, 1e-6));
    CU_ASSERT(near(report.weights_alone.bytes, 14e9, 1e-6));
    CU_ASSERT(near(report.weights_alone.intensity, 512, 1e-12));
    CU_ASSERT(report.weights_alone.bound == ROOFLINE_COMPUTE);
    /* With activations an operator is below 512, and still right of the ridge. */
    const struct roofline_operator *up = operator_named(&report, "MLP, up");
    double intensity = up->cost.flops / up->cost.bytes;
    CU_ASSERT(intensity > 208 && intensity < 512 && up->bound == ROOFLINE_COMPUTE);
    roofline_clear(&report);
    report = report_of("model=tests/unit/sim/lab-7b.json gpu=tests/unit/sim/lab-a100.json prefill=1024");
    CU_ASSERT(near(report.weights_alone.intensity, 1024, 1e-12)); /* its exercise 2 */
    CU_ASSERT(report.with_kv.bound == ROOFLINE_COMPUTE);
    roofline_clear(&report);
}

/* "14/16 = 0.875" takes 2 GB for the cache of 2,048 tokens; by the document's own formula it is 1.07 GB, so
 * 14/15.07 = 0.93. 2 GB are 3,815 tokens. */
static void documents_decode(void)
{
    struct roofline_report report = report_of("model=tests/unit/sim/lab-7b.json "
                                              "gpu=tests/unit/sim/lab-a100.json batch=1 context=2048");
    CU_ASSERT(near(report.weights_alone.flops, 14e9, 1e-6));
    CU_ASSERT(near(report.weights_alone.intensity, 1, 1e-12));
    CU_ASSERT(report.kv_read_bytes == 1073741824);
    CU_ASSERT(report.kv_write_bytes == 524288);
    CU_ASSERT(near(report.with_kv.bytes, 14e9 + 1073741824 + 524288, 1e-6));
    CU_ASSERT(near(report.with_kv.intensity, 14 / 15.07, 5e-4));
    CU_ASSERT(report.with_kv.bound == ROOFLINE_MEMORY);
    CU_ASSERT(near(report.with_kv.seconds, 15.07e9 / 1.5e12, 5e-4));
    const struct roofline_operator *up = operator_named(&report, "MLP, up");
    CU_ASSERT(near(up->cost.flops / up->cost.bytes, 1, 1e-3) && up->bound == ROOFLINE_MEMORY);
    roofline_clear(&report);
    report = report_of("model=tests/unit/sim/lab-7b.json gpu=tests/unit/sim/lab-a100.json context=3815");
    CU_ASSERT(near(report.kv_read_bytes, 2e9, 1e-3));
    CU_ASSERT(near(report.with_kv.intensity, 0.875, 1e-3));
    roofline_clear(&report);
}

/* Sizes that the documents work out, in bytes: 2 layers kv_heads head_dim tokens 2. */
static void documents_kv(void)
{
    static const struct {
        const char *words;
        double bytes;
    } sizes[] = {
        {"model=llama-2-70b gpu=h100-sxm tensor_parallel=8 context=4096", 1342177280},
        {"model=llama-2-70b gpu=h100-sxm tensor_parallel=16 context=4096 network.node_link=ib-ndr-400g",
         2 * 1342177280.0}, /* copies */
        {"model=llama-2-13b gpu=h100-sxm context=4096", 3355443200},
        {"model=llama-2-13b gpu=h100-sxm context=4096 kv_dtype=fp8 batch=2", 3355443200},
        {"model=llama-2-13b gpu=h100-sxm context=4096 kv_dtype=int8", 4096 * 2 * 40 * 40 * (128 + 2)},
        {"model=llama-2-13b gpu=h100-sxm context=4096 kv_dtype=int4", 4096 * 2 * 40 * 40 * (64 + 4)},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct roofline_report report = report_of(sizes[i].words);
        const struct roofline_operator *attention = operator_named(&report, "decode attention");
        CU_ASSERT(report.kv_read_bytes == sizes[i].bytes);
        /* What the timer moves is what is cached. */
        CU_ASSERT(attention->cost.bytes * (double)report.gpus == sizes[i].bytes);
        CU_ASSERT(near(report.weights_alone.bytes + report.kv_read_bytes + report.kv_write_bytes,
                       report.with_kv.bytes, 1e-15));
        roofline_clear(&report);
    }
}

/* A layer with a window reads the last 1,024 of 5,000 tokens (gemma-3-27b: 52 of 62 layers; 8192 bytes of a
 * layer and token), and a chunk of 100 behind 3,900 reads itself and the window before it. */
static void windows_hide_tokens(void)
{
    struct roofline_report report = report_of("model=gemma-3-27b gpu=h100-sxm batch=2 context=5000");
    CU_ASSERT(report.kv_read_bytes == 2 * 8192.0 * (10 * 5000 + 52 * 1024));
    roofline_clear(&report);
    report = report_of("model=gemma-3-27b gpu=h100-sxm prefill=4000 cached=3900");
    CU_ASSERT(report.kv_read_bytes == 8192.0 * (10 * 4000 + 52 * (1024 + 100)));
    CU_ASSERT(report.kv_write_bytes == 62 * 8192.0 * 100);
    roofline_clear(&report);
}

/* One token passes the active parameters and no others; many pass all. mixtral-8x7b: two of eight experts. */
static void experts_that_are_read(void)
{
    struct roofline_report one = report_of("model=mixtral-8x7b gpu=h200-sxm");
    CU_ASSERT(near(one.weights_alone.bytes, one.weights_alone.flops, 1e-12)); /* 2 bytes, 2 FLOPs */
    struct roofline_report many = report_of("model=mixtral-8x7b gpu=h200-sxm batch=1000");
    CU_ASSERT(near(many.weights_alone.bytes, 2 * 46702792704.0, 1e-12));
    /* Two tokens miss an expert with 9/16: experts are 8 x 32 x 3 x 4096 x 14336 weights. */
    struct roofline_report two = report_of("model=mixtral-8x7b gpu=h200-sxm batch=2");
    double experts = 2.0 * 8 * 32 * 3 * 4096 * 14336;
    CU_ASSERT(near(many.weights_alone.bytes - two.weights_alone.bytes, experts * 9 / 16, 1e-9));
    roofline_clear(&one);
    roofline_clear(&two);
    roofline_clear(&many);
}

/* The iterations of a request: its prompt in chunks of the budget, each over what is cached. */
static void request_in_chunks(void)
{
    struct roofline_report whole = report_of("model=llama-2-7b gpu=h100-sxm prefill=3000 context=4096 "
                                             "scheduler.max_num_batched_tokens=4096");
    CU_ASSERT(whole.request_chunks == 1 && whole.request_prompt_tokens == 3000);
    CU_ASSERT(near(whole.ttft_s, whole.time.seconds, 1e-12));
    struct roofline_report parts = report_of("model=llama-2-7b gpu=h100-sxm prefill=3000 context=4096 "
                                             "scheduler.max_num_batched_tokens=2000");
    struct roofline_report last = report_of("model=llama-2-7b gpu=h100-sxm prefill=3000 cached=2000");
    CU_ASSERT(parts.request_chunks == 2 && last.request_chunks == 1);
    struct roofline_report first = report_of("model=llama-2-7b gpu=h100-sxm prefill=2000");
    CU_ASSERT(
        near(parts.ttft_s, first.ttft_s + last.ttft_s, 1e-3)); /* the head's one row is less than that */
    CU_ASSERT(parts.ttft_s > whole.ttft_s);
    struct roofline_report decode = report_of("model=llama-2-7b gpu=h100-sxm context=4096");
    CU_ASSERT(decode.request_prompt_tokens == 4096);
    CU_ASSERT(decode.tpot_s == decode.time.seconds && decode.tpot_s == whole.tpot_s);
    struct roofline_report many = report_of("model=llama-2-7b gpu=h100-sxm context=4096 batch=16");
    CU_ASSERT(many.tpot_s == decode.tpot_s && many.time.seconds > decode.time.seconds);
    struct roofline_report *const all[] = {&whole, &parts, &last, &first, &decode, &many};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        roofline_clear(all[i]);
}

static void maximum_batch(void)
{
    struct roofline_report report =
        report_of("model=llama-2-7b gpu=h100-sxm context=1000 kv.blocks=1000 kv.block_tokens=32");
    CU_ASSERT(report.capacity_blocks == 1000 && report.maximum_batch == 1000 / 32 && !report.bound_by_seqs);
    roofline_clear(&report);
    /* The cache's bytes are the same: blocks go as 2 x 128 to 64 + 4 bytes of a head, the null block apart.
     */
    report = report_of("model=llama-2-7b gpu=h100-sxm");
    struct roofline_report quantized = report_of("model=llama-2-7b gpu=h100-sxm kv_dtype=int4");
    CU_ASSERT(near((double)(quantized.capacity_blocks + 1) / (double)(report.capacity_blocks + 1), 256.0 / 68,
                   1e-3));
    roofline_clear(&quantized);
    roofline_clear(&report);
    report = report_of("model=llama-2-7b gpu=h100-sxm context=1000 kv.blocks=1000 kv.block_tokens=32 "
                       "scheduler.max_num_seqs=31");
    CU_ASSERT(report.maximum_batch == 31 && !report.bound_by_seqs);
    roofline_clear(&report);
    report = report_of("model=llama-2-7b gpu=h100-sxm context=1000 kv.blocks=1000 kv.block_tokens=32 "
                       "scheduler.max_num_seqs=30");
    CU_ASSERT(report.maximum_batch == 30 && report.bound_by_seqs);
    roofline_clear(&report);
    report = report_of("model=llama-2-70b gpu=h100-sxm");
    CU_ASSERT(report.maximum_batch == 0 && report.capacity_blocks == 0 && report.operator_count > 0);
    CU_ASSERT(strstr(report.no_room.text, "no room for the KV cache") != NULL);
    roofline_clear(&report);
}

static double number_at(const struct node *node, const char *object, const char *key)
{
    const struct node *value = node_get(object ? node_get(node, object) : node, key);
    CHECK(value, "no %s in the report", key);
    return node_number(value);
}

/* What is printed as JSON is the report to the last bit. */
static void json_is_the_report(void)
{
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct roofline_report report = report_of(batches[i]);
        struct text text = {0};
        struct config *config = NULL;
        struct error error = {{0}};
        roofline_print_json(&report, &text);
        CHECK(config_parse(text_string(&text), "report", &config, &error), "%s", error.text);
        const struct node *root = config_root(config), *operators = node_get(root, "operators");
        CU_ASSERT_STRING_EQUAL(node_string(node_get(root, "model")), report.model);
        CU_ASSERT(number_at(root, "iteration", "seconds") == report.time.seconds);
        CU_ASSERT(number_at(root, "iteration", "mbu") == report.mbu);
        CU_ASSERT(number_at(root, "request", "ttft_s") == report.ttft_s);
        CU_ASSERT(number_at(root, "memory", "maximum_batch") == (double)report.maximum_batch);
        CU_ASSERT(number_at(root, NULL, "ridge_flops_per_byte") == report.ridge);
        CU_ASSERT_FATAL(node_size(operators) == report.operator_count);
        for (size_t j = 0; j < report.operator_count; j++) {
            const struct node *one = node_at(operators, j);
            CU_ASSERT_STRING_EQUAL(node_string(node_get(one, "name")), report.operators[j].name);
            CU_ASSERT(number_at(one, NULL, "flops") == report.operators[j].cost.flops);
            CU_ASSERT(number_at(one, NULL, "seconds") == report.operators[j].cost.seconds);
        }
        config_free(config);
        text_clear(&text);
        roofline_clear(&report);
    }
}

int main(void)
{
    static const struct test_case cases[] = {
        {"operators add up to the stage, stages to the iteration", operators_add_up},
        {"stages fill nodes", stages_fill_nodes},
        {"DeepEP as it was measured", deepep_as_measured},
        {"FLOPs of operators are those of the model", flops_are_the_models},
        {"the documents' prefill", documents_prefill},
        {"the documents' decode", documents_decode},
        {"the documents' caches", documents_kv},
        {"windows hide tokens", windows_hide_tokens},
        {"experts that are read", experts_that_are_read},
        {"nodes and their NICs", nodes_and_nics},
        {"a request in chunks", request_in_chunks},
        {"maximum batch", maximum_batch},
        {"JSON is the report", json_is_the_report},
    };
    return test_main("sim/roofline", cases, sizeof cases / sizeof *cases);
}
