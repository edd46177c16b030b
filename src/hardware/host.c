/* Options of the timer: level, host, kernels. */
#include "tandem/timer.h"

#include "tandem/check.h"

#include <inttypes.h>

const struct timer_host timer_hosts[] = {
    {"vllm-v1", TIMER_HOST_GRAPHS, 0.5, GPU_KERNELS_VLLM,
     "vLLM V1 with CUDA graphs: between 0 and 2 ms an iteration, 0.5 assumed; kernels as measured with vLLM "
     "0.24"},
    {"trt-llm", TIMER_HOST_GRAPHS, 0.5, GPU_KERNELS_TRTLLM,
     "TensorRT-LLM with CUDA graphs: 0.5 ms assumed as for vLLM; experts as measured with TensorRT-LLM 1.3"},
    {"vllm-0.4-eager", TIMER_HOST_EAGER, 0, GPU_KERNELS_VLLM,
     "vLLM of 2023 and 2024 without CUDA graphs, host and kernels: fitted to Splitwise's runs of Llama-2-70B "
     "(ISCA 2024)"},
    {"cuda-graphs", TIMER_HOST_GRAPHS, 0.5, GPU_KERNELS_VLLM, "any engine with CUDA graphs; 0.5 ms assumed"},
    {"eager", TIMER_HOST_EAGER, 0, GPU_KERNELS_VLLM, "any engine without: `eager` of the GPU's file"},
    {"fixed", TIMER_HOST_CONSTANT, 0.5, GPU_KERNELS_VLLM,
     "iteration_overhead_ms whatever the GPU's host; 0.5 ms assumed"},
};
const size_t timer_host_count = sizeof timer_hosts / sizeof *timer_hosts;

static const char *const level_names[] = {"calibrated", "universal", "fixed", NULL};
static const char *const host_names[] = {"vllm-v1", "trt-llm", "vllm-0.4-eager", "cuda-graphs", "eager",
                                         "fixed",   NULL};
static const char *const kernel_names[] = {"auto", "vllm", "trt-llm", NULL};
static const char *const attention_names[] = {"flash", "materialized", NULL};
static const char *const all_to_all_names[] = {
    "auto", "none", "nccl", "deepep-normal", "deepep-low-latency", "trtllm-one-sided", "trtllm-two-sided",
    NULL};

#define FIELD(member) offsetof(struct timer_config, member)

static const struct option options[] = {
    {"level", OPTION_CHOICE, "\"calibrated\"", 0, 0, level_names, FIELD(level),
     "calibrated: the GPU's coefficients; universal: one set for all; fixed: prefill_ms, decode_ms"},
    {"host", OPTION_CHOICE, "\"vllm-v1\"", 0, 0, host_names, FIELD(host),
     "what launches the kernels: an engine, or a kind of host; their sources: `tandem list hosts`"},
    {"iteration_overhead_ms", OPTION_NUMBER, "-1", -1, 1e6, NULL, FIELD(iteration_overhead_ms),
     "time of an iteration outside the GPU (with CUDA graphs 0 to 2); negative: the host's, times the GPU's "
     "host_factor"},
    {"eager_factor", OPTION_NUMBER, "1", 1e-3, 1e3, NULL, FIELD(eager_factor),
     "hosts without CUDA graphs: their time of a layer relative to Llama's"},
    {"kernels", OPTION_CHOICE, "\"auto\"", 0, 0, kernel_names, FIELD(kernels),
     "whose kernels of experts; auto: the host's"},
    {"attention", OPTION_CHOICE, "\"flash\"", 0, 0, attention_names, FIELD(attention),
     "flash: FlashAttention; materialized: the matrix of scores goes through memory, in FP32"},
    {"all_to_all", OPTION_CHOICE, "\"auto\"", 0, 0, all_to_all_names, FIELD(all_to_all),
     "how tokens get to their experts; auto: nccl (all-gather, reduce-scatter) with "
     "attention_data_parallel, else none: all GPUs have all tokens, an all-reduce sums up"},
    {"moe_imbalance", OPTION_NUMBER, "1", 0, 1e3, NULL, FIELD(moe_imbalance),
     "load of the busiest group of experts over the mean; 0: by a power law of routing (alpha 1.01)"},
    {"prefill_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(prefill_ms),
     "level fixed: time of an iteration with prefill tokens"},
    {"decode_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(decode_ms),
     "level fixed: time of an iteration without prefill tokens"},
};

OPTION_TABLE(timer_options, "timer", "how the time of an iteration is found", options);

const struct timer_host *timer_host(const struct timer_config *config)
{
    CHECK((size_t)config->host < timer_host_count, "no such host: %d", config->host);
    return &timer_hosts[config->host];
}

enum gpu_kernels timer_kernels(const struct timer_config *config)
{
    return config->kernels > 0 ? (enum gpu_kernels)(config->kernels - 1) : timer_host(config)->kernels;
}

static bool check_all_to_all(const struct gpu *gpu, const struct work_shape *shape,
                             const struct timer_config *config, const struct node *node, struct error *error)
{
    int choice = config->all_to_all;
    double reach = shape->domain_gpus > 0 ? (double)shape->domain_gpus : 1e9;
    struct operator_group all = {(double)(shape->tensor_parallel * shape->lanes), reach, shape->nic_bandwidth,
                                 shape->nic_line_rate};
    if (choice == TIMER_ALL_TO_ALL_AUTO || shape->expert_layers == 0)
        return true;
    if (choice == TIMER_ALL_TO_ALL_NONE)
        return shape->lanes == 1 ||
               node_error(node, error,
                          "all_to_all none with attention_data_parallel %" PRId64
                          ": tokens of other lanes have to get to their experts; choose nccl",
                          shape->lanes);
    enum gpu_all_to_all_mode mode = (enum gpu_all_to_all_mode)(choice - TIMER_ALL_TO_ALL_NONE - 1);
    if (mode != ALL_TO_ALL_NCCL && shape->expert_tensor_parallel > 1)
        return node_error(node, error,
                          "all_to_all %s needs whole experts on each GPU: set expert_parallel to %" PRId64
                          " (tensor_parallel x attention_data_parallel), or choose nccl",
                          all_to_all_names[choice], shape->tensor_parallel * shape->lanes);
    if (!operator_has_all_to_all(gpu, mode, &all))
        return node_error(node, error,
                          "%s has no figures of all_to_all %s over %g GPUs, %g of them in reach; "
                          "choose nccl",
                          gpu->name, all_to_all_names[choice], all.gpus, reach < all.gpus ? reach : all.gpus);
    return true;
}

bool timer_check(const struct gpu *gpu, const struct work_shape *shape, const struct timer_config *config,
                 const struct node *node, struct error *error)
{
    if (config->level == TIMER_FIXED)
        return config->prefill_ms > 0 || config->decode_ms > 0 ||
               node_error(node, error, "level fixed takes its times from prefill_ms and decode_ms; set them");
    if (timer_host(config)->kind == TIMER_HOST_EAGER && !gpu->eager.present)
        return node_error(
            node, error,
            "host %s needs the time that the host takes, and %s has no group eager: fit one with "
            "`tandem_analysis calibrate`, or choose host vllm-v1",
            timer_host(config)->name, gpu->name);
    return check_all_to_all(gpu, shape, config, node, error);
}
