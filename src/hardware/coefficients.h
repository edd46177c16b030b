/* The groups of coefficients of a GPU file, by data type and engine where they differ. Private to hardware.
 */
#ifndef TANDEM_HARDWARE_COEFFICIENTS_H
#define TANDEM_HARDWARE_COEFFICIENTS_H

#include "tandem/gpu.h"

static const double MICROSECOND = 1e-6;
static const double GIGA = 1e9;
static const double TERA = 1e12;

/* The groups as they stand in the file; NULL: absent. */
struct coefficient_groups {
    const struct node *gemm, *prefill_attention, *decode_attention, *mixed_attention, *mla_prefill_attention,
        *mla_decode_attention, *mla_bmm, *moe, *allreduce, *all_to_all, *send, *eager;
    double nic_gb_per_s; /* of the network that all_to_all was measured over */
};

/* Puts the groups of a file in the place of the universal set, which is there already. Errors name the key;
 * node: the GPU's object, for what does not fit together. */
bool coefficients_parse(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                        struct error *error);

/* Appends a line or two of each group. */
void coefficients_describe(const struct gpu *gpu, struct text *text);

/* For the files that share this header. */

/* Fills target from a group, then brings what is given in us and GB/s to s and bytes/s. An absent group
 * leaves the target as it is. */
bool coefficients_group(const struct option_table *table, const struct node *node, void *target,
                        struct error *error);

/* One truth: what the timer takes as the peak of a data type is what the datasheet says. group: "gemm.fp8",
 * which is relative to mul times the BF16 peak. */
bool coefficients_check_peak(const struct node *node, const struct gpu *gpu, const char *group,
                             enum dtype dtype, double mul, struct error *error);

bool coefficients_parse_moe(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                            struct error *error);
bool coefficients_parse_all_to_all(const struct coefficient_groups *groups, struct gpu *gpu,
                                   struct error *error);
void coefficients_describe_experts(const struct gpu *gpu, struct text *text);

#endif
