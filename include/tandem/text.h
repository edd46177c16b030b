/* Strings that grow, and suggestions for misspelt words. All local. */
#ifndef TANDEM_TEXT_H
#define TANDEM_TEXT_H

#include <stddef.h>

struct text {
    char *bytes; /* NUL-ended; NULL while empty; owned: text_clear */
    size_t length;
    size_t capacity;
};

/* Appends printf-formatted text. */
void text_append(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a JSON string: quoted, escaped. */
void text_append_json(struct text *text, const char *string);

/* The content, "" while empty. Valid until the next append. */
const char *text_string(const struct text *text);

/* Gives the memory back and empties the text. */
void text_clear(struct text *text);

/* The candidate (of count) nearest to word, or NULL when none is near: edit distance (with transpositions)
 * at most a third of the longer word, or the word is a prefix of just one candidate. */
const char *text_suggest(const char *word, const char *const *candidates, size_t count);

#endif
