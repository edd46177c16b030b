/* GPU and link files: all parse, the figures that others rely on, and the errors of wrong ones. */
#include "timer_test.h"

#include "tandem/link.h"

/* A peak given as half of one with sparsity is rounded; L40S's datasheet is 1.2 % off itself. */
#define RATIO(x, of, times) CU_ASSERT_DOUBLE_EQUAL((x) / (of), times, 0.02 * (times))

/* Peaks by data type: FP8 twice BF16, FP4 four times (Blackwell Ultra six and more), INT8 as FP8 or, where
 * the FP8 rate is halved by FP32 accumulation, twice that; Blackwell Ultra has all but dropped INT8. */
static void peaks_are_plausible(const struct gpu *gpu)
{
    bool ultra = strstr(gpu->name, "b300") != NULL;
    CU_ASSERT(gpu->peak_bf16_flops > 1e14 && gpu->peak_bf16_flops < 3e15);
    CU_ASSERT_EQUAL(gpu_peak_flops(gpu, DTYPE_FP16), gpu->peak_bf16_flops);
    CU_ASSERT_EQUAL(gpu_peak_flops(gpu, DTYPE_BF16), gpu->peak_bf16_flops);
    CU_ASSERT_EQUAL(gpu->gemm[DTYPE_FP8].present, gpu->peak_fp8_flops > 0);
    CU_ASSERT_EQUAL(gpu->gemm[DTYPE_FP8_BLOCK].present, gpu->peak_fp8_flops > 0);
    CU_ASSERT_EQUAL(gpu->gemm[DTYPE_FP4].present, gpu->peak_fp4_flops > 0);
    CU_ASSERT_EQUAL(gpu->gemm[DTYPE_INT8].present, gpu->peak_int8_ops > 0);
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        RATIO(gpu_peak_flops(gpu, (enum dtype)dtype), gpu->peak_bf16_flops, gpu->gemm[dtype].mul);
    if (gpu->peak_fp8_flops > 0)
        RATIO(gpu->peak_fp8_flops, gpu->peak_bf16_flops, 2);
    if (gpu->peak_fp4_flops > 0 && !ultra)
        RATIO(gpu->peak_fp4_flops, gpu->peak_bf16_flops, 4);
    if (ultra)
        CU_ASSERT(gpu->peak_fp4_flops >= 6 * gpu->peak_bf16_flops && gpu->peak_int8_ops < 2e14);
    if (!ultra)
        RATIO(gpu->peak_int8_ops, gpu->peak_bf16_flops, strcmp(gpu->name, "rtx-4090") == 0 ? 4 : 2);
}

/* YYYY or YYYY-MM; only what is assumed or not dated by its source may leave the month out. */
static void price_is_dated(const struct gpu *gpu)
{
    const char *date = gpu->price_date;
    CU_ASSERT(gpu->price_usd_per_hour > 0.1 && gpu->price_usd_per_hour < 20);
    CU_ASSERT_FATAL(strlen(date) == 4 || strlen(date) == 7);
    CU_ASSERT(atoi(date) >= 2026 && atoi(date) < 2100);
    if (strlen(date) == 7)
        CU_ASSERT(date[4] == '-' && atoi(date + 5) >= 1 && atoi(date + 5) <= 12);
    CU_ASSERT(strlen(gpu->price_source) > 10);
    if (strncmp(gpu->price_source, "assumed", 7) == 0)
        CU_ASSERT(strchr(gpu->price_source, ':') != NULL); /* and why */
}

/* A link that is in clusters/links has the bandwidth that it has there (PCIe: 31.5 and 63, rounded up). */
static void link_agrees(const struct gpu *gpu)
{
    char path[600];
    CU_ASSERT(strlen(gpu->link) > 5 && gpu->link_bandwidth > 1e10 && gpu->link_bandwidth <= 9e11);
    snprintf(path, sizeof path, "%s/clusters/links/%s.json", TANDEM_SOURCE_DIR, gpu->link);
    FILE *file = fopen(path, "r");
    CU_ASSERT(file != NULL || strchr(gpu->link, ' ') != NULL);
    if (!file)
        return;
    fclose(file);
    struct link link;
    struct error error = {{0}};
    snprintf(path, sizeof path, "links/%s", gpu->link);
    struct config *config = cluster_file(path);
    CU_ASSERT_TRUE_FATAL(link_parse(config_root(config), &link, &error));
    RATIO(gpu->link_bandwidth, link.bandwidth_gb_per_s * 1e9, 1);
    config_free(config);
}

/* What `tandem list gpus` and `tandem describe gpu` say is what the file says. */
static void texts_agree(const struct gpu *gpu)
{
    struct text row = {0}, text = {0};
    char memory[40], price[60];
    snprintf(memory, sizeof memory, "%.2f", (double)gpu->memory_bytes / (1 << 30));
    snprintf(price, sizeof price, "%.2f USD per hour as of %s", gpu->price_usd_per_hour, gpu->price_date);
    gpu_list(gpu, &row);
    gpu_describe(gpu, &text);
    const char *sources[] = {gpu->source,
                             gpu->memory_source,
                             gpu->price_source,
                             gpu->coefficients_source,
                             gpu_basis(gpu),
                             gpu->borrowed_from,
                             gpu->note,
                             gpu->link,
                             gpu->name,
                             memory,
                             price};
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        CU_ASSERT(strstr(text_string(&text), sources[i]) != NULL);
    double gib, bandwidth, peak, usd;
    char basis[20], date[20], *comma;
    CU_ASSERT_EQUAL_FATAL(
        sscanf(text_string(&row), "%lf %lf %lf %19s %lf %19s", &gib, &bandwidth, &peak, basis, &usd, date),
        6);
    CU_ASSERT_DOUBLE_EQUAL(gib, (double)gpu->memory_bytes / (1 << 30), 0.006);
    CU_ASSERT_DOUBLE_EQUAL(bandwidth, gpu->bandwidth / 1e9, 0.006);
    CU_ASSERT_DOUBLE_EQUAL(peak, gpu->peak_bf16_flops / 1e12, 0.006);
    CU_ASSERT_DOUBLE_EQUAL(usd, gpu->price_usd_per_hour, 0.006);
    CU_ASSERT_STRING_EQUAL(basis, gpu_basis(gpu));
    comma = strchr(date, ',');
    CU_ASSERT_EQUAL(comma != NULL, strncmp(gpu->price_source, "assumed: ", 9) == 0);
    CU_ASSERT_EQUAL(comma != NULL, strstr(text_string(&row), ", assumed") != NULL);
    if (comma)
        *comma = '\0';
    CU_ASSERT_STRING_EQUAL(date, gpu->price_date);
    text_clear(&row);
    text_clear(&text);
}

static void gpu_is_sane(const char *path)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu(path + strlen("gpus/"), &config);
    double gib = (double)gpu.memory_bytes / (1 << 30);
    CU_ASSERT_STRING_EQUAL(gpu.name, path + strlen("gpus/"));
    CU_ASSERT(strlen(gpu.source) > 10 && strstr(gpu.source, "20") != NULL);
    CU_ASSERT(gib > 0.91 * gpu.memory_gb && gib < gpu.memory_gb && gpu.memory_gb <= 288);
    CU_ASSERT(strlen(gpu.memory_source) > 10);
    CU_ASSERT(gpu.bandwidth >= 3e11 && gpu.bandwidth <= 8e12 && gpu.l2_mib >= 6 && gpu.l2_mib <= 128);
    CU_ASSERT(gpu.tdp_watts >= 72 && gpu.tdp_watts <= 1400);
    CU_ASSERT_EQUAL(memcmp(&gpu.gemm[DTYPE_BF16], &gpu.gemm[DTYPE_FP16], sizeof gpu.gemm[0]), 0);
    CU_ASSERT(strlen(gpu.coefficients_source) > 10);
    peaks_are_plausible(&gpu);
    price_is_dated(&gpu);
    link_agrees(&gpu);
    texts_agree(&gpu);
    config_free(config);
}

static void test_all_gpus(void)
{
    CU_ASSERT(cluster_files("gpus", gpu_is_sane) >= 25);
}

/* What sets siblings apart, written down from the datasheets a second time. */
static void test_variants(void)
{
    static const struct {
        const char *name;
        double tflops, gb_per_s, sold_gb, link_gb_per_s, watts;
        const char *basis;
    } rows[] = {
        {"a100-pcie-40gb", 312, 1555, 40, 32, 250, "borrowed"},
        {"a100-pcie-80gb", 312, 1935, 80, 32, 300, "borrowed"},
        {"h100-pcie", 756, 2000, 80, 64, 350, "borrowed"},
        {"h100-nvl", 835.5, 3900, 94, 300, 400, "borrowed"},
        {"h800-sxm", 989, 3350, 80, 200, 700, "borrowed"},
        {"h20-sxm", 148, 4000, 96, 450, 400, "borrowed"},
        {"gh200-96gb", 989, 4000, 96, 450, 900, "borrowed"},
        {"gh200-144gb", 989, 4900, 144, 450, 900, "borrowed"},
        {"b300-sxm", 2250, 7700, 288, 900, 1100, "calibrated"},
        {"gb300", 2500, 8000, 288, 900, 1400, "borrowed"},
        {"mi300x", 1307.4, 5300, 192, 448, 750, "universal"},
        {"mi325x", 1307.4, 6000, 256, 448, 1000, "universal"},
        {"l40s", 362, 864, 48, 32, 350, "calibrated"},
        {"a10", 125, 600, 24, 32, 150, "universal"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config *config = NULL;
        struct gpu gpu = timer_test_gpu(rows[i].name, &config);
        CU_ASSERT_DOUBLE_EQUAL(gpu.peak_bf16_flops / 1e12, rows[i].tflops, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(gpu.bandwidth / 1e9, rows[i].gb_per_s, 1e-6);
        CU_ASSERT_EQUAL(gpu.memory_gb, rows[i].sold_gb);
        CU_ASSERT_DOUBLE_EQUAL(gpu.link_bandwidth / 1e9, rows[i].link_gb_per_s, 1e-6);
        CU_ASSERT_EQUAL(gpu.tdp_watts, rows[i].watts);
        CU_ASSERT_STRING_EQUAL(gpu_basis(&gpu), rows[i].basis);
        config_free(config);
    }
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
    CU_ASSERT_EQUAL(gpu_peak_flops(&gpu, DTYPE_FP4), 989e12); /* unpacked to 16 bits */
    CU_ASSERT_FALSE(gpu_weight_only(&gpu, DTYPE_FP8));
    CU_ASSERT_TRUE(gpu_weight_only(&gpu, DTYPE_FP4));
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
    "\"link_gb_per_s\": 1, \"architecture\": \"hopper\", "                                                   \
    "\"tdp_watts\": 100"
#define GEMM(mul) "{\"ec\": 0.5, \"em\": 0.5, \"t0_us\": 1, \"p\": 2, \"mul\": " mul ", \"weight_bytes\": 1}"

static void test_refusals(void)
{
    CU_ASSERT(strstr(refusal("{" SHEET "}"), "memory_gib") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"memory_bytes\": 5}"), "once") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"gem\": {}}"), "gemm") != NULL);
    const char *text = refusal("{" SHEET ", \"memory_gib\": 1, \"gemm\": {\"bf16\": {\"ec\": 0.5}}}");
    CU_ASSERT(strstr(text, "gemm.bf16") != NULL && strstr(text, "x.json") != NULL);
    CU_ASSERT(strstr(refusal("{" SHEET ", \"memory_gib\": 1, \"decode_attention\": {\"p\": 0}}"),
                     "decode_attention") != NULL);
    text = refusal("{\"name\": \"x\", \"source\": \"s\", \"peak_bf16_tflops\": 1, \"link_gb_per_s\": 1, "
                   "\"tdp_watts\": 100, \"memory_gib\": 1}");
    CU_ASSERT(strstr(text, "x.json") != NULL && strstr(text, "missing 'bandwidth_gb_per_s'") != NULL);
}

/* Peaks and coefficients that contradict each other, and coefficients that are nobody's. */
static void test_contradictions(void)
{
    const char *text = refusal("{" SHEET ", \"memory_gib\": 1, \"peak_fp4_tflops\": 6}");
    CU_ASSERT(strstr(text, "peak_fp4_tflops 6 is not 4 x peak_bf16_tflops = 4") != NULL);
    CU_ASSERT(strstr(text, "x.json") != NULL);
    text = refusal("{" SHEET ", \"memory_gib\": 1, \"peak_fp8_tflops\": 1.9}");
    CU_ASSERT(strstr(text, "peak_fp8_tflops 1.9 is not 2 x") != NULL);
    text = refusal("{" SHEET ", \"memory_gib\": 1, \"gemm\": {\"fp8\": " GEMM("2") "}}");
    CU_ASSERT(strstr(text, "gemm.fp8 without peak_fp8_tflops") != NULL);
    text = refusal("{" SHEET ", \"memory_gib\": 1, \"gemm\": {\"bf16\": " GEMM("2") "}}");
    CU_ASSERT(strstr(text, "peak_bf16_tflops 1 is not 2 x") != NULL);
    text = refusal("{" SHEET ", \"memory_gib\": 1, \"borrowed_from\": \"h100-sxm\"}");
    CU_ASSERT(strstr(text, "borrowed_from 'h100-sxm' without gemm") != NULL);
    struct config *config = NULL;
    struct error error = {{0}};
    struct gpu gpu;
    CU_ASSERT_TRUE_FATAL(config_parse("{" SHEET ", \"memory_gib\": 1, \"peak_fp4_tflops\": 6, \"gemm\": "
                                      "{\"fp4\": " GEMM("6") "}}",
                                      "x.json", &config, &error));
    CU_ASSERT_TRUE(gpu_parse(config_root(config), &gpu, &error));
    gpu_use_universal(&gpu);
    CU_ASSERT_EQUAL(gpu_peak_flops(&gpu, DTYPE_FP4), 6e12); /* the datasheet's, whatever times it */
    config_free(config);
}

int main(void)
{
    const struct test_case cases[] = {
        {"all GPU files", test_all_gpus},
        {"all link files", test_all_links},
        {"h100-sxm", test_h100},
        {"without coefficients", test_uncalibrated},
        {"variants", test_variants},
        {"refusals", test_refusals},
        {"contradictions", test_contradictions},
    };
    return test_main("GPU and link files", cases, sizeof cases / sizeof *cases);
}
