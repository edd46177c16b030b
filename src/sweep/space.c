#include "space.h"

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

static const struct node *set_of(const struct space *space, size_t name)
{
    return space->points ? node_get(node_at(space->points, name), "set") : NULL;
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
    if (named.set && node_type(named.set) != NODE_OBJECT)
        return node_error(named.set, error, "expected an object (paths and their values), not %s",
                          node_type_name(node_type(named.set)));
    for (size_t i = 0; named.set && i < node_size(named.set); i++)
        if (!add_path(space, node_at(named.set, i), false, error))
            return false;
    return true;
}

static bool read_points(struct space *space, struct error *error)
{
    space->names = 1;
    if (!space->points)
        return true;
    if (node_type(space->points) != NODE_ARRAY || node_size(space->points) == 0)
        return node_error(space->points, error, "expected a list of at least one named point");
    space->names = node_size(space->points);
    for (size_t i = 0; i < space->names; i++)
        if (!read_named(space, i, error))
            return false;
    return true;
}

static bool read_axis(struct space *space, const struct node *axis, struct error *error)
{
    if (node_type(axis) != NODE_ARRAY || node_size(axis) == 0)
        return node_error(axis, error, "expected a list of at least one value");
    if (space->mode == MODE_ZIP && node_size(axis) != node_size(node_at(space->axes, 0)))
        return node_error(axis, error, "%zu values, but %s has %zu: with mode zip all axes have as many",
                          node_size(axis), node_key(node_at(space->axes, 0)),
                          node_size(node_at(space->axes, 0)));
    if (space->mode == MODE_ZIP)
        space->combinations = node_size(axis);
    else
        space->combinations *= node_size(axis);
    if (space->combinations > SPACE_MOST_POINTS / space->names)
        return node_error(axis, error, "more than %d points", SPACE_MOST_POINTS);
    return add_path(space, axis, true, error);
}

static bool read_axes(struct space *space, const struct node *section, struct error *error)
{
    space->combinations = 1;
    if (!space->axes && !space->points)
        return node_error(section, error, "a sweep needs \"axes\" or \"points\"");
    if (space->axes && (node_type(space->axes) != NODE_OBJECT || node_size(space->axes) == 0))
        return node_error(space->axes, error,
                          "expected an object of at least one path with the list of its values");
    for (size_t i = 0; space->axes && i < node_size(space->axes); i++)
        if (!read_axis(space, node_at(space->axes, i), error))
            return false;
    return true;
}

bool space_parse(const struct node *section, struct space *space, struct error *error)
{
    *space = (struct space){.paths = mem_array(SPACE_MOST_PATHS, sizeof *space->paths)};
    if (!option_parse(&space_options, section, space, error) || !read_keep(space, error) ||
        !read_points(space, error) || !read_axes(space, section, error))
        return false;
    space->where_node = space->where ? node_get(section, "where") : NULL;
    space->count = space->names * space->combinations;
    return true;
}

void space_clear(struct space *space)
{
    mem_free(space->paths);
    *space = (struct space){0};
}

const char *space_name(const struct space *space, size_t point)
{
    return space->points ? node_string(node_get(node_at(space->points, point / space->combinations), "name"))
                         : "";
}

size_t space_named(const struct space *space, size_t point)
{
    const struct node *set = set_of(space, point / space->combinations);
    return set ? node_size(set) : 0;
}

size_t space_values(const struct space *space, size_t point, struct space_value *values)
{
    const struct node *set = set_of(space, point / space->combinations);
    size_t count = 0, combination = point % space->combinations;
    for (; count < space_named(space, point); count++)
        values[count] = (struct space_value){node_key(node_at(set, count)), node_at(set, count)};
    size_t axes = space->axes ? node_size(space->axes) : 0;
    for (size_t i = axes; i-- > 0;) { /* the last fastest */
        const struct node *axis = node_at(space->axes, i);
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
