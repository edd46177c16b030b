/* KV allocators beside a second calculation, written from src/serving/README.md alone: one unified instance
 * with scheduler chunked and iterations of fixed length, a map of who holds each block, every token walked
 * over. Rows, costs, fragmentation and peaks must agree to the nanosecond. */
#include "test.h"

#include "experiment.h"
#include "tandem/mem.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

#define MS           INT64_C(1000000)
#define SEEDS        100
#define REQUESTS     50
#define MOST_PROMPT  100
#define MOST_OUTPUT  50
#define LONGEST      (MOST_PROMPT + MOST_OUTPUT)
#define MOST_BLOCKS  2000
#define TOKEN_BYTES  INT64_C(524288) /* llama-2-7b */
#define BANDWIDTH    3.35e12         /* of an H100 */
#define PREFILL_NS   (5 * MS)
#define DECODE_NS    (2 * MS)
#define NEVER        SIMTIME_NEVER
#define SLAB_CLASSES 3

enum kind { PAGED, MAX, EXACT, COMPACTING, SLAB, KINDS };

static const char *const names[] = {"paged", "contiguous-max", "contiguous-exact", "contiguous-exact",
                                    "slab"};
static const int64_t slab_tokens[SLAB_CLASSES] = {30, 80, LONGEST};

struct settings {
    enum kind kind;
    int64_t block_tokens, blocks, seqs, budget, alloc_us, growth_tokens;
    double watermark;
};

struct job {
    int64_t send_ns, prompt, output;
    int64_t generated, computed, blocks, planned;
    bool decoding, admitted;
    int64_t waits_ns; /* since */
    int64_t ttft_ns, e2e_ns, queue_ns, stalled_ns, preemptions;
};

/* The instance, and what is measured. */
struct world {
    struct settings set;
    struct job jobs[REQUESTS];
    const struct job *map[MOST_BLOCKS]; /* who holds a block */
    struct job *waiting[REQUESTS], *running[REQUESTS];
    int waiting_count, running_count;
    bool stranded;
    int64_t cost_ns, total_cost_ns, allocations, copies, compactions, copied_blocks;
    int64_t allocated_blocks, peak_blocks, peak_tokens;
    double block_ns, token_ns, stranded_ns;
};

struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 3, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceiling(int64_t tokens, int64_t block_tokens)
{
    return (tokens + block_tokens - 1) / block_tokens;
}

static int64_t known(const struct job *job)
{
    return job->prompt + job->generated;
}

static int64_t free_blocks(const struct world *world)
{
    int64_t count = 0;
    for (int64_t i = 0; i < world->set.blocks; i++)
        count += !world->map[i];
    return count;
}

/* Length of a place. */
static int64_t length_for(const struct world *world, int64_t tokens)
{
    int64_t block_tokens = world->set.block_tokens;
    if (world->set.kind == MAX)
        return ceiling(LONGEST, block_tokens);
    for (int i = 0; world->set.kind == SLAB && i < SLAB_CLASSES; i++)
        if (ceiling(slab_tokens[i], block_tokens) >= ceiling(tokens, block_tokens))
            return ceiling(slab_tokens[i], block_tokens);
    return ceiling(tokens, block_tokens);
}

static int64_t find_run(const struct world *world, int64_t begin, int64_t end, int64_t blocks)
{
    for (int64_t start = begin; start + blocks <= end; start++) {
        int64_t length = 0;
        while (length < blocks && !world->map[start + length])
            length++;
        if (length == blocks)
            return start;
    }
    return -1;
}

static int64_t find_place(const struct world *world, int64_t blocks)
{
    int64_t begin = 0, end = world->set.blocks;
    for (int i = 0; world->set.kind == SLAB && i < SLAB_CLASSES; i++) {
        int64_t length = ceiling(slab_tokens[i], world->set.block_tokens);
        end = begin + world->set.blocks / SLAB_CLASSES / length * length;
        if (length == blocks)
            break;
        begin = end;
    }
    return find_run(world, begin, end, blocks);
}

static void pay(struct world *world, int64_t cost_ns)
{
    world->cost_ns += cost_ns;
    world->total_cost_ns += cost_ns;
}

static void pay_copy(struct world *world, int64_t blocks)
{
    double block_ns = 2e9 * (double)(TOKEN_BYTES * world->set.block_tokens) / BANDWIDTH;
    world->copied_blocks += blocks;
    pay(world, simtime_from_ns((double)blocks * block_ns));
}

/* All that is held moves to the start, in the order in which it lies. */
static void compact(struct world *world)
{
    const struct job *old[MOST_BLOCKS];
    int64_t end = 0, moved = 0;
    memcpy(old, world->map, sizeof old);
    memset(world->map, 0, sizeof world->map);
    for (int64_t i = 0; i < world->set.blocks; i++)
        if (old[i]) {
            moved += i > end;
            world->map[end++] = old[i];
        }
    world->compactions++;
    pay_copy(world, moved);
}

static bool has_room(struct world *world, int64_t blocks)
{
    if (free_blocks(world) < blocks)
        return false;
    if (world->set.kind == PAGED || find_place(world, blocks) >= 0)
        return true;
    if (world->set.kind != COMPACTING)
        return false;
    compact(world);
    return true;
}

static void drop(struct world *world, const struct job *job, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        if (world->map[i] == job)
            world->map[i] = NULL;
}

static void take(struct world *world, struct job *job, int64_t blocks)
{
    int64_t start = world->set.kind == PAGED ? -1 : find_place(world, blocks);
    for (int64_t i = 0; i < blocks; i++)
        world->map[start >= 0 ? start + i : find_run(world, 0, world->set.blocks, 1)] = job;
    world->allocations++;
    world->allocated_blocks += blocks;
    pay(world, world->set.alloc_us * 1000);
    int64_t used = world->set.blocks - free_blocks(world);
    world->peak_blocks = used > world->peak_blocks ? used : world->peak_blocks;
}

/* To a place of so many blocks. */
static void move(struct world *world, struct job *job, int64_t blocks)
{
    static struct job old; /* stands for it in its old place */
    for (int64_t i = 0; i < world->set.blocks; i++)
        if (world->map[i] == job)
            world->map[i] = &old;
    take(world, job, blocks);
    drop(world, &old, 0, world->set.blocks);
    world->copies++;
    pay_copy(world, job->blocks);
    job->blocks = blocks;
}

static void preempt(struct world *world, int64_t now_ns)
{
    struct job *job = world->running[--world->running_count];
    drop(world, job, 0, world->set.blocks);
    job->blocks = job->computed = job->planned = 0;
    job->decoding = false;
    job->preemptions++;
    job->waits_ns = now_ns;
    memmove(&world->waiting[1], world->waiting, (size_t)world->waiting_count++ * sizeof *world->waiting);
    world->waiting[0] = job;
}

/* Blocks that a running job lacks for so many tokens more: paged those, else a whole place. */
static int64_t lacks(const struct world *world, const struct job *job, int64_t tokens)
{
    int64_t needed = ceiling(job->computed + tokens, world->set.block_tokens);
    if (needed <= job->blocks)
        return 0;
    if (world->set.kind == PAGED)
        return needed - job->blocks;
    return length_for(world, job->computed + tokens + world->set.growth_tokens);
}

/* Returns whether anyone was preempted. */
static bool plan_running(struct world *world, int64_t *budget, int64_t now_ns)
{
    bool preempted = false;
    for (int i = 0; i<world->running_count && * budget> 0; i++) {
        struct job *job = world->running[i];
        int64_t tokens = least(known(job) - job->computed, *budget), blocks = lacks(world, job, tokens);
        while (i < world->running_count && !has_room(world, blocks)) {
            preempt(world, now_ns);
            preempted = true;
        }
        if (i >= world->running_count)
            return true;
        if (blocks > 0 && world->set.kind == PAGED) {
            take(world, job, blocks);
            job->blocks += blocks;
        } else if (blocks > 0) {
            move(world, job, blocks);
        }
        job->planned = tokens;
        *budget -= tokens;
    }
    return preempted;
}

static void plan_waiting(struct world *world, int64_t budget, int64_t now_ns)
{
    while (world->waiting_count > 0 && world->running_count < world->set.seqs && budget > 0) {
        struct job *job = world->waiting[0];
        int64_t spare =
            world->running_count > 0 ? (int64_t)(world->set.watermark * (double)world->set.blocks) : 0;
        int64_t blocks = length_for(world, known(job));
        if (free_blocks(world) - spare < blocks)
            return;
        if (!has_room(world, blocks)) {
            world->stranded = true;
            return;
        }
        *(job->admitted ? &job->stalled_ns : &job->queue_ns) += now_ns - job->waits_ns;
        job->admitted = true;
        memmove(world->waiting, &world->waiting[1], (size_t)--world->waiting_count * sizeof *world->waiting);
        world->running[world->running_count++] = job;
        job->planned = least(known(job), budget);
        job->blocks = world->set.kind == PAGED ? ceiling(job->planned, world->set.block_tokens) : blocks;
        take(world, job, job->blocks);
        budget -= job->planned;
    }
}

/* Length of the iteration that starts, 0 when there is none. */
static int64_t boundary(struct world *world, int64_t now_ns)
{
    bool preempted, any = false, prompts = false;
    do {
        int64_t budget = world->set.budget;
        world->stranded = false;
        preempted = plan_running(world, &budget, now_ns);
        if (!preempted)
            plan_waiting(world, budget, now_ns);
        for (int i = 0; i < world->running_count; i++) {
            any |= world->running[i]->planned > 0;
            prompts |= world->running[i]->planned > 0 && !world->running[i]->decoding;
        }
    } while (!any && preempted);
    if (!any)
        return 0;
    int64_t length_ns = (prompts ? PREFILL_NS : DECODE_NS) + world->cost_ns;
    world->cost_ns = 0;
    return length_ns;
}

static void end_iteration(struct world *world, int64_t now_ns)
{
    int left = 0, count = world->running_count;
    for (int i = 0; i < count; i++) {
        struct job *job = world->running[i];
        bool scheduled = job->planned > 0;
        job->computed += job->planned;
        job->planned = 0;
        if (scheduled && job->computed == known(job)) {
            job->decoding = true;
            if (job->generated++ == 0)
                job->ttft_ns = now_ns - job->send_ns;
        }
        if (job->generated < job->output) {
            world->running[left++] = job;
            continue;
        }
        job->e2e_ns = now_ns - job->send_ns;
        drop(world, job, 0, world->set.blocks);
    }
    world->running_count = left;
}

static void account(struct world *world, int64_t from_ns, int64_t to_ns, int64_t window_end_ns)
{
    int64_t unused = free_blocks(world), tokens = 0;
    for (int i = 0; i < world->running_count; i++)
        tokens += world->running[i]->computed;
    world->peak_tokens = tokens > world->peak_tokens ? tokens : world->peak_tokens;
    double length_ns = (double)(least(to_ns, window_end_ns) - least(from_ns, window_end_ns));
    world->block_ns += (double)(world->set.blocks - unused) * length_ns;
    world->token_ns += (double)tokens * length_ns;
    world->stranded_ns += world->stranded ? (double)unused * length_ns : 0;
}

static void simulate(struct world *world, int64_t window_end_ns)
{
    int64_t now_ns = 0, end_ns = NEVER;
    int next = 0;
    for (;;) {
        int64_t come_ns = next < REQUESTS ? world->jobs[next].send_ns + MS : NEVER;
        int64_t then_ns = least(come_ns, end_ns);
        if (then_ns == NEVER)
            return;
        account(world, now_ns, then_ns, window_end_ns);
        now_ns = then_ns;
        bool due = end_ns == NEVER || end_ns == now_ns;
        for (; next < REQUESTS && world->jobs[next].send_ns + MS == now_ns; next++) {
            world->jobs[next].waits_ns = now_ns;
            world->waiting[world->waiting_count++] = &world->jobs[next];
        }
        if (end_ns == now_ns)
            end_iteration(world, now_ns);
        if (!due)
            continue;
        int64_t length_ns = boundary(world, now_ns);
        end_ns = length_ns > 0 ? now_ns + length_ns : NEVER;
    }
}

static struct experiment *make_case(struct world *world, enum kind kind, uint64_t seed)
{
    static struct experiment_request requests[REQUESTS];
    struct dice dice = {seed, 0};
    struct settings *set = &world->set;
    struct experiment *experiment = experiment_new(experiment_unified);
    int64_t now_ns = 0;
    *world = (struct world){.set = {.kind = kind,
                                    .block_tokens = (const int64_t[]){1, 5, 16}[roll(&dice, 3)],
                                    .seqs = (const int64_t[]){2, 5, 20}[roll(&dice, 3)],
                                    .alloc_us = (const int64_t[]){0, 0, 300}[roll(&dice, 3)],
                                    .watermark = (const double[]){0, 0.1}[roll(&dice, 2)]}};
    set->budget = set->seqs + (const int64_t[]){0, 9, 300}[roll(&dice, 3)];
    set->growth_tokens = kind == EXACT || kind == COMPACTING ? (const int64_t[]){0, 20}[roll(&dice, 2)] : 0;
    int64_t longest = ceiling(LONGEST, set->block_tokens);
    set->blocks = longest * ((kind == SLAB ? 3 : 1) + roll(&dice, 4)) + roll(&dice, longest);
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = (struct experiment_request){now_ns, 1 + roll(&dice, MOST_PROMPT),
                                                  1 + roll(&dice, MOST_OUTPUT), 0, 0};
        world->jobs[i] = (struct job){
            .send_ns = now_ns, .prompt = requests[i].prompt_tokens, .output = requests[i].output_tokens};
        now_ns += roll(&dice, 3) == 0 ? roll(&dice, 100 * MS) : 0;
        now_ns -= seed % 2 ? now_ns % MS : 0;
    }
    experiment_trace(experiment, requests, REQUESTS);
    return experiment;
}

static void set_experiment(struct experiment *experiment, const struct settings *set)
{
    char keys[200] = "";
    if (set->kind == MAX)
        snprintf(keys, sizeof keys, ", \"max_length_tokens\": %d", LONGEST);
    if (set->kind == SLAB)
        snprintf(keys, sizeof keys, ", \"slab_classes_tokens\": [30, 80, %d]", LONGEST);
    if (set->kind == EXACT || set->kind == COMPACTING)
        snprintf(keys, sizeof keys, ", \"growth_tokens\": %d, \"compaction\": %s", (int)set->growth_tokens,
                 set->kind == COMPACTING ? "true" : "false");
    experiment_set(experiment, "cluster.pools[unified].timer={\"level\": \"fixed\", \"prefill_ms\": 5, "
                               "\"decode_ms\": 2, \"iteration_overhead_ms\": 0}");
    experiment_set(experiment,
                   "cluster.pools[unified].kv={\"allocator\": \"%s\", \"block_tokens\": %d, \"blocks\": %d, "
                   "\"alloc_us\": %d%s}",
                   names[set->kind], (int)set->block_tokens, (int)set->blocks, (int)set->alloc_us, keys);
    experiment_set(
        experiment,
        "cluster.pools[unified].scheduler={\"policy\": \"chunked\", \"max_num_batched_tokens\": %d, "
        "\"max_num_seqs\": %d, \"watermark\": %g}",
        (int)set->budget, (int)set->seqs, set->watermark);
}

static bool row_is(const struct row *row, const struct job *job)
{
    return row->ttft_ns == job->ttft_ns && row->e2e_ns == job->e2e_ns &&
           row->prefill_queue_ns == job->queue_ns && row->stalled_ns == job->stalled_ns &&
           (int64_t)row->preemptions == job->preemptions;
}

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-12 + 1e-9 * (expected))

static void check_instance(const struct instance_row *instance, const struct world *world, double window_ns)
{
    int64_t block_tokens = world->set.block_tokens;
    double capacity_ns = (double)world->set.blocks * window_ns;
    CU_ASSERT_EQUAL(instance->kv_allocated_blocks, (uint64_t)world->allocated_blocks);
    CU_ASSERT_EQUAL(instance->kv_peak_blocks, (uint64_t)world->peak_blocks);
    CU_ASSERT_EQUAL(instance->kv_peak_tokens, (uint64_t)world->peak_tokens);
    CU_ASSERT_EQUAL(instance->kv_allocations, (uint64_t)world->allocations);
    CU_ASSERT_EQUAL(instance->kv_copies, (uint64_t)world->copies);
    CU_ASSERT_EQUAL(instance->kv_compactions, (uint64_t)world->compactions);
    CU_ASSERT_EQUAL(instance->kv_copied_bytes, (uint64_t)(world->copied_blocks * block_tokens * TOKEN_BYTES));
    CU_ASSERT_EQUAL(instance->kv_allocation_ns, (uint64_t)world->total_cost_ns);
    NEAR(instance->kv_mean_utilization, world->block_ns / capacity_ns);
    NEAR(instance->kv_mean_cached, world->token_ns / (capacity_ns * (double)block_tokens));
    NEAR(instance->kv_external_fragmentation, world->stranded_ns / capacity_ns);
    NEAR(instance->kv_internal_fragmentation, 1 - world->token_ns / (world->block_ns * (double)block_tokens));
}

/* Returns the preemptions. */
static uint64_t run_case(enum kind kind, uint64_t seed)
{
    static struct world world;
    struct experiment *experiment = make_case(&world, kind, seed);
    set_experiment(experiment, &world.set);
    struct outcome outcome = experiment_run_well(experiment);
    int64_t end_ns = outcome.summary.window_end_ns;
    CU_ASSERT_EQUAL_FATAL(outcome.summary.completed, REQUESTS);
    simulate(&world, end_ns);
    int different = 0;
    for (int i = 0; i < REQUESTS; i++)
        if (!row_is(&outcome.rows[i], &world.jobs[i]) && different++ == 0)
            printf("\n    %s, seed %llu: request %d, e2e %lld, here %lld", names[kind],
                   (unsigned long long)seed, i, (long long)outcome.rows[i].e2e_ns,
                   (long long)world.jobs[i].e2e_ns);
    CU_ASSERT_EQUAL(different, 0);
    check_instance(&outcome.instances[0], &world, (double)end_ns);
    uint64_t preemptions = outcome.summary.preemptions;
    outcome_clear(&outcome);
    experiment_free(experiment);
    return preemptions;
}

static void run_kind(enum kind kind)
{
    uint64_t preemptions = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        preemptions += run_case(kind, seed);
    printf("\n    %s: %llu preemptions in %d runs", names[kind], (unsigned long long)preemptions, SEEDS);
    CU_ASSERT_EQUAL(preemptions > SEEDS, kind != MAX);
}

static void test_paged(void)
{
    run_kind(PAGED);
}

static void test_max(void)
{
    run_kind(MAX);
}

static void test_exact(void)
{
    run_kind(EXACT);
}

static void test_compacting(void)
{
    run_kind(COMPACTING);
}

static void test_slab(void)
{
    run_kind(SLAB);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"paged", test_paged},
        {"contiguous-max", test_max},
        {"contiguous-exact", test_exact},
        {"contiguous-exact with compaction", test_compacting},
        {"slab", test_slab},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("places of KV caches", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
