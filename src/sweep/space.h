/* The points of a sweep, or the candidates of a search, as its section says: named points, each crossed with
 * axes. Local. */
#ifndef TANDEM_SWEEP_SPACE_H
#define TANDEM_SWEEP_SPACE_H

#include "tandem/config.h"
#include "tandem/option.h"

#define SPACE_MOST_POINTS 1000000
#define SPACE_MOST_PATHS  256

/* What is set in a point. Both live as long as the configuration. */
struct space_value {
    const char *path;
    const struct node *value;
};

/* A named point with its axes: what points set first, and every combination of the axes. */
struct space_family {
    const char *name;              /* "": none */
    const struct node *set, *axes; /* NULL: none */
    size_t first, combinations;    /* its points begin there; of the axes, 1 where there are none */
};

struct space {
    const struct node *axes, *points, *where_node, *keep_node; /* NULL: none */
    int mode;
    const char *section;           /* "sweep" or "search" */
    const char *where;             /* NULL: all points */
    unsigned keep;                 /* a bit for each enum results_group */
    struct space_family *families; /* owned */
    size_t family_count, family_capacity;
    size_t count;       /* of all families: before `where` */
    const char **paths; /* all that is set, in order of the named points, then of the axes; owned */
    size_t path_count;
};

extern const struct option_table space_options, space_point_options;

/* Reads the section "sweep" of an experiment, which outlives the space. The caller calls space_clear, after
 * an error too. */
bool space_parse(const struct node *section, struct space *space, struct error *error);
void space_clear(struct space *space);

/* Begins an empty space for a section of that name; for searches, which then add deployments. */
void space_begin(const char *section, struct space *space);

/* Adds a family of set values and axes of its own (either may be NULL), crossed. */
bool space_add(struct space *space, const char *name, const struct node *set, const struct node *axes,
               struct error *error);

/* Number of the family of a point. */
size_t space_family(const struct space *space, size_t point);

/* Name of the named point that a point comes from; "": it comes from none. */
const char *space_name(const struct space *space, size_t point);

/* Fills what is set in a point, in the order in which it is set (room for SPACE_MOST_PATHS); returns how
 * many. */
size_t space_named(const struct space *space, size_t point); /* of them: by its name, first */
size_t space_values(const struct space *space, size_t point, struct space_value *values);

/* Appends a value as text: strings as they are, objects with a name by it, all else as JSON. */
void space_print(const struct node *value, struct text *text);

#endif
