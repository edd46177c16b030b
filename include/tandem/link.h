/* Links between instances: what a KV transfer runs over. All local. */
#ifndef TANDEM_LINK_H
#define TANDEM_LINK_H

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"

struct link {
    const char *name;
    const char *source;
    double bandwidth_gb_per_s; /* of one GPU's link, one way, 1e9 bytes/s */
    double efficiency;         /* share of it that a transfer reaches */
    double setup_ms;           /* per transfer */
    double descriptor_ns;      /* per block descriptor of one rank */
};

/* Keys of a link file: the members of struct link. */
extern const struct option_table link_options;

/* Fills a link from its JSON object. Strings live as long as the tree. Errors: those of option_parse. */
bool link_parse(const struct node *node, struct link *link, struct error *error);

/* Appends the text of `tandem describe link NAME`. */
void link_describe(const struct link *link, struct text *text);

#endif
