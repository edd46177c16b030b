/* Arguments that stand for keys: `--some-key value`. */
#include "cli.h"

#include <string.h>

#include "tandem/mem.h"

/* Appends "key=value" for `--some-key value`. */
static void append_key(struct text *set, const char *option, const char *value)
{
    static const struct {
        const char *option, *object;
    } inside[] = {{"--host", "timer."},
                  {"--node-link", "network."},
                  {"--block-tokens", "kv."},
                  {"--memory-utilization", "kv."}};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (strcmp(option, inside[i].option) == 0)
            text_append(set, "%s", inside[i].object);
    for (const char *letter = option + 2; *letter; letter++)
        text_append(set, "%c", *letter == '-' ? '_' : *letter);
    text_append(set, "=%s", value);
}

/* The option of that name, NULL when there is none. */
static const struct cli_option *find(const struct cli_option *options, const char *word)
{
    while (options->word && strcmp(options->word, word) != 0)
        options++;
    return options->word ? options : NULL;
}

bool cli_parse_keys(int count, char **values, const struct cli_option *options, struct cli_keys *keys,
                    struct error *error)
{
    *keys = (struct cli_keys){.owned = mem_array((size_t)count, sizeof *keys->owned),
                              .sets = mem_array((size_t)count, sizeof *keys->sets)};
    for (int i = 0; i < count; i++) {
        const char *word = values[i];
        const struct cli_option *option = find(options, word);
        if (option && option->flag) {
            *option->flag = true;
            continue;
        }
        if (!option && strncmp(word, "--", 2) != 0)
            return cli_bad_usage(error, "unexpected argument", word);
        if (i + 1 == count)
            return cli_bad_usage(error, "a value is missing after", word);
        const char *value = values[++i];
        if (option) {
            *option->value = value;
            continue;
        }
        struct text *set = &keys->owned[keys->count];
        if (strcmp(word, "--set") == 0)
            text_append(set, "%s", value);
        else
            append_key(set, word, value);
        keys->sets[keys->count++] = text_string(set);
    }
    return true;
}

void cli_clear_keys(struct cli_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        text_clear(&keys->owned[i]);
    mem_free(keys->owned);
    mem_free(keys->sets);
}
