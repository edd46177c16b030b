/* What requests are held to, by class of priority. */
#include "plan.h"

#include "tandem/mem.h"
#include "tandem/simtime.h"

#define AT(member) offsetof(struct plan_slo, member)

static const struct option rows[] = {
    {"ttft_ms", OPTION_NUMBER, "-1", -1, 1e9, NULL, AT(ttft_ms),
     "longest time to first token; 0: not set, negative: as slo.ttft_ms"},
    {"tpot_ms", OPTION_NUMBER, "-1", -1, 1e9, NULL, AT(tpot_ms),
     "longest time per output token; 0: not set, negative: as slo.tpot_ms"},
    {"itl_ms", OPTION_NUMBER, "-1", -1, 1e9, NULL, AT(itl_ms),
     "longest gap between two tokens; 0: not set, negative: as slo.itl_ms"},
};
OPTION_TABLE(slo_class_options, "slo-class", "what the requests of one class of priority are held to", rows);

bool plan_parse_slo(struct plan *plan, struct error *error)
{
    const struct node *list = plan->slo_classes_node;
    if (!list || node_type(list) == NODE_NULL)
        return true;
    if (node_type(list) != NODE_ARRAY || node_size(list) == 0 || node_size(list) > SLO_MOST_CLASSES)
        return node_error(list, error, "expected a list of 1 to %d classes of priority, class 0 first",
                          SLO_MOST_CLASSES);
    plan->class_slos = mem_array(node_size(list), sizeof *plan->class_slos);
    plan->class_slo_count = node_size(list);
    for (size_t i = 0; i < plan->class_slo_count; i++)
        if (!option_parse(&slo_class_options, node_at(list, i), &plan->class_slos[i], error))
            return false;
    return true;
}

static int64_t bound_ns(double own_ms, double general_ms)
{
    return simtime_from_ns((own_ms < 0 ? general_ms : own_ms) * 1e6);
}

struct slo plan_slo(const struct plan *plan, size_t class)
{
    struct plan_slo own = class < plan->class_slo_count ? plan->class_slos[class] : plan->slo;
    return (struct slo){bound_ns(own.ttft_ms, plan->slo.ttft_ms), bound_ns(own.tpot_ms, plan->slo.tpot_ms),
                        bound_ns(own.itl_ms, plan->slo.itl_ms)};
}
