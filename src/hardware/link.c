/* Parsing of link files. */
#include "tandem/link.h"

#define FIELD(member) offsetof(struct link, member)

static const struct option options[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, FIELD(name), "name of the link"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, FIELD(source), "where the figures are from"},
    {"bandwidth_gb_per_s", OPTION_NUMBER, NULL, 1e-6, 1e6, NULL, FIELD(bandwidth_gb_per_s),
     "line rate of one GPU's link, one way, in 1e9 bytes/s"},
    {"efficiency", OPTION_NUMBER, "0.8", 0.001, 1, NULL, FIELD(efficiency),
     "share of the line rate that a transfer reaches"},
    {"setup_ms", OPTION_NUMBER, "0.5", 0, 1e6, NULL, FIELD(setup_ms),
     "time before the first byte of a transfer"},
    {"descriptor_ns", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(descriptor_ns),
     "time per block descriptor of one rank"},
};

OPTION_TABLE(link_options, "link", "what a KV transfer between instances runs over", options);

bool link_parse(const struct node *node, struct link *link, struct error *error)
{
    *link = (struct link){0};
    return option_parse(&link_options, node, link, error);
}

void link_describe(const struct link *link, struct text *text)
{
    text_append(text, "%s\n  source: %s\n", link->name, link->source);
    text_append(text, "  %-24s%g GB/s of one GPU, one way\n", "line rate", link->bandwidth_gb_per_s);
    text_append(text, "  %-24s%g\n", "efficiency", link->efficiency);
    text_append(text, "  %-24s%g ms a transfer\n", "setup", link->setup_ms);
    text_append(text, "  %-24s%g ns a block of one rank, layer, and K or V\n", "descriptor",
                link->descriptor_ns);
}
