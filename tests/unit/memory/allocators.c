/* The allocators of the program: what the source documents say of them (traditional-attention.md,
 * prefill-decode-lab.md), first fit and compaction by hand, and their settings. */
#include "test.h"

#include "tandem/config.h"
#include "tandem/kv.h"
#include "tandem/mem.h"

#define BLOCK 16

/* A cache of so many blocks from the "kv" object; requests have at most 2,048 tokens. */
static void open_cache(struct kv *kv, struct kv_config *config, const char *json, int64_t blocks)
{
    struct config *tree;
    struct error error = {{0}};
    bool good = config_parse(json, "test", &tree, &error) && kv_parse(config_root(tree), config, &error) &&
                kv_resolve(config, blocks, 2048, config_root(tree), &error);
    if (!good)
        printf("%s\n", error.text);
    CU_ASSERT_FATAL(good);
    config_free(tree);
    kv_init(kv, config, blocks);
}

/* Places sequences of these lengths. Returns the share of what they take that is empty. */
static double internal_fragmentation(struct kv *kv, const int64_t *lengths, size_t count)
{
    int64_t tokens = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t blocks = kv_size(kv, lengths[i]);
        CU_ASSERT_TRUE_FATAL(kv_make_place(kv, blocks));
        if (kv->placed)
            kv_place(kv, i, blocks);
        else
            kv_take(kv, blocks);
        tokens += lengths[i];
    }
    return 1 - (double)tokens / (double)(kv->used_blocks * BLOCK);
}

/* Lengths [512, .., 1900] of at most 2,048: 16,384 tokens taken, 8,340 used, 49.1 % lost. */
static void test_batch_of_lengths(void)
{
    static const int64_t lengths[] = {512, 1024, 256, 2048, 800, 1500, 300, 1900};
    struct kv kv;
    struct kv_config config;
    open_cache(&kv, &config, "{\"allocator\": \"contiguous-max\"}", 2000);
    CU_ASSERT_DOUBLE_EQUAL(internal_fragmentation(&kv, lengths, 8), 1 - 8340 / 16384.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(1 - 8340 / 16384.0, 0.491, 0.0005);
    CU_ASSERT_EQUAL(kv.used_blocks * BLOCK, 16384);
    kv_clear(&kv);
    open_cache(&kv, &config, "{}", 2000);
    CU_ASSERT_DOUBLE_EQUAL(internal_fragmentation(&kv, lengths, 8), 1 - 8340 / 8352.0, 1e-12);
    kv_clear(&kv);
    open_cache(&kv, &config, "{\"allocator\": \"slab\", \"slab_classes_tokens\": [256, 512, 1024, 2048]}",
               8000);
    /* 512 + 1024 + 256 + 2048 + 1024 + 2048 + 512 + 2048 */
    CU_ASSERT_DOUBLE_EQUAL(internal_fragmentation(&kv, lengths, 8), 1 - 8340 / 9472.0, 1e-12);
    kv_clear(&kv);
}

/* One sequence of 512, 1,200 or 1,800 tokens of at most 2,048: 25, 59 and 88 % used. */
static void test_utilization(void)
{
    static const int64_t lengths[] = {512, 1200, 1800};
    static const double used[] = {0.25, 0.59, 0.88};
    for (size_t i = 0; i < 3; i++) {
        struct kv kv;
        struct kv_config config;
        open_cache(&kv, &config, "{\"allocator\": \"contiguous-max\"}", 128);
        CU_ASSERT_DOUBLE_EQUAL(1 - internal_fragmentation(&kv, &lengths[i], 1), used[i], 0.005);
        CU_ASSERT_FALSE(kv_make_place(&kv, kv_size(&kv, 1)));
        kv_clear(&kv);
    }
}

/* 100 requests of 512 tokens, at most 4,096: 12.5 % used; paged 3,200 blocks, 87.5 % less. */
static void test_hundred_requests(void)
{
    int64_t lengths[100];
    struct kv max, paged;
    struct kv_config config, other;
    for (size_t i = 0; i < 100; i++)
        lengths[i] = 512;
    open_cache(&max, &config, "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 4096}", 25600);
    open_cache(&paged, &other, "{}", 25600);
    CU_ASSERT_DOUBLE_EQUAL(internal_fragmentation(&max, lengths, 100), 0.875, 1e-12);
    CU_ASSERT_EQUAL(internal_fragmentation(&paged, lengths, 100), 0);
    CU_ASSERT_EQUAL(paged.used_blocks, 3200);
    CU_ASSERT_DOUBLE_EQUAL(1 - (double)paged.used_blocks / (double)max.used_blocks, 0.875, 1e-12);
    kv_clear(&max);
}

/* Sequences of Llama-2-13B in 50 GB: pre-allocated and by need at 800 tokens. The document counts 1 MB a
 * token and 2 GB (2,000 tokens) each: 25 and 62. The model's 819,200 bytes give 29 of 2,048 tokens, and 76.
 */
static void test_case_study(void)
{
    static const struct {
        int64_t bytes_per_token, max_length, reserved, needed;
    } rows[] = {{1000000, 2000, 25, 62}, {819200, 2048, 29, 76}};
    for (size_t i = 0; i < 2; i++) {
        int64_t blocks = INT64_C(50000000000) / (BLOCK * rows[i].bytes_per_token);
        char json[100];
        struct kv kv;
        struct kv_config config;
        snprintf(json, sizeof json, "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": %d}",
                 (int)rows[i].max_length);
        open_cache(&kv, &config, json, blocks);
        CU_ASSERT_EQUAL(kv_most_sequences(&config, blocks, 800, 1000), rows[i].reserved);
        open_cache(&kv, &config, "{\"allocator\": \"contiguous-exact\"}", blocks);
        CU_ASSERT_EQUAL(kv_most_sequences(&config, blocks, 800, 1000), rows[i].needed);
        open_cache(&kv, &config, "{}", blocks);
        CU_ASSERT_EQUAL(kv_most_sequences(&config, blocks, 800, 1000), rows[i].needed);
    }
}

static int64_t start_of(const struct kv *kv, uint32_t owner)
{
    for (size_t i = 0; i < kv->region_count; i++)
        if (kv->regions[i].owner == owner)
            return kv->regions[i].start;
    return -1;
}

/* The figure of the document: four sequences with free space between them, which no fifth fits in though it
 * needs no more than what is free. */
static void test_first_fit_and_compaction(void)
{
    for (int compaction = 0; compaction < 2; compaction++) {
        struct kv kv;
        struct kv_config config;
        open_cache(&kv, &config,
                   compaction ? "{\"allocator\": \"contiguous-exact\", \"compaction\": true}"
                              : "{\"allocator\": \"contiguous-exact\"}",
                   16);
        for (uint32_t i = 0; i < 8; i++)
            kv_place(&kv, i, 2);
        for (uint32_t i = 1; i < 8; i += 2)
            CU_ASSERT_EQUAL(kv_remove(&kv, i), 2);
        CU_ASSERT(kv_free_blocks(&kv) == 8 && kv_longest_run(&kv) == 2);
        kv_place(&kv, 1, 2);
        CU_ASSERT_EQUAL(start_of(&kv, 1), 2); /* the first of four places */
        kv_grow(&kv, 2, 2);
        CU_ASSERT_EQUAL(start_of(&kv, 2), 6); /* beside its own, which is free only then */
        CU_ASSERT_EQUAL(kv_make_place(&kv, 5), compaction == 1);
        CU_ASSERT_EQUAL(kv_longest_run(&kv), compaction ? 6 : 2);
        CU_ASSERT_EQUAL(kv.copied_blocks, compaction ? 2 + 3 * 2 : 2); /* all but the first two moved */
        CU_ASSERT_FALSE(kv_make_place(&kv, 7));
        kv_clear(&kv);
    }
}

/* Slabs: each class has its part of the blocks, and what is free in one is of no use to another. */
static void test_slab(void)
{
    struct kv kv;
    struct kv_config config;
    open_cache(
        &kv, &config,
        "{\"allocator\": \"slab\", \"slab_classes_tokens\": [64, 160], \"slab_class_shares\": [0.5, 0.5]}",
        50);
    CU_ASSERT_EQUAL(kv_size(&kv, 64), 4);
    CU_ASSERT_EQUAL(kv_size(&kv, 65), 10);
    CU_ASSERT_EQUAL(kv_size(&kv, 161), INT64_MAX);
    CU_ASSERT_EQUAL(kv_most_tokens(&config, 50, 0), 160);
    kv_place(&kv, 0, 10);
    kv_place(&kv, 1, 10);                  /* 25 blocks: two, and 5 that nobody gets */
    CU_ASSERT_EQUAL(start_of(&kv, 0), 24); /* behind six of the smaller ones */
    CU_ASSERT_FALSE(kv_make_place(&kv, 10));
    for (uint32_t i = 2; i < 8; i++) {
        CU_ASSERT_TRUE(kv_make_place(&kv, 4));
        kv_place(&kv, i, 4);
        CU_ASSERT_EQUAL(start_of(&kv, i), 4 * (i - 2));
    }
    CU_ASSERT_FALSE(kv_make_place(&kv, 4));
    CU_ASSERT_EQUAL(kv_free_blocks(&kv), 6);
    kv_clear(&kv);
    /* 256, doubled up to 2,048: a quarter each. */
    open_cache(&kv, &config, "{\"allocator\": \"slab\"}", 1000);
    static const int64_t sizes[] = {16, 32, 64, 128};
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(kv_size(&kv, 256 << i), sizes[i]);
        CU_ASSERT_EQUAL(kv_most_sequences(&config, 1000, 256 << i, 1000), 250 / sizes[i]);
    }
    kv_clear(&kv);
}

/* Keys are those of the allocator that is named. */
static void test_keys(void)
{
    struct config *tree;
    struct error error = {{0}};
    struct kv_config config;
    CU_ASSERT_TRUE_FATAL(config_parse("{\"compaction\": true}", "c.json", &tree, &error));
    CU_ASSERT_FALSE(kv_parse(config_root(tree), &config, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "compaction: unknown key"));
    config_free(tree);
    CU_ASSERT_TRUE(kv_parse(NULL, &config, &error));
    CU_ASSERT_STRING_EQUAL(config.allocator->name, "paged");
}

static void test_memory(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"a batch of lengths", test_batch_of_lengths},
        {"utilization by length", test_utilization},
        {"100 requests", test_hundred_requests},
        {"case study: 13B in 50 GB", test_case_study},
        {"first fit and compaction", test_first_fit_and_compaction},
        {"slabs", test_slab},
        {"keys", test_keys},
        {"no memory left behind", test_memory},
    };
    return test_main("the program's KV allocators", cases, sizeof cases / sizeof *cases);
}
