/* An experiment as parsed: everything that entities are built from. Strings live as long as the
 * configuration. */
#ifndef TANDEM_SIM_PLAN_H
#define TANDEM_SIM_PLAN_H

#include "tandem/activations.h"
#include "tandem/fabric.h"
#include "tandem/gpu.h"
#include "tandem/instance.h"
#include "tandem/kv.h"
#include "tandem/link.h"
#include "tandem/metrics.h"
#include "tandem/model.h"
#include "tandem/power.h"
#include "tandem/router.h"
#include "tandem/sim.h"

enum partition { PARTITION_WEIGHTED, PARTITION_POOLS };

/* Values of network.placement. */
enum placement { PLACEMENT_POOLS, PLACEMENT_INTERLEAVED };
extern const char *const plan_placement_names[];

/* Values of simulation.mode and simulation.partition. */
extern const char *const plan_mode_names[];
extern const char *const plan_partition_names[];

struct plan_pool {
    const char *name;
    int role;
    const struct node *engine_node, *gpu_node, *scheduler_node, *kv_node, *timer_node, *power_node;
    int64_t instances, tensor_parallel, pipeline_parallel, attention_data_parallel, expert_parallel;
    int64_t max_model_len;
    int weight_choice, expert_choice, kv_choice; /* of the first two 0 is automatic */
    struct model_layout layout;                  /* resolved */
    int64_t gpus;                                /* of an instance */
    int64_t gpus_per_node, nodes;                /* nodes 0: as many as it takes */
    struct {
        int64_t reach; /* GPUs that are joined without the network */
        bool crosses;  /* an instance spans several such groups */
        int64_t nodes; /* needed */
    } place;
    double price_usd_per_gpu_hour; /* resolved */
    struct gpu gpu;
    struct timer_config timer;
    struct power_config power;
    struct kv_config kv;
    struct scheduler_limits limits;     /* resolved */
    int64_t lane_blocks;                /* KV blocks of a lane */
    struct activation_rule activations; /* of a micro-batch */
    int64_t most_tokens;                /* of a request that is alone in one */
    int64_t member_blocks;              /* of one of its micro-batches: an equal share */
    uint32_t first_entity;
    double port_rate;  /* bytes/s of the network port of a lane of an instance, each way */
    double local_rate; /* of its port of local_link */
};

#define SLO_MOST_CLASSES 256

/* Bounds, 0: not set. */
struct plan_slo {
    double ttft_ms, tpot_ms, itl_ms;
};

struct plan {
    /* experiment */
    const char *name;
    int64_t seed;
    double warm_up_s;
    const struct node *model_node, *cluster_node, *workload_node, *slo_node, *output_node, *simulation_node,
        *sweep_node, *search_node;
    struct plan_slo slo;
    const struct node *slo_classes_node;
    struct plan_slo *class_slos; /* negative: as slo; owned */
    size_t class_slo_count;
    struct {
        const struct node *requests_node;
        int64_t one_in; /* rows are kept of the requests whose id is a multiple of it; 0: of none */
        int64_t compression;
        double timeseries_interval_ms;
        bool iterations;
        int64_t iterations_max;
    } output;
    struct {
        int mode, partition, exchange;
    } simulation;
    /* cluster */
    const char *cluster_name;
    const struct node *engine_node, *pools_node, *network_node, *router_node, *handoff_node;
    struct {
        const struct node *kv_link_node, *node_link_node, *local_link_node, *topology_node;
        double control_latency_us, setup_ms, local_setup_ms; /* resolved */
        int sharing, placement;
        int64_t nics_per_gpu;
        int64_t leaf_nodes; /* 0: the network between nodes limits nothing */
        double oversubscription;
    } network;
    struct handoff_config handoff;
    struct router_config router;
    struct model model;
    struct link link;
    struct link node_link;   /* between the nodes of an instance; bandwidth 0: none is given */
    struct link local_link;  /* of transfers inside a domain; bandwidth 0: none is given */
    struct plan_pool *pools; /* owned: plan_clear */
    size_t pool_count;
    uint32_t entities;
    bool disaggregated;
    int64_t latency_ns;
    int64_t max_model_len; /* of the strictest pool, 0: none */
};

/* Composes "key=value" words to an object with a model, a network and the keys of a pool that stands alone,
 * whose name, role and instances have values already. The caller owns *config. */
bool plan_compose_pool(const char *const *sets, size_t set_count, struct config **config,
                       struct error *error);

/* Fills in what a cluster and its pools leave out and their engines say, or a pool that stands alone. Before
 * they are parsed. */
bool plan_apply_engines(struct config *config, struct error *error);
bool plan_apply_pool_engine(struct config *config, const struct node *pool, struct error *error);
extern const struct option_table engine_options, engine_value_options, serve_options, serve_flag_options;

/* Whether the path of an engine's value or flag can be one (of the hand-off only where that is allowed). */
bool plan_check_engine_path(const struct node *node, const char *path, bool handoff, struct error *error);

/* The `serve` of an engine (NULL: none): whether it is right, and what it says. */
bool plan_check_serve(const struct node *node, struct error *error);
void plan_describe_serve(const struct node *node, struct text *text);

/* An error where the experiment is a sweep: it is many runs. */
bool plan_refuse_sweep(const struct config *config, struct error *error);

/* The option table of that name; aborts when there is none. */
const struct option_table *plan_table(const char *name);

/* Fills a plan from a resolved experiment and checks that it all fits together. */
bool plan_parse(const struct node *root, struct plan *plan, struct error *error);
void plan_clear(struct plan *plan);

/* Fills class_slos from slo_classes_node. And the bounds of a class, or with a number beyond all of the rest.
 */
bool plan_parse_slo(struct plan *plan, struct error *error);
struct slo plan_slo(const struct plan *plan, size_t class);
extern const struct option_table slo_class_options;

/* Fills links and latency from plan->network_node; before the pools, whose instances may span nodes. */
bool plan_parse_network(struct plan *plan, struct error *error);

/* Fills what the keys of a pool's node name: GPU, timer, power, KV cache, scheduler and layout, before it is
 * placed on nodes. The plan's model and the pool's own keys are there. */
bool plan_read_pool(struct plan *plan, struct plan_pool *pool, const struct node *node, struct error *error);

/* The same, placed on nodes, with its timer checked and its price. */
bool plan_resolve_pool(struct plan *plan, struct plan_pool *pool, const struct node *node,
                       struct error *error);

/* What the number of KV blocks on a GPU of a stage depends on; of a pool that was read. */
struct kv_capacity plan_stage_capacity(const struct plan *plan, const struct plan_pool *pool, int64_t stage);

/* Fills the KV blocks of a lane of a resolved pool and of its micro-batches; an error with the figures when
 * there is no room on the fullest stage. */
bool plan_find_capacity(const struct plan *plan, struct plan_pool *pool, const struct node *node,
                        struct error *error);

/* KV cache of a token on a GPU of the fullest stage. */
int64_t plan_most_kv_bytes(const struct plan *plan, const struct plan_pool *pool);

/* Whether a pool's options for prefix caching fit the others. */
bool plan_check_prefix(const struct plan_pool *pool, struct error *error);

/* Warns where a router's policy asks for sessions that the workload does not have. */
void plan_warn_sessions(const struct plan *plan, bool has_sessions);

/* Whether the workload says what pools that share blocks have to know: hashes of blocks of so many tokens, 0
 * for none.
 */
bool plan_check_hashes(const struct plan *plan, int64_t hash_tokens, struct error *error);

/* Whether any does or the router asks, so that requests carry hashes; whether instances of a pool report what
 * they hold; and what they are told, tiers with their room of a member and rates, as with swapping. */
bool plan_shares_blocks(const struct plan *plan);
bool plan_reports_contents(const struct plan *plan, const struct plan_pool *pool);
struct caching_config plan_caching(const struct plan *plan, const struct plan_pool *pool,
                                   int64_t hash_tokens);

/* Puts the pool's instances on nodes: pool->place. Errors: groups that do not divide into nodes, too few
 * nodes, no link between them. node: the pool's. */
bool plan_place(struct plan *plan, struct plan_pool *pool, const struct node *node, struct error *error);

/* Where an instance is. */
struct plan_site {
    int64_t first_node, last_node; /* of the cluster */
    int64_t domain;                /* instances of one reach each other without the network */
    int64_t leaf;
};

/* Fills sites, by entity, of all instances; returns the nodes of the cluster. And the leaves of so many
 * nodes, and the bytes/s of the uplinks of each, each way. */
int64_t plan_locate(const struct plan *plan, struct plan_site *sites);
int64_t plan_leaves(const struct plan *plan, int64_t nodes);
void plan_leaf_rates(const struct plan *plan, const struct plan_site *sites, int64_t nodes, double *rates);

/* Errors: options of the network that need others, pools or instances that do not fit them. The pools are
 * resolved. */
bool plan_check_topology(const struct plan *plan, struct error *error);

/* The shapes on one GPU of a stage of the pool, where it is placed. */
struct work_shape plan_shape(const struct plan *plan, const struct plan_pool *pool, int64_t stage);

/* A pool whose instances are as those of this one after they changed their role: with the scheduler of the
 * first pool of that role. */
struct plan_pool plan_other_role(const struct plan *plan, const struct plan_pool *pool);

/* Errors: pools that cannot do what router.mixed and router.role_switch ask of them. The pools are resolved.
 */
bool plan_check_roles(const struct plan *plan, struct error *error);

/* Warnings: one line for each limit that the plan meets, and for options without effect. */
void plan_warn(const struct plan *plan);
void plan_warn_pool(const struct plan *plan, const struct plan_pool *pool);
void plan_warn_about_place(const struct plan_pool *pool);

/* Rank of each entity, into owners. */
void plan_partition(const struct plan *plan, int ranks, uint32_t *owners);

/* Appends one line a pool: what it is, memory, KV capacity, price. */
void plan_describe(const struct plan *plan, struct text *text);

#endif
