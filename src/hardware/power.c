#include "tandem/power.h"

#include "tandem/numeric.h"

#define FIELD(member) offsetof(struct power_config, member)
/* Defaults: fitted to the mean power of Llama-2-70B on A100 SXM 80 GB (DGX, TP 2 to 8) that Splitwise
 * measured (Patel et al., ISCA 2024; github.com/Mutinifni/splitwise-sim, data/perf_model.csv, MIT). */
static const struct option options[] = {
    {"idle", OPTION_NUMBER, "0.255", 0, 1, NULL, FIELD(idle),
     "share of the TDP that a GPU takes whatever it does (default, as of the three below: fitted to A100)"},
    {"mfu", OPTION_NUMBER, "0.518", 0, 4, NULL, FIELD(mfu), "share of the TDP that all FLOPs add"},
    {"mfu_exponent", OPTION_NUMBER, "0.448", 0.01, 4, NULL, FIELD(mfu_exponent), "of MFU"},
    {"mbu", OPTION_NUMBER, "0.735", 0, 4, NULL, FIELD(mbu),
     "share of the TDP that the whole memory bandwidth adds"},
    {"cap_watts", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(cap_watts),
     "most power of one GPU: cuts energy, never slows an iteration; 0: its TDP"},
};
#undef FIELD

OPTION_TABLE(power_options, "power",
             "watts of a GPU: min(cap, TDP (idle + mfu MFU^mfu_exponent + mbu MBU)), in each phase", options);

bool power_check(const struct power_config *config, double tdp_watts, const struct node *node,
                 struct error *error)
{
    double idle_watts = config->idle * tdp_watts;
    return power_cap_watts(config, tdp_watts) >= idle_watts ||
           node_error(
               node_get(node, "cap_watts"), error,
               "%g is less than the %g W that an idle GPU takes (idle %g of %g W); raise it or lower idle",
               config->cap_watts, idle_watts, config->idle, tdp_watts);
}

double power_cap_watts(const struct power_config *config, double tdp_watts)
{
    return config->cap_watts > 0 ? config->cap_watts : tdp_watts;
}

double power_watts(const struct power_config *config, double tdp_watts, double mfu, double mbu)
{
    double share = config->idle + config->mfu * numeric_pow(mfu, config->mfu_exponent) + config->mbu * mbu;
    double watts = share * tdp_watts, cap_watts = power_cap_watts(config, tdp_watts);
    return watts < cap_watts ? watts : cap_watts;
}
