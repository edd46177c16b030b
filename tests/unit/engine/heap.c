/* The indexed heap against an array that is searched from end to end. */
#include "test.h"

#include "tandem/heap.h"
#include "tandem/rng.h"

#define IDS 300

/* What the heap should hold. */
struct oracle {
    struct heap_entry entries[IDS];
    bool present[IDS];
    size_t count;
};

static const struct heap_entry *oracle_least(const struct oracle *oracle)
{
    const struct heap_entry *least = NULL;
    for (size_t i = 0; i < IDS; i++)
        if (oracle->present[i] &&
            (!least || oracle->entries[i].key < least->key ||
             (oracle->entries[i].key == least->key && oracle->entries[i].tie < least->tie)))
            least = &oracle->entries[i];
    return least;
}

static void oracle_set(struct oracle *oracle, uint32_t id, int64_t key, uint64_t tie)
{
    oracle->count += !oracle->present[id];
    oracle->present[id] = true;
    oracle->entries[id] = (struct heap_entry){key, tie, id};
}

static void oracle_remove(struct oracle *oracle, uint32_t id)
{
    oracle->count -= oracle->present[id];
    oracle->present[id] = false;
}

static void check_equal(const struct heap *heap, const struct oracle *oracle)
{
    const struct heap_entry *top = heap_top(heap), *least = oracle_least(oracle);
    CU_ASSERT_EQUAL(heap->count, oracle->count);
    CU_ASSERT_EQUAL(!top, !least);
    if (top && least) {
        CU_ASSERT_EQUAL(top->id, least->id);
        CU_ASSERT_EQUAL(top->key, least->key);
    }
}

/* Half of the operations change keys; few distinct keys make ties common. */
static void random_operations(uint64_t seed, int64_t keys)
{
    struct heap heap = {0};
    struct oracle oracle = {0};
    for (uint64_t i = 0; i < 4000; i++) {
        uint64_t bits = rng_bits(seed, 0, RNG_ROUTER, i);
        uint32_t id = (uint32_t)(bits % IDS);
        int64_t key = (int64_t)(bits >> 20) % keys - keys / 2;
        uint64_t tie = (bits >> 50) * IDS + id;
        switch (bits >> 12 & 7) {
        case 0:
            heap_remove(&heap, id);
            oracle_remove(&oracle, id);
            break;
        case 1:
            if (heap_top(&heap)) {
                id = heap_top(&heap)->id;
                heap_remove(&heap, id);
                oracle_remove(&oracle, id);
            }
            break;
        default:
            heap_set(&heap, id, key, tie);
            oracle_set(&oracle, id, key, tie);
        }
        check_equal(&heap, &oracle);
        CU_ASSERT_EQUAL(heap_contains(&heap, id), oracle.present[id]);
    }
    for (; heap.count > 0; check_equal(&heap, &oracle)) {
        uint32_t id = heap_top(&heap)->id;
        heap_remove(&heap, id);
        oracle_remove(&oracle, id);
    }
    CU_ASSERT_EQUAL(oracle.count, 0);
    heap_clear(&heap);
}

static void test_random(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        random_operations(seed, 5);
        random_operations(seed, 1000000);
    }
}

static void test_empty(void)
{
    struct heap heap = {0};
    CU_ASSERT_PTR_NULL(heap_top(&heap));
    CU_ASSERT_FALSE(heap_contains(&heap, 7));
    heap_remove(&heap, 7);
    heap_set(&heap, 7, -3, 0);
    CU_ASSERT_TRUE(heap_contains(&heap, 7));
    CU_ASSERT_FALSE(heap_contains(&heap, 6));
    heap_remove(&heap, 6);
    CU_ASSERT_EQUAL(heap.count, 1);
    heap_remove(&heap, 7);
    CU_ASSERT_PTR_NULL(heap_top(&heap));
    heap_clear(&heap);
}

/* Times go up to INT64_MAX; a difference of keys would overflow. */
static void test_extreme_keys(void)
{
    struct heap heap = {0};
    heap_set(&heap, 0, INT64_MAX, 0);
    heap_set(&heap, 1, INT64_MIN, 1);
    heap_set(&heap, 2, 0, 2);
    CU_ASSERT_EQUAL(heap_top(&heap)->id, 1);
    heap_remove(&heap, 1);
    CU_ASSERT_EQUAL(heap_top(&heap)->id, 2);
    heap_set(&heap, 2, INT64_MAX, UINT64_MAX);
    CU_ASSERT_EQUAL(heap_top(&heap)->id, 0);
    heap_clear(&heap);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"random operations against a linear search", test_random},
        {"an empty heap and ids that are not in it", test_empty},
        {"keys at both ends of the range", test_extreme_keys},
    };
    return test_main("heap", cases, sizeof cases / sizeof cases[0]);
}
