/* tandem sweep. */
#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "tandem/mem.h"
#include "tandem/sweep.h"

static bool read_ranks(const char *word, int *ranks, struct error *error)
{
    char *end;
    long number = strtol(word, &end, 10);
    if (*end != '\0' || number < 1 || number > INT_MAX)
        return cli_bad_usage(error, "--ranks-per-point takes a number from 1 on, not", word);
    *ranks = (int)number;
    return true;
}

/* The flag of that name, or NULL. */
static bool *flag_of(struct sweep_options *options, const char *word)
{
    return strcmp(word, "--resume") == 0    ? &options->resume
           : strcmp(word, "--dry-run") == 0 ? &options->dry_run
           : strcmp(word, "--quiet") == 0   ? &options->sim.quiet
                                            : NULL;
}

/* sets has room for as many as there are words. */
static bool parse(int count, char **values, const char **sets, struct sweep_options *options,
                  struct error *error)
{
    options->sim.sets = sets;
    options->ranks_per_point = 1;
    for (int i = 0; i < count; i++) {
        const char *word = values[i];
        bool is_set = strcmp(word, "--set") == 0, is_output = strcmp(word, "-o") == 0;
        if (is_set || is_output || strcmp(word, "--ranks-per-point") == 0) {
            if (i + 1 == count)
                return cli_bad_usage(error, "a value is missing after", word);
            const char *value = values[++i];
            if (is_set)
                sets[options->sim.set_count++] = value;
            else if (is_output)
                options->sim.output = value;
            else if (!read_ranks(value, &options->ranks_per_point, error))
                return false;
        } else if (flag_of(options, word)) {
            *flag_of(options, word) = true;
        } else if (word[0] == '-') {
            return cli_bad_usage(error, "unknown option", word);
        } else if (options->sim.experiment) {
            return cli_bad_usage(error, "more than one experiment:", word);
        } else {
            options->sim.experiment = word;
        }
    }
    if (!options->sim.experiment)
        return cli_bad_usage(error, "no experiment is named", NULL);
    return options->sim.output || options->dry_run ||
           cli_bad_usage(error, "a sweep needs a folder: -o DIR (or --dry-run)", NULL);
}

int command_sweep(int count, char **values)
{
    const char **sets = mem_array((size_t)count, sizeof *sets);
    struct sweep_options options = {0};
    struct error error = {0};
    int rank, status;
    cli_begin_mpi();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (parse(count, values, sets, &options, &error))
        status = (int)sweep_run(MPI_COMM_WORLD, &options);
    else
        status = rank == 0 ? cli_fail(&error) : SIM_USER_ERROR;
    mem_free(sets);
    return cli_end_mpi(status);
}
