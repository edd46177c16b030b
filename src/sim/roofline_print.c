/* The report of `tandem roofline` as text and as JSON. */
#include "tandem/roofline.h"

#include <stdio.h>
#include <string.h>

static const double GIB = 1024.0 * 1024.0 * 1024.0;

static void print_batch(const struct roofline_report *report, struct text *text)
{
    const struct roofline_batch *batch = &report->batch;
    const struct model_layout *layout = &report->layout;
    const char *of_lane = layout->lanes > 1 ? " in each lane" : "";
    text_append(text, "%s on %lld x %s, coefficients %s, host %s\n", report->model, (long long)report->gpus,
                report->gpu, report->coefficients, report->host);
    text_append(text,
                "parallel: tensor %lld, pipeline %lld, attention data %lld, expert %lld; weights %s, experts "
                "%s, KV cache %s\n",
                (long long)layout->tensor_parallel, (long long)layout->pipeline_parallel,
                (long long)layout->lanes, (long long)layout->expert_parallel,
                dtype_names[layout->weight_dtype], dtype_names[layout->expert_dtype],
                dtype_names[layout->kv_dtype]);
    if (batch->prompt_tokens > 0)
        text_append(text, "prefill: %lld prompts of %lld tokens, %lld of them cached%s\n",
                    (long long)batch->prompts, (long long)batch->prompt_tokens,
                    (long long)batch->cached_tokens, of_lane);
    if (batch->decode_sequences > 0)
        text_append(text, "decode: %lld sequences over contexts of %lld tokens%s\n",
                    (long long)batch->decode_sequences, (long long)batch->context_tokens, of_lane);
    int64_t tokens = report->work.prefill_tokens + report->work.decode_sequences;
    if (tokens > report->max_num_batched_tokens)
        text_append(text, "(%lld tokens: an engine with max_num_batched_tokens %lld would split them)\n",
                    (long long)tokens, (long long)report->max_num_batched_tokens);
}

static void print_operators(const struct roofline_report *report, struct text *text)
{
    text_append(text, "\none GPU of stage %lld (%lld layers), all runs of an operator together:\n",
                (long long)report->stage, (long long)report->stage_layers);
    text_append(text, "%-31s %6s %12s %11s %9s %-8s %10s %7s\n", "operator", "times", "GFLOP", "MB",
                "FLOP/byte", "bound", "us", "share %");
    for (size_t i = 0; i < report->operator_count; i++) {
        const struct roofline_operator *one = &report->operators[i];
        const struct operator_cost *cost = &one->cost;
        text_append(text, "%-31s %6g %12.3f %11.2f ", one->name, one->times, cost->flops / 1e9,
                    cost->bytes / 1e6);
        if (cost->flops > 0)
            text_append(text, "%9.2f ", cost->flops / cost->bytes);
        else
            text_append(text, "%9s ", "-");
        text_append(text, "%-8s %10.1f %7.2f\n", roofline_bound_names[one->bound], cost->seconds * 1e6,
                    100 * one->share);
    }
    double total_s = report->stage_gpu_s + report->stage_host_s;
    text_append(text, "%-31s %6s %12s %11s %9s %-8s %10.1f %7.2f\n", "host, not hidden", "", "", "", "", "",
                report->stage_host_s * 1e6, 100 * report->stage_host_s / total_s);
    text_append(text, "%-31s %6s %12s %11s %9s %-8s %10.1f %7.2f\n", "stage", "", "", "", "", "",
                total_s * 1e6, 100.0);
}

static void print_classical(const char *name, const struct roofline_classical *c, struct text *text)
{
    text_append(text, "%-31s %12.3f %11.3f %9.3f  %-8s %10.3f\n", name, c->flops / 1e9, c->bytes / 1e9,
                c->intensity, roofline_bound_names[c->bound], c->seconds * 1e3);
}

static void print_totals(const struct roofline_report *report, struct text *text)
{
    const struct roofline_time *time = &report->time;
    text_append(text, "\niteration: %.3f ms = GPU %.3f + host %.3f", time->seconds * 1e3, time->gpu_s * 1e3,
                time->host_s * 1e3);
    if (report->layout.pipeline_parallel > 1)
        text_append(text, " + to the next stage %.3f", time->send_s * 1e3);
    text_append(text, "; MFU %.2f %%, MBU %.2f %%\n", 100 * report->mfu, 100 * report->mbu);
    text_append(text, "\n%-31s %12s %11s %9s  %-8s %10s\n", "textbook, all GPUs", "GFLOP", "GB", "FLOP/byte",
                "bound", "ms");
    print_classical("weights once", &report->weights_alone, text);
    print_classical("and KV cache", &report->with_kv, text);
    text_append(text, "ridge: %.1f TFLOP/s / %.0f GB/s = %.1f FLOP/byte\n", report->peak_flops / 1e12,
                report->bandwidth / 1e9, report->ridge);
    text_append(text,
                "\none request alone, GPU and host only (no frontend, router, network):\n"
                "TTFT of %lld tokens in %lld chunk%s %.3f ms, TPOT at %lld tokens %.3f ms\n",
                (long long)report->request_prompt_tokens, (long long)report->request_chunks,
                report->request_chunks == 1 ? "" : "s", report->ttft_s * 1e3,
                (long long)report->batch.context_tokens, report->tpot_s * 1e3);
}

static void print_memory(const struct roofline_report *report, struct text *text)
{
    text_append(text, "memory: weights %.2f GiB a GPU, KV cache %lld bytes a token",
                (double)report->weight_bytes_per_gpu / GIB, (long long)report->kv_bytes_per_token);
    if (report->no_room.text[0]) {
        const char *reason =
            strstr(report->no_room.text, "no room"); /* without the place it was asked from */
        text_append(text, "\nDOES NOT FIT, the times are as if it did: %s\n",
                    reason ? reason : report->no_room.text);
        return;
    }
    const char *bound = report->bound_by_seqs ? "max_num_seqs" : "KV blocks";
    const char *each = report->layout.pipeline_parallel > 1 ? " a micro-batch"
                       : report->layout.lanes > 1           ? " a lane"
                                                            : "";
    text_append(text, ", %lld blocks of %lld tokens = %lld tokens%s\n", (long long)report->capacity_blocks,
                (long long)report->block_tokens, (long long)(report->capacity_blocks * report->block_tokens),
                each);
    text_append(text, "maximum batch at %lld tokens: %lld sequences%s, by %s\n",
                (long long)report->batch.context_tokens, (long long)report->maximum_batch, each, bound);
}

void roofline_print(const struct roofline_report *report, struct text *text)
{
    print_batch(report, text);
    print_operators(report, text);
    print_totals(report, text);
    print_memory(report, text);
}

static void json_key(struct text *text, const char *indent, const char *key)
{
    text_append(text, "%s\"%s\": ", indent, key);
}

static void json_string(struct text *text, const char *key, const char *value)
{
    json_key(text, "  ", key);
    text_append_json(text, value);
    text_append(text, ",\n");
}

static void json_integer(struct text *text, const char *indent, const char *key, int64_t value,
                         const char *end)
{
    json_key(text, indent, key);
    text_append(text, "%lld%s", (long long)value, end);
}

static void json_number(struct text *text, const char *indent, const char *key, double value, const char *end)
{
    json_key(text, indent, key);
    text_append(text, "%.17g%s", value, end);
}

static void json_head(const struct roofline_report *report, struct text *text)
{
    const struct model_layout *layout = &report->layout;
    json_string(text, "model", report->model);
    json_string(text, "gpu", report->gpu);
    json_string(text, "coefficients", report->coefficients);
    json_string(text, "host", report->host);
    json_integer(text, "  ", "tensor_parallel", layout->tensor_parallel, ",\n");
    json_integer(text, "  ", "pipeline_parallel", layout->pipeline_parallel, ",\n");
    json_integer(text, "  ", "attention_data_parallel", layout->lanes, ",\n");
    json_integer(text, "  ", "expert_parallel", layout->expert_parallel, ",\n");
    json_integer(text, "  ", "gpus", report->gpus, ",\n");
    json_string(text, "weight_dtype", dtype_names[layout->weight_dtype]);
    json_string(text, "expert_dtype", dtype_names[layout->expert_dtype]);
    json_string(text, "kv_dtype", dtype_names[layout->kv_dtype]);
}

static void json_iteration(const struct roofline_report *report, struct text *text)
{
    const struct work *work = &report->work;
    const struct roofline_batch *batch = &report->batch;
    text_append(text, "  \"iteration\": {\n");
    json_integer(text, "    ", "prefill_tokens", work->prefill_tokens, ",\n");
    json_integer(text, "    ", "prefill_prompts", batch->prompt_tokens > 0 ? batch->prompts : 0, ",\n");
    json_integer(text, "    ", "cached_tokens", batch->cached_tokens, ",\n");
    json_integer(text, "    ", "decode_sequences", work->decode_sequences, ",\n");
    json_integer(text, "    ", "context_tokens", batch->context_tokens, ",\n");
    json_number(text, "    ", "seconds", report->time.seconds, ",\n");
    json_number(text, "    ", "gpu_seconds", report->time.gpu_s, ",\n");
    json_number(text, "    ", "host_seconds", report->time.host_s, ",\n");
    json_number(text, "    ", "send_seconds", report->time.send_s, ",\n");
    json_number(text, "    ", "mfu", report->mfu, ",\n");
    json_number(text, "    ", "mbu", report->mbu, "\n  },\n");
}

static double intensity(const struct operator_cost *cost)
{
    return cost->bytes > 0 ? cost->flops / cost->bytes : 0;
}

static void json_operators(const struct roofline_report *report, struct text *text)
{
    text_append(text, "  \"stage\": {\n");
    json_integer(text, "    ", "index", report->stage, ",\n");
    json_integer(text, "    ", "layers", report->stage_layers, ",\n");
    json_number(text, "    ", "gpu_seconds", report->stage_gpu_s, ",\n");
    json_number(text, "    ", "host_seconds", report->stage_host_s, "\n  },\n");
    text_append(text, "  \"operators\": [\n");
    for (size_t i = 0; i < report->operator_count; i++) {
        const struct roofline_operator *one = &report->operators[i];
        text_append(text, "    {\"name\": ");
        text_append_json(text, one->name);
        json_number(text, ", ", "times", one->times, "");
        json_number(text, ", ", "flops", one->cost.flops, "");
        json_number(text, ", ", "bytes", one->cost.bytes, "");
        json_number(text, ", ", "intensity_flops_per_byte", intensity(&one->cost), "");
        text_append(text, ", \"bound\": \"%s\"", roofline_bound_names[one->bound]);
        json_number(text, ", ", "compute_seconds", one->cost.compute_s, "");
        json_number(text, ", ", "memory_seconds", one->cost.memory_s, "");
        json_number(text, ", ", "fixed_seconds", one->cost.fixed_s, "");
        json_number(text, ", ", "seconds", one->cost.seconds, "");
        json_number(text, ", ", "share", one->share, i + 1 < report->operator_count ? "},\n" : "}\n");
    }
    text_append(text, "  ],\n");
}

static void json_classical(const char *key, const struct roofline_classical *c, const char *end,
                           struct text *text)
{
    json_key(text, "    ", key);
    json_number(text, "{", "flops", c->flops, "");
    json_number(text, ", ", "bytes", c->bytes, "");
    json_number(text, ", ", "intensity_flops_per_byte", c->intensity, "");
    text_append(text, ", \"bound\": \"%s\"", roofline_bound_names[c->bound]);
    json_number(text, ", ", "compute_seconds", c->compute_s, "");
    json_number(text, ", ", "memory_seconds", c->memory_s, "");
    json_number(text, ", ", "seconds", c->seconds, end);
}

/* One roof a data type in use: that of the weights, of the experts, and 16 bits. */
static void json_roofs(const struct roofline_report *report, struct text *text)
{
    const struct {
        const char *dtype;
        double flops;
    } roofs[] = {{dtype_names[report->layout.weight_dtype], report->peak_flops},
                 {dtype_names[report->layout.expert_dtype], report->expert_peak_flops},
                 {dtype_names[DTYPE_BF16], report->head_peak_flops}};
    text_append(text, "  \"roofs\": [");
    for (int i = 0; i < 3; i++) {
        bool known = false;
        for (int j = 0; j < i; j++)
            known = known || roofs[j].flops == roofs[i].flops;
        if (known)
            continue;
        text_append(text, "%s{\"dtype\": \"%s\"", i > 0 ? ", " : "", roofs[i].dtype);
        json_number(text, ", ", "peak_flops", roofs[i].flops, "}");
    }
    text_append(text, "],\n");
}

static void json_memory(const struct roofline_report *report, struct text *text)
{
    bool room = report->no_room.text[0] == '\0';
    text_append(text, "  \"memory\": {\n");
    json_integer(text, "    ", "weight_bytes_per_gpu", report->weight_bytes_per_gpu, ",\n");
    json_integer(text, "    ", "kv_bytes_per_token", report->kv_bytes_per_token, ",\n");
    json_integer(text, "    ", "capacity_blocks", report->capacity_blocks, ",\n");
    json_integer(text, "    ", "block_tokens", report->block_tokens, ",\n");
    json_integer(text, "    ", "max_num_batched_tokens", report->max_num_batched_tokens, ",\n");
    json_integer(text, "    ", "max_num_seqs", report->max_num_seqs, ",\n");
    json_integer(text, "    ", "maximum_batch", report->maximum_batch, ",\n");
    text_append(text, "    \"maximum_batch_bound\": \"%s\"\n  }\n",
                !room                   ? "weights"
                : report->bound_by_seqs ? "max_num_seqs"
                                        : "kv_blocks");
}

void roofline_print_json(const struct roofline_report *report, struct text *text)
{
    text_append(text, "{\n");
    json_head(report, text);
    json_iteration(report, text);
    json_operators(report, text);
    text_append(text, "  \"classical\": {\n");
    json_classical("weights", &report->weights_alone, "},\n", text);
    json_classical("weights_and_kv", &report->with_kv, "},\n", text);
    json_number(text, "    ", "kv_read_bytes", report->kv_read_bytes, ",\n");
    json_number(text, "    ", "kv_write_bytes", report->kv_write_bytes, "\n  },\n");
    json_number(text, "  ", "peak_flops", report->peak_flops, ",\n");
    json_roofs(report, text);
    json_number(text, "  ", "bandwidth_bytes_per_s", report->bandwidth, ",\n");
    json_number(text, "  ", "ridge_flops_per_byte", report->ridge, ",\n");
    text_append(text, "  \"request\": {\n");
    json_integer(text, "    ", "prompt_tokens", report->request_prompt_tokens, ",\n");
    json_integer(text, "    ", "chunks", report->request_chunks, ",\n");
    json_number(text, "    ", "ttft_s", report->ttft_s, ",\n");
    json_number(text, "    ", "tpot_s", report->tpot_s, "\n  },\n");
    json_memory(report, text);
    text_append(text, "}\n");
}
