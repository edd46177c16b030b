/* What the second simulator moves between its instances, as if each flow were alone. */
#include "reference_internal.h"

/* The fabric is told now, by either end, of what is there of these tokens. With a length: they are computed
 * in an iteration that begins now and takes so long, a layer after another. */
static void flow(struct world *world, struct job *job, int64_t tokens, int64_t iteration_ns, int64_t now_ns)
{
    const struct reference_config *config = world->config;
    int64_t block = config->entry.block_tokens, other = config->decode.block_tokens;
    int64_t least = block < other ? block : other, begun = job->sent;
    int64_t end = tokens < job->context ? tokens / block * block : (tokens + block - 1) / block * block;
    int64_t real = end < job->context ? end : job->context;
    if (end <= begun)
        return;
    int64_t pieces = (real + least - 1) / least - begun / least;
    double bytes = (double)((end - begun) * config->bytes_per_token);
    int64_t start_ns = now_ns + config->latency_ns + config->setup_ns +
                       simtime_from_ns((double)pieces * config->descriptor_ns_per_block);
    if (iteration_ns > 0) {
        double computed_per_s = bytes / ((double)iteration_ns * 1e-9);
        start_ns += iteration_ns / REFERENCE_LAYERS;
        if (computed_per_s < config->rate && start_ns < now_ns + iteration_ns) {
            bytes -= computed_per_s * (double)(now_ns + iteration_ns - start_ns) * 1e-9;
            start_ns = now_ns + iteration_ns;
        }
    }
    int64_t known_ns = start_ns + simtime_from_seconds(bytes / config->rate) + config->latency_ns;
    if (known_ns >= job->flows_ns) {
        job->flows_ns = known_ns;
        job->flow_order = world->flows;
    }
    job->sent = end;
    world->flows++;
}

/* The rest of it begins now. */
void transfer(struct world *world, struct job *job, int64_t now_ns)
{
    int64_t messages = world->config->handoff.overlap == OVERLAP_LAYER ? 1 : 2;
    flow(world, job, job->context, 0, now_ns);
    job->done_ns = job->flows_ns;
    job->row->transfer_ns += job->done_ns - now_ns - messages * world->config->latency_ns;
    job->sent = job->flows_ns = 0;
    size_t at = world->moving.count;
    while (at > 0 && world->moving.jobs[at - 1]->flow_order > job->flow_order)
        at--;
    push(&world->moving, at, job);
}

/* While a prompt is computed: the iteration is over, or begins. */
void overlap(struct world *world, struct job *job, enum overlap kind, int64_t tokens, int64_t iteration_ns,
             int64_t now_ns)
{
    bool moves = world->config->disaggregated && job->reserved > 0 && !job->decoding;
    if (moves && world->config->handoff.overlap == (int)kind)
        flow(world, job, tokens, iteration_ns, now_ns);
}
