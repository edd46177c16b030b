/* The paged cache: counts, capacity by hand, and the message when nothing fits. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tandem/config.h"
#include "tandem/kv.h"

static const struct kv_config paged = {.block_tokens = 16};

static void test_counts(void)
{
    struct kv kv;
    kv_init(&kv, &paged, 10);
    CU_ASSERT_EQUAL(kv_blocks(&kv, 0), 0);
    CU_ASSERT_EQUAL(kv_blocks(&kv, 1), 1);
    CU_ASSERT_EQUAL(kv_blocks(&kv, 16), 1);
    CU_ASSERT_EQUAL(kv_blocks(&kv, 17), 2);
    kv_take(&kv, 7);
    kv_take(&kv, 0);
    CU_ASSERT_EQUAL(kv_free_blocks(&kv), 3);
    kv_give(&kv, 5);
    kv_take(&kv, 3);
    kv_take(&kv, 5);
    CU_ASSERT_EQUAL(kv_free_blocks(&kv), 0);
    CU_ASSERT_EQUAL(kv.peak_blocks, 10);
    kv_give(&kv, 10);
    CU_ASSERT_EQUAL(kv.used_blocks, 0);
    CU_ASSERT_EQUAL(kv.peak_blocks, 10);
    CU_ASSERT_EQUAL(kv.allocated_blocks, 15);
    CU_ASSERT_EQUAL(kv.freed_blocks, 15);
}

static void take_too_many(void)
{
    struct kv kv;
    kv_init(&kv, &paged, 10);
    kv_take(&kv, 11);
}

static void give_too_many(void)
{
    struct kv kv;
    kv_init(&kv, &paged, 10);
    kv_take(&kv, 3);
    kv_give(&kv, 4);
}

static void init_empty(void)
{
    struct kv kv;
    kv_init(&kv, &paged, 0);
}

/* Whether a function ends its process by abort. */
static bool aborts(void (*function)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        function();
        _exit(0);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_misuse_aborts(void)
{
    CU_ASSERT_TRUE(aborts(take_too_many));
    CU_ASSERT_TRUE(aborts(give_too_many));
    CU_ASSERT_TRUE(aborts(init_empty));
}

/* Llama-2-70B in 16 bits over four H100s, vLLM's defaults. */
static const struct kv_capacity llama_70b_tp4 = {
    .memory_bytes = 85040352460,    /* 79.2 GiB */
    .weight_bytes = 34490302464,    /* model_weight_bytes_per_gpu */
    .max_num_batched_tokens = 8192, /* T */
    .hidden = 8192,
    .mlp_width_per_gpu = 7168,                         /* 28672 / 4 */
    .block_bytes = INT64_C(16) * 2 * 80 * 2 * 128 * 2, /* 1,310,720: 16 tokens, 80 layers, 2 of 8 heads */
};

static void test_capacity_by_hand(void)
{
    struct kv_config config = {.block_tokens = 16, .memory_utilization = 0.9};
    /* 76,536,317,214 usable - 34,490,302,464 - 2 x 8192 x (8192 + 14336) = 369,098,752 - 2^30
     * = 40,603,174,174; / 1,310,720 = 30,977.76; less the null block. */
    CU_ASSERT_EQUAL(kv_capacity_blocks(&config, &llama_70b_tp4), 30976);
    config.blocks = 123;
    CU_ASSERT_EQUAL(kv_capacity_blocks(&config, &llama_70b_tp4), 123);
}

static void test_capacity_edges(void)
{
    struct kv_config config = {.block_tokens = 16, .memory_utilization = 1};
    struct kv_capacity capacity = {.memory_bytes = (INT64_C(1) << 30) + 3000, .block_bytes = 1000};
    CU_ASSERT_EQUAL(kv_capacity_blocks(&config, &capacity), 2);
    capacity.memory_bytes -= 1;
    CU_ASSERT_EQUAL(kv_capacity_blocks(&config, &capacity), 1);
    capacity.memory_bytes = INT64_C(1) << 30;
    CU_ASSERT(kv_capacity_blocks(&config, &capacity) <= 0);
    capacity.memory_bytes = 5;
    CU_ASSERT(kv_capacity_blocks(&config, &capacity) <= 0);
}

static void test_message(void)
{
    struct kv_config config = {.block_tokens = 16, .memory_utilization = 0.9};
    struct kv_capacity capacity = llama_70b_tp4;
    capacity.weight_bytes = 137953296384; /* all of it on one GPU */
    CU_ASSERT(kv_capacity_blocks(&config, &capacity) <= 0);
    struct error error = {{0}};
    struct config *tree = NULL;
    CU_ASSERT_TRUE_FATAL(config_parse("{}", "c.json", &tree, &error));
    CU_ASSERT_FALSE(kv_capacity_error(&config, &capacity, config_root(tree), &error));
    const char *const words[] = {"c.json",           "71.28 of 79.20 GiB", "weights 128.48",
                                 "activations 0.34", "reserve 1.00",       "-58.54 GiB left",
                                 "tensor_parallel",  "larger GPU",         "memory_utilization"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strstr(error.text, words[i]))
            printf("no '%s' in: %s\n", words[i], error.text);
        CU_ASSERT(strstr(error.text, words[i]) != NULL);
    }
    config_free(tree);
}

static void test_options(void)
{
    struct error error = {{0}};
    struct config *tree = NULL;
    struct kv_config config;
    CU_ASSERT_TRUE_FATAL(config_parse("{\"block_tokens\": 1}", "c.json", &tree, &error));
    CU_ASSERT_TRUE(kv_parse(config_root(tree), &config, &error));
    CU_ASSERT_EQUAL(config.block_tokens, 1);
    CU_ASSERT_EQUAL(config.memory_utilization, 0.9);
    CU_ASSERT_EQUAL(config.blocks, 0);
    config_free(tree);
}

int main(void)
{
    const struct test_case cases[] = {
        {"counts", test_counts},
        {"misuse aborts", test_misuse_aborts},
        {"capacity by hand", test_capacity_by_hand},
        {"capacity at the edges", test_capacity_edges},
        {"message", test_message},
        {"options", test_options},
    };
    return test_main("paged KV cache", cases, sizeof cases / sizeof *cases);
}
