/* batch FILE: runs what the lines of a file say, one after another over all ranks, so that MPI starts once:
 * the folder for results, the experiment, and --set values, with a blank between them. FOLDER.txt gets what
 * `tandem run` prints, FOLDER.log its messages. Ends with 1 as soon as one fails. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/sim.h"

#define MOST_SETS 64

static bool redirect(FILE *stream, const char *folder, const char *ending)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", folder, ending);
    fflush(stream);
    const FILE *same = freopen(path, "w", stream);
    return same == stream;
}

/* Runs one line; it is taken apart. */
static bool run(char *line, int rank)
{
    const char *sets[MOST_SETS];
    struct sim_options options = {.sets = sets, .quiet = true};
    options.output = strtok(line, " \n");
    options.experiment = strtok(NULL, " \n");
    for (const char *set; (set = strtok(NULL, " \n")) != NULL;) {
        if (options.set_count == MOST_SETS)
            return false;
        sets[options.set_count++] = set;
    }
    if (!options.experiment)
        return false;
    if (rank == 0 && (!redirect(stdout, options.output, ".txt") || !redirect(stderr, options.output, ".log")))
        return false;
    return sim_run(MPI_COMM_WORLD, &options) == SIM_OK && mem_live_bytes() == 0;
}

int main(int count, char **values)
{
    char line[1 << 14];
    int rank;
    bool good = true;
    MPI_Init(&count, &values);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    FILE *file = count == 2 ? fopen(values[1], "r") : NULL;
    good = file != NULL;
    while (good && fgets(line, sizeof line, file))
        good = strchr(line, '\n') && run(line, rank);
    if (file)
        fclose(file);
    if (!good)
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Finalize();
    return 0;
}
