#include "where.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/mem.h"

#define DEEPEST 100 /* parentheses */

struct parser {
    const char *expression, *at;
    where_lookup *lookup;
    void *context;
    size_t variables;
    int depth;
    struct error *error;
};

static const char *const kind_names[] = {"null", "a condition", "a number", "a text"};

static bool condition(struct parser *parser, struct where_value *value);

static bool fail(struct parser *parser, const char *at, const char *what, const char *found)
{
    return error_set(parser->error, "column %zu: %s%s", (size_t)(at - parser->expression) + 1, what, found);
}

static void skip_spaces(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at))
        parser->at++;
}

static bool is_word(char letter)
{
    return isalnum((unsigned char)letter) || letter == '_';
}

/* Takes a sign or a word if it is next. */
static bool take(struct parser *parser, const char *token)
{
    size_t length = strlen(token);
    skip_spaces(parser);
    if (strncmp(parser->at, token, length) != 0 || (is_word(token[0]) && is_word(parser->at[length])))
        return false;
    parser->at += length;
    return true;
}

/* Length of a path: keys, dots and [..]. */
static size_t path_length(const char *at)
{
    size_t length = 0;
    while (is_word(at[length]) || at[length] == '.' || at[length] == '[')
        length += at[length] == '[' ? strcspn(at + length, "]") + (strchr(at + length, ']') != NULL) : 1;
    return length;
}

static bool variable(struct parser *parser, struct where_value *value)
{
    size_t length = path_length(parser->at);
    char *name = mem_array(length + 1, 1);
    memcpy(name, parser->at, length);
    *value = parser->lookup(parser->context, parser->variables++, name);
    mem_free(name);
    parser->at += length;
    return true;
}

static bool text(struct parser *parser, struct where_value *value)
{
    char quote = *parser->at;
    const char *end = strchr(parser->at + 1, quote);
    if (!end)
        return fail(parser, parser->at, "a text without an end", "");
    *value = (struct where_value){
        .kind = WHERE_TEXT, .text = parser->at + 1, .length = (size_t)(end - parser->at) - 1};
    parser->at = end + 1;
    return true;
}

static bool primary(struct parser *parser, struct where_value *value)
{
    char *end;
    if (take(parser, "(")) {
        if (parser->depth++ == DEEPEST)
            return fail(parser, parser->at, "too many parentheses", "");
        if (!condition(parser, value))
            return false;
        parser->depth--;
        return take(parser, ")") || fail(parser, parser->at, "expected ')'", "");
    }
    if (take(parser, "true") || take(parser, "false")) {
        *value = (struct where_value){.kind = WHERE_BOOL, .number = parser->at[-2] == 'u'};
        return true;
    }
    if (take(parser, "null")) {
        *value = (struct where_value){.kind = WHERE_NULL};
        return true;
    }
    if (*parser->at == '"' || *parser->at == '\'')
        return text(parser, value);
    if (isalpha((unsigned char)*parser->at) || *parser->at == '_')
        return variable(parser, value);
    if (isdigit((unsigned char)*parser->at) || *parser->at == '.') {
        *value = (struct where_value){.kind = WHERE_NUMBER, .number = strtod(parser->at, &end)};
        parser->at = end;
        return true;
    }
    return fail(parser, parser->at, "expected a number, a text or a variable, found ",
                *parser->at ? parser->at : "the end");
}

static bool check_kind(struct parser *parser, const char *at, const struct where_value *value,
                       enum where_kind kind)
{
    if (value->kind == kind || value->kind == WHERE_NULL)
        return true;
    return error_set(parser->error, "column %zu: expected %s, not %s", (size_t)(at - parser->expression) + 1,
                     kind_names[kind], kind_names[value->kind]);
}

static bool signed_value(struct parser *parser, struct where_value *value)
{
    if (!take(parser, "-"))
        return primary(parser, value);
    const char *at = parser->at;
    if (parser->depth++ == DEEPEST)
        return fail(parser, at, "too many signs", "");
    bool good = signed_value(parser, value) && check_kind(parser, at, value, WHERE_NUMBER);
    parser->depth--;
    value->number = -value->number;
    return good;
}

static struct where_value calculate(const struct where_value *a, const struct where_value *b, char sign)
{
    if (a->kind == WHERE_NULL || b->kind == WHERE_NULL)
        return (struct where_value){.kind = WHERE_NULL};
    double x = a->number, y = b->number;
    return (struct where_value){.kind = WHERE_NUMBER,
                                .number = sign == '+'   ? x + y
                                          : sign == '-' ? x - y
                                          : sign == '*' ? x * y
                                                        : x / y};
}

/* A chain of values joined by two signs, of the next higher rank. */
static bool chain(struct parser *parser, const char *const signs[2],
                  bool (*next)(struct parser *, struct where_value *), struct where_value *value)
{
    skip_spaces(parser);
    const char *at = parser->at;
    if (!next(parser, value))
        return false;
    for (;;) {
        size_t sign = take(parser, signs[0]) ? 0 : take(parser, signs[1]) ? 1 : 2;
        if (sign == 2)
            return true;
        struct where_value right;
        const char *right_at = parser->at;
        if (!next(parser, &right) || !check_kind(parser, at, value, WHERE_NUMBER) ||
            !check_kind(parser, right_at, &right, WHERE_NUMBER))
            return false;
        *value = calculate(value, &right, signs[sign][0]);
    }
}

static bool product(struct parser *parser, struct where_value *value)
{
    static const char *const signs[] = {"*", "/"};
    return chain(parser, signs, signed_value, value);
}

static bool sum(struct parser *parser, struct where_value *value)
{
    static const char *const signs[] = {"+", "-"};
    return chain(parser, signs, product, value);
}

/* Negative, 0, positive; numbers that are not comparable (NaN) are unequal: 2. */
static int order(const struct where_value *a, const struct where_value *b)
{
    if (a->kind != WHERE_TEXT)
        return a->number < b->number ? -1 : a->number > b->number ? 1 : a->number == b->number ? 0 : 2;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int found = memcmp(a->text, b->text, shorter);
    return found != 0 ? (found > 0 ? 1 : -1) : (a->length > b->length) - (a->length < b->length);
}

static bool holds(const char *sign, const struct where_value *a, const struct where_value *b)
{
    if (a->kind == WHERE_NULL || b->kind == WHERE_NULL) {
        bool equal = a->kind == b->kind;
        return strcmp(sign, "==") == 0 ? equal : strcmp(sign, "!=") == 0 && !equal;
    }
    int found = order(a, b);
    switch (sign[0]) {
    case '=':
        return found == 0;
    case '!':
        return found != 0;
    case '<':
        return found == -1 || (sign[1] == '=' && found == 0);
    default:
        return found == 1 || (sign[1] == '=' && found == 0);
    }
}

static bool comparison(struct parser *parser, struct where_value *value)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
    if (!sum(parser, value))
        return false;
    skip_spaces(parser);
    const char *at = parser->at;
    size_t i = 0, count = sizeof signs / sizeof *signs;
    while (i < count && !take(parser, signs[i]))
        i++;
    if (i == count)
        return *parser->at != '=' || fail(parser, at, "'=' is written '=='", "");
    struct where_value right;
    if (!sum(parser, &right))
        return false;
    if (value->kind != right.kind && value->kind != WHERE_NULL && right.kind != WHERE_NULL)
        return error_set(parser->error, "column %zu: %s is compared with %s",
                         (size_t)(at - parser->expression) + 1, kind_names[value->kind],
                         kind_names[right.kind]);
    *value = (struct where_value){.kind = WHERE_BOOL, .number = holds(signs[i], value, &right)};
    return true;
}

static bool negation(struct parser *parser, struct where_value *value)
{
    skip_spaces(parser);
    bool is_sign = *parser->at == '!' && parser->at[1] != '=';
    if (!(is_sign && take(parser, "!")) && !take(parser, "not"))
        return comparison(parser, value);
    const char *at = parser->at;
    if (parser->depth++ == DEEPEST)
        return fail(parser, at, "too many signs", "");
    bool good = negation(parser, value) && check_kind(parser, at, value, WHERE_BOOL);
    parser->depth--;
    *value = (struct where_value){.kind = WHERE_BOOL,
                                  .number = !(value->kind == WHERE_BOOL && value->number != 0)};
    return good;
}

static bool is_true(const struct where_value *value)
{
    return value->kind == WHERE_BOOL && value->number != 0;
}

/* `a and b and c`, or with `or`. */
static bool joined(struct parser *parser, const char *word, const char *sign,
                   bool (*next)(struct parser *, struct where_value *), struct where_value *value)
{
    skip_spaces(parser);
    const char *at = parser->at;
    if (!next(parser, value))
        return false;
    while (take(parser, word) || take(parser, sign)) {
        struct where_value right;
        const char *right_at = parser->at;
        if (!next(parser, &right) || !check_kind(parser, at, value, WHERE_BOOL) ||
            !check_kind(parser, right_at, &right, WHERE_BOOL))
            return false;
        bool left = is_true(value), found = is_true(&right);
        *value = (struct where_value){.kind = WHERE_BOOL,
                                      .number = word[0] == 'a' ? left && found : left || found};
    }
    return true;
}

static bool conjunction(struct parser *parser, struct where_value *value)
{
    return joined(parser, "and", "&&", negation, value);
}

static bool condition(struct parser *parser, struct where_value *value)
{
    return joined(parser, "or", "||", conjunction, value);
}

bool where_evaluate(const char *expression, where_lookup *lookup, void *context, bool *holds_there,
                    struct error *error)
{
    struct parser parser = {
        .expression = expression, .at = expression, .lookup = lookup, .context = context, .error = error};
    struct where_value value;
    if (!condition(&parser, &value))
        return false;
    skip_spaces(&parser);
    if (*parser.at)
        return fail(&parser, parser.at, "unexpected ", parser.at);
    if (!check_kind(&parser, expression, &value, WHERE_BOOL))
        return false;
    *holds_there = is_true(&value);
    return true;
}
