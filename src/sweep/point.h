/* What a point gave, as a file of its own: JSON from which every value comes back bit for bit. All local. */
#ifndef TANDEM_SWEEP_POINT_H
#define TANDEM_SWEEP_POINT_H

#include "tandem/error.h"
#include "tandem/results.h"

struct point {
    size_t number;     /* row of /points */
    uint64_t identity; /* of the sweep */
    enum point_status status;
    const char *error, *warnings;
    double wall_s;
    unsigned keep;          /* groups, a bit each, beside summary, pools and classes */
    struct results results; /* where it is completed; of pools the series only where they are kept */
    char **strings;         /* that the above are in, of a point that was read; owned */
    size_t string_count, string_capacity;
};

/* Writes FOLDER/NNNNNN.json under a temporary name, syncs and renames it. */
bool point_write(const char *folder, const struct point *point, struct error *error);

/* Reads it back; false: there is none, or it is damaged, or of another sweep. The caller calls point_clear,
 * after a false too. */
bool point_read(const char *folder, size_t number, uint64_t identity, struct point *point);
void point_clear(struct point *point);

#endif
