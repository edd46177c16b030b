/* Entities from a plan, and the run itself. */
#include "run.h"

#include <stddef.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/request.h"
#include "tandem/simtime.h"

/* Finished rows that a rank holds when all hand theirs to output: each rank then has about one chunk to pack.
 */
#define COLLECT_ROWS OUTPUT_CHUNK_ROWS

#define GIB (1024.0 * 1024.0 * 1024.0)

/* The model's limit, where no pool has one that refuses requests; 0 where one has. */
static int64_t longest_context(const struct run *run)
{
    return run->plan.max_model_len == 0 ? run->plan.model.max_context_tokens : 0;
}

void run_warn_about_lengths(const struct run *run)
{
    int64_t longer = workload_longer(run->workload);
    if (longer > 0)
        log_warning("%lld requests have more prompt and output tokens than the %lld that %s was made for; "
                    "they run all the "
                    "same (max_model_len 0; set it to refuse them)",
                    (long long)longer, (long long)longest_context(run), run->plan.model.name);
}

bool run_load(struct run *run, struct error *error)
{
    const struct sim_options *options = run->options;
    run->config = options->config;
    if ((!run->config && !sim_load(options, &run->config, error)) || !plan_refuse_sweep(run->config, error) ||
        !plan_apply_engines(run->config, error) || !plan_parse(config_root(run->config), &run->plan, error) ||
        !workload_create(run->plan.workload_node, (uint64_t)run->plan.seed, &run->workload, error))
        return false;
    int64_t last_ns = workload_last_send_ns(run->workload);
    if (last_ns != SIMTIME_NEVER && simtime_from_seconds(run->plan.warm_up_s) > last_ns)
        return node_error(node_get(config_root(run->config), "warm_up_s"), error,
                          "no request arrives after a warm-up of %g s; the last arrives at %g s",
                          run->plan.warm_up_s, (double)last_ns * 1e-9);
    plan_warn_sessions(&run->plan, workload_has_sessions(run->workload));
    if (!plan_check_hashes(&run->plan, workload_hash_tokens(run->workload), error))
        return false;
    if (longest_context(run) > 0)
        workload_count_longer(run->workload, longest_context(run));
    return true;
}

void run_unload(struct run *run)
{
    if (run->workload)
        workload_free(run->workload);
    plan_clear(&run->plan);
    if (run->config != run->options->config)
        config_free(run->config);
}

/* Facts of the workload that every rank needs; only rank 0 has it. */
struct workload_facts {
    int64_t requests, last_send_ns, users, classes, hash_tokens;
};

static bool wants_rows(const struct run *run)
{
    return run->in_memory ? !run->options->is_point || run->options->keeps_rows
                          : run->options->output != NULL;
}

static void make_metrics(struct run *run, const struct workload_facts *facts)
{
    const struct plan *plan = &run->plan;
    const int64_t last_send_ns = facts->last_send_ns;
    size_t classes = (size_t)facts->classes;
    if (plan->class_slo_count > classes)
        classes = plan->class_slo_count;
    run->slos = mem_array(classes, sizeof *run->slos);
    for (size_t class = 0; class < classes; class ++)
        run->slos[class] = plan_slo(plan, class);
    int64_t start_ns = simtime_from_seconds(plan->warm_up_s);
    struct metrics_config config = {
        .pools = (int64_t)plan->pool_count,
        .window_start_ns = start_ns,
        /* A window without length has no rates: the run as a whole stands in. */
        .window_end_ns = last_send_ns > start_ns ? last_send_ns : SIMTIME_NEVER,
        .requests = (uint64_t)facts->requests,
        .slo = plan_slo(plan, SIZE_MAX),
        .classes = (int64_t)classes,
        .class_slos = run->slos,
        .series_interval_ns = simtime_from_ns(plan->output.timeseries_interval_ms * 1e6),
        .at_once = last_send_ns <= start_ns,
        .one_in = wants_rows(run) ? (uint64_t)plan->output.one_in : 0,
    };
    metrics_init(&run->metrics, &config);
}

/* One a stage. */
static struct timer **make_timers(const struct plan *plan, const struct plan_pool *pool)
{
    int64_t stages = pool->layout.pipeline_parallel;
    struct timer **timers = mem_array((size_t)stages, sizeof *timers);
    for (int64_t stage = 0; stage < stages; stage++) {
        struct work_shape shape = plan_shape(plan, pool, stage);
        timers[stage] = timer_new(&pool->gpu, &shape, &pool->timer);
    }
    return timers;
}

/* Parts of memory that a block has on a GPU: keys and values of each layer, or MLA's latents; on the stage
 * with the most layers, since all stages move theirs at once. */
static int64_t rank_descriptors(const struct plan *plan, const struct plan_pool *pool)
{
    int64_t stages = pool->layout.pipeline_parallel, most_layers = 0;
    for (int64_t stage = 0; stage < stages; stage++) {
        int64_t layers = model_stage_layers(&plan->model, stages, stage);
        most_layers = layers > most_layers ? layers : most_layers;
    }
    return (plan->model.mla_latent > 0 ? 1 : 2) * most_layers;
}

/* Blocks that the host has room for, of a member, and how long one takes: all GPUs copy theirs at the same
 * time, those of the fullest stage the most. */
static struct swap_config swap_config(const struct plan *plan, const struct plan_pool *pool)
{
    int64_t stages = pool->layout.pipeline_parallel;
    double block_bytes = (double)(plan_most_kv_bytes(plan, pool) * pool->kv.block_tokens);
    return (struct swap_config){.capacity_blocks =
                                    (int64_t)(pool->limits.swap_space_gib * GIB / block_bytes) / stages,
                                .ns_per_block = block_bytes / pool->limits.swap_gb_per_s};
}

static struct wire_end wire_end(const struct plan *plan, const struct plan_pool *pool)
{
    int64_t heads = plan->model.mla_latent > 0 ? 1 : plan->model.kv_heads, ranks = pool->tensor_parallel;
    return (struct wire_end){
        .block_tokens = (int32_t)pool->kv.block_tokens,
        .kv_heads = (int32_t)((heads + ranks - 1) / ranks),
        .copies = (int32_t)model_kv_copies(&plan->model, ranks),
        .descriptor_ns =
            plan->disaggregated ? (double)rank_descriptors(plan, pool) * plan->link.descriptor_ns : 0,
    };
}

/* What instances of the pool with that number are, in the role that is given here. */
static struct instance_config instance_config(struct run *run, size_t index, const struct plan_pool *pool,
                                              struct timer **timers, const struct workload_facts *facts)
{
    const struct plan *plan = &run->plan;
    int64_t stages = pool->layout.pipeline_parallel;
    /* Without a cache each boundary is an event: the steps between are no decodes of the timer's. */
    bool steps = pool->kv.cache == KV_CACHE_NONE || plan->output.iterations;
    struct scheduler_limits limits = pool->limits;
    limits.max_num_seqs = (limits.max_num_seqs + stages - 1) / stages; /* of each micro-batch */
    return (struct instance_config){
        .role = pool->role,
        .pool = (int64_t)index,
        .lanes = pool->layout.lanes,
        .stages = stages,
        .limits = limits,
        .kv = pool->kv,
        .capacity_blocks = pool->member_blocks,
        .no_cache = pool->kv.cache == KV_CACHE_NONE,
        .latency_ns = plan->latency_ns,
        .report_interval_ns = simtime_from_ns(plan->router.load_report_interval_ms * 1e6),
        .reports = router_uses(&plan->router, pool->role == ROLE_DECODE) != 0 ||
                   plan_reports_contents(plan, pool) || router_has_thresholds(&plan->router),
        .closed_loop = facts->users > 0,
        .deadlines = plan->router.deadline_count > 0,
        .handoff = plan->handoff,
        .mode = steps && plan->simulation.mode == MODE_LEAPING ? MODE_AGGREGATE : plan->simulation.mode,
        .iterations = plan->output.iterations ? &run->iterations : NULL,
        .kv_bytes_per_token = model_kv_bytes_per_token(&plan->model, pool->layout.kv_dtype),
        .kv_bytes_per_block = pool->kv.block_tokens *
                              model_kv_bytes_per_token(&plan->model, pool->layout.kv_dtype) *
                              model_kv_copies(&plan->model, pool->tensor_parallel),
        .swap = swap_config(plan, pool),
        .caching = plan_caching(plan, pool, facts->hash_tokens),
        .setup_ns = plan->disaggregated ? simtime_from_ns(plan->network.setup_ms * 1e6) : 0,
        .wire = wire_end(plan, pool),
        .layers = plan->model.layers,
        .sliding_window = plan->model.sliding_window,
        .full_layers =
            plan->model.sliding_window > 0 ? plan->model.layers - plan->model.sliding_window_layers : 1,
        .sliding_layers = plan->model.sliding_window_layers,
        .activations = pool->activations,
        .longest_context = pool->gpu.mixed_attention.present || pool->activations.kind == ACTIVATIONS_PADDED,
        .timers = timers,
        .away = pool->role != plan->pools[index].role,
        .switch_ns = simtime_from_ns(plan->router.role_switch.switch_ms * 1e6),
    };
}

static void configure_pool(struct run *run, size_t index, const struct workload_facts *facts)
{
    const struct plan *plan = &run->plan;
    struct instance_config *config = &run->configs[index], *other = config + plan->pool_count;
    *config = instance_config(run, index, &plan->pools[index], make_timers(plan, &plan->pools[index]), facts);
    if (plan->router.role_switch.interval_ms == 0)
        return;
    struct plan_pool pool = plan_other_role(plan, &plan->pools[index]);
    *other = instance_config(run, index, &pool, config->timers, facts);
    config->other = other;
    other->other = config;
}

static void make_router(struct run *run, const struct workload_facts *facts)
{
    const struct plan *plan = &run->plan;
    struct router_cluster cluster = {
        .latency_ns = plan->latency_ns,
        .max_model_len = plan->max_model_len,
        .entry_max_tokens = INT64_MAX,
        .decode_max_tokens = INT64_MAX,
        .handoff = plan->handoff,
        .keeps_hashes = plan_shares_blocks(plan),
        .hash_tokens = facts->hash_tokens,
        .seed = (uint64_t)plan->seed,
    };
    uint32_t *entries = mem_array(plan->entities, sizeof(uint32_t));
    uint32_t *decodes = mem_array(plan->entities, sizeof(uint32_t));
    struct router_kv *kv = mem_array(plan->entities, sizeof *kv);
    int64_t all_tokens = INT64_MAX; /* that fit the smallest instance of all */
    for (size_t p = 0; p < plan->pool_count; p++) {
        const struct plan_pool *pool = &plan->pools[p];
        int64_t *most = pool->role == ROLE_DECODE ? &cluster.decode_max_tokens : &cluster.entry_max_tokens;
        *most = pool->most_tokens < *most ? pool->most_tokens : *most;
        all_tokens = pool->most_tokens < all_tokens ? pool->most_tokens : all_tokens;
        int64_t members = pool->layout.lanes * pool->layout.pipeline_parallel;
        for (uint32_t i = 0; i < pool->instances; i++) {
            kv[pool->first_entity + i] =
                (struct router_kv){pool->member_blocks * members, pool->kv.block_tokens};
            if (pool->role == ROLE_DECODE)
                decodes[cluster.decode_count++] = pool->first_entity + i;
            else
                entries[cluster.entry_count++] = pool->first_entity + i;
        }
    }
    if (plan->router.role_switch.interval_ms > 0)
        cluster.entry_max_tokens = cluster.decode_max_tokens = all_tokens;
    cluster.entries = entries;
    cluster.decodes = decodes;
    cluster.kv = kv;
    run->router = router_create(run->engine, &plan->router, &cluster, run->workload, &run->metrics);
    mem_free(entries);
    mem_free(decodes);
    mem_free(kv);
}

/* Where each entity is, for the fabric. */
static void set_places(const struct run *run, const struct plan_site *sites, struct fabric_place *places)
{
    const struct plan *plan = &run->plan;
    for (size_t p = 0; p < plan->pool_count; p++)
        for (int64_t i = 0; i < plan->pools[p].instances; i++) {
            const struct plan_pool *pool = &plan->pools[p];
            const struct plan_site *site = &sites[pool->first_entity + i];
            places[pool->first_entity + i] = (struct fabric_place){
                .pool = (uint32_t)p,
                .domain = (uint32_t)site->domain,
                .leaf = (uint32_t)site->leaf,
                .local_rate = pool->local_rate,
                .block_bytes = run->configs[p].kv_bytes_per_block,
                .local_ns_per_block = (double)rank_descriptors(plan, pool) * plan->local_link.descriptor_ns};
        }
}

struct fabric_config run_fabric_config(const struct plan *plan, int64_t nodes)
{
    return (struct fabric_config){.sharing = plan->network.sharing,
                                  .latency_ns = plan->latency_ns,
                                  .entities = plan->entities,
                                  .pools = (uint32_t)plan->pool_count,
                                  .local = plan->network.local_link_node,
                                  .local_setup_ns = simtime_from_ns(plan->network.local_setup_ms * 1e6),
                                  .leaves = (uint32_t)plan_leaves(plan, nodes),
                                  .interval_ns = simtime_from_ns(plan->output.timeseries_interval_ms * 1e6)};
}

static void make_fabric(struct run *run)
{
    const struct plan *plan = &run->plan;
    struct plan_site *sites = mem_array(plan->entities, sizeof *sites);
    struct fabric_place *places = mem_array(plan->entities, sizeof *places);
    int64_t nodes = plan_locate(plan, sites);
    struct fabric_config config = run_fabric_config(plan, nodes);
    double *rates = mem_array(plan->entities, sizeof *rates);
    int64_t *lanes = mem_array(plan->entities, sizeof *lanes);
    for (size_t p = 0; p < plan->pool_count; p++)
        for (int64_t i = 0; i < plan->pools[p].instances; i++) {
            rates[plan->pools[p].first_entity + i] = plan->pools[p].port_rate;
            lanes[plan->pools[p].first_entity + i] = plan->pools[p].layout.lanes;
        }
    double *leaf_rates = mem_array(config.leaves, sizeof *leaf_rates);
    if (config.leaves > 0)
        plan_leaf_rates(plan, sites, nodes, leaf_rates);
    set_places(run, sites, places);
    config.rates = rates;
    config.lanes = lanes;
    config.places = places;
    config.leaf_rates = leaf_rates;
    run->fabric = fabric_create(run->engine, &config);
    mem_free(sites);
    mem_free(places);
    mem_free(leaf_rates);
    mem_free(rates);
    mem_free(lanes);
}

static void make_entities(struct run *run, const struct workload_facts *facts)
{
    const struct plan *plan = &run->plan;
    run->owners = mem_array(plan->entities, sizeof(uint32_t));
    plan_partition(plan, run->ranks, run->owners);
    struct engine_config config = {.entities = plan->entities,
                                   .owners = run->owners,
                                   .lookahead_ns = plan->latency_ns,
                                   .body_bytes = sizeof(struct request),
                                   .tail_at = plan_shares_blocks(plan) ? offsetof(struct request, hashes) : 0,
                                   .exchange = plan->simulation.exchange};
    run->engine = engine_create(run->comm, &config);
    run->configs = mem_array(2 * plan->pool_count, sizeof(struct instance_config));
    run->instances = mem_array(plan->entities, sizeof(struct replica *));
    run->iterations.most = (size_t)plan->output.iterations_max + 1;
    for (size_t p = 0; p < plan->pool_count; p++) {
        configure_pool(run, p, facts);
        for (uint32_t i = 0; i < plan->pools[p].instances; i++) {
            uint32_t entity = plan->pools[p].first_entity + i;
            if (engine_is_local(run->engine, entity))
                run->instances[entity] = replica_create(run->engine, entity, &run->configs[p], &run->metrics);
        }
    }
    if (engine_is_local(run->engine, ENTITY_FABRIC))
        make_fabric(run);
    if (engine_is_local(run->engine, ENTITY_ROUTER))
        make_router(run, facts);
}

static void open_output(struct run *run, int64_t requests)
{
    struct output_config config = {.folder = run->options->output,
                                   .requests = (uint64_t)requests,
                                   .one_in = run->metrics.config.one_in,
                                   .compression = (int)run->plan.output.compression};
    run->output = output_open(run->comm, &config);
}

static void show_progress(void *context, int64_t now_ns, uint64_t done)
{
    struct run *run = context;
    progress_show(&run->progress, now_ns, done);
    if (run->options->tick)
        run->options->tick(run->options->tick_context);
}

static uint64_t held_rows(void *context)
{
    return ((const struct run *)context)->metrics.row_count;
}

static bool collect_rows(void *context)
{
    struct run *run = context;
    double start_s = MPI_Wtime();
    bool good = output_rows(run->output, run->metrics.rows, run->metrics.row_count);
    run->metrics.row_count = 0;
    run->output_s += MPI_Wtime() - start_s;
    return good;
}

static bool run_engine(struct run *run)
{
    struct engine_hooks hooks = {.context = run, .progress = show_progress};
    bool collects = run->output && run->metrics.config.one_in > 0;
    if (collects) {
        hooks.held = held_rows;
        hooks.collect = collect_rows;
        hooks.collect_at = COLLECT_ROWS;
    }
    return engine_run(run->engine, &hooks) && (!collects || collect_rows(run));
}

bool run_simulate(struct run *run)
{
    struct workload_facts facts = {0};
    if (run->rank == 0)
        facts = (struct workload_facts){workload_count(run->workload), workload_last_send_ns(run->workload),
                                        workload_users(run->workload), workload_classes(run->workload),
                                        workload_hash_tokens(run->workload)};
    MPI_Bcast(&facts, 5, MPI_INT64_T, 0, run->comm);
    make_metrics(run, &facts);
    if (!run->in_memory && run->options->output)
        open_output(run, facts.requests);
    make_entities(run, &facts);
    run->setup_s = MPI_Wtime() - run->start_s;
    progress_init(&run->progress, facts.requests, !run->options->quiet);
    bool good = run_engine(run);
    if (run->rank == 0)
        progress_end(&run->progress);
    if (!good)
        return false;
    MPI_Allreduce(&run->metrics.end_ns, &run->end_ns, 1, MPI_INT64_T, MPI_MAX, run->comm);
    for (uint32_t entity = 0; entity < run->plan.entities; entity++)
        if (run->instances[entity])
            replica_close(run->instances[entity], run->end_ns);
    return true;
}

void run_clear(struct run *run)
{
    for (uint32_t entity = 0; entity < run->plan.entities; entity++)
        if (run->instances[entity])
            replica_free(run->instances[entity]);
    if (run->router)
        router_free(run->router);
    if (run->fabric)
        fabric_free(run->fabric);
    for (size_t p = 0; p < run->plan.pool_count; p++) {
        for (int64_t stage = 0; stage < run->configs[p].stages; stage++)
            timer_free(run->configs[p].timers[stage]);
        mem_free(run->configs[p].timers);
    }
    engine_free(run->engine);
    metrics_clear(&run->metrics);
    mem_free(run->iterations.rows);
    mem_free(run->slos);
    mem_free(run->configs);
    mem_free(run->instances);
    mem_free(run->owners);
}
