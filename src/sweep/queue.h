/* Tasks for groups of ranks, without a master: each task that is taken is a file, made with O_EXCL in a
 * folder that all share. A rank in the middle of a run answers no message, and one-sided MPI makes progress
 * only inside MPI calls of the other side; a file system answers always, on the same machine and over NFS.
 * All local. */
#ifndef TANDEM_SWEEP_QUEUE_H
#define TANDEM_SWEEP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/error.h"

/* Makes FOLDER/claims without any claim; by one rank, before the others begin. */
bool queue_prepare(const char *folder, struct error *error);

/* Removes FOLDER/claims. */
void queue_remove(const char *folder);

/* Claims there are: tasks that run or are done. */
size_t queue_claims(const char *folder);

/* Tasks in the order in which they are taken; borrowed. */
struct queue {
    const char *folder;
    const size_t *tasks;
    size_t count, next;
};

/* Takes the next task that nobody has; false: there is none. Ends the process when the folder cannot be
 * written. */
bool queue_take(struct queue *queue, size_t *task);

#endif
