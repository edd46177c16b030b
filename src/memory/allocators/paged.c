#include "tandem/kv.h"

const struct kv_allocator kv_allocator_paged = {
    .name = "paged",
    .doc = "blocks anywhere, one more when the last is full (PagedAttention, vLLM)",
};
