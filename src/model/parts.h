/* What the files of this module share. */
#ifndef TANDEM_MODEL_PARTS_H
#define TANDEM_MODEL_PARTS_H

#include "tandem/model.h"

/* Values of norm, and their names (choices of the option). */
enum { NORM_RMS, NORM_LAYER };
extern const char *const model_norm_names[];

/* As model_check_layout; the error has no place. */
bool model_divides(const struct model *model, const struct model_layout *layout, struct error *error);

/* Layers with a sliding window among the first so many: they are taken as spread evenly. */
int64_t model_sliding_layers_before(const struct model *model, int64_t layer);

#endif
