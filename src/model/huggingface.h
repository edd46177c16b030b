/* HuggingFace's config.json, for the files of this module only. */
#ifndef TANDEM_MODEL_HUGGINGFACE_H
#define TANDEM_MODEL_HUGGINGFACE_H

#include "tandem/model.h"

/* Whether the object is of a config.json: it has `architectures` or `model_type`. */
bool huggingface_is(const struct node *node);

/* Fills what an architecture's keys say, or imply by the architecture's definition; what is left 0 has
 * model_parse's defaults. Errors: an unknown architecture, a missing key, a value that is not understood. */
bool huggingface_parse(const struct node *node, struct model *model, struct error *error);

#endif
