/* What the ranks measured, brought to rank 0. */
#include "run.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/request.h"

enum { TAG_SIZE = 1, TAG_BYTES = 2 };

#define MESSAGE_BYTES (1 << 28) /* MPI counts are int: long messages go in parts */

/* Appends the bytes of every other rank's buffer to that of rank 0. take is called on rank 0 for each, in
 * order of ranks. */
static void gather_bytes(struct run *run, const void *bytes, size_t count,
                         void (*take)(void *context, const char *bytes, size_t count), void *context)
{
    if (run->rank != 0) {
        uint64_t size = count;
        MPI_Send(&size, 1, MPI_UINT64_T, 0, TAG_SIZE, run->comm);
        for (size_t done = 0; done < count; done += MESSAGE_BYTES)
            MPI_Send((const char *)bytes + done,
                     (int)(count - done < MESSAGE_BYTES ? count - done : MESSAGE_BYTES), MPI_BYTE, 0,
                     TAG_BYTES, run->comm);
        return;
    }
    for (int rank = 1; rank < run->ranks; rank++) {
        uint64_t size;
        MPI_Recv(&size, 1, MPI_UINT64_T, rank, TAG_SIZE, run->comm, MPI_STATUS_IGNORE);
        char *buffer = mem_array(size, 1);
        for (size_t done = 0; done < size; done += MESSAGE_BYTES)
            MPI_Recv(buffer + done, (int)(size - done < MESSAGE_BYTES ? size - done : MESSAGE_BYTES),
                     MPI_BYTE, rank, TAG_BYTES, run->comm, MPI_STATUS_IGNORE);
        take(context, buffer, size);
        mem_free(buffer);
    }
}

static void take_metrics(void *context, const char *bytes, size_t count)
{
    metrics_merge(context, bytes, count);
}

static void take_rows(void *context, const char *bytes, size_t count)
{
    struct metrics *metrics = context;
    size_t rows = count / sizeof(struct row);
    if (rows == 0)
        return;
    if (metrics->row_count + rows > metrics->row_capacity)
        metrics->rows =
            mem_grow(metrics->rows, &metrics->row_capacity, metrics->row_count + rows, sizeof(struct row));
    memcpy(metrics->rows + metrics->row_count, bytes, count);
    metrics->row_count += rows;
}

/* Usages in order of entities: a rank's entities follow those of the rank before. */
struct usage_list {
    struct usage *usages;
    size_t count;
};

static void take_usages(void *context, const char *bytes, size_t count)
{
    struct usage_list *list = context;
    if (count == 0) /* a rank without instances has no bytes, which memcpy may not be given */
        return;
    memcpy(list->usages + list->count, bytes, count);
    list->count += count / sizeof(struct usage);
}

static struct usage_list local_usages(const struct run *run)
{
    struct usage_list list = {mem_array(run->plan.entities, sizeof(struct usage)), 0};
    for (uint32_t entity = 0; entity < run->plan.entities; entity++)
        if (run->instances[entity])
            list.usages[list.count++] = replica_usage(run->instances[entity]);
    return list;
}

/* What sums of effort are multiplied by. */
static void set_efforts(const struct plan *plan, const struct plan_pool *pool, struct results_pool *results)
{
    const struct model *model = &plan->model;
    enum dtype kv_dtype = pool->layout.kv_dtype;
    double lanes = (double)pool->layout.lanes;
    double copies = (double)model_kv_copies(model, pool->tensor_parallel);
    bool kept = pool->kv.cache == KV_CACHE_KEPT;
    double kv_bytes = kept ? (double)model_kv_bytes_per_token(model, kv_dtype) : 0;
    double attention = model_attention_flops(model, 1); /* one token is in any window: all layers see it */
    double layers = model->sliding_window > 0 ? (double)model->layers : 1; /* that sums of contexts go over */
    results->flops_per_token = model_linear_flops_per_token(model);
    results->flops_per_logit_row = model_head_flops_per_row(model);
    results->flops_per_context_token = attention / layers;
    results->peak_flops = gpu_peak_flops(&pool->gpu, pool->layout.weight_dtype);
    results->bandwidth = pool->gpu.bandwidth;
    results->weight_bytes = ((double)model_weight_bytes(model, &pool->layout) -
                             (double)model_expert_bytes(model, &pool->layout)) /
                            lanes;
    results->kv_bytes_per_token = kv_bytes * copies;
    results->kv_bytes_per_context_token = kv_bytes * copies / layers;
}

static void build(struct run *run, const struct usage_list *usages, struct results *results)
{
    const struct plan *plan = &run->plan;
    struct results_pool *pools = mem_array(plan->pool_count, sizeof *pools);
    for (size_t i = 0; i < plan->pool_count; i++) {
        const struct plan_pool *pool = &plan->pools[i];
        int64_t members = pool->layout.lanes * pool->layout.pipeline_parallel;
        pools[i] = (struct results_pool){.name = pool->name,
                                         .role = role_names[pool->role],
                                         .gpu = pool->gpu.name,
                                         .instances = (uint32_t)pool->instances,
                                         .gpus_per_instance = (uint32_t)pool->gpus,
                                         .members_per_instance = (uint32_t)members,
                                         .tensor_parallel = (uint32_t)pool->tensor_parallel,
                                         .pipeline_parallel = (uint32_t)pool->pipeline_parallel,
                                         .attention_data_parallel = (uint32_t)pool->attention_data_parallel,
                                         .expert_parallel = (uint32_t)pool->expert_parallel,
                                         .kv_allocator = pool->kv.allocator->name,
                                         .kv_block_tokens = (uint64_t)pool->kv.block_tokens,
                                         .kv_capacity_blocks = (uint64_t)(pool->member_blocks * members),
                                         .price_usd_per_gpu_hour = pool->price_usd_per_gpu_hour,
                                         .tdp_watts = pool->gpu.tdp_watts,
                                         .power = pool->power};
        set_efforts(plan, pool, &pools[i]);
    }
    struct row *rows = run->metrics.rows;
    size_t row_count = run->metrics.row_count;
    run->metrics.rows = NULL;
    run->metrics.row_count = 0;
    run->metrics.row_capacity = 0;
    results_build(results, &run->metrics, pools, plan->pool_count, usages->usages, rows, row_count);
    results->trace_sha256 = workload_trace_sha256(run->workload);
    mem_free(pools);
}

/* What passed the links, from the rank of the fabric to rank 0; into traffic that has none. */
static void take_traffic(void *context, const char *bytes, size_t count)
{
    if (count > 0)
        traffic_unpack(context, (const uint64_t *)bytes, count / sizeof(uint64_t));
}

static void gather_traffic(struct run *run, struct traffic *traffic)
{
    uint64_t *words = NULL;
    size_t count = 0;
    if (run->fabric) {
        count = traffic_packed_words(fabric_traffic(run->fabric));
        words = mem_array(count, sizeof *words);
        traffic_pack(fabric_traffic(run->fabric), words);
        if (run->rank == 0)
            traffic_unpack(traffic, words, count);
    }
    gather_bytes(run, words, count * sizeof *words, take_traffic, traffic);
    mem_free(words);
}

/* Ports of a kind, of each pool. */
static void list_ports(const struct plan *plan, const char *kind, struct link_row *rows)
{
    for (size_t p = 0; p < plan->pool_count; p++) {
        const struct plan_pool *pool = &plan->pools[p];
        int64_t ports = pool->instances * pool->layout.lanes;
        double rate = strcmp(kind, "nic") == 0 ? pool->port_rate : pool->local_rate;
        rows[p] = (struct link_row){.kind = kind,
                                    .direction = plan->router.role_switch.interval_ms > 0 ? "both"
                                                 : pool->role == ROLE_PREFILL             ? "send"
                                                                                          : "receive",
                                    .pool = pool->name,
                                    .leaf = -1,
                                    .links = (uint32_t)ports,
                                    .bytes_per_s = rate * (double)ports};
    }
}

/* The links in the order of the fabric's traffic (fabric.h). */
static void list_links(const struct plan *plan, const struct plan_site *sites, int64_t nodes,
                       struct link_row *rows)
{
    int64_t leaves = plan_leaves(plan, nodes);
    double *rates = mem_array((size_t)leaves, sizeof *rates);
    list_ports(plan, "nic", rows);
    rows += plan->pool_count;
    if (plan->network.local_link_node) {
        list_ports(plan, "local", rows);
        rows += plan->pool_count;
    }
    if (leaves > 0)
        plan_leaf_rates(plan, sites, nodes, rates);
    for (int64_t i = 0; i < 2 * leaves; i++)
        rows[i] = (struct link_row){.kind = "uplink",
                                    .direction = i % 2 == 0 ? "up" : "down",
                                    .pool = "",
                                    .leaf = (int32_t)(i / 2),
                                    .links = 1,
                                    .bytes_per_s = rates[i / 2]};
    mem_free(rates);
}

/* Collective; results are rank 0's. */
static void gather_links(struct run *run, struct results *results)
{
    const struct plan *plan = &run->plan;
    struct plan_site *sites = mem_array(plan->entities, sizeof *sites);
    int64_t nodes = plan_locate(plan, sites);
    struct fabric_config config = run_fabric_config(plan, nodes);
    uint32_t count = fabric_links(&config);
    struct traffic traffic;
    traffic_init(&traffic, count, config.interval_ns);
    gather_traffic(run, &traffic);
    if (run->rank == 0) {
        struct link_row *rows = mem_array(count, sizeof *rows);
        list_links(plan, sites, nodes, rows);
        results_add_links(results, rows, count, &traffic);
        mem_free(rows);
    }
    traffic_clear(&traffic);
    mem_free(sites);
}

static void take_iterations(void *context, const char *bytes, size_t count)
{
    iteration_log_merge(context, (const struct iteration_row *)bytes, count / sizeof(struct iteration_row));
}

/* Those that begin first, in order, to rank 0. Collective. */
static void gather_iterations(struct run *run, struct results *results)
{
    struct iteration_log *log = &run->iterations;
    size_t most = (size_t)run->plan.output.iterations_max;
    gather_bytes(run, log->rows, log->count * sizeof *log->rows, take_iterations, log);
    if (run->rank != 0)
        return;
    iteration_log_merge(log, NULL, 0);
    results->iterations_cut_ns = log->count > most ? log->rows[most].start_ns : -1;
    results->iteration_count = log->count > most ? most : log->count;
    results->iterations = log->rows ? log->rows : mem_array(1, sizeof *log->rows);
    *log = (struct iteration_log){0};
    if (results->iterations_cut_ns >= 0)
        log_warning("the first %zu iterations are recorded, until %g s; raise output.iterations_max for more",
                    results->iteration_count, (double)results->iterations_cut_ns * 1e-9);
}

void run_gather(struct run *run, struct results *results)
{
    struct text packed = {0};
    if (run->rank != 0)
        metrics_pack(&run->metrics, &packed);
    gather_bytes(run, packed.bytes, packed.length, take_metrics, &run->metrics);
    text_clear(&packed);
    gather_bytes(run, run->metrics.rows, run->metrics.row_count * sizeof(struct row), take_rows,
                 &run->metrics);
    struct usage_list usages = local_usages(run);
    gather_bytes(run, usages.usages, usages.count * sizeof(struct usage), take_usages, &usages);
    if (run->rank == 0) {
        CHECK(usages.count == run->plan.entities - ENTITY_FIRST_INSTANCE, "%zu usages came", usages.count);
        build(run, &usages, results);
    }
    mem_free(usages.usages);
    if (run->plan.disaggregated)
        gather_links(run, results);
    if (run->plan.output.iterations)
        gather_iterations(run, results);
}
