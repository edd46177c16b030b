/* Units at the end of keys, for the files of this module only. */
#ifndef TANDEM_CONFIG_UNIT_H
#define TANDEM_CONFIG_UNIT_H

#include <stddef.h>

/* The first of the names that is the key but for its unit ("latency_us" for "latency_ms" or "latency"), or
 * NULL. */
const char *unit_sibling(const char *key, const char *const *names, size_t count);

#endif
