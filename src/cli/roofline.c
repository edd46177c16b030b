/* tandem roofline: its arguments become keys of a pool and of a batch. */
#include "cli.h"

#include <stdio.h>

#include "tandem/roofline.h"

int command_roofline(int count, char **values)
{
    bool json = false;
    const struct cli_option options[] = {{"--json", &json, NULL}, {NULL, NULL, NULL}};
    struct cli_keys keys;
    struct text text = {0};
    struct error error = {0};
    struct roofline_report report = {0};
    bool good = cli_parse_keys(count, values, options, &keys, &error) &&
                roofline_compute(keys.sets, keys.count, &report, &error);
    if (good)
        (json ? roofline_print_json : roofline_print)(&report, &text);
    fputs(text_string(&text), stdout);
    roofline_clear(&report);
    text_clear(&text);
    cli_clear_keys(&keys);
    return good ? 0 : cli_fail(&error);
}
