/* Requests that are refused, wherever they are. */
#include "internal.h"

void request_refuse(struct engine *engine, struct metrics *metrics, struct request *request,
                    enum row_reason reason, int64_t now_ns)
{
    const struct row *row = &request->row;
    const struct row refused = {.id = row->id,
                                .arrival_ns = row->arrival_ns,
                                .prompt_tokens = row->prompt_tokens,
                                .output_tokens = row->output_tokens,
                                .prefill_instance = -1,
                                .decode_instance = -1,
                                .status = ROW_REFUSED,
                                .reason = (uint8_t)reason,
                                .session = row->session,
                                .turn = row->turn,
                                .priority = row->priority};
    metrics_row(metrics, &refused);
    metrics->end_ns = now_ns > metrics->end_ns ? now_ns : metrics->end_ns;
    engine_body_free(engine, request);
    engine_count(engine, 1);
}
