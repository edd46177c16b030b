/* GPU and link files: all parse, the figures that others rely on, and the errors of wrong ones. */
#include "timer_test.h"

#include "tandem/link.h"

static void gpu_is_sane(const char *path)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu(path + strlen("gpus/"), &config);
    CU_ASSERT_STRING_EQUAL(gpu.name, path + strlen("gpus/"));
    CU_ASSERT(strlen(gpu.source) > 10);
    CU_ASSERT(strstr(gpu.price_source, "2026") != NULL);
    CU_ASSERT(gpu.price_usd_per_hour > 0 && gpu.tdp_watts > 50);
    CU_ASSERT(gpu.memory_bytes > INT64_C(20) << 30 && gpu.memory_bytes < INT64_C(300) << 30);
    CU_ASSERT(gpu.peak_bf16_flops > 1e14 && gpu.bandwidth > 1e11 && gpu.link_bandwidth > 1e10);
    CU_ASSERT_TRUE(gpu.gemm[DTYPE_BF16].present);
    CU_ASSERT_EQUAL(memcmp(&gpu.gemm[DTYPE_BF16], &gpu.gemm[DTYPE_FP16], sizeof gpu.gemm[0]), 0);
    struct text text = {0};
    gpu_describe(&gpu, &text);
    CU_ASSERT(strstr(text_string(&text), gpu.calibrated ? "calibrated" : "universal") != NULL);
    text_clear(&text);
    config_free(config);
}

static void test_all_gpus(void)
{
    CU_ASSERT(cluster_files("gpus", gpu_is_sane) >= 14);
}

static void link_is_sane(const char *path)
{
    struct config *config = cluster_file(path);
    struct link link;
    struct error error = {{0}};
    CU_ASSERT_TRUE_FATAL(link_parse(config_root(config), &link, &error));
    CU_ASSERT_STRING_EQUAL(link.name, path + strlen("links/"));
    CU_ASSERT(link.bandwidth_gb_per_s > 1 && link.efficiency >= 0.7 && link.setup_ms >= 0.5);
    config_free(config);
}

static void test_all_links(void)
{
    CU_ASSERT(cluster_files("links", link_is_sane) >= 11);
    struct config *config = cluster_file("links/ib-ndr-400g");
    struct link link;
    struct error error = {{0}};
    CU_ASSERT_TRUE(link_parse(config_root(config), &link, &error));
    CU_ASSERT_EQUAL(link.bandwidth_gb_per_s, 50);
    CU_ASSERT_EQUAL(link.efficiency, 0.8);
    CU_ASSERT_EQUAL(link.setup_ms, 0.5);
    CU_ASSERT_EQUAL(link.descriptor_ns, 100);
    config_free(config);
}

static void test_h100(void)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu("h100-sxm", &config);
    CU_ASSERT_EQUAL(gpu.memory_bytes, 85040352460); /* 79.2 GiB */
    CU_ASSERT_EQUAL(gpu.peak_bf16_flops, 989e12);
    CU_ASSERT_EQUAL(gpu.bandwidth, 3.35e12);
    CU_ASSERT_EQUAL(gpu.link_bandwidth, 450e9);
    CU_ASSERT_EQUAL(gpu.tdp_watts, 700);
    CU_ASSERT_EQUAL(gpu.price_usd_per_hour, 3);
    CU_ASSERT_TRUE(gpu.calibrated);
    CU_ASSERT_TRUE(gpu.gemm[DTYPE_FP8].present);
    CU_ASSERT_FALSE(gpu.gemm[DTYPE_FP4].present);
    CU_ASSERT_EQUAL(gpu_peak_flops(&gpu, DTYPE_FP8), 2 * 989e12);
    struct error error = {{0}};
    CU_ASSERT_TRUE(gpu_check_dtype(&gpu, DTYPE_FP8, config_root(config), &error));
    CU_ASSERT_FALSE(gpu_check_dtype(&gpu, DTYPE_FP4, config_root(config), &error));
    CU_ASSERT(strstr(error.text, "h100-sxm does not multiply fp4") != NULL);
    gpu_use_universal(&gpu);
    CU_ASSERT_FALSE(gpu.calibrated);
    CU_ASSERT_FALSE(gpu.gemm[DTYPE_FP4].present);
    CU_ASSERT_EQUAL(gpu.gemm[DTYPE_BF16].ec, 0.77);
    CU_ASSERT_DOUBLE_EQUAL(gpu.allreduce.b2, 0.72 * 450e9, 1);
    config_free(config);
}

static void test_uncalibrated(void)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu("l4", &config);
    CU_ASSERT_FALSE(gpu.calibrated);
    CU_ASSERT_EQUAL(gpu.gemm[DTYPE_FP8].mul, 2);
    CU_ASSERT_EQUAL(gpu.decode_attention.em, 0.88);
    CU_ASSERT_DOUBLE_EQUAL(gpu.allreduce.b1, 0.6 * 32e9, 1);
    config_free(config);
}

/* The message of a GPU that is refused. Static buffer. */
static const char *refusal(const char *json)
{
    static struct error error;
    struct config *config = NULL;
    struct gpu gpu;
    error.text[0] = '\0';
    CU_ASSERT_TRUE_FATAL(config_parse(json, "x.json", &config, &error));
    CU_ASSERT_FALSE(gpu_parse(config_root(config), &gpu, &error));
    config_free(config);
    return error.text;
}

#define SHEET                                                                                                \
    "\"name\": \"x\", \"source\": \"s\", \"peak_bf16_tflops\": 1, \"bandwidth_gb_per_s\": 1, "               \
    "\"link_gb_per_s\": 1, "                                                                                 \
    "\"tdp_watts\": 100"

static void test_refusals(void)
{
    CU_ASSERT(strstr(refusal("{" SHEET "}"), "memory_gib") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"memory_bytes\": 5}"), "once") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"gem\": {}}"), "gemm") != NULL);
    const char *text = refusal("{" SHEET ", \"memory_gib\": 1, \"gemm\": {\"bf16\": {\"ec\": 0.5}}}");
    CU_ASSERT(strstr(text, "gemm.bf16") != NULL && strstr(text, "x.json") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"decode_attention\": {\"p\": 0}}"),
                     "decode_attention") != NULL);
}

int main(void)
{
    const struct test_case cases[] = {
        {"all GPU files", test_all_gpus}, {"all link files", test_all_links},
        {"h100-sxm", test_h100},          {"without coefficients", test_uncalibrated},
        {"refusals", test_refusals},
    };
    return test_main("GPU and link files", cases, sizeof cases / sizeof *cases);
}
