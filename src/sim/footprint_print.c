/* The report of `tandem memory` as text, JSON and HDF5. */
#include "tandem/footprint.h"

#include <stdio.h>
#include <string.h>

#include "footprint_columns.h"
#include "tandem/check.h"
#include "tandem/column.h"

static const double GIB = 1024.0 * 1024.0 * 1024.0;

static double gib(int64_t bytes)
{
    return (double)bytes / GIB;
}

static void print_head(const struct footprint_summary *sum, struct text *text)
{
    text_append(text, "%s on %lld x %s\n", sum->model, (long long)sum->gpus, sum->gpu);
    text_append(text,
                "parallel: tensor %lld, pipeline %lld, attention data %lld, expert %lld; weights %s, experts "
                "%s, KV cache %s\n",
                (long long)sum->tensor_parallel, (long long)sum->pipeline_parallel,
                (long long)sum->attention_data_parallel, (long long)sum->expert_parallel, sum->weight_dtype,
                sum->expert_dtype, sum->kv_dtype);
    text_append(text, "parameters: %lld", (long long)sum->parameters);
    if (sum->active_parameters < sum->parameters)
        text_append(text, ", %lld of them active", (long long)sum->active_parameters);
    text_append(text, "; weights %lld bytes = %.2f GiB, %.2f GiB a GPU\n", (long long)sum->model_weight_bytes,
                gib(sum->model_weight_bytes), gib(sum->weight_bytes));
    text_append(text, "KV cache: %lld bytes a token, %lld a layer of it, %lld on a GPU\n",
                (long long)sum->model_kv_bytes_per_token, (long long)sum->kv_bytes_per_token_and_layer,
                (long long)sum->kv_bytes_per_token);
    text_append(text,
                "a GPU: %.2f GiB usable of %.2f - weights %.2f - activations %.2f (%s) - reserve %.2f = %.2f "
                "for the cache\n",
                gib(sum->usable_bytes), gib(sum->memory_bytes), gib(sum->weight_bytes),
                gib(sum->activation_bytes), sum->reserve_activations, gib(sum->reserve_bytes),
                gib(sum->cache_bytes));
    if (sum->capacity_blocks > 0)
        text_append(text, "%lld blocks of %lld tokens = %lld tokens%s\n", (long long)sum->capacity_blocks,
                    (long long)sum->block_tokens, (long long)sum->capacity_tokens,
                    sum->attention_data_parallel > 1 ? " a lane" : "");
    else
        text_append(text, "no room for a KV cache: use more tensor_parallel, a larger GPU or fewer bits a "
                          "weight\n");
}

static const struct footprint_growth *growth_at(const struct footprint_report *report, size_t width,
                                                size_t length)
{
    return &report->growth[width * report->length_count + length];
}

static void print_widths(const struct footprint_report *report, const char *title, struct text *text)
{
    text_append(text, "\n%s\n%10s", title, "tokens");
    for (size_t i = 0; i < report->width_count; i++)
        text_append(text, " %11s%-5lld", "batch ", (long long)growth_at(report, i, 0)->batch_sequences);
    text_append(text, "\n");
}

static void print_growth(const struct footprint_report *report, struct text *text)
{
    print_widths(report, "KV cache on a GPU in GiB, and its share of weights and cache in %; *: does not fit",
                 text);
    for (size_t j = 0; j < report->length_count; j++) {
        text_append(text, "%10lld", (long long)growth_at(report, 0, j)->length_tokens);
        for (size_t i = 0; i < report->width_count; i++) {
            const struct footprint_growth *one = growth_at(report, i, j);
            text_append(text, " %9.3f %5.1f%s", gib(one->kv_bytes), 100 * one->kv_fraction,
                        one->fits ? " " : "*");
        }
        text_append(text, "\n");
    }
}

static void print_activations(const struct footprint_report *report, struct text *text)
{
    text_append(
        text,
        "\nactivations on a GPU in MiB: of whole prompts, and of a decode step; scores of a layer, if they "
        "are kept (without FlashAttention); *: does not fit\n"
        "%6s %10s %16s %16s %16s %16s\n",
        "batch", "tokens", "prefill", "scores", "decode", "scores");
    for (size_t i = 0; i < report->growth_count; i++) {
        const struct footprint_growth *one = &report->growth[i];
        const struct {
            int64_t bytes;
            bool fits;
        } cells[] = {{one->prefill_activation_bytes, one->prefill_fits},
                     {one->prefill_score_bytes, one->prefill_scores_fit},
                     {one->decode_activation_bytes, one->decode_fits},
                     {one->decode_score_bytes, one->decode_scores_fit}};
        text_append(text, "%6lld %10lld", (long long)one->batch_sequences, (long long)one->length_tokens);
        for (size_t j = 0; j < sizeof cells / sizeof *cells; j++)
            text_append(text, " %15.2f%s", 1024 * gib(cells[j].bytes), cells[j].fits ? " " : "*");
        text_append(text, "\n");
    }
}

/* A line for each GPU and tensor parallelism. */
static void print_limits(const struct footprint_report *report, struct text *text)
{
    text_append(text, "\nlongest context in tokens, by sequences of a batch\n%-17s %8s %7s", "", "GiB",
                "tensor");
    for (size_t i = 0; i < report->width_count; i++)
        text_append(text, " %10lld", (long long)report->contexts[i].batch_sequences);
    for (size_t i = 0; i < report->context_count; i++) {
        const struct footprint_context *one = &report->contexts[i];
        if (i % report->width_count == 0)
            text_append(text, "\n%-17s %8.2f %7lld", one->gpu, gib(one->memory_bytes),
                        (long long)one->tensor_parallel);
        text_append(text, " %10lld", (long long)one->max_context_tokens);
    }
    text_append(text, "\n\nlargest batch, by tokens of each sequence\n%-17s %8s %7s", "", "GiB", "tensor");
    for (size_t i = 0; i < report->length_count; i++)
        text_append(text, " %8lld", (long long)report->batches[i].length_tokens);
    for (size_t i = 0; i < report->batch_count; i++) {
        const struct footprint_batch *one = &report->batches[i];
        if (i % report->length_count == 0)
            text_append(text, "\n%-17s %8.2f %7lld", one->gpu, gib(one->memory_bytes),
                        (long long)one->tensor_parallel);
        text_append(text, " %8lld", (long long)one->max_batch_sequences);
    }
    text_append(text, "\n");
}

static void print_padding(const struct footprint_padding *padding, struct text *text)
{
    text_append(
        text,
        "\nprompts: %lld of %lld tokens together; padded to %lld each %lld: %lld wasted, %.1f %% of the "
        "real and %.1f %% of the padded ones\n",
        (long long)padding->sequences, (long long)padding->real_tokens, (long long)padding->longest_tokens,
        (long long)padding->padded_tokens, (long long)padding->wasted_tokens, 100 * padding->wasted_of_real,
        100 * padding->wasted_of_padded);
}

static void print_allocation(const struct footprint_allocation *one, struct text *text)
{
    text_append(
        text,
        "contiguous caches of %lld tokens: %lld tokens = %.3f GiB allocated, %lld used (%.1f %%), %.1f %% "
        "internal fragmentation\n",
        (long long)one->max_length_tokens, (long long)one->preallocated_tokens, gib(one->preallocated_bytes),
        (long long)one->used_tokens, 100 * one->preallocated_utilization, 100 * one->internal_fragmentation);
    text_append(text, "paged: %lld blocks = %lld tokens = %.3f GiB, %.1f %% used; %.1f %% saved\n",
                (long long)one->paged_blocks, (long long)one->paged_tokens, gib(one->paged_bytes),
                100 * one->paged_utilization, 100 * one->saved_fraction);
}

/* 0, 1, 2, 5, 10, 20 .. */
static bool is_round(int64_t step)
{
    while (step >= 10 && step % 10 == 0)
        step /= 10;
    return step <= 2 || step == 5;
}

static void print_evolution(const struct footprint_report *report, struct text *text)
{
    text_append(
        text,
        "\nthe batch step by step, bytes on a GPU in MiB: activations of packed tokens and of the padded "
        "rectangle, scores of a layer of it, if they are kept; *: does not fit\n"
        "%8s %9s %9s %10s %12s %14s %14s %14s\n",
        "step", "sequences", "longest", "KV tokens", "KV", "packed", "padded", "scores");
    for (size_t i = 0; i < report->step_count; i++) {
        const struct footprint_step *one = &report->steps[i];
        bool last = i + 1 == report->step_count, changes = !last && one[1].sequences != one->sequences;
        if (!last && !changes && !is_round(one->step))
            continue;
        text_append(text, "%8lld %9lld %9lld %10lld %12.2f %13.3f%s %13.3f%s %13.3f%s\n",
                    (long long)one->step, (long long)one->sequences, (long long)one->longest_tokens,
                    (long long)one->kv_tokens, 1024 * gib(one->kv_bytes),
                    1024 * gib(one->packed_activation_bytes), one->packed_fits ? " " : "*",
                    1024 * gib(one->padded_activation_bytes), one->padded_fits ? " " : "*",
                    1024 * gib(one->score_bytes), one->padded_fits ? " " : "*");
    }
}

void footprint_print(const struct footprint_report *report, struct text *text)
{
    print_head(&report->summary, text);
    print_growth(report, text);
    print_activations(report, text);
    print_limits(report, text);
    if (report->padding.sequences == 0)
        return;
    print_padding(&report->padding, text);
    if (report->allocation.max_length_tokens > 0)
        print_allocation(&report->allocation, text);
    print_evolution(report, text);
}

/* A value of one of the types that the tables have. */
static void json_value(const struct column *column, const void *row, struct text *text)
{
    const char *place = (const char *)row + column->offset;
    int64_t integer;
    double number;
    const char *string;
    switch (column->type) {
    case COLUMN_I64:
        memcpy(&integer, place, sizeof integer);
        text_append(text, "%lld", (long long)integer);
        break;
    case COLUMN_F64:
        memcpy(&number, place, sizeof number);
        text_append(text, "%.17g", number);
        break;
    case COLUMN_STRING:
        memcpy(&string, place, sizeof string);
        text_append_json(text, string);
        break;
    case COLUMN_U8:
        if (column->values == footprint_yes_no)
            text_append(text, "%s", *(const uint8_t *)place ? "true" : "false");
        else
            text_append_json(text, column->values[*(const uint8_t *)place]);
        break;
    default:
        CHECK(false, "column %s", column->name);
    }
}

static void json_row(const struct output_table *table, size_t row, struct text *text)
{
    text_append(text, "{");
    for (size_t i = 0; i < table->columns->count; i++) {
        const struct column *column = &table->columns->columns[i];
        text_append(text, "%s\"%s\": ", i > 0 ? ", " : "", column->name);
        json_value(column, (const char *)table->rows + row * table->row_bytes, text);
    }
    text_append(text, "}");
}

void footprint_print_json(const struct footprint_report *report, struct text *text)
{
    struct output_table tables[FOOTPRINT_TABLES];
    size_t count = footprint_tables(report, tables);
    text_append(text, "{\n");
    for (size_t i = 0; i < count; i++) {
        text_append(text, "  \"%s\": %s", tables[i].columns->group + 1, tables[i].scalar ? "" : "[\n");
        for (size_t row = 0; row < tables[i].count; row++) {
            text_append(text, "%s", tables[i].scalar ? "" : "    ");
            json_row(&tables[i], row, text);
            text_append(text, "%s", tables[i].scalar ? "" : row + 1 < tables[i].count ? ",\n" : "\n  ]");
        }
        text_append(text, i + 1 < count ? ",\n" : "\n}\n");
    }
}

static const char *const files[] = {"memory.h5", "memory.json", NULL};

bool footprint_prepare(const char *folder, struct error *error)
{
    return output_prepare(folder, files, error);
}

bool footprint_write(const struct footprint_report *report, const char *folder, struct error *error)
{
    struct output_table tables[FOOTPRINT_TABLES];
    struct text configuration = {0}, json = {0};
    size_t count = footprint_tables(report, tables);
    config_print(report->config, false, NULL, &configuration);
    footprint_print_json(report, &json);
    bool good = output_write_tables(folder, files[0], tables, count, text_string(&configuration), error) &&
                output_write_text(folder, files[1], text_string(&json), error);
    text_clear(&configuration);
    text_clear(&json);
    return good;
}
