#include "unit.h"

#include <string.h>

/* Longer ones before those that they end with. */
static const char *const units[] = {
    "_usd_per_gpu_hour",
    "_usd_per_hour",
    "_usd_per_kwh",
    "_usd",
    "_gib_per_s",
    "_gb_per_s",
    "_tib_per_s",
    "_tb_per_s",
    "_mib_per_s",
    "_mb_per_s",
    "_gbit_per_s",
    "_bytes_per_s",
    "_tokens_per_s",
    "_per_s",
    "_per_ms",
    "_per_min",
    "_per_hour",
    "_tflops",
    "_gflops",
    "_flops",
    "_bytes",
    "_kib",
    "_mib",
    "_gib",
    "_tib",
    "_kb",
    "_mb",
    "_gb",
    "_tb",
    "_ns",
    "_us",
    "_ms",
    "_s",
    "_min",
    "_h",
    "_hours",
    "_seconds",
    "_tokens",
    "_blocks",
    "_watts",
    "_w",
    "_kw",
    "_kwh",
    "_joules",
    "_percent",
};

/* Length of a key without its unit. */
static size_t stem_length(const char *key)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t unit = strlen(units[i]);
        if (length > unit && strcmp(key + length - unit, units[i]) == 0)
            return length - unit;
    }
    return length;
}

const char *unit_sibling(const char *key, const char *const *names, size_t count)
{
    size_t stem = stem_length(key);
    for (size_t i = 0; i < count; i++)
        if (stem_length(names[i]) == stem && strncmp(names[i], key, stem) == 0)
            return names[i];
    return NULL;
}
