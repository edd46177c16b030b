#include "tandem/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tandem/check.h"
#include "tandem/mem.h"

void text_append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int more = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(more >= 0, "format '%s'", format);
    size_t needed = text->length + (size_t)more + 1;
    text->bytes = mem_grow(text->bytes, &text->capacity, needed, 1);
    vsnprintf(text->bytes + text->length, (size_t)more + 1, format, again);
    va_end(again);
    text->length = needed - 1;
}

void text_append_json(struct text *text, const char *string)
{
    text_append(text, "\"");
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            text_append(text, "\\%c", *string);
        else if ((unsigned char)*string < 0x20)
            text_append(text, "\\u%04x", (unsigned)*string);
        else
            text_append(text, "%c", *string);
    }
    text_append(text, "\"");
}

const char *text_string(const struct text *text)
{
    return text->bytes ? text->bytes : "";
}

void text_clear(struct text *text)
{
    mem_free(text->bytes);
    *text = (struct text){0};
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment, whatever the case: insertions, deletions, substitutions and swaps of neighbours.
 * Only three rows are kept. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t columns = strlen(b) + 1;
    size_t *rows = mem_array(3 * columns, sizeof *rows);
    size_t *before = rows, *above = rows + columns, *row = rows + 2 * columns;
    for (size_t j = 0; j < columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j < columns; j++) {
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]) &&
                before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    size_t distance = row[columns - 1];
    mem_free(rows);
    return distance;
}

/* The one candidate that starts with word; NULL when none or several do. */
static const char *only_completion(const char *word, const char *const *candidates, size_t count)
{
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strncasecmp(word, candidates[i], strlen(word)) != 0)
            continue;
        if (found && strcmp(found, candidates[i]) != 0)
            return NULL;
        found = candidates[i];
    }
    return found;
}

const char *text_suggest(const char *word, const char *const *candidates, size_t count)
{
    if (word[0] == '\0')
        return NULL;
    /* A completion first: "h100" means "h100-sxm" rather than "h200". */
    const char *best = only_completion(word, candidates, count);
    if (best)
        return best;
    size_t best_distance = 0;
    for (size_t i = 0; i < count; i++) {
        size_t longer = strlen(word);
        if (longer < strlen(candidates[i]))
            longer = strlen(candidates[i]);
        size_t distance = edit_distance(word, candidates[i]);
        if (3 * distance <= longer && (!best || distance < best_distance)) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}
