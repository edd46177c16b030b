/* Option tables of an experiment and of a cluster. */
#include "plan.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/footprint.h"
#include "tandem/roofline.h"
#include "tandem/workload.h"

const struct config_reference sim_references[] = {
    {"model", "models", "model"},
    {"cluster", "", "cluster"},
    {"cluster.engine", "engines", "engine"},
    {"cluster.pools[*].engine", "engines", "engine"},
    {"cluster.pools[*].gpu", "gpus", "GPU"},
    {"cluster.network.kv_link", "links", "link"},
    {"cluster.network.node_link", "links", "link"},
    {"cluster.network.local_link", "links", "link"},
    {"workload.synthetic.prompt_tokens", "workloads", "length preset"},
    {"workload.synthetic.output_tokens", "workloads", "length preset"},
    {"workload.sessions.user_tokens", "workloads", "length preset"},
    {"workload.sessions.output_tokens", "workloads", "length preset"},
};
const size_t sim_reference_count = sizeof sim_references / sizeof sim_references[0];

static const struct config_reference pool_references[] = {{"model", "models", "model"},
                                                          {"engine", "engines", "engine"},
                                                          {"gpu", "gpus", "GPU"},
                                                          {"network.kv_link", "links", "link"},
                                                          {"network.node_link", "links", "link"},
                                                          {"network.local_link", "links", "link"}};

const char *const plan_mode_names[] = {"leaping", "aggregate", "naive", NULL};
const char *const plan_partition_names[] = {"weighted", "pools", NULL};
static const char *const exchange_names[] = {"auto", "fused", "sparse", NULL};
static const char *const kv_dtypes[] = {"bf16", "fp16", "fp8", "int8", "int4", NULL}; /* as in plan.c */

#define OF(member) offsetof(struct plan, member)

static const struct option experiment_rows[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, OF(name), "what the experiment is called in results"},
    {"model", OPTION_NODE, NULL, 0, 0, NULL, OF(model_node),
     "name or file of the model, or the model itself"},
    {"cluster", OPTION_NODE, NULL, 0, 0, NULL, OF(cluster_node),
     "name or file of the cluster, or the cluster itself"},
    {"workload", OPTION_NODE, NULL, 0, 0, NULL, OF(workload_node),
     "where requests come from: trace, synthetic or sessions"},
    {"slo", OPTION_NODE, "null", 0, 0, NULL, OF(slo_node), "service level objective for goodput"},
    {"seed", OPTION_INTEGER, "1", 0, 9007199254740992.0, NULL, OF(seed), "of all random numbers"},
    {"warm_up_s", OPTION_NUMBER, "0", 0, 1e9, NULL, OF(warm_up_s),
     "requests that arrive earlier are left out of the metrics"},
    {"output", OPTION_NODE, "null", 0, 0, NULL, OF(output_node), "what is written"},
    {"simulation", OPTION_NODE, "null", 0, 0, NULL, OF(simulation_node),
     "how it is computed; never changes results"},
    {"sweep", OPTION_NODE, "null", 0, 0, NULL, OF(sweep_node),
     "many runs: what `tandem sweep` changes from one to the next"},
    {"search", OPTION_NODE, "null", 0, 0, NULL, OF(search_node),
     "many runs: what `tandem sweep` looks for the best of"},
};
static OPTION_TABLE(experiment_table, "experiment", "the file that `tandem run` and `tandem sweep` take",
                    experiment_rows);

static const struct option slo_rows[] = {
    {"ttft_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, OF(slo.ttft_ms), "longest time to first token; 0: not set"},
    {"tpot_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, OF(slo.tpot_ms),
     "longest time per output token; 0: not set"},
    {"itl_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, OF(slo.itl_ms),
     "longest gap between two tokens; 0: not set"},
    {"classes", OPTION_NODE, "null", 0, 0, NULL, OF(slo_classes_node),
     "list of bounds of classes of priority, class 0 first (slo-class); of others those above hold"},
};
static OPTION_TABLE(slo_table, "slo", "a request meets it when it meets all that is set", slo_rows);

static const struct option output_rows[] = {
    {"requests", OPTION_NODE, "null", 0, 0, NULL, OF(output.requests_node),
     "a row for each request: true (default), false, or {\"one_in\": N}"},
    {"compression", OPTION_INTEGER, "1", 0, 9, NULL, OF(output.compression),
     "deflate level; 1: run lengths and Huffman codes only, 9: hardly smaller and slow; 0: no filters"},
    {"timeseries_interval_ms", OPTION_NUMBER, "1000", 1, 1e9, NULL, OF(output.timeseries_interval_ms),
     "width of a bin; doubles when 4096 are full"},
    {"iterations", OPTION_BOOL, "false", 0, 0, NULL, OF(output.iterations),
     "a row for each iteration; runs as slowly as simulation.mode aggregate"},
    {"iterations_max", OPTION_INTEGER, "1000000", 1, 1e9, NULL, OF(output.iterations_max),
     "rows of iterations; those that begin later are left out"},
};
static OPTION_TABLE(output_table, "output-options", "what results.h5 holds", output_rows);

static const struct option output_requests_rows[] = {
    {"one_in", OPTION_INTEGER, NULL, 1, 9007199254740992.0, NULL, OF(output.one_in),
     "rows of the requests whose id (place in order of arrival, from 0) is a multiple of it"},
};
static OPTION_TABLE(output_requests_table, "output-requests", "a sample of the requests",
                    output_requests_rows);

static const struct option simulation_rows[] = {
    {"mode", OPTION_CHOICE, "\"leaping\"", 0, 0, plan_mode_names, OF(simulation.mode),
     "leaping: runs over uneventful iterations at once; aggregate: an event for each, O(1); naive: walks "
     "over "
     "every sequence (the checks of the former)"},
    {"partition", OPTION_CHOICE, "\"weighted\"", 0, 0, plan_partition_names, OF(simulation.partition),
     "of instances over ranks: by expected events, or pools strictly apart"},
    {"exchange", OPTION_CHOICE, "\"auto\"", 0, 0, exchange_names, OF(simulation.exchange),
     "between ranks: fused messages (up to 8 ranks by default, 64 at most) or reduction and sparse messages"},
};
static OPTION_TABLE(simulation_table, "simulation", "how a run is computed; results do not depend on it",
                    simulation_rows);

static const struct option cluster_rows[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, OF(cluster_name), "what the cluster is called in results"},
    {"engine", OPTION_NODE, "null", 0, 0, NULL, OF(engine_node),
     "name or file of the engine whose hand-off, scheduler and KV cache it has where nothing else is "
     "written; "
     "default: as vllm-v1"},
    {"pools", OPTION_NODE, NULL, 0, 0, NULL, OF(pools_node),
     "list of pools: unified ones, or prefill and decode; a request has to fit every instance that could get "
     "it"},
    {"network", OPTION_NODE, "null", 0, 0, NULL, OF(network_node), "control and KV network"},
    {"router", OPTION_NODE, "null", 0, 0, NULL, OF(router_node), "how requests find their instances"},
    {"handoff", OPTION_NODE, "null", 0, 0, NULL, OF(handoff_node),
     "how a request moves from prefill to decode"},
};
static OPTION_TABLE(cluster_table, "cluster", "pools, network and router", cluster_rows);

static const struct option network_rows[] = {
    {"kv_link", OPTION_NODE, "null", 0, 0, NULL, OF(network.kv_link_node),
     "name or file of the link of each GPU, for KV transfers; required with prefill and decode pools"},
    {"node_link", OPTION_NODE, "null", 0, 0, NULL, OF(network.node_link_node),
     "name or file of the link of each GPU between the nodes of an instance; default: kv_link"},
    {"control_latency_us", OPTION_NUMBER, "1000", 1, 1e9, NULL, OF(network.control_latency_us),
     "of every control message; also the lookahead of parallel runs"},
    {"sharing", OPTION_CHOICE, "\"max-min\"", 0, 0, sharing_names, OF(network.sharing),
     "max-min: fair over sender and receiver ports; sender: one after another; none: each as if alone"},
    {"nics_per_gpu", OPTION_INTEGER, "1", 1, 64, NULL, OF(network.nics_per_gpu), "links of each GPU"},
    {"setup_ms", OPTION_NUMBER, "-1", -1, 1e6, NULL, OF(network.setup_ms),
     "of a transfer; negative: the link's own"},
    {"placement", OPTION_CHOICE, "\"pools\"", 0, 0, plan_placement_names, OF(network.placement),
     "of instances on nodes: pools (each pool has nodes of its own) or interleaved (prefill and decode "
     "instances in turn, so that they share nodes)"},
    {"local_link", OPTION_NODE, "null", 0, 0, NULL, OF(network.local_link_node),
     "name or file of the link of each GPU inside a node or NVLink domain, for transfers between instances "
     "that share it; default: kv_link for all"},
    {"topology", OPTION_NODE, "null", 0, 0, NULL, OF(network.topology_node),
     "leaf switches with uplinks; default: the network between nodes limits nothing"},
};
static OPTION_TABLE(network_table, "network", "control and KV network", network_rows);

static const struct option topology_rows[] = {
    {"leaf_nodes", OPTION_INTEGER, NULL, 1, 1 << 20, NULL, OF(network.leaf_nodes),
     "nodes of a leaf (of a scalable unit, where rails have leaf switches of their own)"},
    {"oversubscription", OPTION_NUMBER, "1", 1, 1e6, NULL, OF(network.oversubscription),
     "line rate of the NICs of its nodes / that of its uplinks to the spine, each way"},
};
static OPTION_TABLE(topology_table, "topology", "leaves below a spine that has room for all", topology_rows);

static const struct option handoff_rows[] = {
    {"first_token", OPTION_CHOICE, "\"decode\"", 0, 0, first_token_names, OF(handoff.first_token),
     "who shows it: decode (re-runs the last prompt token: vLLM), prefill (Splitwise, DistServe), relay "
     "(prefill's "
     "token, shown when decode admits the request: SGLang, TensorRT-LLM)"},
    {"reserve", OPTION_CHOICE, "\"after-prefill\"", 0, 0, reserve_when_names, OF(handoff.reserve),
     "when a decode instance is chosen and reserves blocks: after-prefill, or before-prefill (both instances "
     "are chosen at once, and prefill waits until decode has the blocks: SGLang)"},
    {"reserve_tokens", OPTION_CHOICE, "\"prompt\"", 0, 0, reserve_tokens_names, OF(handoff.reserve_tokens),
     "for how many tokens: prompt (and one), prompt+headroom (the prompt, while headroom_tokens are left for "
     "each request that runs or moves, and itself: SGLang), prompt+max (and max_tokens: never preempts; "
     "TensorRT-LLM's GUARANTEED_NO_EVICT)"},
    {"headroom_tokens", OPTION_INTEGER, "512", 0, 1 << 24, NULL, OF(handoff.headroom_tokens),
     "reserve_tokens prompt+headroom: left free for each request (SGLang's num_reserved_decode_tokens)"},
    {"overlap", OPTION_CHOICE, "\"none\"", 0, 0, overlap_names, OF(handoff.overlap),
     "of transfer and prefill: none; chunk: what an iteration has computed is sent when it ends; layer: "
     "while it "
     "is computed. Both need reserve before-prefill"},
    {"local_prefill_max_tokens", OPTION_INTEGER, "0", 0, 1 << 30, NULL, OF(handoff.local_prefill_max_tokens),
     "prompts of so many tokens at most go to a decode instance at once, which computes them itself; 0: none "
     "(Dynamo's conditional disaggregation)"},
    {"recompute_at", OPTION_CHOICE, "\"decode\"", 0, 0, recompute_at_names, OF(handoff.recompute_at),
     "where a request that decode preempted is computed again: there, or by a prefill instance, from which "
     "it "
     "moves again; one that is swapped (scheduler.preemption of the decode pool) is not computed again"},
};
static OPTION_TABLE(handoff_table, "handoff", "how a request moves from prefill to decode", handoff_rows);

#define POOL(member) offsetof(struct plan_pool, member)

static const struct option pool_rows[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, POOL(name), "what the pool is called in results"},
    {"role", OPTION_CHOICE, NULL, 0, 0, role_names, POOL(role), "unified, prefill or decode"},
    {"gpu", OPTION_NODE, NULL, 0, 0, NULL, POOL(gpu_node), "name or file of the GPU, or the GPU itself"},
    {"instances", OPTION_INTEGER, NULL, 1, 1 << 20, NULL, POOL(instances), "model replicas"},
    {"tensor_parallel", OPTION_INTEGER, "1", 1, 1024, NULL, POOL(tensor_parallel),
     "GPUs that share each matrix"},
    {"pipeline_parallel", OPTION_INTEGER, "1", 1, 1024, NULL, POOL(pipeline_parallel),
     "stages, each with its share of the layers; as many micro-batches are in flight"},
    {"attention_data_parallel", OPTION_INTEGER, "1", 1, 1024, NULL, POOL(attention_data_parallel),
     "lanes with requests and KV cache of their own, whose experts are shared"},
    {"expert_parallel", OPTION_INTEGER, "1", 1, 4096, NULL, POOL(expert_parallel),
     "groups that the experts are spread over, of the tensor_parallel x attention_data_parallel GPUs"},
    {"gpus_per_node", OPTION_INTEGER, "0", 0, 4096, NULL, POOL(gpus_per_node), "0: the GPU's own"},
    {"nodes", OPTION_INTEGER, "0", 0, 1 << 20, NULL, POOL(nodes),
     "nodes of the pool, as a limit; 0: as many as the instances need"},
    {"weight_dtype", OPTION_CHOICE, "\"auto\"", 0, 0, dtype_choices, POOL(weight_choice),
     "of the layers' matrices; auto: as the model is published"},
    {"expert_dtype", OPTION_CHOICE, "\"auto\"", 0, 0, dtype_choices, POOL(expert_choice),
     "of the routed experts; auto: as published, or as weight_dtype where that is given and they do not "
     "differ "
     "in the publication"},
    {"kv_dtype", OPTION_CHOICE, "\"bf16\"", 0, 0, kv_dtypes, POOL(kv_choice),
     "of the KV cache; int8 and int4 with a 16-bit scale (int4: and zero point) for each token, head, key "
     "and "
     "value"},
    {"max_model_len", OPTION_INTEGER, "0", 0, 1 << 30, NULL, POOL(max_model_len),
     "requests with more prompt and output tokens are refused; 0: no limit"},
    {"scheduler", OPTION_NODE, "null", 0, 0, NULL, POOL(scheduler_node), "batch scheduler"},
    {"kv", OPTION_NODE, "null", 0, 0, NULL, POOL(kv_node), "KV cache"},
    {"timer", OPTION_NODE, "null", 0, 0, NULL, POOL(timer_node), "how iterations are timed"},
    {"power", OPTION_NODE, "null", 0, 0, NULL, POOL(power_node), "how the power of its GPUs is computed"},
    {"engine", OPTION_NODE, "null", 0, 0, NULL, POOL(engine_node),
     "name or file of the engine of this pool, before that of the cluster"},
    {"price_usd_per_gpu_hour", OPTION_NUMBER, "-1", -1, 1e6, NULL, POOL(price_usd_per_gpu_hour),
     "negative: the GPU's own; a month is 730 h"},
};
static OPTION_TABLE(pool_table, "pool", "instances of one role and one configuration", pool_rows);

const struct option_table *const *sim_option_tables(void)
{
    static const struct option_table *tables[48];
    const struct option_table *all[] = {&experiment_table,
                                        &slo_table,
                                        &slo_class_options,
                                        &output_table,
                                        &output_requests_table,
                                        &simulation_table,
                                        &cluster_table,
                                        &pool_table,
                                        &engine_options,
                                        &engine_value_options,
                                        &serve_options,
                                        &serve_flag_options,
                                        &roofline_options,
                                        &footprint_options,
                                        scheduler_option_table(),
                                        kv_option_table(),
                                        &timer_options,
                                        &power_options,
                                        &network_table,
                                        &topology_table,
                                        &handoff_table,
                                        router_option_table(),
                                        &router_weight_options,
                                        &router_mixed_options,
                                        &router_role_switch_options,
                                        &workload_options,
                                        &workload_trace_options,
                                        &workload_synthetic_options,
                                        &workload_session_options,
                                        &workload_length_options,
                                        &workload_arrival_options,
                                        &workload_preset_options,
                                        &model_options,
                                        &gpu_options,
                                        &link_options,
                                        NULL};
    _Static_assert(sizeof all <= sizeof tables, "more option tables than there is room for");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        tables[i] = all[i];
    return tables;
}

bool plan_compose_pool(const char *const *sets, size_t set_count, struct config **config, struct error *error)
{
    if (!config_compose("{\"name\": \"pool\", \"role\": \"unified\", \"instances\": 1}", "command line",
                        pool_references, sizeof pool_references / sizeof *pool_references, sets, set_count,
                        config, error))
        return false;
    if (plan_apply_pool_engine(*config, config_root(*config), error))
        return true;
    config_free(*config);
    *config = NULL;
    return false;
}

const struct option_table *plan_table(const char *name)
{
    const struct option_table *const *tables = sim_option_tables();
    while (*tables && strcmp((*tables)->name, name) != 0)
        tables++;
    CHECK(*tables, "no option table %s", name);
    return *tables;
}
