#include "tandem/option.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"
#include "unit.h"

/* Beyond this a double skips integers, so that the value in the file would silently be another one. */
#define MOST_EXACT_INTEGER 0x1p53

static bool is_bounded(const struct option *option)
{
    return option->min != 0 || option->max != 0;
}

static size_t choice_count(const struct option *option)
{
    size_t count = 0;
    while (option->choices[count])
        count++;
    return count;
}

/* Index of a choice; choice_count when it is none. */
static size_t find_choice(const struct option *option, const char *word)
{
    size_t i = 0;
    while (option->choices[i] && strcmp(option->choices[i], word) != 0)
        i++;
    return i;
}

/* Text of a string default without its quotes, living as long as the process: the table only has it as JSON.
 * Each is kept once; there are as many as rows of tables. */
static const char *fallback_string(const char *json)
{
    static struct kept {
        const char *json;
        char *string;
        struct kept *next;
    } * all;
    for (struct kept *kept = all; kept; kept = kept->next)
        if (strcmp(kept->json, json) == 0)
            return kept->string;
    size_t length = strlen(json);
    CHECK(length >= 2 && json[0] == '"' && json[length - 1] == '"' && !strchr(json, '\\'), "default %s",
          json);
    /* Not from mem: these live at exit, and the count of live bytes there has to be 0. */
    struct kept *kept = malloc(sizeof *kept);
    char *string = malloc(length - 1);
    CHECK(kept && string, "out of memory");
    memcpy(string, json + 1, length - 2);
    string[length - 2] = '\0';
    *kept = (struct kept){json, string, all};
    all = kept;
    return string;
}

static double fallback_number(const struct option *option)
{
    char *end;
    double number = strtod(option->fallback, &end);
    CHECK(*end == '\0' && end != option->fallback, "default %s of %s", option->fallback, option->name);
    return number;
}

static void *target_of(const struct option *option, void *target)
{
    return (char *)target + option->offset;
}

static void set_fallback(const struct option *option, void *target)
{
    void *place = target_of(option, target);
    bool is_null = strcmp(option->fallback, "null") == 0;
    switch (option->type) {
    case OPTION_BOOL:
        *(bool *)place = strcmp(option->fallback, "true") == 0;
        break;
    case OPTION_INTEGER:
        *(int64_t *)place = (int64_t)fallback_number(option);
        break;
    case OPTION_NUMBER:
        *(double *)place = fallback_number(option);
        break;
    case OPTION_STRING:
        *(const char **)place = is_null ? NULL : fallback_string(option->fallback);
        break;
    case OPTION_CHOICE: {
        size_t choice = find_choice(option, fallback_string(option->fallback));
        CHECK(option->choices[choice], "default %s of %s is no choice", option->fallback, option->name);
        *(int *)place = (int)choice;
        break;
    }
    case OPTION_NODE:
        CHECK(is_null, "the default of %s: a node can only be null", option->name);
        *(const struct node **)place = NULL;
        break;
    }
}

static bool type_error(const struct node *node, const char *expected, struct error *error)
{
    return node_error(node, error, "expected %s, not %s", expected, node_type_name(node_type(node)));
}

static bool check_number(const struct option *option, const struct node *node, struct error *error)
{
    bool integer = option->type == OPTION_INTEGER;
    if (node_type(node) != NODE_NUMBER)
        return type_error(node, integer ? "an integer" : "a number", error);
    double number = node_number(node);
    if (integer && number != rint(number))
        return node_error(node, error, "expected an integer, not %.15g", number);
    if (integer && fabs(number) > MOST_EXACT_INTEGER)
        return node_error(node, error, "%.15g is too large: integers have to be within +-2^53", number);
    if (!is_bounded(option) || (number >= option->min && number <= option->max))
        return true;
    if (option->max >= MOST_EXACT_INTEGER)
        return node_error(node, error, "%.15g is out of bounds: at least %.15g", number, option->min);
    return node_error(node, error, "%.15g is out of bounds: from %.15g to %.15g", number, option->min,
                      option->max);
}

static bool choice_error(const struct option *option, const struct node *node, struct error *error)
{
    struct text choices = {0};
    for (size_t i = 0; option->choices[i]; i++)
        text_append(&choices, "%s%s", i > 0 ? ", " : "", option->choices[i]);
    const char *near = text_suggest(node_string(node), option->choices, choice_count(option));
    node_error(node, error, "unknown '%s'%s%s%s: one of %s", node_string(node),
               near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", text_string(&choices));
    text_clear(&choices);
    return false;
}

static bool read_choice(const struct option *option, const struct node *node, int *place, struct error *error)
{
    if (node_type(node) != NODE_STRING)
        return type_error(node, "a string", error);
    size_t choice = find_choice(option, node_string(node));
    if (!option->choices[choice])
        return choice_error(option, node, error);
    *place = (int)choice;
    return true;
}

static bool read_value(const struct option *option, const struct node *node, void *target,
                       struct error *error)
{
    void *place = target_of(option, target);
    switch (option->type) {
    case OPTION_BOOL:
        if (node_type(node) != NODE_BOOL)
            return type_error(node, "true or false", error);
        *(bool *)place = node_bool(node);
        return true;
    case OPTION_INTEGER:
        if (!check_number(option, node, error))
            return false;
        *(int64_t *)place = (int64_t)node_number(node);
        return true;
    case OPTION_NUMBER:
        if (!check_number(option, node, error))
            return false;
        *(double *)place = node_number(node);
        return true;
    case OPTION_STRING:
        if (node_type(node) != NODE_STRING)
            return type_error(node, "a string", error);
        *(const char **)place = node_string(node);
        return true;
    case OPTION_CHOICE:
        return read_choice(option, node, place, error);
    case OPTION_NODE:
        if (node_type(node) == NODE_NULL && !option->fallback)
            return type_error(node, "a value", error);
        *(const struct node **)place = node_type(node) == NODE_NULL ? NULL : node;
        break;
    }
    return true;
}

/* The names of all options of all parts; the caller frees the array (mem_free). */
static const char **all_names(const struct option_part *parts, size_t count, size_t *name_count)
{
    const char **names = NULL;
    size_t capacity = 0;
    *name_count = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < parts[i].table->count; j++) {
            names = mem_grow(names, &capacity, *name_count + 1, sizeof *names);
            names[(*name_count)++] = parts[i].table->options[j].name;
        }
    return names;
}

static bool unknown_key(const struct option_part *parts, size_t count, const struct node *node,
                        struct error *error)
{
    size_t name_count;
    const char **names = all_names(parts, count, &name_count);
    const char *other_unit = unit_sibling(node_key(node), names, name_count);
    const char *near = text_suggest(node_key(node), names, name_count);
    if (other_unit)
        node_error(node, error, "unit: use %s", other_unit);
    else if (near)
        node_error(node, error, "unknown key (did you mean '%s'?)", near);
    else {
        struct text known = {0};
        for (size_t i = 0; i < name_count; i++)
            text_append(&known, "%s%s", i > 0 ? ", " : "", names[i]);
        node_error(node, error, "unknown key (%s has: %s)", parts[0].table->name, text_string(&known));
        text_clear(&known);
    }
    mem_free(names);
    return false;
}

/* Fills the options with this key in all tables; other keys are refused, unless they are foreign. */
static bool read_member(const struct option_part *parts, size_t count, const struct node *node, bool foreign,
                        struct error *error)
{
    bool known = foreign;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < parts[i].table->count; j++) {
            const struct option *option = &parts[i].table->options[j];
            if (strcmp(option->name, node_key(node)) != 0)
                continue;
            known = true;
            if (!read_value(option, node, parts[i].target, error))
                return false;
        }
    return known || unknown_key(parts, count, node, error);
}

static void set_fallbacks(const struct option_part *part)
{
    for (size_t i = 0; i < part->table->count; i++)
        if (part->table->options[i].fallback)
            set_fallback(&part->table->options[i], part->target);
}

/* In a foreign object null stands for what is not set. */
static bool is_set(const struct node *node, bool foreign)
{
    return node && !(foreign && node_type(node) == NODE_NULL);
}

static bool check_required(const struct option_part *part, const struct node *object, bool foreign,
                           struct error *error)
{
    for (size_t i = 0; i < part->table->count; i++) {
        const struct option *option = &part->table->options[i];
        if (option->fallback || (object && is_set(node_get(object, option->name), foreign)))
            continue;
        if (!object)
            return error_set(error, "%s: missing '%s': %s", part->table->name, option->name, option->doc);
        return node_error(object, error, "missing '%s': %s", option->name, option->doc);
    }
    return true;
}

static bool parse_parts(const struct option_part *parts, size_t count, const struct node *object,
                        bool foreign, struct error *error)
{
    CHECK(count > 0, "no tables");
    if (object && node_type(object) != NODE_OBJECT)
        return node_error(object, error, "expected an object (%s), not %s", parts[0].table->doc,
                          node_type_name(node_type(object)));
    for (size_t i = 0; i < count; i++)
        set_fallbacks(&parts[i]);
    /* Unknown keys before missing ones: a misspelt required key is better named than called missing. */
    for (size_t i = 0; object && i < node_size(object); i++)
        if (is_set(node_at(object, i), foreign) &&
            !read_member(parts, count, node_at(object, i), foreign, error))
            return false;
    for (size_t i = 0; i < count; i++)
        if (!check_required(&parts[i], object, foreign, error))
            return false;
    return true;
}

bool option_parse_parts(const struct option_part *parts, size_t count, const struct node *object,
                        struct error *error)
{
    return parse_parts(parts, count, object, false, error);
}

bool option_parse_foreign(const struct option_part *parts, size_t count, const struct node *object,
                          struct error *error)
{
    return parse_parts(parts, count, object, true, error);
}

bool option_parse(const struct option_table *table, const struct node *object, void *target,
                  struct error *error)
{
    const struct option_part part = {table, target};
    return option_parse_parts(&part, 1, object, error);
}
