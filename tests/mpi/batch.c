/* batch FILE: runs what the lines of a file say, one after another over all ranks, so that MPI starts once:
 * the folder for results, the experiment, and --set values, with a blank between them. FOLDER.txt gets what
 * `tandem run` prints, FOLDER.log its messages. Ends with 1 as soon as one fails. */
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/sim.h"

#define MOST_SETS 64

/* What is written to a descriptor goes to a file. */
static bool redirect(int descriptor, const char *folder, const char *ending)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", folder, ending);
    fflush(NULL);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    bool good = file >= 0 && dup2(file, descriptor) >= 0;
    if (file >= 0)
        close(file);
    return good;
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
    if (rank == 0 && (!redirect(STDOUT_FILENO, options.output, ".txt") ||
                      !redirect(STDERR_FILENO, options.output, ".log")))
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
