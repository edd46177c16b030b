/* KV allocators beside a second calculation, written from src/serving/README.md alone: one unified instance
 * with scheduler chunked or continuous and iterations of fixed length, victims computed again or swapped, a
 * map of who holds each block, every token walked over. Rows, costs, fragmentation and peaks must agree to
 * the nanosecond. */
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
    bool continuous, swaps;
    int64_t block_tokens, blocks, seqs, budget, alloc_us, growth_tokens;
    double watermark;
    int64_t host_blocks; /* where victims are swapped */
    double swap_gb_per_s;
};

struct job {
    int64_t send_ns, prompt, output;
    int64_t generated, computed, blocks, planned;
    bool decoding, admitted;
    int64_t waits_ns; /* since */
    int64_t ttft_ns, e2e_ns, queue_ns, stalled_ns, preemptions, swaps;
};

/* The instance, and what is measured. */
struct world {
    struct settings set;
    struct job jobs[REQUESTS];
    const struct job *map[MOST_BLOCKS]; /* who holds a block */
    struct job *waiting[REQUESTS], *running[REQUESTS], *swapped[REQUESTS];
    int waiting_count, running_count, swapped_count;
    int64_t host_blocks, moved_blocks, swapped_out_blocks; /* in use; either way and not yet paid for */
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

static void push_front(struct job **list, int *count, struct job *job)
{
    memmove(&list[1], list, (size_t)(*count)++ * sizeof *list);
    list[0] = job;
}

static struct job *take_first(struct job **list, int *count)
{
    struct job *job = list[0];
    memmove(list, &list[1], (size_t)-- * count * sizeof *list);
    return job;
}

static void preempt(struct world *world, int64_t now_ns)
{
    struct job *job = world->running[--world->running_count];
    drop(world, job, 0, world->set.blocks);
    job->planned = 0;
    job->preemptions++;
    job->waits_ns = now_ns;
    if (world->set.swaps && world->host_blocks + job->blocks <= world->set.host_blocks) {
        world->host_blocks += job->blocks;
        world->moved_blocks += job->blocks;
        world->swapped_out_blocks += job->blocks;
        job->swaps++;
        push_front(world->swapped, &world->swapped_count, job);
        return;
    }
    job->blocks = job->computed = 0;
    job->decoding = false;
    push_front(world->waiting, &world->waiting_count, job);
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

/* Blocks that who comes in leaves free. */
static int64_t spare(const struct world *world)
{
    bool holds = world->set.continuous || world->running_count > 0;
    return holds ? (int64_t)(world->set.watermark * (double)world->set.blocks) : 0;
}

/* Whether the first of a queue may have so many. */
static bool admits(struct world *world, int64_t blocks)
{
    if (free_blocks(world) - spare(world) < blocks)
        return false;
    world->stranded = !has_room(world, blocks);
    return !world->stranded;
}

/* Swapped ones come back with the blocks that they had and those for what they lack; a place is for both. */
static void plan_swapped(struct world *world, int64_t *budget, int64_t now_ns)
{
    while (world->swapped_count > 0 && world->running_count<world->set.seqs && * budget> 0) {
        struct job *job = world->swapped[0];
        int64_t own = job->blocks, whole = length_for(world, known(job));
        if (!admits(world, whole > own ? whole : own))
            return;
        world->running[world->running_count++] = take_first(world->swapped, &world->swapped_count);
        job->stalled_ns += now_ns - job->waits_ns;
        job->planned = least(known(job) - job->computed, *budget);
        *budget -= job->planned;
        world->host_blocks -= own;
        world->moved_blocks += own;
        job->blocks = world->set.kind == PAGED || whole < own ? own : whole;
        take(world, job, job->blocks);
        int64_t more = ceiling(job->computed + job->planned, world->set.block_tokens) - job->blocks;
        if (more > 0) {
            take(world, job, more);
            job->blocks += more;
        }
    }
}

/* Returns whether any was admitted. */
static bool plan_waiting(struct world *world, int64_t budget, int64_t now_ns)
{
    const bool whole = world->set.continuous;
    bool admitted = false;
    while (world->waiting_count > 0 && world->swapped_count == 0 && world->running_count < world->set.seqs &&
           (whole ? !admitted || known(world->waiting[0]) <= budget : budget > 0)) {
        struct job *job = world->waiting[0];
        int64_t blocks = length_for(world, known(job));
        if (!admits(world, blocks))
            break;
        *(job->admitted ? &job->stalled_ns : &job->queue_ns) += now_ns - job->waits_ns;
        job->admitted = admitted = true;
        world->running[world->running_count++] = take_first(world->waiting, &world->waiting_count);
        job->planned = whole ? known(job) : least(known(job), budget);
        job->blocks = world->set.kind == PAGED ? ceiling(job->planned, world->set.block_tokens) : blocks;
        take(world, job, job->blocks);
        budget -= job->planned;
    }
    return admitted;
}

/* Returns whether any was preempted. */
static bool plan(struct world *world, int64_t now_ns)
{
    int64_t budget = world->set.budget;
    world->stranded = false;
    if (world->set.continuous && plan_waiting(world, budget, now_ns))
        return false;
    if (plan_running(world, &budget, now_ns))
        return true;
    plan_swapped(world, &budget, now_ns);
    if (!world->set.continuous)
        plan_waiting(world, budget, now_ns);
    return false;
}

/* Length of the iteration that starts, 0 when there is none. */
static int64_t boundary(struct world *world, int64_t now_ns)
{
    bool preempted, any = false, prompts = false;
    do {
        preempted = plan(world, now_ns);
        for (int i = 0; i < world->running_count; i++) {
            any |= world->running[i]->planned > 0;
            prompts |= world->running[i]->planned > 0 && !world->running[i]->decoding;
        }
    } while (!any && preempted);
    if (!any)
        return 0;
    double block_ns = (double)(TOKEN_BYTES * world->set.block_tokens) / world->set.swap_gb_per_s;
    int64_t length_ns = (prompts ? PREFILL_NS : DECODE_NS) + world->cost_ns +
                        simtime_from_ns((double)world->moved_blocks * block_ns);
    world->cost_ns = world->moved_blocks = 0;
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

static struct experiment *make_case(struct world *world, enum kind kind, bool continuous, bool swaps,
                                    uint64_t seed)
{
    static struct experiment_request requests[REQUESTS];
    struct dice dice = {seed, 0};
    struct settings *set = &world->set;
    struct experiment *experiment = experiment_new(experiment_unified);
    int64_t now_ns = 0;
    *world = (struct world){.set = {.kind = kind,
                                    .continuous = continuous,
                                    .swaps = swaps,
                                    .block_tokens = (const int64_t[]){1, 5, 16}[roll(&dice, 3)],
                                    .seqs = (const int64_t[]){2, 5, 20}[roll(&dice, 3)],
                                    .alloc_us = (const int64_t[]){0, 0, 300}[roll(&dice, 3)],
                                    .watermark = (const double[]){0, 0.1}[roll(&dice, 2)]}};
    if (continuous && set->watermark > 0 && kind != SLAB) /* room for the longest is left */
        set->blocks += set->blocks / 8 + 1;
    set->host_blocks = (const int64_t[]){3, 20, 1000}[seed / 2 % 3] * 16 / set->block_tokens;
    set->swap_gb_per_s = seed % 2 ? (double)(TOKEN_BYTES * set->block_tokens) / 1e6 : 50;
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
    experiment_set(experiment,
                   "cluster.pools[unified].scheduler={\"policy\": \"%s\", \"max_num_batched_tokens\": %d, "
                   "\"max_num_seqs\": %d, \"watermark\": %g, \"preemption\": \"%s\", \"swap_gb_per_s\": "
                   "%.17g, \"swap_space_gib\": %.17g}",
                   set->continuous ? "continuous" : "chunked", (int)set->budget, (int)set->seqs,
                   set->watermark, set->swaps ? "swap" : "recompute", set->swap_gb_per_s,
                   (double)(set->host_blocks * TOKEN_BYTES * set->block_tokens) / (1 << 30));
}

static bool row_is(const struct row *row, const struct job *job)
{
    return row->ttft_ns == job->ttft_ns && row->e2e_ns == job->e2e_ns &&
           row->prefill_queue_ns == job->queue_ns && row->stalled_ns == job->stalled_ns &&
           (int64_t)row->preemptions == job->preemptions && (int64_t)row->swaps == job->swaps;
}

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-12 + 1e-9 * (expected))

static void check_instance(const struct instance_row *instance, const struct world *world, double window_ns)
{
    int64_t block_tokens = world->set.block_tokens;
    double capacity_ns = (double)world->set.blocks * window_ns;
    CU_ASSERT_EQUAL(instance->swapped_out_bytes,
                    (uint64_t)(world->swapped_out_blocks * block_tokens * TOKEN_BYTES));
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

/* What happened in some runs. */
struct happened {
    uint64_t preemptions, swaps;
};

static void run_case(enum kind kind, bool continuous, bool swaps, uint64_t seed, struct happened *happened)
{
    static struct world world;
    unsigned failures = CU_get_number_of_failures();
    struct experiment *experiment = make_case(&world, kind, continuous, swaps, seed);
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
    if (CU_get_number_of_failures() > failures)
        experiment_print(experiment);
    happened->preemptions += outcome.summary.preemptions;
    happened->swaps += outcome.summary.swaps;
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static void run_kind(enum kind kind, bool continuous)
{
    for (int swaps = 0; swaps < 2; swaps++) {
        struct happened happened = {0};
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            run_case(kind, continuous, swaps, seed, &happened);
        printf("\n    %s: %llu preemptions, %llu of them swaps, in %d runs", names[kind],
               (unsigned long long)happened.preemptions, (unsigned long long)happened.swaps, SEEDS);
        CU_ASSERT_EQUAL(happened.preemptions > SEEDS, kind != MAX);
        CU_ASSERT_EQUAL(happened.swaps > SEEDS, swaps && kind != MAX);
        CU_ASSERT(happened.swaps < happened.preemptions || kind == MAX);
    }
}

static void test_chunked(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        run_kind((enum kind)kind, false);
}

static void test_continuous(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        run_kind((enum kind)kind, true);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"chunked", test_chunked},
        {"continuous", test_continuous},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("places of KV caches", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
