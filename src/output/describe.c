#include "tandem/output.h"

#include <string.h>

static const struct column_table *const tables[] = {
    &column_requests, &column_instances,       &column_pools,      &column_classes,    &column_timeseries,
    &column_links,    &column_link_timeseries, &column_iterations, &column_histograms, &column_summary};

#define TABLE_COUNT (sizeof tables / sizeof tables[0])

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

static void plain(struct text *text)
{
    text_append(text, "results.h5, schema version %d\n\nattributes of /\n", OUTPUT_SCHEMA_VERSION);
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        text_append(text, "  %-31s %-8s %-10s %s\n", attributes[i].name,
                    strcmp(attributes[i].name, "schema_version") == 0 ? "int64" : "string", "",
                    attributes[i].doc);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        text_append(text, "\n%s: %s\n", tables[i]->group, tables[i]->doc);
        for (size_t k = 0; k < tables[i]->count; k++) {
            const struct column *column = &tables[i]->columns[k];
            text_append(text, "  %-31s %-8s %-10s ", column->name, type_name(column->type), column->unit);
            describe_column(column, text);
            text_append(text, "\n");
        }
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
        for (size_t k = 0; k < tables[i]->count; k++) {
            const struct column *column = &tables[i]->columns[k];
            text_append(text, "| `%s` | %s | %s | ", column->name, type_name(column->type), column->unit);
            describe_column(column, text);
            text_append(text, " |\n");
        }
    }
}

void output_describe(bool markdown, struct text *text)
{
    if (markdown)
        markdown_page(text);
    else
        plain(text);
}
