/* Files of points: every value of every column comes back bit for bit, and damage is seen. */
#include "../../../src/sweep/point.h"
#include "tandem/mem.h"
#include "tandem/rng.h"
#include "test.h"

#include <unistd.h>

#define IDENTITY UINT64_C(0x123456789abcdef0)
#define ROWS     3

static char folder[160];

/* Values with all bits in use; every eighth one an edge. */
static void fill(const struct column_table *table, void *rows, size_t row_bytes, size_t count, uint64_t seed)
{
    static const double edges[] = {0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, NAN, INFINITY, -INFINITY};
    static const uint64_t wholes[] = {0, UINT64_MAX, UINT64_C(1) << 53, (UINT64_C(1) << 53) + 1,
                                      UINT64_C(1) << 63};
    static const char *const texts[] = {"", "plain", "\"quoted\" \\ and\nlines", "na\xc3\xaf\xc3\xafv"};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < table->count; k++) {
            const struct column *column = &table->columns[k];
            char *at = (char *)rows + i * row_bytes + column->offset;
            uint64_t bits = rng_bits(seed, 0, RNG_TIE, i * 1000 + k),
                     which = rng_bits(seed, 1, RNG_TIE, i * 1000 + k);
            double number = (double)(int64_t)bits * 1e-7;
            if (column->type == COLUMN_STRING) {
                memcpy(at, &texts[which % 4], sizeof *texts);
            } else if (column->type == COLUMN_F64) {
                number = which % 8 == 0 ? edges[which / 8 % 8] : number;
                memcpy(at, &number, sizeof number);
            } else {
                bits = which % 8 == 0 ? wholes[which / 8 % 5] : bits;
                memcpy(at, &bits, column_bytes(column));
            }
        }
}

static bool same(const struct column_table *table, const void *a, const void *b, size_t row_bytes,
                 size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < table->count; k++) {
            const struct column *column = &table->columns[k];
            const char *left = (const char *)a + i * row_bytes + column->offset;
            const char *right = (const char *)b + i * row_bytes + column->offset;
            const char *strings[2];
            double numbers[2];
            bool equal = memcmp(left, right, column_bytes(column)) == 0;
            if (column->type == COLUMN_STRING) {
                memcpy(&strings[0], left, sizeof strings[0]);
                memcpy(&strings[1], right, sizeof strings[1]);
                equal = strcmp(strings[0], strings[1]) == 0;
            } else if (column->type == COLUMN_F64) { /* any NaN is one */
                memcpy(&numbers[0], left, sizeof numbers[0]);
                memcpy(&numbers[1], right, sizeof numbers[1]);
                equal = equal || (isnan(numbers[0]) && isnan(numbers[1]));
            }
            if (!equal) {
                printf("%s/%s differs\n", table->group, column->name);
                return false;
            }
        }
    return true;
}

#define FILL(list, number, table)                                                                            \
    (number) = ROWS;                                                                                         \
    (list) = mem_array(ROWS, sizeof *(list));                                                                \
    fill(&(table), list, sizeof *(list), ROWS, seed++)

static struct point make(void)
{
    struct point point = {.number = 17,
                          .identity = IDENTITY,
                          .status = POINT_COMPLETED,
                          .error = "",
                          .warnings = "one\ntwo \"quoted\"",
                          .wall_s = 0.1,
                          .keep = (1u << RESULTS_GROUPS) - 1};
    struct results *results = &point.results;
    uint64_t seed = 1;
    fill(&column_summary, &results->summary, sizeof results->summary, 1, seed++);
    FILL(results->pools, results->pool_count, column_pools);
    FILL(results->classes, results->class_count, column_classes);
    FILL(results->instances, results->instance_count, column_instances);
    FILL(results->links, results->link_count, column_links);
    FILL(results->rows, results->row_count, column_requests);
    results->row_one_in = 7;
    results->series_interval_ns = INT64_C(1) << 40;
    results->series = mem_array(ROWS, sizeof *results->series);
    results->link_series = mem_array(ROWS, sizeof *results->link_series);
    for (int i = 0; i < ROWS; i++) {
        FILL(results->series[i], results->series_count, column_timeseries);
        FILL(results->link_series[i], results->series_count, column_link_timeseries);
    }
    for (int i = 0; i < METRIC_COUNT; i++) {
        FILL(results->histograms[i], results->histogram_counts[i], column_histograms);
    }
    results->checksum = UINT64_MAX - 5;
    results->trace_sha256 = "abc";
    return point;
}

#define SAME(list, number, table)                                                                            \
    CU_ASSERT_EQUAL_FATAL(a->number, b->number);                                                             \
    CU_ASSERT(same(&(table), a->list, b->list, sizeof *a->list, a->number))

static void all_comes_back(void)
{
    struct point written = make(), read = {.keep = written.keep};
    struct error error = {0};
    CU_ASSERT_FATAL(point_write(folder, &written, &error));
    CU_ASSERT_FATAL(point_read(folder, 17, IDENTITY, &read));
    const struct results *a = &written.results, *b = &read.results;
    CU_ASSERT_EQUAL(read.status, POINT_COMPLETED);
    CU_ASSERT_EQUAL(read.wall_s, 0.1);
    CU_ASSERT_STRING_EQUAL(read.error, "");
    CU_ASSERT_STRING_EQUAL(read.warnings, written.warnings);
    CU_ASSERT_STRING_EQUAL(b->trace_sha256, "abc");
    CU_ASSERT_EQUAL(a->checksum, b->checksum);
    CU_ASSERT_EQUAL(b->row_one_in, 7);
    CU_ASSERT_EQUAL(a->series_interval_ns, b->series_interval_ns);
    CU_ASSERT(same(&column_summary, &a->summary, &b->summary, sizeof a->summary, 1));
    SAME(pools, pool_count, column_pools);
    SAME(classes, class_count, column_classes);
    SAME(instances, instance_count, column_instances);
    SAME(links, link_count, column_links);
    SAME(rows, row_count, column_requests);
    for (int i = 0; i < ROWS; i++) {
        SAME(series[i], series_count, column_timeseries);
        SAME(link_series[i], series_count, column_link_timeseries);
    }
    for (int i = 0; i < METRIC_COUNT; i++) {
        SAME(histograms[i], histogram_counts[i], column_histograms);
    }
    point_clear(&read);
    results_clear(&written.results);
}

static void one_that_is_invalid_comes_back(void)
{
    struct point written = {
        .number = 3, .identity = IDENTITY, .status = POINT_INVALID, .error = "e: \"x\"", .warnings = ""};
    struct point read = {.keep = 0};
    struct error error = {0};
    CU_ASSERT_FATAL(point_write(folder, &written, &error));
    CU_ASSERT_FATAL(point_read(folder, 3, IDENTITY, &read));
    CU_ASSERT_EQUAL(read.status, POINT_INVALID);
    CU_ASSERT_STRING_EQUAL(read.error, "e: \"x\"");
    point_clear(&read);
}

static bool reads(const char *bytes, size_t count)
{
    char path[256];
    struct point point = {.keep = 0};
    snprintf(path, sizeof path, "%s/000003.json", folder);
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fwrite(bytes, 1, count, file);
    fclose(file);
    bool good = point_read(folder, 3, IDENTITY, &point);
    point_clear(&point);
    return good;
}

/* Any byte that is another one, and any end that is too early; a file of another sweep or point. */
static void damage_is_seen(void)
{
    char path[256], bytes[1000], changed[1000];
    struct point point = {.keep = 0};
    snprintf(path, sizeof path, "%s/000003.json", folder);
    FILE *file = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t count = fread(bytes, 1, sizeof bytes, file), unseen = 0;
    fclose(file);
    CU_ASSERT(reads(bytes, count));
    for (size_t i = 0; i < count; i++) {
        memcpy(changed, bytes, count);
        changed[i] = (char)(changed[i] ^ 1);
        unseen += reads(changed, count) + reads(bytes, i);
    }
    CU_ASSERT_EQUAL(unseen, 0);
    CU_ASSERT(reads(bytes, count));
    CU_ASSERT(!point_read(folder, 3, IDENTITY + 1, &point));
    point_clear(&point);
    CU_ASSERT(!point_read(folder, 4, IDENTITY, &point));
    point_clear(&point);
}

int main(void)
{
    const struct test_case cases[] = {{"all comes back", all_comes_back},
                                      {"one that is invalid comes back", one_that_is_invalid_comes_back},
                                      {"damage is seen", damage_is_seen}};
    const char *parent = getenv("TMPDIR");
    char path[256];
    snprintf(folder, sizeof folder, "%s/tandem-test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    int code = test_main("point", cases, sizeof cases / sizeof *cases);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%06d.json", folder, i == 0 ? 3 : 17);
        unlink(path);
    }
    return rmdir(folder) == 0 && mem_live_bytes() == 0 ? code : 1;
}
