/* What every KV allocator must keep to: random sequences come, grow and go, beside a naive map of who holds
 * which block. A new allocator is found by itself; those of the program are tried with several settings. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "tandem/config.h"
#include "tandem/kv.h"
#include "tandem/mem.h"
#include "tandem/rng.h"

#define SEEDS      60
#define OPERATIONS 400
#define LONGEST    180 /* tokens of a request */
#define SEQUENCES  40
#define MOST       2000 /* blocks */
#define FREE       UINT32_MAX

/* Settings beside block_tokens; others than the program's own allocators have their defaults. */
static const struct {
    const char *name, *keys;
} variants[] = {
    {"contiguous-exact", ", \"compaction\": true"},
    {"contiguous-exact", ", \"growth_tokens\": 50"},
    {"contiguous-exact", ", \"growth_tokens\": 9, \"compaction\": true"},
    {"contiguous-max", ", \"max_length_tokens\": 200"},
    {"slab", ", \"slab_classes_tokens\": [40, 100, 180]"},
    {"slab", ", \"slab_classes_tokens\": [60, 180], \"slab_class_shares\": [0.3, 0.6]"},
};

struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 1, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

/* One cache and the naive one beside it. */
struct world {
    struct kv_config config;
    struct kv kv;
    uint32_t map[MOST]; /* who holds a block */
    int64_t tokens[SEQUENCES], blocks[SEQUENCES];
};

/* Opens a cache with room for some three to ten requests; slabs want one of each class at least. */
static void open_world(struct world *world, const struct kv_allocator *allocator, const char *keys,
                       int64_t block_tokens, int64_t capacity)
{
    char json[300];
    struct config *tree;
    struct error error = {{0}};
    snprintf(json, sizeof json, "{\"allocator\": \"%s\", \"block_tokens\": %d, \"alloc_us\": 3%s}",
             allocator->name, (int)block_tokens, keys);
    *world = (struct world){0};
    if (!config_parse(json, "test", &tree, &error) || !kv_parse(config_root(tree), &world->config, &error) ||
        !kv_resolve(&world->config, capacity, LONGEST, config_root(tree), &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    config_free(tree);
    world->config.copy_ns_per_block = 10;
    kv_init(&world->kv, &world->config, capacity);
    memset(world->map, 0xff, sizeof world->map);
}

/* Of an owner; fails where it is none or two. */
static const struct kv_region *region_of(const struct kv *kv, uint32_t owner)
{
    const struct kv_region *found = NULL;
    for (size_t i = 0; i < kv->region_count; i++)
        if (kv->regions[i].owner == owner) {
            CU_ASSERT_PTR_NULL(found);
            found = &kv->regions[i];
        }
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

static void paint(struct world *world, uint32_t owner)
{
    for (int64_t i = 0; i < world->kv.capacity_blocks; i++)
        if (world->map[i] == owner)
            world->map[i] = FREE;
    if (world->blocks[owner] == 0 || !world->kv.placed)
        return;
    const struct kv_region *region = region_of(&world->kv, owner);
    CU_ASSERT_EQUAL(region->blocks, world->blocks[owner]);
    CU_ASSERT_FATAL(region->start >= 0 && region->start + region->blocks <= world->kv.capacity_blocks);
    for (int64_t i = region->start; i < region->start + region->blocks; i++) {
        CU_ASSERT_EQUAL(world->map[i], FREE); /* nobody else's */
        world->map[i] = owner;
    }
}

/* After a compaction all places may be others. */
static void repaint(struct world *world)
{
    memset(world->map, 0xff, sizeof world->map);
    for (uint32_t owner = 0; owner < SEQUENCES; owner++)
        paint(world, owner);
}

static int64_t naive_fit(const struct world *world, int64_t begin, int64_t end, int64_t blocks)
{
    for (int64_t start = begin; start + blocks <= end; start++) {
        int64_t length = 0;
        while (length < blocks && world->map[start + length] == FREE)
            length++;
        if (length == blocks)
            return start;
    }
    return -1;
}

static int64_t naive_longest(const struct world *world)
{
    int64_t longest = 0, run = 0;
    for (int64_t i = 0; i < world->kv.capacity_blocks; i++) {
        run = world->map[i] == FREE ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Asks for a place. Nothing but a compaction may change; then one run is left, and a refusal never comes. */
static bool make_place(struct world *world, int64_t blocks)
{
    struct kv *kv = &world->kv;
    uint64_t compactions = kv->compactions;
    int64_t used = kv->used_blocks;
    bool compacts = kv->allocator->compacts && kv->allocator->compacts(kv);
    bool enough = blocks <= kv_free_blocks(kv);
    bool there = kv->placed && enough ? kv->allocator->place(kv, blocks) >= 0 : enough;
    bool made = kv_make_place(kv, blocks);
    CU_ASSERT_EQUAL(made, there || (enough && compacts));
    CU_ASSERT_EQUAL(kv->used_blocks, used);
    CU_ASSERT_EQUAL(kv->compactions, compactions + (made && !there));
    if (made && !there) {
        CU_ASSERT_EQUAL(kv_longest_run(kv), kv_free_blocks(kv));
        repaint(world);
    }
    return made;
}

static void come(struct world *world, struct dice *dice, uint32_t owner)
{
    struct kv *kv = &world->kv;
    int64_t tokens = 1 + roll(dice, LONGEST), blocks = kv_size(kv, tokens);
    if (!make_place(world, blocks))
        return;
    if (kv->placed)
        kv_place(kv, owner, blocks);
    else
        kv_take(kv, blocks);
    world->tokens[owner] = tokens;
    world->blocks[owner] = blocks;
    paint(world, owner);
}

static void grow(struct world *world, struct dice *dice, uint32_t owner)
{
    struct kv *kv = &world->kv;
    int64_t more = 1 + roll(dice, 20);
    for (int64_t i = 0; i < more && world->tokens[owner] < LONGEST; i++) {
        int64_t tokens = world->tokens[owner] + 1;
        if (tokens > world->blocks[owner] * kv->block_tokens) {
            int64_t blocks = kv->placed ? kv_grown_size(kv, tokens) : 1;
            if (!make_place(world, blocks))
                return;
            if (kv->placed)
                kv_grow(kv, owner, blocks);
            else
                kv_take_each(kv, blocks);
            world->blocks[owner] = kv->placed ? blocks : world->blocks[owner] + blocks;
            paint(world, owner);
        }
        world->tokens[owner] = tokens;
    }
}

static void go(struct world *world, uint32_t owner)
{
    int64_t blocks = world->blocks[owner];
    if (world->kv.placed)
        blocks = kv_remove(&world->kv, owner);
    else
        kv_give(&world->kv, blocks);
    CU_ASSERT_EQUAL(blocks, world->blocks[owner]);
    world->tokens[owner] = world->blocks[owner] = 0;
    paint(world, owner);
}

static void check(struct world *world, struct dice *dice)
{
    const struct kv *kv = &world->kv;
    int64_t tokens = 0, blocks = 0, sequences = 0;
    for (int i = 0; i < SEQUENCES; i++) {
        tokens += world->tokens[i];
        blocks += world->blocks[i];
        sequences += world->blocks[i] > 0;
    }
    CU_ASSERT_EQUAL(kv->used_blocks, blocks);
    CU_ASSERT_EQUAL(kv->allocated_blocks - kv->freed_blocks, (uint64_t)blocks);
    CU_ASSERT(tokens <= blocks * kv->block_tokens && blocks <= kv->peak_blocks &&
              kv->peak_blocks <= kv->capacity_blocks);
    if (!kv->placed) {
        CU_ASSERT(blocks * kv->block_tokens - tokens <= sequences * (kv->block_tokens - 1));
        return;
    }
    CU_ASSERT_EQUAL(kv->region_count, (size_t)sequences);
    CU_ASSERT_EQUAL(kv_longest_run(kv), naive_longest(world));
    int64_t begin = roll(dice, kv->capacity_blocks),
            end = begin + roll(dice, kv->capacity_blocks - begin + 1);
    int64_t wanted = 1 + roll(dice, 30);
    CU_ASSERT_EQUAL(kv_first_fit(kv, begin, end, wanted), naive_fit(world, begin, end, wanted));
}

static void run(const struct kv_allocator *allocator, const char *keys, uint64_t seed)
{
    static struct world world;
    struct dice dice = {seed, 0};
    int64_t block_tokens = (const int64_t[]){1, 4, 7, 16}[roll(&dice, 4)];
    int64_t capacity = (3 + roll(&dice, 8)) * ((200 + block_tokens - 1) / block_tokens);
    open_world(&world, allocator, keys, block_tokens, capacity < MOST ? capacity : MOST);
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t owner = (uint32_t)roll(&dice, SEQUENCES);
        if (world.blocks[owner] == 0)
            come(&world, &dice, owner);
        else if (roll(&dice, 3) > 0)
            grow(&world, &dice, owner);
        else
            go(&world, owner);
        check(&world, &dice);
    }
    for (uint32_t owner = 0; owner < SEQUENCES; owner++)
        if (world.blocks[owner] > 0)
            go(&world, owner);
    struct kv *kv = &world.kv;
    CU_ASSERT_EQUAL(kv->used_blocks, 0);
    CU_ASSERT_EQUAL(kv->allocated_blocks, kv->freed_blocks);
    CU_ASSERT(!kv->placed || kv_longest_run(kv) == kv->capacity_blocks);
    CU_ASSERT_EQUAL(kv->total_cost_ns, 3000 * kv->allocations + 10 * kv->copied_blocks);
    CU_ASSERT_EQUAL((uint64_t)kv_take_cost(kv), kv->total_cost_ns);
    CU_ASSERT_EQUAL(kv_take_cost(kv), 0);
    kv_clear(kv);
}

/* Calls a function for each allocator with each of its settings. */
static void for_all(void (*function)(const struct kv_allocator *allocator, const char *keys))
{
    for (int i = 0; kv_allocators[i]; i++) {
        function(kv_allocators[i], "");
        for (size_t j = 0; j < sizeof variants / sizeof *variants; j++)
            if (strcmp(variants[j].name, kv_allocators[i]->name) == 0)
                function(kv_allocators[i], variants[j].keys);
    }
}

static void run_seeds(const struct kv_allocator *allocator, const char *keys)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(allocator, keys, seed);
}

static void test_random(void)
{
    for_all(run_seeds);
}

/* Sizes, and what an empty cache holds. */
static void check_sizes(const struct kv_allocator *allocator, const char *keys)
{
    static struct world world;
    struct kv *kv = &world.kv;
    open_world(&world, allocator, keys, 7, 120);
    int64_t most = 0;
    for (int64_t tokens = 1; tokens <= 120 * 7; tokens++) {
        int64_t size = kv_size(kv, tokens), grown = kv_grown_size(kv, tokens);
        CU_ASSERT(size >= kv_blocks(kv, tokens) && grown >= size);
        CU_ASSERT(size >= kv_size(kv, tokens > 1 ? tokens - 1 : 1));
        CU_ASSERT_EQUAL(kv_make_place(kv, size), size <= 120);
        CU_ASSERT_EQUAL(kv_make_place(kv, grown), grown <= 120);
        most = size <= 110 ? tokens : most;
    }
    CU_ASSERT_EQUAL(kv_most_tokens(&world.config, 120, 10), most);
    int64_t count = 0, blocks = kv_size(kv, 60);
    for (; make_place(&world, blocks); count++)
        if (kv->placed)
            kv_place(kv, (uint32_t)count, blocks);
        else
            kv_take(kv, blocks);
    CU_ASSERT(count > 0);
    CU_ASSERT_EQUAL(kv_most_sequences(&world.config, 120, 60, 1000), count);
    CU_ASSERT_EQUAL(kv_most_sequences(&world.config, 120, 60, 1), 1);
    kv_clear(kv);
}

static void test_sizes(void)
{
    for_all(check_sizes);
}

static void test_table(void)
{
    bool paged = false;
    for (int i = 0; kv_allocators[i]; i++) {
        const struct kv_allocator *allocator = kv_allocators[i];
        CU_ASSERT(strlen(allocator->name) > 0 && strlen(allocator->doc) > 0);
        CU_ASSERT_EQUAL(strspn(allocator->name, "abcdefghijklmnopqrstuvwxyz0123456789-"),
                        strlen(allocator->name));
        CU_ASSERT(strchr(allocator->doc, '\n') == NULL);
        CU_ASSERT(allocator->settings_bytes <= KV_SETTINGS_BYTES);
        CU_ASSERT_EQUAL(allocator->options != NULL, allocator->settings_bytes > 0);
        /* Without places blocks are taken one by one, which the batch counts by itself. */
        CU_ASSERT(allocator->place || (!allocator->size && !allocator->grown && !allocator->compacts));
        paged |= strcmp(allocator->name, "paged") == 0;
        for (int j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(kv_allocators[j]->name, allocator->name);
    }
    CU_ASSERT(paged);
}

static void test_memory(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"names, docs, functions", test_table},
        {"sizes and what an empty cache holds", test_sizes},
        {"random sequences beside a map of blocks", test_random},
        {"no memory left behind", test_memory},
    };
    return test_main("KV allocators", cases, sizeof cases / sizeof *cases);
}
