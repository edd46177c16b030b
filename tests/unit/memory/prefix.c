/* What blocks of a cache hold: a walk over a plain list must agree, and so must the figures that come with
 * the Mooncake trace. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/prefix.h"

/* --- by hand
 * -------------------------------------------------------------------------------------------------- */

static void test_leading(void)
{
    static const uint64_t chain[] = {7, 8, 9, 10};
    struct prefix prefix;
    prefix_init(&prefix, 0, 0);
    CU_ASSERT_EQUAL(prefix_leading(&prefix, chain, 4), 0);
    uint32_t first = prefix_add(&prefix, 7), second = prefix_add(&prefix, 8),
             fourth = prefix_add(&prefix, 10);
    CU_ASSERT_EQUAL(prefix_leading(&prefix, chain, 4), 2);
    CU_ASSERT_EQUAL(prefix_leading(&prefix, chain, 1), 1);
    CU_ASSERT_EQUAL(prefix_leading(&prefix, chain, 0), 0);
    CU_ASSERT_EQUAL(prefix_acquire(&prefix, first), PREFIX_GPU);
    CU_ASSERT_FALSE(prefix_release(&prefix, first));
    CU_ASSERT_TRUE(prefix_release(&prefix, fourth));
    CU_ASSERT_TRUE(prefix_release(&prefix, second));
    prefix_evict(&prefix); /* the fourth: released before the second; the first is in use */
    CU_ASSERT_EQUAL(prefix_find(&prefix, 10), PREFIX_NONE);
    CU_ASSERT_EQUAL(prefix_find(&prefix, 8), second);
    CU_ASSERT_EQUAL(prefix.held, 2);
    CU_ASSERT_EQUAL(prefix.evicted[PREFIX_GPU], 1);
    prefix_clear(&prefix);
}

/* A block goes down the tiers, and comes back from each. */
static void test_tiers(void)
{
    struct prefix prefix;
    prefix_init(&prefix, 1, 1);
    uint32_t blocks[3];
    for (uint64_t hash = 0; hash < 3; hash++) {
        blocks[hash] = prefix_add(&prefix, hash);
        prefix_release(&prefix, blocks[hash]);
    }
    for (int i = 0; i < 3; i++)
        prefix_evict(&prefix);
    CU_ASSERT_EQUAL(prefix_find(&prefix, 0), PREFIX_NONE);
    CU_ASSERT_EQUAL(prefix.blocks[blocks[1]].tier, PREFIX_SSD);
    CU_ASSERT_EQUAL(prefix.blocks[blocks[2]].tier, PREFIX_HOST);
    CU_ASSERT_EQUAL(prefix.evicted[PREFIX_GPU], 3);
    CU_ASSERT_EQUAL(prefix.evicted[PREFIX_HOST], 2);
    CU_ASSERT_EQUAL(prefix.evicted[PREFIX_SSD], 1);
    CU_ASSERT_EQUAL(prefix_acquire(&prefix, blocks[1]), PREFIX_SSD);
    CU_ASSERT_EQUAL(prefix_acquire(&prefix, blocks[1]), PREFIX_GPU);
    CU_ASSERT_EQUAL(prefix_acquire(&prefix, blocks[2]), PREFIX_HOST);
    CU_ASSERT_EQUAL(prefix.idle[PREFIX_HOST].count + prefix.idle[PREFIX_SSD].count, 0);
    prefix_clear(&prefix);
    /* Without host memory the SSD is next. */
    prefix_init(&prefix, 0, 1);
    prefix_release(&prefix, prefix_add(&prefix, 5));
    prefix_evict(&prefix);
    CU_ASSERT_EQUAL(prefix.blocks[prefix_find(&prefix, 5)].tier, PREFIX_SSD);
    prefix_clear(&prefix);
}

/* --- against a list
 * ------------------------------------------------------------------------------------------- */

#define HASHES 200

struct plain {
    struct {
        bool there;
        int tier;
        int64_t references, age;
    } blocks[HASHES];
    int64_t room[PREFIX_TIERS];
    int64_t clock;
};

static int oldest(const struct plain *plain, int tier, int64_t *count)
{
    int found = -1;
    *count = 0;
    for (int i = 0; i < HASHES; i++) {
        if (!plain->blocks[i].there || plain->blocks[i].references > 0 || plain->blocks[i].tier != tier)
            continue;
        ++*count;
        if (found < 0 || plain->blocks[i].age < plain->blocks[found].age)
            found = i;
    }
    return found;
}

static void plain_evict(struct plain *plain)
{
    int64_t count;
    int tier = PREFIX_GPU, block = oldest(plain, tier, &count);
    while (tier < PREFIX_TIERS) {
        do
            tier++;
        while (tier < PREFIX_TIERS && plain->room[tier] == 0);
        plain->blocks[block].there = tier < PREFIX_TIERS;
        plain->blocks[block].tier = tier;
        plain->blocks[block].age = plain->clock++;
        if (tier == PREFIX_TIERS)
            return;
        block = oldest(plain, tier, &count);
        if (count <= plain->room[tier])
            return;
    }
}

static void check_same(const struct prefix *prefix, const struct plain *plain)
{
    size_t held = 0;
    for (int i = 0; i < HASHES; i++) {
        uint32_t block = prefix_find(prefix, (uint64_t)i * 64);
        held += plain->blocks[i].there;
        CU_ASSERT_EQUAL_FATAL(block != PREFIX_NONE, plain->blocks[i].there);
        if (block == PREFIX_NONE)
            continue;
        CU_ASSERT_EQUAL_FATAL(prefix->blocks[block].references, plain->blocks[i].references);
        CU_ASSERT_EQUAL_FATAL(prefix->blocks[block].tier, plain->blocks[i].tier);
    }
    CU_ASSERT_EQUAL_FATAL(prefix->held, held);
    for (int tier = 0; tier < PREFIX_TIERS; tier++) {
        int64_t count;
        oldest(plain, tier, &count);
        CU_ASSERT_EQUAL_FATAL(prefix->idle[tier].count, count);
    }
}

static void use(struct prefix *prefix, struct plain *plain, int hash)
{
    uint32_t block = prefix_find(prefix, (uint64_t)hash * 64);
    if (block == PREFIX_NONE) {
        prefix_add(prefix, (uint64_t)hash * 64);
        plain->blocks[hash].there = true;
    } else {
        CU_ASSERT_EQUAL((int)prefix_acquire(prefix, block), plain->blocks[hash].tier);
    }
    plain->blocks[hash].tier = PREFIX_GPU;
    plain->blocks[hash].references++;
}

static void release(struct prefix *prefix, struct plain *plain, int hash)
{
    bool last = --plain->blocks[hash].references == 0;
    CU_ASSERT_EQUAL(prefix_release(prefix, prefix_find(prefix, (uint64_t)hash * 64)), last);
    plain->blocks[hash].age = plain->clock++;
}

static void check_random(int64_t host, int64_t ssd)
{
    struct prefix prefix;
    struct plain plain = {.room = {0, host, ssd}};
    uint64_t bits = 1;
    int64_t idle;
    prefix_init(&prefix, host, ssd);
    for (int i = 0; i < 20000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + 1442695040888963407;
        int hash = (int)(bits >> 33) % HASHES;
        if (bits >> 62 <= 1)
            use(&prefix, &plain, hash);
        else if (plain.blocks[hash].references > 0)
            release(&prefix, &plain, hash);
        else if (oldest(&plain, PREFIX_GPU, &idle) >= 0) {
            prefix_evict(&prefix);
            plain_evict(&plain);
        }
        if (i % 16 == 0)
            check_same(&prefix, &plain);
    }
    CU_ASSERT(prefix.evicted[PREFIX_GPU] > 1000);
    prefix_clear(&prefix);
}

static void test_random(void)
{
    check_random(0, 0);
    check_random(30, 0);
    check_random(20, 25);
    check_random(0, 10);
}

/* --- the Mooncake trace
 * --------------------------------------------------------------------------------------- */

/* The hashes of a line; room for them is there. */
static size_t read_hashes(const char *line, uint64_t *hashes)
{
    size_t count = 0;
    char *at = strstr(line, "\"hash_ids\": [");
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    for (at += strlen("\"hash_ids\": ["); *at && *at != ']'; at += strspn(at, ", "))
        hashes[count++] = strtoull(at, &at, 10);
    return count;
}

/* Share of references that were leading hits; evictions beyond capacity (0: none). */
static double hit_share(FILE *file, int64_t capacity)
{
    static char line[1 << 16];
    static uint64_t hashes[1 << 12];
    struct prefix prefix;
    uint64_t hits = 0, references = 0;
    prefix_init(&prefix, 0, 0);
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        size_t count = read_hashes(line, hashes);
        hits += prefix_leading(&prefix, hashes, count);
        references += count;
        for (size_t i = 0; i < count; i++) {
            uint32_t block = prefix_find(&prefix, hashes[i]);
            if (block == PREFIX_NONE)
                block = prefix_add(&prefix, hashes[i]);
            else
                prefix_acquire(&prefix, block);
            prefix_release(&prefix, block);
            if (capacity > 0 && prefix.idle[PREFIX_GPU].count > capacity)
                prefix_evict(&prefix);
        }
    }
    if (capacity == 0)
        CU_ASSERT_EQUAL(prefix.held, 182790);
    prefix_clear(&prefix);
    CU_ASSERT_EQUAL(references, 288500);
    return (double)hits / (double)references;
}

/* ../shared/data/mooncake_conversation_trace.README.md has these, to five digits. */
static void test_mooncake(void)
{
    static const struct {
        int64_t capacity;
        const char *share;
    } rows[] = {{500, "0.04218"},   {1000, "0.04447"},   {2000, "0.05368"},
                {5000, "0.11036"},  {10000, "0.21116"},  {20000, "0.28748"},
                {50000, "0.35456"}, {100000, "0.36369"}, {0, "0.36641"}};
    const char *path = test_shared_file("data/mooncake_conversation_trace.jsonl");
    if (!path)
        return;
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char share[32];
        snprintf(share, sizeof share, "%.5f", hit_share(file, rows[i].capacity));
        if (strcmp(share, rows[i].share) != 0)
            printf("\n  capacity %lld: %s, not %s\n", (long long)rows[i].capacity, share, rows[i].share);
        CU_ASSERT_STRING_EQUAL(share, rows[i].share);
    }
    fclose(file);
}

static void test_nothing_left(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Changes that the caller wants: what comes, and what leaves the last tier. */
static void test_changes(void)
{
    struct prefix prefix;
    prefix_init(&prefix, 1, 0);
    prefix_release(&prefix, prefix_add(&prefix, 5));
    CU_ASSERT_EQUAL(prefix.change_count, 0);
    prefix.logs = true;
    prefix_release(&prefix, prefix_add(&prefix, 6));
    prefix_evict(&prefix); /* 5 to the host */
    prefix_evict(&prefix); /* 6 to the host, 5 away */
    prefix_release(&prefix, prefix_acquire(&prefix, prefix_find(&prefix, 6)) == PREFIX_HOST
                                ? prefix_find(&prefix, 6)
                                : PREFIX_NONE);
    CU_ASSERT_EQUAL_FATAL(prefix.change_count, 2);
    CU_ASSERT(prefix.changes[0].hash == 6 && prefix.changes[0].held == 1);
    CU_ASSERT(prefix.changes[1].hash == 5 && prefix.changes[1].held == 0);
    prefix_clear(&prefix);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"leading blocks", test_leading},       {"tiers", test_tiers},
        {"random streams", test_random},        {"LRU on the Mooncake trace", test_mooncake},
        {"nothing is left", test_nothing_left}, {"changes", test_changes},
    };
    return test_main("memory prefix", cases, sizeof cases / sizeof cases[0]);
}
