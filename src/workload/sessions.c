/* Conversations of several turns. Turn k's prompt is the system prompt, all that was said before, outputs
 * too, and what the user adds. All draws are functions of the seed and the numbers of session and turn. */
#include <stddef.h>

#include "internal.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"

/* Names of blocks: the session's number or that of its system prompt, and the block's place. Equal names are
 * equal blocks. Numbers stay below 2^30 and so do places. */
#define OWNER_SHIFT   31
#define SYSTEM_BLOCKS (UINT64_C(1) << 63)

struct session_settings {
    const struct node *arrivals, *turns, *user_tokens, *output_tokens, *priority_shares;
    int64_t count;
    double think_time_s;
    int think_distribution;
    int64_t system_prompt_tokens, system_prompts, max_context_tokens, block_tokens;
};

#define TOKENS_MAX ((double)WORKLOAD_TOKENS_MAX)
#define AT(field)  offsetof(struct session_settings, field)
static const char *const think_distributions[] = {"fixed", "exponential", NULL};
static const struct option session_rows[] = {
    {"count", OPTION_INTEGER, NULL, 1, WORKLOAD_REQUESTS_MAX, NULL, AT(count), "how many sessions"},
    {"arrivals", OPTION_NODE, NULL, 0, 0, NULL, AT(arrivals),
     "when sessions begin, as arrivals of synthetic; closed_loop: each user holds one after another"},
    {"turns", OPTION_NODE, NULL, 0, 0, NULL, AT(turns), "requests of a session: a distribution as of tokens"},
    {"user_tokens", OPTION_NODE, NULL, 0, 0, NULL, AT(user_tokens),
     "what each turn adds to the prompt: a preset's name or a distribution"},
    {"output_tokens", OPTION_NODE, NULL, 0, 0, NULL, AT(output_tokens),
     "lengths of outputs: a preset's name or a distribution"},
    {"think_time_s", OPTION_NUMBER, NULL, 0, 1e6, NULL, AT(think_time_s),
     "from the last token of an answer to the next turn"},
    {"think_distribution", OPTION_CHOICE, "\"fixed\"", 0, 0, think_distributions, AT(think_distribution),
     "of the think time; think_time_s is its mean"},
    {"system_prompt_tokens", OPTION_INTEGER, "0", 0, TOKENS_MAX, NULL, AT(system_prompt_tokens),
     "with which each prompt begins"},
    {"system_prompts", OPTION_INTEGER, "1", 1, 1e6, NULL, AT(system_prompts),
     "different ones, each session has any of them"},
    {"max_context_tokens", OPTION_INTEGER, "0", 0, TOKENS_MAX, NULL, AT(max_context_tokens),
     "a session ends before the turn, after its first, whose prompt and output would be longer (0: no "
     "limit)"},
    {"block_tokens", OPTION_INTEGER, "16", 1, 1 << 20, NULL, AT(block_tokens),
     "tokens of the blocks that are told apart where pools cache prefixes"},
    {"priority_shares", OPTION_NODE, "null", 0, 0, NULL, AT(priority_shares),
     "list: share of the sessions of each class of priority, as of synthetic"},
};
OPTION_TABLE(workload_session_options, "sessions", "conversations of several turns", session_rows);

/* --- one session
 * --------------------------------------------------------------------------------------------- */

static int64_t user_tokens(const struct dialogues *dialogues, int64_t session, int64_t turn)
{
    return length_draw(&dialogues->user, dialogues->seed, (uint32_t)session, RNG_PROMPT_TOKENS,
                       (uint64_t)turn);
}

static int64_t output_tokens(const struct dialogues *dialogues, int64_t session, int64_t turn)
{
    return length_draw(&dialogues->output, dialogues->seed, (uint32_t)session, RNG_OUTPUT_TOKENS,
                       (uint64_t)turn);
}

/* How many of the turns there are before the context is too long. */
static int64_t turns_that_fit(const struct dialogues *dialogues, int64_t session, int64_t turns)
{
    int64_t context_tokens = dialogues->system_tokens;
    for (int64_t turn = 0; turn < turns; turn++) {
        context_tokens += user_tokens(dialogues, session, turn) + output_tokens(dialogues, session, turn);
        if (turn > 0 && context_tokens > dialogues->max_context_tokens)
            return turn;
    }
    return turns;
}

struct session dialogues_begin(const struct dialogues *dialogues, int64_t number)
{
    struct session session = {.number = number, .context_tokens = dialogues->system_tokens};
    session.turns = length_draw(&dialogues->turns, dialogues->seed, (uint32_t)number, RNG_TURNS, 0);
    if (dialogues->max_context_tokens > 0)
        session.turns = turns_that_fit(dialogues, number, session.turns);
    session.system_prompt = (uint64_t)length_draw(&dialogues->system_prompt, dialogues->seed,
                                                  (uint32_t)number, RNG_SYSTEM_PROMPT, 0);
    return session;
}

/* Hashes of the blocks that context_tokens fill. */
static void name_blocks(struct dialogues *dialogues, const struct session *session,
                        struct workload_request *request)
{
    size_t system = (size_t)(dialogues->system_tokens / dialogues->block_tokens);
    size_t count = (size_t)(session->context_tokens / dialogues->block_tokens);
    if (count > dialogues->hash_capacity)
        dialogues->hashes =
            mem_grow(dialogues->hashes, &dialogues->hash_capacity, count, sizeof *dialogues->hashes);
    for (size_t i = 0; i < system; i++)
        dialogues->hashes[i] = SYSTEM_BLOCKS | session->system_prompt << OWNER_SHIFT | i;
    for (size_t i = system; i < count; i++)
        dialogues->hashes[i] = (uint64_t)session->number << OWNER_SHIFT | i;
    request->hashes = dialogues->hashes;
    request->hash_count = count;
}

/* The session's next turn: its lengths. */
static void take_turn(const struct dialogues *dialogues, struct session *session,
                      struct workload_request *request)
{
    int64_t number = session->number, turn = session->turn++;
    request->prompt_tokens = session->context_tokens + user_tokens(dialogues, number, turn);
    request->output_tokens = output_tokens(dialogues, number, turn);
    session->context_tokens = request->prompt_tokens + request->output_tokens;
}

void dialogues_turn(struct dialogues *dialogues, struct session *session, struct workload_request *request)
{
    int64_t number = session->number;
    take_turn(dialogues, session, request);
    request->send_ns = 0;
    request->max_tokens = 0;
    request->priority = priorities_draw(&dialogues->priorities, dialogues->seed, (uint64_t)number);
    request->session = number;
    request->turn = session->turn;
    name_blocks(dialogues, session, request);
}

int64_t dialogues_think_ns(const struct dialogues *dialogues, const struct session *session)
{
    const struct think *think =
        session->turn < session->turns ? &dialogues->think : &dialogues->arrivals.think;
    return think_ns(think, dialogues->seed, (uint32_t)session->number, (uint64_t)session->turn);
}

/* --- all of them
 * --------------------------------------------------------------------------------------------- */

static bool count_turns(const struct dialogues *dialogues, const struct node *node, int64_t *requests,
                        struct error *error)
{
    *requests = 0;
    for (int64_t number = 0; number < dialogues->count; number++) {
        *requests += dialogues_begin(dialogues, number).turns;
        if ((double)*requests > WORKLOAD_REQUESTS_MAX)
            return node_error(node, error, "%lld sessions have over %g turns: lower count or turns",
                              (long long)dialogues->count, WORKLOAD_REQUESTS_MAX);
    }
    return true;
}

/* Whether all contexts can be counted; where they have a limit only first turns can be too long. */
static bool check_contexts(const struct dialogues *dialogues, const struct node *node, struct error *error)
{
    struct workload_request request;
    for (int64_t number = 0; number < dialogues->count; number++) {
        struct session session = dialogues_begin(dialogues, number);
        int64_t turns = dialogues->max_context_tokens > 0 ? 1 : session.turns;
        while (session.turn < turns) {
            take_turn(dialogues, &session, &request);
            if (session.context_tokens > WORKLOAD_TOKENS_MAX)
                return node_error(node, error,
                                  "session %lld has over %lld tokens of context in turn %lld: set "
                                  "max_context_tokens, or lower what a turn adds",
                                  (long long)number, (long long)WORKLOAD_TOKENS_MAX, (long long)session.turn);
        }
    }
    return true;
}

bool dialogues_parse(const struct node *node, uint64_t seed, struct dialogues *dialogues, int64_t *requests,
                     struct error *error)
{
    struct session_settings settings = {0};
    if (!option_parse(&workload_session_options, node, &settings, error))
        return false;
    *dialogues = (struct dialogues){
        .count = settings.count,
        .seed = seed,
        .think = {settings.think_time_s, settings.think_distribution == 1},
        .system_tokens = settings.system_prompt_tokens,
        .system_prompt = {.kind = LENGTH_UNIFORM, .max = settings.system_prompts - 1},
        .max_context_tokens = settings.max_context_tokens,
        .block_tokens = settings.block_tokens,
    };
    if (settings.system_prompts > 1 && settings.system_prompt_tokens == 0)
        return node_error(node_get(node, "system_prompts"), error,
                          "there are no system prompts: remove it, or set system_prompt_tokens");
    return length_parse(settings.turns, "turns", &dialogues->turns, error) &&
           length_parse(settings.user_tokens, "prompt_tokens", &dialogues->user, error) &&
           length_parse(settings.output_tokens, "output_tokens", &dialogues->output, error) &&
           arrivals_parse(settings.arrivals, &dialogues->arrivals, error) &&
           priorities_parse(settings.priority_shares, &dialogues->priorities, error) &&
           count_turns(dialogues, node, requests, error) && check_contexts(dialogues, node, error);
}

void dialogues_clear(struct dialogues *dialogues)
{
    length_clear(&dialogues->turns);
    length_clear(&dialogues->user);
    length_clear(&dialogues->output);
    priorities_clear(&dialogues->priorities);
    mem_free(dialogues->hashes);
    *dialogues = (struct dialogues){0};
}
