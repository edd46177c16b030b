/* The points of a sweep as its section says: named points crossed with axes. Local. */
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

struct space {
    const struct node *axes, *points, *where_node, *keep_node; /* NULL: none */
    int mode;
    const char *where;   /* NULL: all points */
    unsigned keep;       /* a bit for each enum results_group */
    size_t names;        /* named points; 1 where there are none */
    size_t combinations; /* of the axes; 1 where there are none */
    size_t count;        /* names x combinations: before `where` */
    const char **paths;  /* all that is set, in order of the named points, then of the axes; owned */
    size_t path_count;
};

extern const struct option_table space_options, space_point_options;

/* Reads the section "sweep" of an experiment, which outlives the space. The caller calls space_clear, after
 * an error too. */
bool space_parse(const struct node *section, struct space *space, struct error *error);
void space_clear(struct space *space);

/* Name of the named point that a point comes from; "": it comes from none. */
const char *space_name(const struct space *space, size_t point);

/* Fills what is set in a point, in the order in which it is set (room for SPACE_MOST_PATHS); returns how
 * many. */
size_t space_named(const struct space *space, size_t point); /* of them: by its name, first */
size_t space_values(const struct space *space, size_t point, struct space_value *values);

/* Appends a value as text: strings as they are, objects with a name by it, all else as JSON. */
void space_print(const struct node *value, struct text *text);

#endif
