/* Command line: arguments and exit codes; no decisions. */
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "tandem/config.h"
#include "tandem/gpu.h"
#include "tandem/kv.h"
#include "tandem/link.h"
#include "tandem/mem.h"
#include "tandem/model.h"
#include "tandem/output.h"
#include "tandem/router.h"
#include "tandem/scheduler.h"
#include "tandem/sim.h"
#include "tandem/sweep.h"
#include "tandem/timer.h"
#include "tandem/workload.h"

#define MOST_SETS 256

static const char usage[] =
    "usage: [mpirun -n N] tandem run EXPERIMENT [-o DIR] [--set PATH=VALUE]... [--partition weighted|pools] "
    "[--quiet]\n"
    "       [mpirun -n N] tandem sweep EXPERIMENT -o DIR [--ranks-per-point K] [--resume] [--set "
    "PATH=VALUE]... [--quiet]\n"
    "       tandem sweep EXPERIMENT --dry-run [--set PATH=VALUE]...\n"
    "       tandem check EXPERIMENT [--set PATH=VALUE]...\n"
    "       tandem list "
    "[models|gpus|links|engines|clusters|workloads|schedulers|routers|allocators|traces|hosts]\n"
    "       tandem describe [TOPIC | model NAME | gpu NAME | link NAME | engine NAME | output [--markdown]]\n"
    "       tandem trace info PATH [--format NAME] [--set KEY=VALUE]...\n"
    "       tandem roofline --model NAME --gpu NAME [--batch N] [--context N] [--prefill N] [--KEY VALUE]... "
    "[--json]\n"
    "       tandem memory --model NAME --gpu NAME [--batches N,..] [--lengths N,..] [--prompts N,.. "
    "[--outputs N,..]]\n"
    "           [--all-gpus] [--KEY VALUE]... [--json] [-o DIR]\n"
    "       tandem version | --help\n"
    "\n"
    "run       simulates an experiment on N ranks; results go to DIR/results.h5, run.json, config.used.json "
    "(without -o only\n"
    "          the table is printed); --quiet: no progress; --partition pools: prefill and decode on ranks "
    "of their own\n"
    "sweep     runs all points of an experiment with a section \"sweep\", or looks for the best with a "
    "section "
    "\"search\"\n"
    "          (`tandem describe sweep`, `search`), over groups of K ranks (default 1); finished points are "
    "files in\n"
    "          DIR/points, with which --resume goes on; at the end one DIR/results.h5; --dry-run: only lists "
    "them\n"
    "check     reads an experiment with all that it names and says what would run\n"
    "list      names that a file of yours can use; of GPUs their main figures\n"
    "describe  options of a part of the configuration, a model, a GPU, or the layout of results.h5\n"
    "trace     rows, rates and lengths of a trace\n"
    "roofline  what one iteration costs, operator by operator; keys: `tandem describe roofline`, `tandem "
    "describe pool`;\n"
    "          --host NAME: --set timer.host=NAME, --node-link NAME: --set network.node_link=NAME\n"
    "memory    weights, KV cache and activations as batches and contexts grow, longest context and largest "
    "batch "
    "by tensor\n"
    "          parallelism, padding and step by step memory of a batch; DIR/memory.h5, memory.json; keys: "
    "`tandem describe\n"
    "          memory`, `tandem describe pool`; --memory-utilization, --block-tokens: --set kv.KEY\n"
    "\n"
    "Exit codes: 0 done, 1 the run failed, 2 the input is wrong. Files are looked up in the folder of the "
    "file that names\n"
    "them, its clusters/, ./clusters, $TANDEM_PATH, and the clusters/ that tandem was built with.\n";

int cli_fail(const struct error *error)
{
    fprintf(stderr, "tandem: error: %s\n", error->text);
    return SIM_USER_ERROR;
}

bool cli_bad_usage(struct error *error, const char *what, const char *argument)
{
    return error_set(error, "%s%s%s%s; see `tandem --help`", what, argument ? " '" : "",
                     argument ? argument : "", argument ? "'" : "");
}

static int fail_usage(const char *what, const char *argument)
{
    struct error error = {0};
    cli_bad_usage(&error, what, argument);
    return cli_fail(&error);
}

/* Refuses a topic of list or describe, with the nearest of those that there are. */
static int fail_topic(const char *command, const char *topic, const char *const *topics, size_t count)
{
    struct error error = {0};
    const char *near = text_suggest(topic, topics, count);
    error_set(&error, "nothing to %s under '%s'%s%s%s; `tandem %s` has all", command, topic,
              near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "", command);
    return cli_fail(&error);
}

/* Arguments of run and check. */
struct arguments {
    struct sim_options options;
    const char *sets[MOST_SETS];
    char partition[64];
};

/* Fills the arguments; prints nothing, since every rank calls it. */
static bool parse_arguments(int count, char **values, bool is_run, struct arguments *arguments,
                            struct error *error)
{
    struct sim_options *options = &arguments->options;
    options->sets = arguments->sets;
    for (int i = 0; i < count; i++) {
        const char *word = values[i];
        bool is_set = strcmp(word, "--set") == 0, is_output = is_run && strcmp(word, "-o") == 0;
        bool is_partition = is_run && strcmp(word, "--partition") == 0;
        if (is_set || is_output || is_partition) {
            if (i + 1 == count)
                return cli_bad_usage(error, "a value is missing after", word);
            if (options->set_count == MOST_SETS)
                return cli_bad_usage(error, "too many --set", NULL);
            const char *value = values[++i];
            if (is_partition)
                snprintf(arguments->partition, sizeof arguments->partition, "simulation.partition=%s", value);
            if (is_output)
                options->output = value;
            else
                arguments->sets[options->set_count++] = is_set ? value : arguments->partition;
        } else if (is_run && strcmp(word, "--quiet") == 0) {
            options->quiet = true;
        } else if (word[0] == '-') {
            return cli_bad_usage(error, "unknown option", word);
        } else if (options->experiment) {
            return cli_bad_usage(error, "more than one experiment:", word);
        } else {
            options->experiment = word;
        }
    }
    return options->experiment || cli_bad_usage(error, "no experiment is named", NULL);
}

/* A window's messages to one rank are a few dozen KiB. Open MPI's shared memory sends those of up to 4 KiB at
 * once and has a conversation about larger ones, which doubles the time of an exchange. Other libraries do
 * not look at these variables; what the user has set stays. */
static void send_at_once(void)
{
    setenv("OMPI_MCA_btl_vader_eager_limit", "65536", 0);
    setenv("OMPI_MCA_btl_sm_eager_limit", "65536", 0); /* its name from 5.0 on */
}

void cli_begin_mpi(void)
{
    send_at_once();
    MPI_Init(NULL, NULL);
}

int cli_end_mpi(int status)
{
    int rank;
    size_t leaked = mem_live_bytes();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (status == 0 && leaked > 0) {
        fprintf(stderr, "tandem: internal error: %zu bytes were never given back on rank %d\n", leaked, rank);
        status = SIM_FAILED;
    }
    MPI_Finalize();
    return status;
}

static int command_run(int count, char **values)
{
    struct arguments arguments = {0};
    struct error error = {0};
    int rank, status;
    cli_begin_mpi();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (parse_arguments(count, values, true, &arguments, &error))
        status = (int)sim_run(MPI_COMM_WORLD, &arguments.options);
    else
        status = rank == 0 ? cli_fail(&error) : SIM_USER_ERROR;
    return cli_end_mpi(status);
}

static int command_check(int count, char **values)
{
    struct arguments arguments = {0};
    struct text summary = {0};
    struct error error = {0};
    int status = 0;
    if (!parse_arguments(count, values, false, &arguments, &error) ||
        !sweep_check(&arguments.options, &summary, &error))
        status = cli_fail(&error);
    fputs(text_string(&summary), stdout);
    text_clear(&summary);
    return status;
}

/* Loads a file by name or path. Right after, *config is the caller's: config_free, NULL after an error. */
static bool load(const struct config_reference *reference, const char *name, struct config **config,
                 struct error *error)
{
    struct text path = {0};
    *config = NULL;
    bool good = config_find(name, ".", reference, &path, error) &&
                config_load(text_string(&path), NULL, 0, NULL, 0, config, error);
    text_clear(&path);
    return good;
}

/* Appends what a GPU's row has after the name. */
static bool list_gpu(const struct config_reference *reference, const char *name, struct text *row,
                     struct error *error)
{
    struct config *config;
    struct gpu gpu;
    bool good = load(reference, name, &config, error) && gpu_parse(config_root(config), &gpu, error);
    if (good)
        gpu_list(&gpu, row);
    if (config)
        config_free(config);
    return good;
}

/* The names of a folder's files, a line each; of GPUs a table. */
static bool list_files(const char *title, const char *folder, struct error *error)
{
    struct config_reference reference = {"", folder, title};
    struct text names = {0}, lines = {0};
    bool gpus = strcmp(folder, "gpus") == 0, good = true;
    config_names(&reference, &names);
    if (gpus) {
        text_append(&lines, "  %-16s", "");
        gpu_list(NULL, &lines);
    }
    for (const char *line = text_string(&names); *line && good;) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(line, "\n");
        snprintf(name, sizeof name, "%.*s", (int)length, line);
        text_append(&lines, gpus ? "  %-16s" : "  %s\n", name);
        good = !gpus || list_gpu(&reference, name, &lines, error);
        line += length + (line[length] == '\n');
    }
    if (good)
        printf("%s:\n%s", title, text_string(&lines));
    text_clear(&names);
    text_clear(&lines);
    return good;
}

static int command_list(int count, char **values)
{
    static const struct {
        const char *name, *folder;
    } folders[] = {{"models", "models"},   {"gpus", "gpus"}, {"links", "links"},
                   {"engines", "engines"}, {"clusters", ""}, {"workloads", "workloads"}};
    static const char *const topics[] = {"models",     "gpus",      "links",      "engines",
                                         "clusters",   "workloads", "schedulers", "routers",
                                         "allocators", "traces",    "hosts"};
    const char *topic = count > 0 ? values[0] : NULL;
    struct error error = {0};
    bool found = false;
    if (count > 1)
        return fail_usage("one word too many:", values[1]);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (!topic || strcmp(topic, folders[i].name) == 0) {
            if (!list_files(folders[i].name, folders[i].folder, &error))
                return cli_fail(&error);
            found = true;
        }
    if (!topic || strcmp(topic, "schedulers") == 0) {
        found = true;
        printf("schedulers:\n");
        for (int i = 0; schedulers[i]; i++)
            printf("  %-16s %s\n", schedulers[i]->name, schedulers[i]->doc);
    }
    if (!topic || strcmp(topic, "routers") == 0) {
        found = true;
        printf("routers:\n");
        for (int i = 0; router_policies[i]; i++)
            printf("  %-16s %s\n", router_policies[i]->name, router_policies[i]->doc);
    }
    if (!topic || strcmp(topic, "allocators") == 0) {
        found = true;
        printf("allocators (values of kv.allocator):\n");
        for (int i = 0; kv_allocators[i]; i++)
            printf("  %-16s %s\n", kv_allocators[i]->name, kv_allocators[i]->doc);
    }
    if (!topic || strcmp(topic, "traces") == 0) {
        found = true;
        printf("traces (values of workload.trace.format):\n");
        for (int i = 0; trace_readers[i]; i++)
            printf("  %-14s %s\n", trace_readers[i]->name, trace_readers[i]->doc);
    }
    if (!topic || strcmp(topic, "hosts") == 0) {
        found = true;
        printf("hosts (values of timer.host):\n");
        for (size_t i = 0; i < timer_host_count; i++)
            printf("  %-14s %s\n", timer_hosts[i].name, timer_hosts[i].source);
    }
    return found ? 0 : fail_topic("list", topic, topics, sizeof topics / sizeof *topics);
}

static const struct config_reference *reference_of(const char *noun)
{
    for (size_t i = 0; i < sim_reference_count; i++)
        if (strcmp(sim_references[i].folder, noun) == 0)
            return &sim_references[i];
    return NULL;
}

/* Loads a model or GPU by name or path and prints it. */
static int describe_file(const char *folder, const char *name)
{
    struct text text = {0};
    struct error error = {0};
    struct config *config;
    struct model model;
    struct gpu gpu;
    struct link link;
    bool good = load(reference_of(folder), name, &config, &error);
    if (good && strcmp(folder, "models") == 0) {
        good = model_parse(config_root(config), &model, &error);
        if (good)
            model_describe(&model, &text);
    } else if (good && strcmp(folder, "gpus") == 0) {
        good = gpu_parse(config_root(config), &gpu, &error);
        if (good)
            gpu_describe(&gpu, &text);
    } else if (good && strcmp(folder, "engines") == 0) {
        good = sim_describe_engine(config_root(config), &text, &error);
    } else if (good) {
        good = link_parse(config_root(config), &link, &error);
        if (good)
            link_describe(&link, &text);
    }
    fputs(text_string(&text), stdout);
    text_clear(&text);
    if (config)
        config_free(config);
    return good ? 0 : cli_fail(&error);
}

static int fail_described(const char *topic, const struct option_table *const *tables)
{
    size_t count = 0;
    while (tables[count])
        count++;
    const char **topics = mem_array(count, sizeof *topics);
    for (size_t i = 0; i < count; i++)
        topics[i] = tables[i]->name;
    int status = fail_topic("describe", topic, topics, count);
    mem_free(topics);
    return status;
}

static int describe_options(const char *topic)
{
    const struct option_table *const *tables = sweep_option_tables();
    struct text text = {0};
    bool found = false;
    if (!topic) {
        text_append(&text, "topics of `tandem describe`:\n");
        for (size_t i = 0; tables[i]; i++)
            text_append(&text, "  %-14s %s\n", tables[i]->name, tables[i]->doc);
        text_append(&text, "  %-14s %s\n", "model NAME", "sizes of a model");
        text_append(&text, "  %-14s %s\n", "gpu NAME", "figures of a GPU, with their sources");
        text_append(&text, "  %-14s %s\n", "link NAME", "figures of a link");
        text_append(&text, "  %-14s %s\n", "engine NAME", "values of an engine, with their sources");
        text_append(&text, "  %-14s %s\n", "output", "layout of results.h5");
        found = true;
    }
    for (size_t i = 0; topic && tables[i]; i++)
        if (strcmp(topic, tables[i]->name) == 0) {
            option_describe(tables[i], &text);
            found = true;
        }
    for (int i = 0; topic && strcmp(topic, "trace") == 0 && trace_readers[i]; i++)
        if (trace_readers[i]->options)
            option_describe(trace_readers[i]->options, &text);
    for (int i = 0; topic && strcmp(topic, "kv") == 0 && kv_allocators[i]; i++)
        if (kv_allocators[i]->options)
            option_describe(kv_allocators[i]->options, &text);
    fputs(text_string(&text), stdout);
    text_clear(&text);
    return found ? 0 : fail_described(topic, tables);
}

static int command_describe(int count, char **values)
{
    static const struct {
        const char *topic, *folder;
    } files[] = {{"model", "models"}, {"gpu", "gpus"}, {"link", "links"}, {"engine", "engines"}};
    const char *topic = count > 0 ? values[0] : NULL;
    if (topic && strcmp(topic, "output") == 0) {
        struct text text = {0};
        bool markdown = count > 1 && strcmp(values[1], "--markdown") == 0;
        if (count > 1 && !markdown)
            return fail_usage("unknown option", values[1]);
        output_describe(markdown, &text);
        fputs(text_string(&text), stdout);
        text_clear(&text);
        return 0;
    }
    for (size_t i = 0; count > 1 && i < sizeof files / sizeof files[0]; i++)
        if (strcmp(topic, files[i].topic) == 0)
            return count == 2 ? describe_file(files[i].folder, values[1])
                              : fail_usage("one name too many:", values[2]);
    return count > 1 ? fail_usage("one word too many:", values[1]) : describe_options(topic);
}

/* Arguments of `trace info` behind the word info; what the reader is told is set in settings. */
static bool parse_trace(int count, char **values, const char **path, const char **format,
                        struct config *settings, struct error *error)
{
    for (int i = 0; i < count; i++) {
        bool is_set = strcmp(values[i], "--set") == 0, is_format = strcmp(values[i], "--format") == 0;
        if ((is_set || is_format) && i + 1 == count)
            return cli_bad_usage(error, "a value is missing after", values[i]);
        if (is_set && !config_set(settings, values[++i], error))
            return false;
        if (is_format)
            *format = values[++i];
        if (is_set || is_format)
            continue;
        if (values[i][0] == '-' || *path)
            return cli_bad_usage(error, "unexpected argument", values[i]);
        *path = values[i];
    }
    return *path || cli_bad_usage(error, "expected `tandem trace info PATH`", NULL);
}

static int command_trace(int count, char **values)
{
    struct text text = {0};
    struct error error = {0};
    struct config *settings = NULL;
    const char *path = NULL, *format = NULL;
    if (count < 1 || strcmp(values[0], "info") != 0)
        return fail_usage("expected `tandem trace info PATH`", NULL);
    bool good = config_parse("{}", "trace", &settings, &error) &&
                parse_trace(count - 1, values + 1, &path, &format, settings, &error) &&
                workload_trace_info(path, format, config_root(settings), &text, &error);
    fputs(text_string(&text), stdout);
    text_clear(&text);
    if (settings)
        config_free(settings);
    return good ? 0 : cli_fail(&error);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int count, char **values);
    } commands[] = {{"run", command_run},           {"check", command_check}, {"list", command_list},
                    {"describe", command_describe}, {"trace", command_trace}, {"roofline", command_roofline},
                    {"memory", command_memory},     {"sweep", command_sweep}};
    if (argc < 2)
        return fail_usage("no command", NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        printf("tandem %s, results schema %d\n", TANDEM_VERSION, OUTPUT_SCHEMA_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            for (int j = 2; j < argc; j++)
                if (strcmp(argv[j], "--help") == 0) {
                    fputs(usage, stdout);
                    return 0;
                }
            return commands[i].run(argc - 2, argv + 2);
        }
    return fail_usage("unknown command", argv[1]);
}
