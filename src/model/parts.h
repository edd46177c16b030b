/* What the files of this module share. */
#ifndef TANDEM_MODEL_PARTS_H
#define TANDEM_MODEL_PARTS_H

#include "tandem/model.h"

/* Values of norm, and their names (choices of the option). */
enum { NORM_RMS, NORM_LAYER };
extern const char *const model_norm_names[];

/* As model_check_tensor_parallel; the error has no place. */
bool model_splits(const struct model *model, int64_t tensor_parallel, struct error *error);

#endif
