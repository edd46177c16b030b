#include "tandem/output.h"

#include <string.h>

static const struct column_table *const tables[] = {
    &column_requests, &column_instances,       &column_pools,      &column_classes,    &column_timeseries,
    &column_links,    &column_link_timeseries, &column_iterations, &column_histograms, &column_summary};

#define TABLE_COUNT (sizeof tables / sizeof tables[0])

/* What a sweep has beside or instead of them; of /points only what is before the columns of /summary. */
static const struct {
    const char *group, *doc;
} sweep_groups[] = {
    {"/points",
     "One row per point, in the order of the sweep: the columns below, then all columns of /summary. A "
     "point that did not complete has 0 in their whole numbers and NaN in the others."},
    {"/parameters",
     "One column per path that the sweep changes, named by it, with a row a point: float64 where all "
     "values are numbers, else strings (objects by their names). NaN or empty where a point does "
     "not set it."},
    {"/pools", "A column `point` (uint32, row of /points), then those of a run's /pools: many rows a point."},
    {"/classes", "A column `point` (uint32, row of /points), then those of a run's /classes."},
    {"/point/NNNNNN", "For each point that completed what `sweep.keep` names, as a run has it: `instances`, "
                      "`timeseries`, `histograms`, `requests`, `links` (with `link_timeseries`), `classes`."},
};
#define SWEEP_GROUPS (sizeof sweep_groups / sizeof sweep_groups[0])

/* What a search has beside that; the first is more columns of /points. */
static const struct column_table *const search_tables[] = {&column_probes, &column_search_candidates,
                                                           &column_search_deployments, &column_search_seeds,
                                                           &column_search_cheapest};
#define SEARCH_TABLES (sizeof search_tables / sizeof search_tables[0])

static const char probes_doc[] =
    "More columns, behind those of a sweep; rows in order of candidate, seed and rate (those "
    "of search.cheapest behind those of search.goodput). name is the deployment's.";

static const char kind_doc[] =
    "`sweep` or `search`; a run has no such attribute. Its checksum is the sum mod 2^64 of those of the "
    "points, and trace_sha256 is empty where points replay different traces.";

static const char *type_name(enum column_type type)
{
    static const char *const names[] = {
        [COLUMN_U8] = "uint8",  [COLUMN_U16] = "uint16", [COLUMN_U32] = "uint32",  [COLUMN_I32] = "int32",
        [COLUMN_I64] = "int64", [COLUMN_U64] = "uint64", [COLUMN_F64] = "float64", [COLUMN_STRING] = "string",
    };
    return names[type];
}

static const struct {
    const char *name, *doc;
} attributes[] = {
    {"schema_version", "version of this layout; it grows when a column changes its meaning or goes away"},
    {"tandem_version", "version of the program"},
    {"checksum", "16 hex digits over all requests; the same however many ranks ran the simulation"},
    {"configuration", "the resolved experiment as JSON; paths as written"},
    {"trace_sha256", "SHA-256 of the trace file that was replayed; empty for synthetic workloads"},
};

/* "Sentence. 0 is completed, 1 is refused." */
static void describe_column(const struct column *column, struct text *text)
{
    text_append(text, "%s", column->doc);
    for (size_t i = 0; column->values && column->values[i]; i++)
        text_append(text, "%s%zu: %s", i == 0 ? " " : ", ", i, column->values[i]);
    if (column->values)
        text_append(text, " (also in the attribute names).");
}

static void plain_columns(const struct column_table *table, struct text *text)
{
    for (size_t k = 0; k < table->count; k++) {
        const struct column *column = &table->columns[k];
        text_append(text, "  %-31s %-8s %-10s ", column->name, type_name(column->type), column->unit);
        describe_column(column, text);
        text_append(text, "\n");
    }
}

static void markdown_columns(const struct column_table *table, struct text *text)
{
    for (size_t k = 0; k < table->count; k++) {
        const struct column *column = &table->columns[k];
        text_append(text, "| `%s` | %s | %s | ", column->name, type_name(column->type), column->unit);
        describe_column(column, text);
        text_append(text, " |\n");
    }
}

/* The first has the group of a sweep's. */
static const char *search_group(size_t table)
{
    return table == 0 ? "/points" : search_tables[table]->group;
}

static const char *search_doc(size_t table)
{
    return table == 0 ? probes_doc : search_tables[table]->doc;
}

static void plain(struct text *text)
{
    text_append(text, "results.h5, schema version %d\n\nattributes of /\n", OUTPUT_SCHEMA_VERSION);
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        text_append(text, "  %-31s %-8s %-10s %s\n", attributes[i].name,
                    strcmp(attributes[i].name, "schema_version") == 0 ? "int64" : "string", "",
                    attributes[i].doc);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        text_append(text, "\n%s: %s\n", tables[i]->group, tables[i]->doc);
        plain_columns(tables[i], text);
    }
    text_append(text, "\nresults.h5 of a sweep\n  %-31s %-8s %-10s %s\n", "attribute kind", "string", "",
                kind_doc);
    for (size_t i = 0; i < SWEEP_GROUPS; i++)
        text_append(text, "\n%s: %s\n", sweep_groups[i].group, sweep_groups[i].doc);
    plain_columns(&column_points, text);
    text_append(text, "\nresults.h5 of a search, beside that of a sweep\n");
    for (size_t i = 0; i < SEARCH_TABLES; i++) {
        text_append(text, "\n%s: %s\n", search_group(i), search_doc(i));
        plain_columns(search_tables[i], text);
    }
}

static const char introduction[] =
    "# results.h5\n\n"
    "What `tandem run` writes, column by column. This page is printed by `tandem describe output "
    "--markdown`;\n"
    "a test compares the two.\n\n"
    "- One file a run, and the same bytes however many ranks made it. Date, host, rank count and wall time "
    "are in\n"
    "  `run.json` beside it.\n"
    "- `run.json` says how the run went: `wall_s`; `setup_s` before the first event; `compute_s` in events "
    "and "
    "`exchange_s` between\n"
    "  windows, waiting for other ranks included (each of the rank that took most); `output_s` writing; "
    "`rows` in "
    "the file;\n"
    "  `requests`, `iterations`, `events` (messages and wakes), `remote_messages` (between ranks); `windows` "
    "and "
    "`events_per_window`;\n"
    "  `imbalance`, the most compute of a rank over the mean; `resident_bytes` of all ranks together.\n"
    "- Every dataset has the attributes `unit` and `description`. Columns are 1-D datasets in chunks of "
    "65,536 "
    "rows\n"
    "  (fewer where there are fewer), `/summary` holds scalars. Strings are UTF-8.\n"
    "- Chunks are shuffled and deflated; one of `/requests` that would not shrink is only shuffled (its "
    "filter "
    "mask says\n"
    "  so, and readers follow it). With `output.compression` 0 there are no filters.\n"
    "- `/requests` is missing with `output.requests` false. Its attribute `one_in` (1: all) says that it has "
    "only the\n"
    "  requests whose id is a multiple of that: row r is request r x one_in. Everything else is of all "
    "requests.\n"
    "- Times are whole nanoseconds since the start of the simulation, durations too. `1` is a pure number.\n"
    "- Enumerations are stored as uint8; the attribute `names` lists their values from 0 on.\n"
    "- `start_ns` of a time series and `low_ns` of a histogram are the dimension scales of the columns "
    "beside them.\n"
    "- Nothing is NaN or infinite: a quotient without a denominator is 0.\n\n"
    "```python\n"
    "import h5py, pandas\n\n"
    "with h5py.File(\"results.h5\") as file:\n"
    "    requests = pandas.DataFrame({name: column[()] for name, column in file[\"requests\"].items()})\n"
    "    ttft_p99_ms = file[\"summary/ttft_p99_ns\"][()] / 1e6\n"
    "    pools = file[\"pools/name\"].asstr()[()]\n"
    "```\n\n"
    "Per request, TPOT is `(e2e_ns - ttft_ns) / (output_tokens - 1)` where `output_tokens > 1`.\n\n"
    "| attribute of `/` | description |\n|---|---|\n";

static void markdown_page(struct text *text)
{
    text_append(text, "%s", introduction);
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        text_append(text, "| `%s` | %s |\n", attributes[i].name, attributes[i].doc);
    text_append(text, "\nThis is schema version %d.\n", OUTPUT_SCHEMA_VERSION);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        text_append(text, "\n## `%s`\n\n%s\n\n| column | type | unit | description |\n|---|---|---|---|\n",
                    tables[i]->group, tables[i]->doc);
        markdown_columns(tables[i], text);
    }
    text_append(text,
                "\n# results.h5 of a sweep\n\n`tandem sweep` writes one file for all points, the same bytes "
                "however many ranks made it. Attributes of `/` as of a run, and `kind`: %s\n\n"
                "| group | what it holds |\n|---|---|\n",
                kind_doc);
    for (size_t i = 0; i < SWEEP_GROUPS; i++)
        text_append(text, "| `%s` | %s |\n", sweep_groups[i].group, sweep_groups[i].doc);
    text_append(text, "\n| column of `/points` | type | unit | description |\n|---|---|---|---|\n");
    markdown_columns(&column_points, text);
    text_append(text, "\n# results.h5 of a search\n\nAs of a sweep, with /parameters also of the rate and "
                      "the seed, and:\n");
    for (size_t i = 0; i < SEARCH_TABLES; i++) {
        text_append(text, "\n## `%s`\n\n%s\n\n| column | type | unit | description |\n|---|---|---|---|\n",
                    search_group(i), search_doc(i));
        markdown_columns(search_tables[i], text);
    }
}

void output_describe(bool markdown, struct text *text)
{
    if (markdown)
        markdown_page(text);
    else
        plain(text);
}
