/* The row of one request: serving fills it, metrics and output read it. */
#ifndef TANDEM_ROW_H
#define TANDEM_ROW_H

#include <stdint.h>

enum row_status { ROW_COMPLETED, ROW_REFUSED };
/* Session: an earlier turn of its session was refused, so that it was never sent. */
enum row_reason {
    ROW_REASON_NONE,
    ROW_REASON_MODEL_LENGTH,
    ROW_REASON_KV_CAPACITY,
    ROW_REASON_QUEUE_FULL,
    ROW_REASON_DEADLINE,
    ROW_REASON_SESSION,
    ROW_REASONS
};

extern const char *const row_status_names[]; /* by value, ended by NULL */
extern const char *const row_reason_names[];

/* Stages add up exactly: e2e = router + control + router_queue + prefill_queue + prefill + decode_queue +
 * transfer + admission + decode + stalled. All 0 for a refused request but arrival, tokens,
 * session, turn and priority. */
struct row {
    uint64_t id; /* position in order of arrival; the index of the row */
    int64_t arrival_ns;
    uint32_t prompt_tokens;
    uint32_t output_tokens;  /* asked for; all of them came when status is completed */
    int64_t ttft_ns;         /* client send to token 1 visible */
    int64_t ttft_prefill_ns; /* client send to the end of the iteration that completed the prompt */
    int64_t e2e_ns;          /* client send to the last token */
    int64_t max_itl_ns;      /* longest gap between two visible tokens, 0 for one token */
    int64_t router_ns;       /* frontend: client send to dispatch */
    int64_t control_ns;      /* control messages on the way: README of src/serving, Ways */
    int64_t router_queue_ns; /* held by the router, with no instance below its limit */
    int64_t prefill_queue_ns;
    int64_t prefill_ns;      /* first scheduled to prompt complete, without stalls */
    int64_t decode_queue_ns; /* hand-off at the decode instance until its blocks are reserved */
    int64_t transfer_ns;     /* flow opened to flow ended, setup included; after the prompt is complete */
    int64_t admission_ns;    /* transfer known at the decode instance to joining the batch */
    int64_t
        decode_ns; /* prompt complete (unified) or joined (decode instance) to last token, without stalls */
    int64_t stalled_ns;      /* preempted until scheduled again */
    int64_t interference_ns; /* of decoding: what others' prefills made it longer; not a stage */
    int64_t blocked_ns;      /* of the queues: while the one ahead did not fit; not a stage */
    int64_t congestion_ns;   /* of the transfer: what others' made it longer; not a stage */
    uint64_t kv_transfer_bytes;
    int32_t prefill_instance; /* row of /instances; -1: none */
    int32_t decode_instance;  /* -1: stayed on the prefill instance */
    uint32_t preemptions;
    uint32_t swaps;         /* of them: its blocks went to the host, and came back */
    uint64_t swapped_bytes; /* both ways */
    int64_t session;        /* number of the conversation, -1: none */
    uint32_t turn;          /* of the session, from 1; 0: not known */
    /* Of the prompt: never computed for this request, since it was in the cache; of them, of the host or the
     * SSD. */
    uint32_t cached_prompt_tokens, host_prompt_tokens, ssd_prompt_tokens;
    uint8_t status;   /* enum row_status */
    uint8_t reason;   /* enum row_reason */
    uint8_t priority; /* class, 0 the most urgent */
};

/* The sum of all stages. */
static inline int64_t row_stages_ns(const struct row *row)
{
    return row->router_ns + row->control_ns + row->router_queue_ns + row->prefill_queue_ns + row->prefill_ns +
           row->decode_queue_ns + row->transfer_ns + row->admission_ns + row->decode_ns + row->stalled_ns;
}

/* Nanoseconds per output token after the first, rounded half up; 0 when there is only one token. */
static inline int64_t row_tpot_ns(const struct row *row)
{
    int64_t gaps = (int64_t)row->output_tokens - 1;
    return gaps > 0 ? (row->e2e_ns - row->ttft_ns + gaps / 2) / gaps : 0;
}

/* The hash of a request in the run's checksum: id, prompt, output, arrival, first token, end, instances,
 * preemptions (and status). Local. */
uint64_t row_hash(const struct row *row);

#endif
