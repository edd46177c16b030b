/* Commands that start a cluster: a flag for each option that has one, the rest named. */
#include "../config/folder.h"
#include "tandem/mem.h"
#include "tandem/sim.h"
#include "test.h"

static const char experiment[] =
    "{\"name\": \"e\", \"model\": \"llama-3.1-8b\", \"workload\": {}, \"cluster\": {\"name\": \"c\", "
    "\"pools\": ["
    "{\"name\": \"a\", \"role\": \"prefill\", \"gpu\": \"h100-sxm\", \"instances\": 3, \"tensor_parallel\": "
    "2,"
    " \"scheduler\": {\"policy\": \"auto\", \"max_num_batched_tokens\": 4096, \"watermark\": 0.1}},"
    "{\"name\": \"b\", \"role\": \"decode\", \"gpu\": \"h100-sxm\", \"instances\": 1, "
    "\"price_usd_per_gpu_hour\": 2,"
    " \"scheduler\": {\"max_num_seqs\": 0, \"max_num_batched_tokens\": 512}, \"kv\": {\"block_tokens\": 32, "
    "\"memory_utilization\": 0.8}}]}}";

static void check(const char *engine, const char *expected)
{
    const char *set[] = {engine};
    const struct sim_options options = {.experiment = "e.json", .sets = set, .set_count = engine ? 1 : 0};
    struct config *config;
    struct text text = {0};
    struct error error;
    CU_ASSERT_FATAL(sim_load(&options, &config, &error));
    CU_ASSERT_FATAL(sim_serve(config, &text, &error));
    CU_ASSERT_STRING_EQUAL(text_string(&text), expected);
    if (strcmp(text_string(&text), expected) != 0)
        printf("%s", text_string(&text));
    text_clear(&text);
    config_free(config);
}

#define NIXL " --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'\n"
static const char vllm[] =
    "  pool a: 3 instances on h100-sxm, each:\n"
    "    vllm serve meta-llama/Llama-3.1-8B --tensor-parallel-size 2 --max-num-batched-tokens 4096" NIXL
    "    no flag: scheduler.watermark=0.1\n"
    "    and a proxy that sends each request to a prefill and then to a decode instance; "
    "VLLM_NIXL_SIDE_CHANNEL_HOST and _PORT of each\n"
    "  pool b: 1 instance on h100-sxm:\n"
    "    vllm serve meta-llama/Llama-3.1-8B --max-num-batched-tokens 512 --block-size 32 "
    "--gpu-memory-utilization 0.8" NIXL;

static void vllm_is_the_default(void)
{
    check(NULL, vllm);
    check("cluster.engine=vllm-v1", vllm);
}

/* Whose chunks are those of prefill instances, and whose memory_utilization is another share. */
static void flags_may_be_of_a_role(void)
{
    check("cluster.engine=sglang",
          "  pool a: 3 instances on h100-sxm, each:\n"
          "    python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B --tp-size 2 "
          "--chunked-prefill-size 4096 --disaggregation-mode prefill\n"
          "    no flag: scheduler.watermark=0.1\n"
          "    and a router that knows both; mem-fraction-static counts weights and cache alone, so "
          "memory_utilization has no flag\n"
          "  pool b: 1 instance on h100-sxm:\n"
          "    python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B --page-size 32 "
          "--disaggregation-mode decode\n"
          "    no flag: scheduler.max_num_seqs=0, scheduler.max_num_batched_tokens=512, "
          "kv.memory_utilization=0.8\n");
}

/* What is written as the preset has it needs no flag: TensorRT-LLM's blocks of 32. */
static void a_preset_needs_no_flag(void)
{
    check(
        "cluster.engine=trt-llm",
        "  pool a: 3 instances on h100-sxm, each:\n"
        "    trtllm-serve meta-llama/Llama-3.1-8B --tp_size 2 --max_num_tokens 4096 --extra_llm_api_options "
        "transfer.yaml\n"
        "    no flag: scheduler.watermark=0.1\n"
        "    transfer.yaml: cache_transceiver_config: {backend: DEFAULT}; and `trtllm-serve disaggregated -c "
        "FILE` with the URLs of both. kv_cache_free_gpu_memory_fraction is of what weights leave free, so "
        "memory_utilization has no flag\n"
        "  pool b: 1 instance on h100-sxm:\n"
        "    trtllm-serve meta-llama/Llama-3.1-8B --max_num_tokens 512 "
        "--extra_llm_api_options transfer.yaml\n"
        "    no flag: scheduler.max_num_seqs=0, kv.memory_utilization=0.8\n");
}

static void papers_have_no_command(void)
{
    check("cluster.engine=splitwise",
          "  pool a: 3 instances on h100-sxm: no command serves engine splitwise\n"
          "  pool b: 1 instance on h100-sxm: no command serves engine splitwise\n");
}

int main(void)
{
    const struct test_case cases[] = {{"vllm is the default", vllm_is_the_default},
                                      {"flags may be of a role", flags_may_be_of_a_role},
                                      {"a preset needs no flag", a_preset_needs_no_flag},
                                      {"papers have no command", papers_have_no_command}};
    folder_enter();
    folder_write("e.json", experiment);
    int code = test_main("serve", cases, sizeof cases / sizeof *cases);
    folder_leave();
    return mem_live_bytes() == 0 ? code : 1;
}
