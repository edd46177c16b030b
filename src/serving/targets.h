/* Instances among which the router makes one of its choices, and what it knows of them. */
#ifndef TANDEM_SERVING_TARGETS_H
#define TANDEM_SERVING_TARGETS_H

#include "contents.h"
#include "internal.h"
#include "sessions.h"

#include "tandem/router.h"

struct target_set;

/* One instance as the router knows it: the reported loads and the costs of dispatches that the report does
 * not count. */
struct target {
    _Alignas(
        MEM_LINE_BYTES) struct target_set *set; /* all that a report changes is in one line, with one load */
    uint32_t entity;
    int64_t counted;     /* dispatches that the report had seen */
    struct ring prompts; /* tokens of later ones, oldest first, where costs depend on them */
    struct {
        int64_t reported, beyond; /* beyond: sum of costs of later ones; KV in blocks */
    } loads[ROUTER_LOADS];        /* as set->used */
    struct router_kv kv;          /* where it is in use */
};

struct target_set {
    const struct router_policy *policy;
    const struct router_config *config; /* borrowed */
    struct target *targets;             /* in order of entities; room for all, where roles are switched */
    struct target **by_entity; /* borrowed: that of each entity, of whatever set; NULL: it is in none */
    struct tournament loads[ROUTER_LOADS]; /* of those in use */
    struct used_load {
        enum router_load load, measure; /* measure: not ROUTER_WORK but what that is here */
    } used[ROUTER_LOADS];
    uint32_t used_count;
    bool by_prompt; /* costs of some load depend on the prompt */
    uint32_t count;
    uint32_t next; /* in rotation */
    int64_t kv_whole;
    int64_t hash_tokens;   /* of a block that requests name */
    int64_t most_requests; /* that an instance gets, 0: no limit */
    struct contents contents;
    struct sessions sessions; /* instance of each session's last request, where the policy asks for it */
};

/* The instances that new requests go to, or hand-offs; fills by_entity for them, which is borrowed as config
 * is. The caller: targets_clear. */
void targets_init(struct target_set *set, const struct router_config *config,
                  const struct router_cluster *cluster, bool handoffs, struct target **by_entity);
void targets_clear(struct target_set *set);

/* The instance that the policy chooses for a request, by its place in targets; and books the dispatch. */
uint32_t targets_pick(struct target_set *set, const struct request *request, uint64_t random);
void targets_book(struct target_set *set, uint32_t index, const struct request *request);

/* An instance, not the last, leaves the set; an idle one, which got so many dispatches so far, comes to it.
 * The next in rotation stays the next, or is the one behind. */
void targets_remove(struct target_set *set, uint32_t entity);
void targets_add(struct target_set *set, uint32_t entity, const struct router_kv *kv, int64_t received);

/* Whether any instance may get one more. */
bool targets_have_room(const struct target_set *set);

/* A report came: words of enum report_word, and the body with what came to its cache and left it, or NULL. */
void targets_report(struct target *target, const int64_t *words, const struct request *body);

#endif
