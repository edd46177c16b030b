/* Bytes over links, by bins that widen; brought to another rank. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/metrics.h"
#include "tandem/simtime.h"
#include "tandem/traffic.h"

static uint64_t bytes_in(const struct traffic *traffic, size_t bin, uint32_t link)
{
    return traffic->bytes[bin * traffic->links + link];
}

static void test_bins(void)
{
    struct traffic traffic;
    traffic_init(&traffic, 3, 100);
    traffic_at(&traffic, 0)[0] += 5;
    traffic_at(&traffic, 99)[0] += 6;
    traffic_at(&traffic, 100)[2] += 7;
    traffic_at(&traffic, 350)[1] += 8;
    CU_ASSERT_EQUAL(traffic.bins, 4);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 0, 0), 11);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 1, 2), 7);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 3, 1), 8);
    CU_ASSERT_EQUAL(traffic_bin_end_ns(&traffic, 0), 100);
    CU_ASSERT_EQUAL(traffic_bin_end_ns(&traffic, 99), 100);
    CU_ASSERT_EQUAL(traffic_bin_end_ns(&traffic, 100), 200);
    traffic_widen(&traffic, 150);
    CU_ASSERT_EQUAL(traffic.interval_ns, 200);
    CU_ASSERT_EQUAL(traffic.bins, 2);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 0, 0), 11);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 0, 2), 7);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 1, 1), 8);
    traffic_at(&traffic, 500)[0] += 1; /* where a bin was before */
    CU_ASSERT_EQUAL(bytes_in(&traffic, 2, 0), 1);
    CU_ASSERT_EQUAL(bytes_in(&traffic, 2, 1), 0);
    CU_ASSERT_EQUAL(traffic_bytes(&traffic, 0), 12);
    traffic_clear(&traffic);
}

/* More bins than there may be; and one for all. */
static void test_many(void)
{
    struct traffic traffic;
    traffic_init(&traffic, 2, 10);
    for (int64_t i = 0; i < 3 * SERIES_MAX_BINS; i++)
        traffic_at(&traffic, i * 10)[(uint32_t)i % 2] += 1;
    CU_ASSERT_EQUAL(traffic.interval_ns, 40);
    CU_ASSERT_EQUAL(traffic.bins, 3 * SERIES_MAX_BINS / 4);
    for (size_t bin = 0; bin < traffic.bins; bin++)
        CU_ASSERT(bytes_in(&traffic, bin, 0) == 2 && bytes_in(&traffic, bin, 1) == 2);
    traffic_clear(&traffic);
    traffic_init(&traffic, 1, 0);
    traffic_at(&traffic, 1000 * SIMTIME_SECOND_NS)[0] += 3;
    CU_ASSERT_EQUAL(traffic_bin_end_ns(&traffic, 1000), SIMTIME_NEVER);
    CU_ASSERT_EQUAL(traffic.bins, 1);
    CU_ASSERT_EQUAL(traffic_bytes(&traffic, 0), 3);
    traffic_clear(&traffic);
}

static void test_packed(void)
{
    for (int full = 0; full < 2; full++) {
        struct traffic from, to;
        traffic_init(&from, 2, 50);
        traffic_init(&to, 2, 50);
        if (full) {
            traffic_at(&from, 120)[1] += 9;
            traffic_widen(&from, 100);
        }
        size_t count = traffic_packed_words(&from);
        uint64_t *words = mem_array(count, sizeof *words);
        traffic_pack(&from, words);
        traffic_unpack(&to, words, count);
        CU_ASSERT_EQUAL(to.interval_ns, full ? 100 : 50);
        CU_ASSERT_EQUAL(to.bins, from.bins);
        CU_ASSERT_EQUAL(traffic_bytes(&to, 1), full ? 9 : 0);
        CU_ASSERT_EQUAL(traffic_bytes(&to, 0), 0);
        mem_free(words);
        traffic_clear(&from);
        traffic_clear(&to);
    }
}

int main(void)
{
    static const struct test_case cases[] = {
        {"bins", test_bins},
        {"more than there may be", test_many},
        {"to another rank", test_packed},
    };
    return test_main("traffic", cases, sizeof cases / sizeof cases[0]);
}
