#include "tandem/sweep.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "queue.h"
#include "tandem/check.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/output.h"
#include "tandem/workload.h"

#define POLL_NS                                                                                              \
    2000000 /* between two looks whether the others are done: a waiting rank leaves its core to others */

const struct option_table *const *sweep_option_tables(void)
{
    static const struct option_table *tables[64];
    const struct option_table *const *of_sim = sim_option_tables();
    size_t count = 0;
    for (; of_sim[count]; count++)
        tables[count] = of_sim[count];
    CHECK(count + 8 <= sizeof tables / sizeof *tables, "more than %zu option tables", count);
    const struct option_table *const of_sweeps[] = {&space_options,
                                                    &space_point_options,
                                                    &search_options,
                                                    &search_deployment_options,
                                                    &search_goodput_options,
                                                    &search_cheapest_options,
                                                    &search_attainment_options};
    for (size_t i = 0; i < sizeof of_sweeps / sizeof *of_sweeps; i++)
        tables[count + i] = of_sweeps[i];
    return tables;
}

bool sweep_check(const struct sim_options *options, struct text *summary, struct error *error)
{
    struct config *config;
    if (!sim_load(options, &config, error))
        return false;
    const struct node *sweep = node_get(config_root(config), "sweep"),
                      *search = node_get(config_root(config), "search");
    bool is_sweep = (sweep && node_type(sweep) != NODE_NULL) || (search && node_type(search) != NODE_NULL);
    config_free(config);
    if (!is_sweep)
        return sim_check(options, summary, error);
    struct candidates candidates;
    workload_keep_traces(true);
    bool good = candidates_read(options, 0, 1, &candidates, error) && candidates_choose(&candidates, error);
    if (good)
        show_points(&candidates, summary);
    candidates_clear(&candidates);
    workload_keep_traces(false);
    return good;
}

#define STAY "; the files of a sweep have to stay as they are while it runs"

/* --- one point
 * ----------------------------------------------------------------------------------------------------- */

/* On the first rank of a group. */
struct task {
    struct sweep *sweep;
    const struct config *config;
    struct point point;
    struct text warnings;
    double start_s;
};

static void write_point(struct sweep *sweep, struct point *point)
{
    struct error error = {0};
    point->identity = sweep->candidates.identity;
    point->keep = sweep->candidates.space.keep;
    if (!point_write(text_string(&sweep->folder), point, &error))
        log_fatal("%s; --resume goes on with the points that are done", error.text);
    if (sweep->candidates.is_search)
        rounds_record(sweep, point);
}

static void take_results(void *context, const struct results *results)
{
    struct task *task = context;
    const struct candidates *candidates = &task->sweep->candidates;
    size_t number = task->point.number,
           candidate =
               candidates->is_search ? search_probe_of(&candidates->search, number).candidate : number;
    log_capture(NULL);
    if (!candidates_is_same(candidates, candidates->chosen[candidate], task->config,
                            results->trace_sha256 ? results->trace_sha256 : ""))
        log_fatal("a file that %s %zu reads has changed" STAY, candidates_noun(candidates), candidate);
    task->point.status = POINT_COMPLETED;
    task->point.error = "";
    task->point.warnings = text_string(&task->warnings);
    task->point.results = *results;
    task->point.wall_s = show_clock_s() - task->start_s;
    write_point(task->sweep, &task->point);
}

static void make_config(const struct sweep *sweep, size_t number, struct config **config)
{
    const struct candidates *candidates = &sweep->candidates;
    struct search_probe probe = {.candidate = number};
    struct error error = {0};
    uint32_t bad;
    if (candidates->is_search)
        probe = search_probe_of(&candidates->search, number);
    if (!candidates_config(candidates, candidates->chosen[probe.candidate], &probe, config, &bad, &error))
        log_fatal("%s" STAY, error.text);
}

/* Of the group. */
static void run_point(struct sweep *sweep, size_t number)
{
    struct task task = {.sweep = sweep, .point = {.number = number}, .start_s = show_clock_s()};
    struct sim_options options = {.quiet = true,
                                  .is_point = true,
                                  .keeps_rows = (sweep->candidates.space.keep >> RESULTS_REQUESTS & 1) != 0};
    struct error error = {0};
    bool leads = sweep->group_rank == 0;
    if (leads)
        make_config(sweep, number, &options.config);
    task.config = options.config;
    if (sweep->rank == 0) {
        options.tick = show_progress;
        options.tick_context = sweep;
    }
    if (leads)
        log_capture(&task.warnings);
    enum sim_status status = sim_execute(sweep->group, &options, take_results, &task, &error);
    log_capture(NULL);
    if (leads && status != SIM_OK) {
        task.point.status = POINT_FAILED;
        task.point.error = error.text;
        task.point.warnings = "";
        task.point.wall_s = show_clock_s() - task.start_s;
        write_point(sweep, &task.point);
    }
    text_clear(&task.warnings);
    config_free(options.config);
}

/* Rank 0 has the errors of all. */
static void write_invalid(struct sweep *sweep)
{
    const struct candidates *candidates = &sweep->candidates;
    for (size_t i = 0; i < candidates->count; i++) {
        size_t index = candidates->chosen[i];
        struct point point = {
            .number = i, .status = POINT_INVALID, .error = candidates->errors[index], .warnings = ""};
        if (candidates->all[index].state == CANDIDATE_INVALID && !sweep->done[i])
            write_point(sweep, &point);
    }
}

/* --- all points
 * ----------------------------------------------------------------------------------------------------- */

static void make_groups(struct sweep *sweep)
{
    int size = sweep->options->ranks_per_point, number = sweep->rank / size;
    sweep->groups = sweep->ranks / size;
    MPI_Comm_split(sweep->comm, number < sweep->groups ? number : MPI_UNDEFINED, sweep->rank, &sweep->group);
    if (sweep->group != MPI_COMM_NULL)
        MPI_Comm_rank(sweep->group, &sweep->group_rank);
    if (sweep->rank != 0)
        return;
    int idle = sweep->ranks - sweep->groups * size;
    if (idle > 0)
        log_warning("%d of %d ranks have nothing to do: they are no multiple of --ranks-per-point %d", idle,
                    sweep->ranks, size);
    if ((size_t)sweep->groups > sweep->candidates.count)
        log_warning("%d groups of ranks for %zu %ss: the rest has nothing to do; use fewer ranks, or more "
                    "per point",
                    sweep->groups, sweep->candidates.count, candidates_noun(&sweep->candidates));
}

/* Until no point is left. */
static void run_points(struct sweep *sweep)
{
    struct queue queue = {
        .folder = text_string(&sweep->folder), .tasks = sweep->tasks, .count = sweep->task_count};
    uint64_t number;
    while (sweep->group != MPI_COMM_NULL) {
        size_t task = 0;
        number = sweep->group_rank == 0 && queue_take(&queue, &task) ? task : UINT64_MAX;
        if (sweep->options->ranks_per_point > 1)
            MPI_Bcast(&number, 1, MPI_UINT64_T, 0, sweep->group);
        if (number == UINT64_MAX)
            return;
        run_point(sweep, (size_t)number);
        if (sweep->rank == 0)
            show_progress(sweep);
    }
}

/* Waits for all ranks without keeping a core busy. */
static void wait_for_all(struct sweep *sweep)
{
    MPI_Request request;
    int all = 0;
    MPI_Ibarrier(sweep->comm, &request);
    for (MPI_Test(&request, &all, MPI_STATUS_IGNORE); !all; MPI_Test(&request, &all, MPI_STATUS_IGNORE)) {
        nanosleep(&(struct timespec){0, POLL_NS}, NULL);
        if (sweep->rank == 0)
            show_progress(sweep);
    }
}

void sweep_run_tasks(struct sweep *sweep)
{
    run_points(sweep);
    wait_for_all(sweep);
}

/* A row of /points for each that `where` has chosen. */
static void list_points(struct sweep *sweep)
{
    sweep->point_count = sweep->candidates.count;
    sweep->points = mem_array(sweep->point_count, sizeof *sweep->points);
    for (size_t i = 0; i < sweep->point_count; i++)
        sweep->points[i] = (struct sweep_point){.number = i, .candidate = i};
}

static bool write_texts(const struct sweep *sweep, const struct assembly *assembly, struct error *error)
{
    const char *folder = sweep->options->sim.output;
    struct text used = {0}, report = {0};
    config_print(sweep->candidates.base, true, NULL, &used);
    bool good = output_write_text(folder, "config.used.json", text_string(&used), error);
    show_report(sweep, assembly, &report);
    good = good && output_write_text(folder, "run.json", text_string(&report), error);
    text_clear(&used);
    text_clear(&report);
    return good;
}

/* What of a sweep that has ended is printed on stdout; its status. */
static enum sim_status print_counts(const struct assembly *assembly)
{
    size_t completed = assembly->count[POINT_COMPLETED], invalid = assembly->count[POINT_INVALID],
           failed = assembly->count[POINT_FAILED];
    printf("points        %zu: %zu completed, %zu invalid, %zu failed\nchecksum %016llx\n",
           completed + invalid + failed, completed, invalid, failed, (unsigned long long)assembly->checksum);
    return invalid + failed == 0 ? SIM_OK : SIM_FAILED;
}

/* On rank 0. */
static enum sim_status finish(struct sweep *sweep, struct error *error)
{
    struct assembly assembly;
    enum sim_status status = SIM_FAILED;
    double start_s = show_clock_s();
    bool good = assemble(sweep, &assembly, error);
    sweep->output_s = show_clock_s() - start_s;
    if (good && write_texts(sweep, &assembly, error)) {
        if (assembly.count[POINT_FAILED] == 0)
            folder_remove(sweep);
        else
            log_warning("%s is kept: --resume runs the points that failed again",
                        text_string(&sweep->folder));
        status = print_counts(&assembly);
        fputs(text_string(&assembly.answer), stdout);
        fflush(stdout);
        if (!sweep->options->sim.quiet)
            log_info("results are in %s", sweep->options->sim.output);
    }
    text_clear(&assembly.answer);
    mem_free(assembly.wall_s);
    return status;
}

/* What rank 0 says, for all. Collective. */
static bool agree(const struct sweep *sweep, bool good)
{
    int verdict = good;
    MPI_Bcast(&verdict, 1, MPI_INT, 0, sweep->comm);
    return verdict;
}

/* What each rank says, for all; the error of the first that has one goes to rank 0. Collective. */
static bool agree_all(const struct sweep *sweep, bool good, struct error *error)
{
    int verdict = good, first = good ? sweep->ranks : sweep->rank;
    MPI_Allreduce(MPI_IN_PLACE, &verdict, 1, MPI_INT, MPI_LAND, sweep->comm);
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, sweep->comm);
    if (!verdict)
        MPI_Bcast(error->text, sizeof error->text, MPI_CHAR, first, sweep->comm);
    return verdict;
}

/* From the experiment to points that can run; the same on all ranks. Collective. */
static bool prepare(struct sweep *sweep, struct error *error)
{
    bool good = sweep->options->ranks_per_point <= sweep->ranks ||
                error_set(error, "--ranks-per-point %d, but there are %d ranks: start as many with mpirun -n",
                          sweep->options->ranks_per_point, sweep->ranks);
    good =
        good && candidates_read(&sweep->options->sim, sweep->rank, sweep->ranks, &sweep->candidates, error);
    if (!agree_all(sweep, good, error))
        return false;
    candidates_share(sweep->comm, &sweep->candidates);
    return agree(sweep, candidates_choose(&sweep->candidates, error));
}

/* --resume of a sweep that has ended. On rank 0. */
static enum sim_status say_complete(const struct sweep *sweep, const struct assembly *ended)
{
    enum sim_status status = print_counts(ended);
    fflush(stdout);
    if (!sweep->options->sim.quiet)
        log_info("%s: all points are there, nothing was run; without --resume all are run again",
                 sweep->options->sim.output);
    return status;
}

/* Collective. */
static enum sim_status run(struct sweep *sweep, struct error *error)
{
    struct assembly ended = {0};
    int state = sweep->rank == 0 ? (int)folder_prepare(sweep, &ended, error) : 0;
    MPI_Bcast(&state, 1, MPI_INT, 0, sweep->comm);
    if (state != FOLDER_READY) {
        int verdict = SIM_USER_ERROR;
        if (sweep->rank == 0 && state == FOLDER_COMPLETE)
            verdict = (int)say_complete(sweep, &ended);
        MPI_Bcast(&verdict, 1, MPI_INT, 0, sweep->comm);
        return (enum sim_status)verdict;
    }
    bool is_search = sweep->candidates.is_search;
    folder_check(sweep);
    if (!is_search)
        folder_find(sweep);
    make_groups(sweep);
    if (sweep->rank == 0) {
        if (!is_search)
            write_invalid(sweep);
        show_progress_begin(sweep);
        sweep->setup_s = show_clock_s() - sweep->start_s;
    }
    if (is_search) {
        rounds_run(sweep);
    } else {
        sweep_run_tasks(sweep);
        list_points(sweep);
    }
    if (sweep->rank == 0)
        show_progress_end(sweep);
    if (sweep->group != MPI_COMM_NULL)
        MPI_Comm_free(&sweep->group);
    int status = sweep->rank == 0 ? (int)finish(sweep, error) : 0;
    MPI_Bcast(&status, 1, MPI_INT, 0, sweep->comm);
    return (enum sim_status)status;
}

enum sim_status sweep_run(MPI_Comm comm, const struct sweep_options *options)
{
    struct sweep sweep = {
        .options = options, .comm = comm, .group = MPI_COMM_NULL, .lock = -1, .start_s = show_clock_s()};
    struct error error = {0};
    enum sim_status status = SIM_USER_ERROR;
    MPI_Comm_rank(comm, &sweep.rank);
    MPI_Comm_size(comm, &sweep.ranks);
    if (sweep.rank != 0)
        log_silence();
    if (!options->dry_run)
        text_append(&sweep.folder, "%s/points", options->sim.output);
    workload_keep_traces(true);
    mem_keep_freed();
    if (prepare(&sweep, &error)) {
        status = options->dry_run ? SIM_OK : run(&sweep, &error);
        if (options->dry_run && sweep.rank == 0) {
            struct text list = {0};
            show_points(&sweep.candidates, &list);
            fputs(text_string(&list), stdout);
            text_clear(&list);
        }
    }
    lock_release(&sweep);
    if (sweep.rank == 0 && error.text[0])
        fprintf(stderr, "tandem: error: %s\n", error.text);
    candidates_clear(&sweep.candidates);
    workload_keep_traces(false);
    text_clear(&sweep.folder);
    search_clear(&sweep.search);
    mem_free(sweep.search.candidates);
    mem_free(sweep.points);
    mem_free(sweep.done);
    mem_free(sweep.tasks);
    return status;
}
