/* tandem roofline: its arguments become keys of a pool and of a batch. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/roofline.h"
#include "tandem/text.h"

/* Appends "key=value" for `--some-key value`. */
static void append_key(struct text *set, const char *option, const char *value)
{
    static const struct {
        const char *option, *object;
    } inside[] = {{"--host", "timer."}, {"--node-link", "network."}};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (strcmp(option, inside[i].option) == 0)
            text_append(set, "%s", inside[i].object);
    for (const char *letter = option + 2; *letter; letter++)
        text_append(set, "%c", *letter == '-' ? '_' : *letter);
    text_append(set, "=%s", value);
}

/* Fills sets (as many as arguments at most), each owned. */
static bool parse_arguments(int count, char **values, struct text *sets, size_t *set_count, bool *json,
                            struct error *error)
{
    for (int i = 0; i < count; i++) {
        const char *word = values[i];
        if (strcmp(word, "--json") == 0) {
            *json = true;
            continue;
        }
        if (strncmp(word, "--", 2) != 0)
            return cli_bad_usage(error, "unexpected argument", word);
        if (i + 1 == count)
            return cli_bad_usage(error, "a value is missing after", word);
        struct text *set = &sets[(*set_count)++];
        if (strcmp(word, "--set") == 0)
            text_append(set, "%s", values[++i]);
        else
            append_key(set, word, values[++i]);
    }
    return true;
}

int command_roofline(int count, char **values)
{
    struct text *owned = mem_array((size_t)count, sizeof *owned), text = {0};
    const char **sets = mem_array((size_t)count, sizeof *sets);
    size_t set_count = 0;
    bool json = false;
    struct error error = {0};
    struct roofline_report report = {0};
    bool good = parse_arguments(count, values, owned, &set_count, &json, &error);
    for (size_t i = 0; i < set_count; i++)
        sets[i] = text_string(&owned[i]);
    good = good && roofline_compute(sets, set_count, &report, &error);
    if (good)
        (json ? roofline_print_json : roofline_print)(&report, &text);
    fputs(text_string(&text), stdout);
    roofline_clear(&report);
    text_clear(&text);
    for (size_t i = 0; i < set_count; i++)
        text_clear(&owned[i]);
    mem_free(owned);
    mem_free(sets);
    return good ? 0 : cli_fail(&error);
}
