/* An allocator that the program does not have: all that it takes to add one. */
#include "tandem/kv.h"

/* The shortest run that is long enough, of several the first. */
static int64_t place(const struct kv *kv, int64_t blocks)
{
    int64_t best = -1, shortest = INT64_MAX, end = 0;
    for (size_t i = 0; i <= kv->region_count; i++) {
        int64_t next = i < kv->region_count ? kv->regions[i].start : kv->capacity_blocks;
        if (next - end >= blocks && next - end < shortest) {
            shortest = next - end;
            best = end;
        }
        end = i < kv->region_count ? next + kv->regions[i].blocks : next;
    }
    return best;
}

const struct kv_allocator kv_allocator_best_fit = {
    .name = "best-fit",
    .doc = "one run of blocks, the shortest that is long enough",
    .place = place,
};
