#include "internal.h"

#include "tandem/mem.h"

bool priorities_parse(const struct node *list, struct priorities *priorities, struct error *error)
{
    *priorities = (struct priorities){0};
    if (!workload_given(list))
        return true;
    priorities->shares = numbers_parse(list, 0, 1, &priorities->count, error);
    if (!priorities->shares)
        return false;
    if (priorities->count > WORKLOAD_PRIORITY_MAX + 1)
        return node_error(list, error, "%zu classes of priority; at most %lld are told apart",
                          priorities->count, (long long)WORKLOAD_PRIORITY_MAX + 1);
    return shares_accumulate(list, "shares", priorities->shares, priorities->count, error);
}

int64_t priorities_draw(const struct priorities *priorities, uint64_t seed, uint64_t index)
{
    int64_t class = 0;
    if (priorities->count < 2)
        return 0;
    double u = rng_uniform(seed, 0, RNG_PRIORITY, index);
    while (priorities->shares[class] < u)
        class ++;
    return class;
}

void priorities_clear(struct priorities *priorities)
{
    mem_free(priorities->shares);
    *priorities = (struct priorities){0};
}
