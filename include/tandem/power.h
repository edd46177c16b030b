/* Power of a GPU from what it computes and moves. README of src/hardware: where the form and its figures are
 * from, and how good they are. All local. */
#ifndef TANDEM_POWER_H
#define TANDEM_POWER_H

#include "tandem/option.h"

struct power_config {
    double idle, mfu, mfu_exponent, mbu; /* shares of the TDP, but the exponent */
    double cap_watts;                    /* of one GPU; 0: its TDP */
};

extern const struct option_table power_options; /* of struct power_config */

/* Refuses a cap below what an idle GPU takes; the error gives both. node: the object that was parsed, not
 * used without a cap. */
bool power_check(const struct power_config *config, double tdp_watts, const struct node *node,
                 struct error *error);

/* Most watts of one GPU. */
double power_cap_watts(const struct power_config *config, double tdp_watts);

/* Watts of one GPU that computes and moves those shares (0 or more, 1 at most but for rounding at edges) of
 * its peak and of its memory bandwidth: min(cap, TDP (idle + mfu MFU^exponent + mbu MBU)). Idle: both 0. */
double power_watts(const struct power_config *config, double tdp_watts, double mfu, double mbu);

#endif
