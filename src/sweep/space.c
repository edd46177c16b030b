#include "space.h"

#include <stdlib.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/results.h"

enum mode { MODE_CROSS, MODE_ZIP };
static const char *const mode_names[] = {"cross", "zip", NULL};

#define OF(member) offsetof(struct space, member)
static const struct option rows[] = {
    {"axes", OPTION_NODE, "null", 0, 0, NULL, OF(axes),
     "object: any path that --set takes, with the list of its values; files that values name are looked up "
     "from this "
     "file's folder"},
    {"mode", OPTION_CHOICE, "\"cross\"", 0, 0, mode_names, OF(mode),
     "of axes: cross (every combination, the last axis fastest) or zip (the first values of all, the second, "
     "..)"},
    {"points", OPTION_NODE, "null", 0, 0, NULL, OF(points),
     "list of named points (sweep-point), each with all combinations of the axes"},
    {"where", OPTION_STRING, "null", 0, 0, NULL, OF(where),
     "condition on a point: numbers, \"texts\", + - * /, comparisons, and, or, not, on gpus_total, "
     "instances_total, "
     "cost_usd_per_hour, tdp_watts_total and any path of its configuration (null where nothing is written)"},
    {"keep", OPTION_NODE, "null", 0, 0, NULL, OF(keep_node),
     "list of groups that results.h5 has of each point: instances, timeseries, histograms, requests, links, "
     "classes"},
};
OPTION_TABLE(space_options, "sweep", "the section of an experiment that makes many runs of it", rows);

struct named {
    const char *name;
    const struct node *set;
};
static const struct option point_rows[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, offsetof(struct named, name),
     "in /points/name; no other has it"},
    {"set", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct named, set), "object: paths and their values"},
};
OPTION_TABLE(space_point_options, "sweep-point", "a named point of a sweep", point_rows);

static bool read_keep(struct space *space, struct error *error)
{
    static const struct {
        const char *name;
        enum results_group group;
    } groups[] = {{"instances", RESULTS_INSTANCES},   {"timeseries", RESULTS_TIMESERIES},
                  {"histograms", RESULTS_HISTOGRAMS}, {"requests", RESULTS_REQUESTS},
                  {"links", RESULTS_LINKS},           {"classes", RESULTS_CLASSES}};
    const struct node *list = space->keep_node;
    if (list && node_type(list) != NODE_ARRAY)
        return node_error(list, error, "expected a list of groups, not %s", node_type_name(node_type(list)));
    for (size_t i = 0; list && i < node_size(list); i++) {
        const struct node *word = node_at(list, i);
        size_t k = 0, count = sizeof groups / sizeof *groups;
        while (k < count &&
               (node_type(word) != NODE_STRING || strcmp(groups[k].name, node_string(word)) != 0))
            k++;
        if (k == count)
            return node_error(
                word, error,
                "no group that can be kept: one of instances, timeseries, histograms, requests, links, "
                "classes");
        space->keep |= 1u << groups[k].group;
    }
    return true;
}

static bool add_path(struct space *space, const struct node *value, bool once, struct error *error)
{
    const char *path = node_key(value);
    if (strchr(path, '/'))
        return node_error(value, error, "a path with '/' cannot name a column of results.h5");
    for (size_t i = 0; i < space->path_count; i++)
        if (strcmp(space->paths[i], path) == 0)
            return !once ||
                   node_error(value, error, "a path of an axis that a named point sets, too; leave one away");
    if (space->path_count == SPACE_MOST_PATHS)
        return node_error(value, error, "more than %d paths", SPACE_MOST_PATHS);
    space->paths[space->path_count++] = path;
    return true;
}

static bool add_set(struct space *space, const struct node *set, struct error *error)
{
    if (set && node_type(set) != NODE_OBJECT)
        return node_error(set, error, "expected an object (paths and their values), not %s",
                          node_type_name(node_type(set)));
    for (size_t i = 0; set && i < node_size(set); i++)
        if (!add_path(space, node_at(set, i), false, error))
            return false;
    return true;
}

static bool read_named(struct space *space, size_t index, struct error *error)
{
    const struct node *node = node_at(space->points, index);
    struct named named;
    if (!option_parse(&space_point_options, node, &named, error))
        return false;
    if (named.name[0] == '\0')
        return node_error(node_get(node, "name"), error, "a named point needs a name");
    for (size_t i = 0; i < index; i++)
        if (strcmp(node_string(node_get(node_at(space->points, i), "name")), named.name) == 0)
            return node_error(node_get(node, "name"), error, "the name '%s' is taken by points[%zu]",
                              named.name, i);
    return add_set(space, named.set, error);
}

static bool read_points(struct space *space, struct error *error)
{
    if (!space->points)
        return true;
    if (node_type(space->points) != NODE_ARRAY || node_size(space->points) == 0)
        return node_error(space->points, error, "expected a list of at least one named point");
    for (size_t i = 0; i < node_size(space->points); i++)
        if (!read_named(space, i, error))
            return false;
    return true;
}

struct written {
    char *text; /* owned */
    const struct node *value;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct written *)a)->text, ((const struct written *)b)->text);
}

/* A value that is there twice is the same run twice, which analyses would count as two seeds. */
static bool check_distinct(const struct node *axis, struct error *error)
{
    size_t count = node_size(axis);
    struct written *values = mem_array(count, sizeof *values);
    struct text text = {0};
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        text_clear(&text);
        node_print(node_at(axis, i), &text);
        values[i] = (struct written){mem_string(text_string(&text)), node_at(axis, i)};
    }
    qsort(values, count, sizeof *values, by_text);
    for (size_t i = 1; good && i < count; i++)
        if (by_text(&values[i - 1], &values[i]) == 0) {
            text_clear(&text);
            space_print(values[i].value, &text);
            good = node_error(axis, error, "the value %s is there twice", text_string(&text));
        }
    for (size_t i = 0; i < count; i++)
        mem_free(values[i].text);
    mem_free(values);
    text_clear(&text);
    return good;
}

/* Whether an axis can be one, and how many values it has. */
static bool check_axis(const struct space *space, const struct node *axis, size_t *count, struct error *error)
{
    if (node_type(axis) != NODE_ARRAY || node_size(axis) == 0)
        return node_error(axis, error, "expected a list of at least one value");
    *count = node_size(axis);
    return space->mode == MODE_ZIP || check_distinct(axis, error);
}

static bool check_axes(const struct node *axes, struct error *error)
{
    return (node_type(axes) == NODE_OBJECT && node_size(axes) > 0) ||
           node_error(axes, error, "expected an object of at least one path with the list of its values");
}

static bool multiply(const struct node *axis, size_t most, size_t *combinations, size_t count,
                     struct error *error)
{
    *combinations *= count;
    return *combinations <= most || node_error(axis, error, "more than %d points", SPACE_MOST_POINTS);
}

static bool read_axes(struct space *space, const struct node *section, size_t *combinations,
                      struct error *error)
{
    size_t names = space->points ? node_size(space->points) : 1, count = 0;
    *combinations = 1;
    if (!space->axes && !space->points)
        return node_error(section, error, "a sweep needs \"axes\" or \"points\"");
    if (space->axes && !check_axes(space->axes, error))
        return false;
    for (size_t i = 0; space->axes && i < node_size(space->axes); i++) {
        const struct node *axis = node_at(space->axes, i), *first = node_at(space->axes, 0);
        if (!check_axis(space, axis, &count, error))
            return false;
        if (space->mode == MODE_ZIP && count != node_size(first))
            return node_error(axis, error, "%zu values, but %s has %zu: with mode zip all axes have as many",
                              count, node_key(first), node_size(first));
        if (space->mode == MODE_ZIP)
            *combinations = 1;
        if (!multiply(axis, SPACE_MOST_POINTS / names, combinations, count, error) ||
            !add_path(space, axis, true, error))
            return false;
    }
    return true;
}

static void add_family(struct space *space, const char *name, const struct node *set, const struct node *axes,
                       size_t combinations)
{
    space->families =
        mem_grow(space->families, &space->family_capacity, space->family_count + 1, sizeof *space->families);
    space->families[space->family_count++] =
        (struct space_family){name, set, axes, space->count, combinations};
    space->count += combinations;
}

void space_begin(const char *section, struct space *space)
{
    *space = (struct space){
        .section = section, .mode = MODE_CROSS, .paths = mem_array(SPACE_MOST_PATHS, sizeof *space->paths)};
}

bool space_parse(const struct node *section, struct space *space, struct error *error)
{
    size_t combinations;
    space_begin("sweep", space);
    if (!option_parse(&space_options, section, space, error) || !read_keep(space, error) ||
        !read_points(space, error) || !read_axes(space, section, &combinations, error))
        return false;
    space->where_node = space->where ? node_get(section, "where") : NULL;
    for (size_t i = 0; space->points && i < node_size(space->points); i++) {
        const struct node *point = node_at(space->points, i);
        add_family(space, node_string(node_get(point, "name")), node_get(point, "set"), space->axes,
                   combinations);
    }
    if (!space->points)
        add_family(space, "", NULL, space->axes, combinations);
    return true;
}

bool space_add(struct space *space, const char *name, const struct node *set, const struct node *axes,
               struct error *error)
{
    size_t combinations = 1, count = 0;
    if (!add_set(space, set, error) || (axes && !check_axes(axes, error)))
        return false;
    for (size_t i = 0; axes && i < node_size(axes); i++) {
        const struct node *axis = node_at(axes, i);
        if (set && node_get(set, node_key(axis)))
            return node_error(axis, error, "is set by this deployment, too; leave one away");
        if (!check_axis(space, axis, &count, error) ||
            !multiply(axis, SPACE_MOST_POINTS - space->count, &combinations, count, error) ||
            !add_path(space, axis, false, error))
            return false;
    }
    add_family(space, name, set, axes, combinations);
    return true;
}

void space_clear(struct space *space)
{
    mem_free(space->families);
    mem_free(space->paths);
    *space = (struct space){0};
}

size_t space_family(const struct space *space, size_t point)
{
    size_t low = 0, high = space->family_count; /* of the last that begins at or before the point */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        *(space->families[middle].first <= point ? &low : &high) = middle;
    }
    return low;
}

const char *space_name(const struct space *space, size_t point)
{
    return space->families[space_family(space, point)].name;
}

static size_t size_of(const struct node *object)
{
    return object ? node_size(object) : 0;
}

size_t space_named(const struct space *space, size_t point)
{
    return size_of(space->families[space_family(space, point)].set);
}

size_t space_values(const struct space *space, size_t point, struct space_value *values)
{
    const struct space_family *family = &space->families[space_family(space, point)];
    size_t count = 0, combination = point - family->first, axes = size_of(family->axes);
    for (; count < size_of(family->set); count++)
        values[count] =
            (struct space_value){node_key(node_at(family->set, count)), node_at(family->set, count)};
    for (size_t i = axes; i-- > 0;) { /* the last fastest */
        const struct node *axis = node_at(family->axes, i);
        size_t index = combination;
        if (space->mode == MODE_CROSS) {
            index = combination % node_size(axis);
            combination /= node_size(axis);
        }
        values[count + i] = (struct space_value){node_key(axis), node_at(axis, index)};
    }
    return count + axes;
}

void space_print(const struct node *value, struct text *text)
{
    const struct node *name = node_get(value, "name");
    if (name && node_type(name) == NODE_STRING)
        value = name;
    if (node_type(value) == NODE_STRING)
        text_append(text, "%s", node_string(value));
    else
        node_print(value, text);
}
