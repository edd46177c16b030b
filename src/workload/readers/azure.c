/* The Azure LLM inference traces: CSV of 2023 (seven fractional digits, CRLF) and 2024 (time zone). */
#include <string.h>

#include "../fields.h"
#include "tandem/mem.h"
#include "tandem/workload.h"

static const char header[] = "TIMESTAMP,ContextTokens,GeneratedTokens";

static bool recognizes(const char *first_line)
{
    return strcmp(first_line, header) == 0;
}

static void *start(const void *options)
{
    (void)options;
    return mem_array(1, sizeof(struct fields));
}

static void stop(void *state)
{
    fields_clear(state);
    mem_free(state);
}

static bool read_line(void *state, const char *line, int64_t number, struct trace_row *row, bool *is_row,
                      struct error *error)
{
    struct fields *fields = state;
    *is_row = number > 1 && *line != '\0';
    if (number == 1 && !recognizes(line))
        return error_set(error, "expected the header '%s', found '%s'", header, line);
    if (!*is_row)
        return true;
    if (!fields_split(fields, line, ',', error))
        return false;
    if (fields->count != 3)
        return error_set(error, "expected 3 fields as in the header, found %zu", fields->count);
    row->max_tokens = 0;
    row->priority = 0;
    row->session = -1;
    return fields_timestamp(fields->at[0], "TIMESTAMP", &row->time_ns, error) &&
           fields_tokens(fields->at[1], "ContextTokens", 1, &row->prompt_tokens, error) &&
           fields_tokens(fields->at[2], "GeneratedTokens", 1, &row->output_tokens, error);
}

extern const struct trace_reader trace_reader_azure;
const struct trace_reader trace_reader_azure = {
    .name = "azure",
    .doc = "CSV of the Azure LLM inference traces, from github.com/Azure/AzurePublicDataset",
    .recognizes = recognizes,
    .line = read_line,
    .start = start,
    .stop = stop,
};
