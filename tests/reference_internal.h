/* Inside of the second simulator: its requests and instances, and what it plans. */
#ifndef TANDEM_TEST_REFERENCE_INTERNAL_H
#define TANDEM_TEST_REFERENCE_INTERNAL_H

#include "reference.h"

#include "tandem/simtime.h"

#define NONE SIMTIME_NEVER

/* A request, wherever it is. */
struct job {
    const struct experiment_request *request;
    struct reference_row *row;
    int64_t generated, computed; /* tokens sampled; tokens in the cache */
    int64_t context;             /* tokens that a prefill instance computes of it */
    int64_t sent;                /* of them, whose transfer has begun */
    int64_t flows_ns;            /* when both ends know of the end of all that began */
    uint64_t flow_order;         /* of the one that ends last */
    int64_t blocks, held;        /* where it runs; still held on the prefill instance */
    int64_t reserved;            /* on the decode instance, while it is on the prefill instance */
    bool decoding;               /* its prompt (or what it had) is in the cache */
    bool ended;                  /* static batch: all its tokens came, and it stays until those of all did */
    struct box *holder;          /* that holds it, until the transfer ended */
    struct box *decoder;         /* where it decodes after a transfer */
    int64_t planned, got;        /* tokens in this iteration; blocks for them, of a running one */
    int64_t stage_ns;            /* since when it waits, in whatever queue */
    int64_t last_token_ns;       /* of the last visible token */
    int64_t admitted;            /* times that it was admitted */
    int64_t handoff_ns,
        done_ns; /* when the decode instance has the hand-off; when both ends know of the end */
    int64_t grant_ns, return_ns; /* when it comes to prefill with blocks reserved; from the router, again */
};

/* A list of jobs in order. */
struct list {
    struct job **jobs;
    size_t count;
};

/* One lane of one micro-batch. */
struct box {
    const struct reference_pool *pool;
    struct site *site;
    int64_t micro_batch;
    struct list waiting, running, offered, moving, ready, swapped;
    struct list *returns; /* of preempted jobs that go back to prefill; NULL: they stay */
    int64_t return_after_ns;
    int64_t free_blocks, most_blocks, seqs;
    int64_t host_blocks, copied_blocks; /* still free; copied and not yet paid for */
    bool stopped;                       /* admission, until enough blocks are free */
    bool blocked; /* since the last boundary: jobs wait behind this one, or behind none */
    const struct job *blocker;
    int64_t again_ns;      /* an idle box has a boundary then */
    int64_t padded_tokens; /* static batch: length of each prompt, then of each context */
    int64_t own_ns;        /* of the iteration: what the decodes need alone, 0 where they wait */
    struct reference_sums *sums;
};

/* An instance. */
struct site {
    const struct reference_pool *pool;
    struct box *boxes; /* the lanes of the first micro-batch, those of the second, .. */
    int64_t count, next;
    int64_t begin_ns[REFERENCE_STAGES]; /* of each micro-batch's iteration */
    int64_t end_ns[REFERENCE_STAGES];   /* of each micro-batch's iteration, NONE when it is idle */
    int64_t due_ns[REFERENCE_STAGES];   /* since when it waits for the first stage, NONE when it does not */
    int64_t free_ns[REFERENCE_STAGES];  /* of each stage */
    struct reference_sums *sums;
};

struct world {
    const struct reference_config *config;
    struct job *jobs;
    size_t count;
    struct list handing;  /* handed off by the prefill instance, not yet at the decode instance */
    struct list granted;  /* before prefill: blocks are reserved, the prefill instance does not know yet */
    struct list returns;  /* preempted, not yet again where new ones come */
    struct list moving;   /* all transfers, in the order in which the last of each to end began */
    uint64_t flows;       /* begun */
    struct site sites[2]; /* entry, decode */
};

static inline bool before_prefill(const struct world *world)
{
    return world->config->handoff.reserve == RESERVE_BEFORE_PREFILL;
}

/* Prefill instance or fabric: the rest of a prompt begins to move now. */
void transfer(struct world *world, struct job *job, int64_t now_ns);

/* While a prompt is computed: the iteration is over, or begins and takes so long; so many tokens are there
 * then.
 */
void overlap(struct world *world, struct job *job, enum overlap kind, int64_t tokens, int64_t iteration_ns,
             int64_t now_ns);

void push(struct list *list, size_t at, struct job *job);
struct job *take_out(struct list *list, size_t at);
void take_out_job(struct list *list, const struct job *job);

int64_t blocks_of(const struct box *box, int64_t tokens);
int64_t known(const struct job *job);
void note_peak(struct site *site);
void allocate(struct box *box, struct job *job, int64_t blocks);

/* A new job comes to wait. */
void enqueue(struct box *box, struct job *job);

/* Whether a job may have so many blocks; if not, the rest is blocked by it. */
bool may_admit(struct box *box, const struct job *job, int64_t blocks);

/* One iteration. Returns whether any was preempted. */
bool plan(struct box *box, int64_t now_ns);

#endif
