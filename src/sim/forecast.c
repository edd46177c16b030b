/* What is known of a run before it: for sweeps. */
#include "run.h"

#include <stdio.h>

/* A run takes so long before its first event, and for each request (tests/bench/README.md, small clusters):
 * rough, but right enough to begin the longest first. */
#define POINT_S              0.003
#define REQUEST_S            1.2e-6
#define REQUEST_MOVED_S      2.0e-6 /* prefill and decode pools */
#define REQUEST_EVERY_STEP_S 40e-6  /* an event for each iteration, as the two slower modes have */

bool sim_load(const struct sim_options *options, struct config **config, struct error *error)
{
    return config_load(options->experiment, sim_references, sim_reference_count, options->sets,
                       options->set_count, config, error);
}

bool sim_complete(struct config *config, struct error *error)
{
    return plan_apply_engines(config, error);
}

bool plan_refuse_sweep(const struct config *config, struct error *error)
{
    static const char *const sections[] = {"sweep", "search"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        const struct node *section = node_get(config_root(config), sections[i]);
        if (section && node_type(section) != NODE_NULL)
            return node_error(
                section, error,
                "this is many runs: use `tandem sweep`, or --set %s=null (and --set its values) for one",
                sections[i]);
    }
    return true;
}

static double number(const struct node *node, const char *key, double otherwise)
{
    const struct node *value = node ? node_get(node, key) : NULL;
    return value && node_type(value) == NODE_NUMBER ? node_number(value) : otherwise;
}

struct sim_totals sim_totals(const struct config *config)
{
    struct sim_totals totals = {0};
    const struct node *cluster = node_get(config_root(config), "cluster");
    const struct node *pools = cluster ? node_get(cluster, "pools") : NULL;
    for (size_t i = 0; pools && node_type(pools) == NODE_ARRAY && i < node_size(pools); i++) {
        const struct node *pool = node_at(pools, i), *gpu = node_get(pool, "gpu");
        double instances = number(pool, "instances", 0);
        double gpus = instances * number(pool, "tensor_parallel", 1) * number(pool, "pipeline_parallel", 1) *
                      number(pool, "attention_data_parallel", 1);
        double price = number(pool, "price_usd_per_gpu_hour", -1);
        totals.instances += instances;
        totals.gpus += gpus;
        totals.cost_usd_per_hour += gpus * (price < 0 ? number(gpu, "price_usd_per_hour", 0) : price);
        totals.tdp_watts += gpus * number(gpu, "tdp_watts", 0);
    }
    return totals;
}

bool sim_forecast(struct config *config, struct sim_forecast *forecast, struct error *error)
{
    const struct sim_options options = {.config = config, .is_point = true};
    struct run run = {.options = &options};
    bool good = run_load(&run, error);
    *forecast = (struct sim_forecast){0};
    if (good && run.plan.output.iterations)
        good =
            node_error(node_get(node_get(config_root(config), "output"), "iterations"), error,
                       "a sweep keeps no records of iterations; set it false, and look at single points with "
                       "`tandem run --set sweep=null`");
    if (good) {
        double per_request = run.plan.simulation.mode != MODE_LEAPING ? REQUEST_EVERY_STEP_S
                             : run.plan.disaggregated                 ? REQUEST_MOVED_S
                                                                      : REQUEST_S;
        forecast->requests = workload_count(run.workload);
        forecast->wall_s = POINT_S + per_request * (double)forecast->requests;
        snprintf(forecast->trace_sha256, sizeof forecast->trace_sha256, "%s",
                 workload_trace_sha256(run.workload));
    }
    run_unload(&run);
    return good;
}
