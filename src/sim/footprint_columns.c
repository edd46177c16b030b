/* The columns of memory.h5 and memory.json. A name is the member's. */
#include "footprint_columns.h"

#include "tandem/column.h"

#define NAMED COLUMN_NAMED
#define TABLE(symbol, path, text)                                                                            \
    static const struct column_table symbol##_table = {path, text, symbol, sizeof symbol / sizeof symbol[0]}

const char *const footprint_yes_no[] = {"no", "yes", NULL};
static const char *const phase_names[] = {"prefill", "decode", NULL};

#define COLUMN(member, unit, doc) NAMED(#member, footprint_summary, member, unit, doc, NULL)
static const struct column summary[] = {
    COLUMN(model, "", "Name of the model."),
    COLUMN(gpu, "", "Name of the GPU."),
    COLUMN(weight_dtype, "", "Data type of the layers' matrices."),
    COLUMN(expert_dtype, "", "Data type of the routed experts."),
    COLUMN(kv_dtype, "", "Data type of the KV cache."),
    COLUMN(tensor_parallel, "GPUs", "GPUs that share each matrix."),
    COLUMN(pipeline_parallel, "1", "Stages."),
    COLUMN(attention_data_parallel, "1", "Lanes."),
    COLUMN(expert_parallel, "1", "Groups that the experts are spread over."),
    COLUMN(gpus, "GPUs", "GPUs of the replica."),
    COLUMN(parameters, "1", "Parameters of the model, exact."),
    COLUMN(active_parameters, "1", "Parameters that a token passes."),
    COLUMN(model_weight_bytes, "bytes", "Weights of one copy of the model, on one GPU."),
    COLUMN(weight_bytes, "bytes", "Weights on a GPU: the one with the fewest KV blocks, here and below."),
    COLUMN(model_kv_bytes_per_token, "bytes", "KV cache of a token, of the model, without copies."),
    COLUMN(kv_bytes_per_token_and_layer, "bytes", "The same of one layer."),
    COLUMN(kv_bytes_per_token, "bytes", "KV cache of a token on a GPU, copies included."),
    COLUMN(memory_bytes, "bytes", "Memory of a GPU."),
    COLUMN(usable_bytes, "bytes", "What of it the engine may use: kv.memory_utilization."),
    COLUMN(reserve_activations, "", "How activation_bytes are reckoned: engine, weights or none."),
    COLUMN(activation_bytes, "bytes", "Kept free for activations."),
    COLUMN(reserve_bytes, "bytes", "Kept free for the engine itself."),
    COLUMN(cache_bytes, "bytes", "Left for the KV cache; below 0: so much is missing."),
    COLUMN(block_tokens, "tokens", "Tokens of a block."),
    COLUMN(block_bytes, "bytes", "Bytes of a block on a GPU."),
    COLUMN(capacity_blocks, "blocks", "Blocks of a lane."),
    COLUMN(capacity_tokens, "tokens", "Tokens that they hold."),
    COLUMN(max_num_batched_tokens, "tokens", "Most tokens of an iteration."),
    COLUMN(max_num_seqs, "1", "Most sequences of an iteration; not a limit in this report."),
    COLUMN(model_max_context_tokens, "tokens", "Longest context as published; not a limit in this report."),
};
TABLE(summary, "/summary", "Sizes of the model and of one GPU.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, footprint_growth, member, unit, doc, NULL)
#define YES_NO(member, doc)       NAMED(#member, footprint_growth, member, "1", doc, footprint_yes_no)
static const struct column growth[] = {
    COLUMN(batch_sequences, "1", "Sequences of a lane."),
    COLUMN(length_tokens, "tokens", "Tokens of each."),
    COLUMN(model_kv_bytes, "bytes", "KV cache of the batch, of the model, without copies, to the token."),
    COLUMN(kv_bytes, "bytes", "KV cache of the batch on a GPU, in whole blocks."),
    COLUMN(kv_fraction, "1", "KV cache / (weights + KV cache) on a GPU."),
    COLUMN(total_bytes, "bytes", "Weights, KV cache and what is kept free on a GPU."),
    YES_NO(fits, "Whether the KV blocks that there are hold the batch."),
    COLUMN(prefill_activation_bytes, "bytes",
           "Activations of whole prompts at once (of a micro-batch): 2T(h + 2 ff/tp), no scores kept."),
    COLUMN(prefill_score_bytes, "bytes", "Scores of a layer if they are kept: [B, H, N, N], 4 bytes each."),
    COLUMN(decode_activation_bytes, "bytes", "Activations of a token of each sequence (of a micro-batch)."),
    COLUMN(decode_score_bytes, "bytes", "Scores of a layer if they are kept: [B, H, 1, N], 4 bytes each."),
    COLUMN(all_layers_activation_bytes, "bytes",
           "Hidden states of the prompts at all layers of the GPU in 16 bits, if none were freed."),
    YES_NO(prefill_fits, "Weights, KV cache and the prefill's activations <= usable - reserve."),
    YES_NO(prefill_scores_fit, "The same with its scores."),
    YES_NO(decode_fits, "Weights, KV cache and the decode's activations <= usable - reserve."),
    YES_NO(decode_scores_fit, "The same with its scores."),
};
TABLE(growth, "/growth", "Batches of equal sequences: a row for each batch and length.");
#undef COLUMN
#undef YES_NO

#define COLUMN(member, unit, doc) NAMED(#member, footprint_context, member, unit, doc, NULL)
static const struct column contexts[] = {
    COLUMN(gpu, "", "Name of the GPU."),
    COLUMN(memory_bytes, "bytes", "Its memory."),
    COLUMN(tensor_parallel, "GPUs", "GPUs that share each matrix; all else as in /summary."),
    COLUMN(weight_bytes, "bytes", "Weights on a GPU."),
    COLUMN(cache_bytes, "bytes", "Left for the KV cache on a GPU; below 0: so much is missing."),
    COLUMN(batch_sequences, "1", "Sequences of a lane."),
    COLUMN(max_context_tokens, "tokens", "Tokens that each of them can have, as far as memory goes."),
};
TABLE(contexts, "/max_context", "The longest context of a batch on a GPU.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, footprint_batch, member, unit, doc, NULL)
static const struct column batches[] = {
    COLUMN(gpu, "", "Name of the GPU."),
    COLUMN(memory_bytes, "bytes", "Its memory."),
    COLUMN(tensor_parallel, "GPUs", "GPUs that share each matrix; all else as in /summary."),
    COLUMN(length_tokens, "tokens", "Tokens of each sequence."),
    COLUMN(max_batch_sequences, "1", "Sequences of a lane, as far as memory goes."),
};
TABLE(batches, "/max_batch", "The largest batch at a length on a GPU.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, footprint_padding, member, unit, doc, NULL)
static const struct column padding[] = {
    COLUMN(sequences, "1", "Prompts of the batch."),
    COLUMN(longest_tokens, "tokens", "The longest of them."),
    COLUMN(real_tokens, "tokens", "All of them together."),
    COLUMN(padded_tokens, "tokens", "As one rectangle: sequences x longest."),
    COLUMN(wasted_tokens, "tokens", "Padding."),
    COLUMN(wasted_of_real, "1", "Padding / real tokens."),
    COLUMN(wasted_of_padded, "1", "Padding / padded tokens."),
};
TABLE(padding, "/padding", "The given prompts as one rectangle.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, footprint_allocation, member, unit, doc, NULL)
static const struct column allocation[] = {
    COLUMN(max_length_tokens, "tokens", "Set aside for each sequence."),
    COLUMN(used_tokens, "tokens",
           "Cached at the end of all sequences: prompts and outputs but the last token."),
    COLUMN(used_bytes, "bytes", "KV cache of these, of the model."),
    COLUMN(preallocated_tokens, "tokens", "Places of contiguous caches: sequences x max_length."),
    COLUMN(preallocated_bytes, "bytes", "KV cache of these, of the model."),
    COLUMN(preallocated_utilization, "1", "Used / pre-allocated."),
    COLUMN(internal_fragmentation, "1", "Pre-allocated and not used / pre-allocated."),
    COLUMN(paged_blocks, "blocks", "Blocks of a paged cache."),
    COLUMN(paged_tokens, "tokens", "Tokens that they hold."),
    COLUMN(paged_bytes, "bytes", "KV cache of these, of the model."),
    COLUMN(paged_utilization, "1", "Used / places in blocks."),
    COLUMN(saved_fraction, "1", "Pre-allocated and not in blocks / pre-allocated."),
};
TABLE(allocation, "/allocation",
      "The given batch at its end, in contiguous places of max_length and in blocks.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, footprint_step, member, unit, doc, NULL)
#define YES_NO(member, doc)       NAMED(#member, footprint_step, member, "1", doc, footprint_yes_no)
static const struct column steps[] = {
    COLUMN(step, "1", "0 computes the prompts; each step after it a token of each sequence that is left."),
    NAMED("phase", footprint_step, phase, "1", "Prefill or decode.", phase_names),
    COLUMN(sequences, "1", "Sequences in the step."),
    COLUMN(longest_tokens, "tokens", "The longest of them after it."),
    COLUMN(kv_tokens, "tokens", "Tokens cached after it."),
    COLUMN(model_kv_bytes, "bytes", "KV cache of these, of the model, without copies."),
    COLUMN(kv_bytes, "bytes", "KV cache on a GPU, in whole blocks."),
    COLUMN(packed_tokens, "tokens", "Tokens that the step computes."),
    COLUMN(padded_tokens, "tokens", "Sequences x longest: the rectangle that the textbook pads to."),
    COLUMN(packed_activation_bytes, "bytes", "Activations of the packed tokens: 2T(h + 2 ff/tp)."),
    COLUMN(padded_activation_bytes, "bytes", "Activations of the padded tokens."),
    COLUMN(score_bytes, "bytes", "Scores of a layer of the rectangle if they are kept, 4 bytes each."),
    YES_NO(packed_fits, "Weights, KV cache and packed activations <= usable - reserve."),
    YES_NO(padded_fits, "Weights, KV cache, padded activations and scores <= usable - reserve."),
};
TABLE(steps, "/evolution",
      "The given batch step by step; at the end of a step a sequence that is done leaves it. It goes through "
      "pipeline stages as one.");

size_t footprint_tables(const struct footprint_report *report, struct output_table tables[FOOTPRINT_TABLES])
{
    size_t count = 0;
    tables[count++] = (struct output_table){&summary_table, &report->summary, 0, 1, true};
    tables[count++] = (struct output_table){&growth_table, report->growth, sizeof *report->growth,
                                            report->growth_count, false};
    tables[count++] = (struct output_table){&contexts_table, report->contexts, sizeof *report->contexts,
                                            report->context_count, false};
    tables[count++] = (struct output_table){&batches_table, report->batches, sizeof *report->batches,
                                            report->batch_count, false};
    if (report->padding.sequences == 0)
        return count;
    tables[count++] = (struct output_table){&padding_table, &report->padding, 0, 1, true};
    if (report->allocation.max_length_tokens > 0)
        tables[count++] = (struct output_table){&allocation_table, &report->allocation, 0, 1, true};
    tables[count++] =
        (struct output_table){&steps_table, report->steps, sizeof *report->steps, report->step_count, false};
    return count;
}
