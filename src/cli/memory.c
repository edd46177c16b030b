/* tandem memory: its arguments become keys of a pool and of batches. */
#include "cli.h"

#include <stdio.h>

#include "tandem/footprint.h"
#include "tandem/sim.h"

int command_memory(int count, char **values)
{
    bool json = false, all_gpus = false;
    const char *folder = NULL;
    const struct cli_option options[] = {
        {"--json", &json, NULL}, {"--all-gpus", &all_gpus, NULL}, {"-o", NULL, &folder}, {NULL, NULL, NULL}};
    struct cli_keys keys;
    struct text text = {0};
    struct error error = {0};
    struct footprint_report report = {0};
    bool good = cli_parse_keys(count, values, options, &keys, &error);
    if (all_gpus) /* its word left room */
        keys.sets[keys.count++] = "all_gpus=true";
    good = good && footprint_compute(keys.sets, keys.count, &report, &error) &&
           (!folder || footprint_prepare(folder, &error));
    bool written = good && (!folder || footprint_write(&report, folder, &error));
    if (written)
        (json ? footprint_print_json : footprint_print)(&report, &text);
    fputs(text_string(&text), stdout);
    footprint_clear(&report);
    text_clear(&text);
    cli_clear_keys(&keys);
    if (written)
        return SIM_OK;
    int status = cli_fail(&error);
    return good ? SIM_FAILED : status;
}
