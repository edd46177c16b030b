/* What one iteration of a batch costs, operator by operator, beside what a textbook says, and what it means
 * for a request and for the memory: `tandem roofline`. All local. */
#ifndef TANDEM_ROOFLINE_H
#define TANDEM_ROOFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/config.h"
#include "tandem/error.h"
#include "tandem/model.h"
#include "tandem/operators.h"
#include "tandem/option.h"
#include "tandem/text.h"
#include "tandem/timer.h"

/* What takes most of an operator's time. */
enum roofline_bound { ROOFLINE_COMPUTE, ROOFLINE_MEMORY, ROOFLINE_FIXED, ROOFLINE_LINK };
extern const char *const roofline_bound_names[];

/* The batch of a lane; keys of struct roofline_batch. */
struct roofline_batch {
    const struct node *model_node, *network_node;
    int64_t decode_sequences; /* each sees context_tokens, its new one included */
    int64_t context_tokens;
    int64_t prompt_tokens, prompts; /* each has cached_tokens of its prompt_tokens in the cache */
    int64_t cached_tokens;
};
extern const struct option_table roofline_options;

struct roofline_operator {
    const char *name;
    double times;
    struct operator_cost cost; /* of all its runs together */
    enum roofline_bound bound;
    double share; /* of the stage's time, the host's included */
};

/* Times of an iteration through all stages, in s. host: as far as the GPUs wait for it. */
struct roofline_time {
    double seconds, gpu_s, host_s, send_s;
};

/* The textbook's view of all GPUs together: FLOPs over the peak or bytes over the bandwidth, the longer. */
struct roofline_classical {
    double flops, bytes;
    double intensity; /* FLOP/byte */
    double compute_s, memory_s, seconds;
    enum roofline_bound bound;
};

struct roofline_report {
    struct config *config; /* owned: roofline_clear; the strings live in it */
    const char *model, *gpu, *coefficients, *host;
    struct model_layout layout;
    int64_t gpus; /* of the replica */
    struct roofline_batch batch;
    struct work work; /* of a lane */
    struct roofline_time time;
    double mfu, mbu; /* of all GPUs during the iteration */
    /* The slowest stage, one GPU of it: */
    int64_t stage, stage_layers;
    double stage_gpu_s, stage_host_s;
    struct roofline_operator operators[TIMER_MOST_OPERATORS];
    size_t operator_count;
    /* Of one GPU, for the data type of the weights: */
    double peak_flops, bandwidth, ridge;       /* FLOP/s, bytes/s, FLOP/byte */
    double expert_peak_flops, head_peak_flops; /* for the experts' type; for 16 bits: head and attention */
    double kv_read_bytes, kv_write_bytes;      /* of the iteration, all GPUs */
    struct roofline_classical weights_alone, with_kv;
    /* One request that meets nobody: */
    int64_t request_prompt_tokens, request_chunks;
    double ttft_s, tpot_s;
    /* Memory: */
    int64_t weight_bytes_per_gpu;          /* of the fullest stage */
    int64_t kv_bytes_per_token;            /* of the whole model, without copies */
    int64_t block_tokens, capacity_blocks; /* of a lane, or of each of its micro-batches */
    int64_t max_num_batched_tokens, max_num_seqs;
    int64_t maximum_batch; /* sequences that these hold at context_tokens; 0: there is no room */
    bool bound_by_seqs;    /* by max_num_seqs, not by blocks */
    struct error no_room;  /* why there are no blocks; empty where there are */
};

/* Computes a report from "key=value" words: keys of roofline_options and of a pool (`tandem describe pool`,
 * whose name, role and instances have values already), paths below them as in --set. An error names the key.
 * Weights without room for a KV cache are none: no_room. The caller calls roofline_clear, after an error
 * too. */
bool roofline_compute(const char *const *sets, size_t set_count, struct roofline_report *report,
                      struct error *error);
void roofline_clear(struct roofline_report *report);

/* Append the report as text, and as JSON (numbers with 17 digits; keys carry units). */
void roofline_print(const struct roofline_report *report, struct text *text);
void roofline_print_json(const struct roofline_report *report, struct text *text);

#endif
