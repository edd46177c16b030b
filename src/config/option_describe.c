#include "tandem/option.h"

#include <string.h>

#define COLUMNS 5

/* Bounds are in the unit of the key; a choice shows its words. */
static void append_bounds(const struct option *option, struct text *cell)
{
    if (option->type == OPTION_CHOICE)
        for (size_t i = 0; option->choices[i]; i++)
            text_append(cell, "%s%s", i > 0 ? " | " : "", option->choices[i]);
    else if (option->min == 0 && option->max == 0)
        text_append(cell, "-");
    else if (option->max >= 0x1p53)
        text_append(cell, ">= %.10g", option->min);
    else
        text_append(cell, "%.10g .. %.10g", option->min, option->max);
}

static void append_cell(const struct option *option, size_t column, struct text *cell)
{
    static const char *const types[] = {"true/false", "integer", "number", "string", "choice", "value"};
    switch (column) {
    case 0:
        text_append(cell, "%s", option->name);
        break;
    case 1:
        text_append(cell, "%s", types[option->type]);
        break;
    case 2:
        text_append(cell, "%s",
                    !option->fallback                       ? "required"
                    : strcmp(option->fallback, "null") == 0 ? "none"
                                                            : option->fallback);
        break;
    case 3:
        append_bounds(option, cell);
        break;
    default:
        text_append(cell, "%s", option->doc);
    }
}

static size_t column_width(const struct option_table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = 0; i < table->count; i++) {
        struct text cell = {0};
        append_cell(&table->options[i], column, &cell);
        if (cell.length > width)
            width = cell.length;
        text_clear(&cell);
    }
    return width;
}

void option_describe(const struct option_table *table, struct text *text)
{
    size_t widths[COLUMNS] = {0}; /* the last column ends its line and needs no padding */
    for (size_t column = 0; column + 1 < COLUMNS; column++)
        widths[column] = column_width(table, column);
    text_append(text, "%s: %s\n", table->name, table->doc);
    for (size_t i = 0; i < table->count; i++) {
        for (size_t column = 0; column < COLUMNS; column++) {
            struct text cell = {0};
            append_cell(&table->options[i], column, &cell);
            text_append(text, "  %-*s", (int)widths[column], text_string(&cell));
            text_clear(&cell);
        }
        text_append(text, "\n");
    }
}
