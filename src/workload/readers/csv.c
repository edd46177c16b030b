/* Users' own traces: a header line, named columns, any time unit. */
#include <stddef.h>
#include <string.h>

#include "../fields.h"
#include "tandem/mem.h"
#include "tandem/option.h"
#include "tandem/workload.h"

struct csv_options {
    const char *time_column;
    const char *prompt_column;
    const char *output_column;
    const char *max_tokens_column;
    const char *priority_column;
    const char *session_column;
    int time_unit;
    int delimiter;
};

#define UNIT_ISO 4
static const char *const units[] = {"s", "ms", "us", "ns", "iso", NULL};
static const int unit_exponents[] = {9, 6, 3, 0};

static const char *const delimiters[] = {"comma", "semicolon", "tab", "pipe", NULL};
static const char delimiter_chars[] = {',', ';', '\t', '|'};

#define AT(field) offsetof(struct csv_options, field)
static const struct option rows[] = {
    {"time_column", OPTION_STRING, "\"time\"", 0, 0, NULL, AT(time_column),
     "header of the column with send times"},
    {"prompt_column", OPTION_STRING, "\"prompt_tokens\"", 0, 0, NULL, AT(prompt_column),
     "header of the column with prompt tokens"},
    {"output_column", OPTION_STRING, "\"output_tokens\"", 0, 0, NULL, AT(output_column),
     "header of the column with output tokens"},
    {"max_tokens_column", OPTION_STRING, "\"\"", 0, 0, NULL, AT(max_tokens_column),
     "header of the column with the visible limit of output tokens (empty: none)"},
    {"priority_column", OPTION_STRING, "\"\"", 0, 0, NULL, AT(priority_column),
     "header of the column with the class of priority, 0 the most urgent (empty: all are of class 0)"},
    {"session_column", OPTION_STRING, "\"\"", 0, 0, NULL, AT(session_column),
     "header of the column with the number of the conversation (empty: there are none)"},
    {"time_unit", OPTION_CHOICE, "\"s\"", 0, 0, units, AT(time_unit),
     "unit of the times; iso: time stamps such as 2023-11-16 18:15:46.68"},
    {"delimiter", OPTION_CHOICE, "\"comma\"", 0, 0, delimiters, AT(delimiter), "what separates the fields"},
};
static OPTION_TABLE(options_table, "trace (csv)", "columns of a CSV trace with a header line", rows);

enum { TIME, PROMPT, OUTPUT, MAX_TOKENS, PRIORITY, SESSION, COLUMNS };
static const char *const column_keys[COLUMNS] = {"time_column",       "prompt_column",   "output_column",
                                                 "max_tokens_column", "priority_column", "session_column"};

struct csv_state {
    int time_unit;
    char delimiter;
    struct fields fields;
    char *names[COLUMNS]; /* of the columns; from MAX_TOKENS on they may be empty */
    size_t positions[COLUMNS];
    size_t width; /* fields of the header; 0 before it was read */
};

static void *start(const void *pointer)
{
    const struct csv_options *options = pointer;
    struct csv_state *state = mem_array(1, sizeof *state);
    state->time_unit = options->time_unit;
    state->delimiter = delimiter_chars[options->delimiter];
    state->names[TIME] = mem_string(options->time_column);
    state->names[PROMPT] = mem_string(options->prompt_column);
    state->names[OUTPUT] = mem_string(options->output_column);
    state->names[MAX_TOKENS] = mem_string(options->max_tokens_column);
    state->names[PRIORITY] = mem_string(options->priority_column);
    state->names[SESSION] = mem_string(options->session_column);
    return state;
}

static void stop(void *pointer)
{
    struct csv_state *state = pointer;
    fields_clear(&state->fields);
    for (int column = TIME; column < COLUMNS; column++)
        mem_free(state->names[column]);
    mem_free(state);
}

/* Whether the default columns are in the line. */
static bool recognizes(const char *first_line)
{
    struct fields fields = {0};
    struct error ignored;
    int found = 0;
    if (fields_split(&fields, first_line, ',', &ignored))
        for (size_t i = 0; i < fields.count; i++)
            found += strcmp(fields.at[i], "time") == 0 || strcmp(fields.at[i], "prompt_tokens") == 0 ||
                     strcmp(fields.at[i], "output_tokens") == 0;
    fields_clear(&fields);
    return found == 3;
}

static bool find_column(struct csv_state *state, int column, const char *line, struct error *error)
{
    size_t found = 0;
    for (size_t i = 0; i < state->fields.count; i++)
        if (strcmp(state->fields.at[i], state->names[column]) == 0) {
            state->positions[column] = i;
            found++;
        }
    if (found == 1)
        return true;
    if (found > 1)
        return error_set(error, "%zu columns are named '%s'; \"%s\" must name one", found,
                         state->names[column], column_keys[column]);
    return error_set(error, "there is no column '%s'; the header is '%s' (set \"%s\", or \"delimiter\")",
                     state->names[column], line, column_keys[column]);
}

static bool read_header(struct csv_state *state, const char *line, struct error *error)
{
    for (int column = TIME; column < COLUMNS; column++) {
        if (column >= MAX_TOKENS && !*state->names[column])
            continue;
        if (!find_column(state, column, line, error))
            return false;
    }
    state->width = state->fields.count;
    return true;
}

static bool read_row(struct csv_state *state, struct trace_row *row, struct error *error)
{
    const char *field[COLUMNS];
    for (int column = TIME; column < COLUMNS; column++)
        field[column] = state->fields.at[state->positions[column]];
    int unit = state->time_unit;
    bool good = unit == UNIT_ISO ? fields_timestamp(field[TIME], state->names[TIME], &row->time_ns, error)
                                 : fields_time(field[TIME], state->names[TIME], unit_exponents[unit],
                                               &row->time_ns, error);
    good = good && fields_tokens(field[PROMPT], state->names[PROMPT], 1, &row->prompt_tokens, error) &&
           fields_tokens(field[OUTPUT], state->names[OUTPUT], 1, &row->output_tokens, error);
    row->max_tokens = 0;
    /* An empty limit is a request without one. */
    if (good && *state->names[MAX_TOKENS] && *field[MAX_TOKENS])
        good = fields_tokens(field[MAX_TOKENS], state->names[MAX_TOKENS], 1, &row->max_tokens, error);
    row->priority = 0;
    if (good && *state->names[PRIORITY] && *field[PRIORITY])
        good = fields_priority(field[PRIORITY], state->names[PRIORITY], &row->priority, error);
    row->session = -1;
    if (good && *state->names[SESSION] && *field[SESSION])
        good = fields_session(field[SESSION], state->names[SESSION], &row->session, error);
    return good;
}

static bool read_line(void *pointer, const char *line, int64_t number, struct trace_row *row, bool *is_row,
                      struct error *error)
{
    struct csv_state *state = pointer;
    *is_row = false;
    if (number == 1)
        state->width = 0;
    if (!*line)
        return true;
    if (!fields_split(&state->fields, line, state->delimiter, error))
        return false;
    if (state->width == 0)
        return read_header(state, line, error);
    if (state->fields.count != state->width)
        return error_set(error, "expected %zu fields as in the header, found %zu", state->width,
                         state->fields.count);
    *is_row = true;
    return read_row(state, row, error);
}

extern const struct trace_reader trace_reader_csv;
const struct trace_reader trace_reader_csv = {
    .name = "csv",
    .doc = "CSV with a header line and columns of your own: send time, prompt and output tokens, optional "
           "limit, priority and session",
    .options = &options_table,
    .options_size = sizeof(struct csv_options),
    .recognizes = recognizes,
    .line = read_line,
    .start = start,
    .stop = stop,
};
