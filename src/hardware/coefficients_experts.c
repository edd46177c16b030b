/* Groups of coefficients of a GPU file: routed experts and the all-to-all between them. */
#include "coefficients.h"

#include "dtypes.h"

#include <string.h>

static const char *const moe_names[MOE_KIND_COUNT] = {
    [MOE_BF16] = "moe.bf16",           [MOE_FP8] = "moe.fp8",           [MOE_FP4] = "moe.fp4",
    [MOE_MXFP4_A16] = "moe.mxfp4_a16", [MOE_MXFP4_A8] = "moe.mxfp4_a8",
};

struct kind_groups {
    const struct node *groups[MOE_KIND_COUNT];
};

#define FIELD(kind) offsetof(struct kind_groups, groups[kind])
static const struct option kind_rows[] = {
    {"bf16", OPTION_NODE, "null", 0, 0, NULL, FIELD(MOE_BF16), "16-bit experts, one set for all engines"},
    {"fp8", OPTION_NODE, "null", 0, 0, NULL, FIELD(MOE_FP8), "FP8 experts by engine"},
    {"fp4", OPTION_NODE, "null", 0, 0, NULL, FIELD(MOE_FP4), "FP4 experts (NVFP4) by engine"},
    {"mxfp4_a16", OPTION_NODE, "null", 0, 0, NULL, FIELD(MOE_MXFP4_A16),
     "MXFP4 experts with 16-bit activations by engine"},
    {"mxfp4_a8", OPTION_NODE, "null", 0, 0, NULL, FIELD(MOE_MXFP4_A8),
     "MXFP4 experts with FP8 activations by engine"},
};
#undef FIELD

struct engine_groups {
    const struct node *groups[GPU_KERNELS_COUNT];
};

#define FIELD(kernels) offsetof(struct engine_groups, groups[kernels])
static const struct option engine_rows[] = {
    {"vllm", OPTION_NODE, "null", 0, 0, NULL, FIELD(GPU_KERNELS_VLLM),
     "vLLM's kernels; absent: TensorRT-LLM's"},
    {"trtllm", OPTION_NODE, "null", 0, 0, NULL, FIELD(GPU_KERNELS_TRTLLM),
     "TensorRT-LLM's kernels; absent: vLLM's"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_moe, member)
#define MOE_ROWS                                                                                             \
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of the experts' kernels"},           \
        {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},                \
        {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},    \
        {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins compute and memory time"},    \
        {"pad", OPTION_NUMBER, NULL, 0, 1e4, NULL, FIELD(pad), "rows that an active expert adds"},           \
    {                                                                                                        \
        "act", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(act), "how fast routing reaches all experts"      \
    }
static const struct option moe_16_bit_rows[] = {MOE_ROWS};
static const struct option moe_rows[] = {
    MOE_ROWS,
    {"tk_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(tk), "time of a step of the k-loops"},
    {"kt", OPTION_NUMBER, NULL, 1e-6, 1000, NULL, FIELD(kt),
     "passes over the activations outside the matrices"},
    {"mul", OPTION_NUMBER, NULL, 1e-3, 64, NULL, FIELD(mul),
     "peak of the data type relative to BF16: must agree with the peaks of the file"},
    {"weight_bytes", OPTION_NUMBER, NULL, 1e-3, 8, NULL, FIELD(weight_bytes),
     "bytes of a weight, scales included"},
    {"act_bytes", OPTION_NUMBER, NULL, 1e-3, 8, NULL, FIELD(act_bytes),
     "bytes of an activation, scales included"},
};
#undef FIELD

static OPTION_TABLE(kinds_table, "moe", "routed experts by data type", kind_rows);
static OPTION_TABLE(engines_table, "moe.KIND", "routed experts by engine", engine_rows);
static OPTION_TABLE(moe_16_bit_table, "moe.bf16", "coefficients of routed experts", moe_16_bit_rows);
static OPTION_TABLE(moe_table, "moe.KIND.ENGINE", "coefficients of routed experts", moe_rows);

struct mode_groups {
    const struct node *groups[ALL_TO_ALL_MODE_COUNT];
};

#define FIELD(mode) offsetof(struct mode_groups, groups[mode])
static const struct option mode_rows[] = {
    {"nccl", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_NCCL),
     "dispatch is an all-gather, combine a reduce-scatter"},
    {"deepep_normal", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_DEEPEP_NORMAL),
     "DeepEP's kernels for prefill"},
    {"deepep_low_latency", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_DEEPEP_LOW_LATENCY),
     "DeepEP's kernels for decode"},
    {"trtllm_one_sided", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_TRTLLM_ONE_SIDED),
     "TensorRT-LLM's kernels of one NVLink domain"},
    {"trtllm_two_sided", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_TRTLLM_TWO_SIDED),
     "TensorRT-LLM's older kernels of one NVLink domain, with a step that prepares"},
};
#undef FIELD

struct phase_groups {
    const struct node *groups[ALL_TO_ALL_PHASE_COUNT];
};

#define FIELD(phase) offsetof(struct phase_groups, groups[phase])
static const struct option phase_rows[] = {
    {"prepare", OPTION_NODE, "null", 0, 0, NULL, FIELD(ALL_TO_ALL_PREPARE), "before the first dispatch"},
    {"dispatch", OPTION_NODE, NULL, 0, 0, NULL, FIELD(ALL_TO_ALL_DISPATCH), "tokens to their experts"},
    {"combine", OPTION_NODE, NULL, 0, 0, NULL, FIELD(ALL_TO_ALL_COMBINE), "results back"},
};
#undef FIELD

/* b_net is divided by the NIC's bandwidth before it goes to struct gpu. */
struct phase_group {
    struct gpu_all_to_all times;
    double b_net;
};

#define FIELD(member) offsetof(struct phase_group, member)
static const struct option prepare_rows[] = {
    {"a_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.a), "fixed time"},
    {"an_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.an), "time of each doubling of the GPUs"},
    {"tt_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.tt), "time of a token"},
};
static const struct option phase_coefficient_rows[] = {
    {"a_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.a), "fixed time"},
    {"an_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.an),
     "time of each further GPU (nccl) or doubling of them (trtllm)"},
    {"b_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(times.b), "bandwidth"},
    {"sq_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.sq), "time of the root of the bytes (nccl)"},
    {"tt_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.tt), "time of a token"},
    {"a_net_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.a_net), "fixed time over the network"},
    {"an_net_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(times.an_net),
     "time of each doubling of the NVLink domains"},
    {"b_net_gb_per_s", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(b_net),
     "bandwidth over a network of nic_gb_per_s; 0: universal set"},
};
#undef FIELD

static OPTION_TABLE(modes_table, "all_to_all", "all-to-all between experts by mode", mode_rows);
static OPTION_TABLE(phases_table, "all_to_all.MODE", "all-to-all by phase", phase_rows);
static OPTION_TABLE(prepare_table, "all_to_all.MODE.prepare", "coefficients of an all-to-all", prepare_rows);
static OPTION_TABLE(phase_table, "all_to_all.MODE.PHASE", "coefficients of an all-to-all",
                    phase_coefficient_rows);

static bool parse_groups(const struct option_table *table, const struct node *node, void *target,
                         struct error *error)
{
    return !node || option_parse(table, node, target, error);
}

/* The sets of one data type. kt is not 0, which would make it the form of 16 bits. */
static bool parse_kind(const struct node *node, const struct gpu *gpu, enum gpu_moe_kind kind,
                       const struct node *group, struct gpu_moe own[GPU_KERNELS_COUNT], struct error *error)
{
    struct engine_groups engines = {{NULL}};
    if (kind == MOE_BF16) {
        own[GPU_KERNELS_VLLM] = (struct gpu_moe){.mul = 1, .weight_bytes = 2, .act_bytes = 2};
        return coefficients_group(&moe_16_bit_table, group, &own[GPU_KERNELS_VLLM], error);
    }
    if (!parse_groups(&engines_table, group, &engines, error))
        return false;
    for (int kernels = 0; kernels < GPU_KERNELS_COUNT; kernels++) {
        const struct node *engine = engines.groups[kernels];
        if (!coefficients_group(&moe_table, engine, &own[kernels], error) ||
            (engine && !coefficients_check_peak(node, gpu, moe_names[kind], dtypes_of_moe[kind],
                                                own[kernels].mul, error)))
            return false;
    }
    return true;
}

bool coefficients_parse_moe(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                            struct error *error)
{
    struct kind_groups kinds = {{NULL}};
    struct gpu_moe own[MOE_KIND_COUNT][GPU_KERNELS_COUNT] = {{{0}}};
    if (!parse_groups(&kinds_table, groups->moe, &kinds, error))
        return false;
    for (int kind = 0; kind < MOE_KIND_COUNT; kind++)
        if (!parse_kind(node, gpu, (enum gpu_moe_kind)kind, kinds.groups[kind], own[kind], error))
            return false;
    dtypes_fill_moe(gpu, own);
    return true;
}

/* What was not measured over the network stays universal there. */
static bool parse_phase(const struct node *group, enum gpu_all_to_all_phase phase, double nic_gb_per_s,
                        struct gpu_all_to_all *to, struct error *error)
{
    const struct option_table *table = phase == ALL_TO_ALL_PREPARE ? &prepare_table : &phase_table;
    struct phase_group own = {{0}, 0};
    if (!group)
        return true;
    if (!coefficients_group(table, group, &own, error))
        return false;
    own.times.b_net_share = own.b_net / (nic_gb_per_s * GIGA);
    if (own.b_net <= 0) {
        own.times.a_net = to->a_net;
        own.times.an_net = to->an_net;
        own.times.b_net_share = to->b_net_share;
    }
    *to = own.times;
    return true;
}

bool coefficients_parse_all_to_all(const struct coefficient_groups *groups, struct gpu *gpu,
                                   struct error *error)
{
    struct mode_groups modes = {{NULL}};
    if (!parse_groups(&modes_table, groups->all_to_all, &modes, error))
        return false;
    for (int mode = 0; mode < ALL_TO_ALL_MODE_COUNT; mode++) {
        struct phase_groups phases = {{NULL}};
        if (!parse_groups(&phases_table, modes.groups[mode], &phases, error))
            return false;
        for (int phase = 0; phase < ALL_TO_ALL_PHASE_COUNT; phase++)
            if (!parse_phase(phases.groups[phase], (enum gpu_all_to_all_phase)phase, groups->nic_gb_per_s,
                             &gpu->all_to_all[mode][phase], error))
                return false;
    }
    return true;
}

static void describe_moe(const struct gpu_moe *moe, const char *kind, const char *engine, struct text *text)
{
    text_append(text, "  moe %-9s %-8s  t0 %.4g us, ec %.4g, em %.4g, p %.4g, pad %.4g, act %.4g", kind,
                engine, moe->t0 / MICROSECOND, moe->ec, moe->em, moe->p, moe->pad, moe->act);
    if (moe->kt > 0)
        text_append(text, ", tk %.4g us, kt %.4g", moe->tk / MICROSECOND, moe->kt);
    text_append(text, ", mul %.4g, weight bytes %.6g, activation bytes %.6g\n", moe->mul, moe->weight_bytes,
                moe->act_bytes);
}

static void describe_phase(const struct gpu_all_to_all *phase, const char *name, struct text *text)
{
    text_append(text, "%s a %.4g us", name, phase->a / MICROSECOND);
    if (phase->an > 0)
        text_append(text, ", an %.4g us", phase->an / MICROSECOND);
    if (phase->b > 0)
        text_append(text, ", b %.4g GB/s", phase->b / GIGA);
    if (phase->sq > 0)
        text_append(text, ", sq %.4g us", phase->sq / MICROSECOND);
    if (phase->tt > 0)
        text_append(text, ", tt %.4g us", phase->tt / MICROSECOND);
    if (phase->b_net_share > 0)
        text_append(text, ", network a %.4g us, an %.4g us, b %.4g of the NIC", phase->a_net / MICROSECOND,
                    phase->an_net / MICROSECOND, phase->b_net_share);
}

static void describe_all_to_all(const struct gpu_all_to_all phases[ALL_TO_ALL_PHASE_COUNT], const char *mode,
                                struct text *text)
{
    if (phases[ALL_TO_ALL_DISPATCH].b <= 0)
        return;
    text_append(text, "  %-23s ", mode);
    if (phases[ALL_TO_ALL_PREPARE].a > 0) {
        describe_phase(&phases[ALL_TO_ALL_PREPARE], "prepare", text);
        text_append(text, "; ");
    }
    describe_phase(&phases[ALL_TO_ALL_DISPATCH], "dispatch", text);
    describe_phase(&phases[ALL_TO_ALL_COMBINE], "; combine", text);
    text_append(text, "\n");
}

void coefficients_describe_experts(const struct gpu *gpu, struct text *text)
{
    static const char *const modes[ALL_TO_ALL_MODE_COUNT] = {
        [ALL_TO_ALL_NCCL] = "nccl",
        [ALL_TO_ALL_DEEPEP_NORMAL] = "deepep_normal",
        [ALL_TO_ALL_DEEPEP_LOW_LATENCY] = "deepep_low_latency",
        [ALL_TO_ALL_TRTLLM_ONE_SIDED] = "trtllm_one_sided",
        [ALL_TO_ALL_TRTLLM_TWO_SIDED] = "trtllm_two_sided",
    };
    for (int kind = 0; kind < MOE_KIND_COUNT; kind++) {
        const struct gpu_moe *moe = gpu->moe[kind];
        const char *name = moe_names[kind] + strlen("moe.");
        bool same = memcmp(&moe[GPU_KERNELS_VLLM], &moe[GPU_KERNELS_TRTLLM], sizeof *moe) == 0;
        describe_moe(&moe[GPU_KERNELS_VLLM], name, same ? "" : "vllm", text);
        if (!same)
            describe_moe(&moe[GPU_KERNELS_TRTLLM], name, "trtllm", text);
    }
    for (int mode = 0; mode < ALL_TO_ALL_MODE_COUNT; mode++)
        describe_all_to_all(gpu->all_to_all[mode], modes[mode], text);
}
