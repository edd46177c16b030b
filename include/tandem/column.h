/* One row a column of the output: the writer, `tandem describe output` and analysis/OUTPUT.md all read these
 * tables. */
#ifndef TANDEM_COLUMN_H
#define TANDEM_COLUMN_H

#include <stddef.h>
#include <stdint.h>

enum column_type {
    COLUMN_U8,
    COLUMN_U16,
    COLUMN_U32,
    COLUMN_I32,
    COLUMN_I64,
    COLUMN_U64,
    COLUMN_F64,
    COLUMN_STRING
};

struct column {
    const char *name;
    enum column_type type;     /* in the file and in memory; COLUMN_STRING: const char * in memory */
    size_t offset;             /* of the member in the structure of one row */
    const char *unit;          /* "ns", "tokens", "1" for pure numbers */
    const char *doc;           /* one sentence */
    const char *const *values; /* of an enumeration: names of 0, 1, .., ended by NULL; else NULL */
};

/* Bytes of one value in memory. Local. */
static inline size_t column_bytes(const struct column *column)
{
    static const size_t bytes[] = {
        [COLUMN_U8] = 1,  [COLUMN_U16] = 2, [COLUMN_U32] = 4, [COLUMN_I32] = 4,
        [COLUMN_I64] = 8, [COLUMN_U64] = 8, [COLUMN_F64] = 8, [COLUMN_STRING] = sizeof(const char *)};
    return bytes[column->type];
}

/* The column of a member: a row of a table. */
#define COLUMN_TYPE_OF(member)                                                                               \
    _Generic((member),                                                                                       \
        uint8_t: COLUMN_U8,                                                                                  \
        uint16_t: COLUMN_U16,                                                                                \
        uint32_t: COLUMN_U32,                                                                                \
        int32_t: COLUMN_I32,                                                                                 \
        int64_t: COLUMN_I64,                                                                                 \
        uint64_t: COLUMN_U64,                                                                                \
        double: COLUMN_F64,                                                                                  \
        const char *: COLUMN_STRING)
#define COLUMN_NAMED(name, row, member, unit, doc, values)                                                   \
    {                                                                                                        \
        name, COLUMN_TYPE_OF(((struct row *)0)->member), offsetof(struct row, member), unit, doc, values     \
    }

struct column_table {
    const char *group; /* "/requests" */
    const char *doc;
    const struct column *columns;
    size_t count;
};

extern const struct column_table column_requests;        /* rows: struct row (row.h) */
extern const struct column_table column_instances;       /* rows: struct instance_row (results.h) */
extern const struct column_table column_pools;           /* rows: struct pool_row (results.h) */
extern const struct column_table column_timeseries;      /* rows: struct series_bin_row (results.h) */
extern const struct column_table column_links;           /* rows: struct link_row (results.h) */
extern const struct column_table column_link_timeseries; /* rows: struct link_bin_row (results.h) */
extern const struct column_table column_histograms;      /* rows: struct histogram_row (results.h) */
extern const struct column_table column_iterations;      /* rows: struct iteration_row (iterations.h) */
extern const struct column_table column_classes;         /* rows: struct class_row (results.h) */
extern const struct column_table column_points; /* rows: struct point_row (results.h); without its summary */
extern const struct column_table column_point_number; /* rows: struct point_number (results.h) */
extern const struct column_table column_summary; /* one row: struct summary (results.h), as scalar datasets */
/* Of a search; column_probes are more columns of /points. */
extern const struct column_table column_probes;            /* rows: struct point_row (results.h) */
extern const struct column_table column_search_candidates; /* rows: struct search_candidate_row (results.h) */
extern const struct column_table
    column_search_deployments;                           /* rows: struct search_deployment_row (results.h) */
extern const struct column_table column_search_seeds;    /* rows: struct search_seed_row (results.h) */
extern const struct column_table column_search_cheapest; /* rows: struct search_cheapest_row (results.h) */

#endif
