/* Sessions: contexts that grow as worked out by hand, distributions, clients that give the same turns in
 * whatever order they are asked, and names of blocks. */
#include "support.h"

#include "tandem/simtime.h"

#define FIXED(turns, more)                                                                                   \
    "{\"sessions\": {\"count\": 3, \"arrivals\": \"all-at-once\", \"turns\": {\"fixed\": " turns             \
    "}, \"user_tokens\": {\"fixed\": 10}, \"output_tokens\": {\"fixed\": 5}, \"think_time_s\": 2" more "}"

#define RANDOM(count, arrivals, more)                                                                        \
    "{\"sessions\": {\"count\": " count ", \"arrivals\": " arrivals                                          \
    ", \"turns\": {\"uniform\": {\"min\": 1, \"max\": 9}}, \"user_tokens\": {\"uniform\": {\"min\": 1, "     \
    "\"max\": 99}}, \"output_tokens\": {\"uniform\": {\"min\": 20, \"max\": 40}}, \"think_time_s\": 3, "     \
    "\"think_distribution\": \"exponential\"" more "}"

/* The prompts of each of the three sessions. */
static void check_prompts(const char *json, const int64_t *prompts, int64_t turns)
{
    struct workload *workload = support_good(json, 1);
    struct workload_request request;
    CU_ASSERT_EQUAL(workload_count(workload), 3 * turns);
    CU_ASSERT_EQUAL(workload_users(workload), 3);
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), SIMTIME_NEVER);
    for (int64_t session = 0; session < 3; session++)
        for (int64_t turn = 0; turn < turns; turn++) {
            CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
            CU_ASSERT_EQUAL(request.session, session);
            CU_ASSERT_EQUAL(request.turn, turn + 1);
            CU_ASSERT_EQUAL(request.send_ns, 0);
            CU_ASSERT_EQUAL(request.prompt_tokens, prompts[turn]);
            CU_ASSERT_EQUAL(request.output_tokens, 5);
            CU_ASSERT_EQUAL(request.max_tokens, 5);
            CU_ASSERT_EQUAL(request.priority, 0);
        }
    CU_ASSERT_FALSE(workload_next(workload, &request));
    workload_free(workload);
}

/* Prompt and output of the turns: 15, 30, 45, 60 tokens; with a system prompt of 100, 115, .. */
static void test_growth(void)
{
    static const int64_t plain[] = {10, 25, 40, 55}, system[] = {110, 125, 140, 155};
    check_prompts(FIXED("4", "") "}", plain, 4);
    check_prompts(FIXED("4", ", \"system_prompt_tokens\": 100") "}", system, 4);
    check_prompts(FIXED("4", ", \"max_context_tokens\": 45") "}", plain, 3);
    check_prompts(FIXED("4", ", \"max_context_tokens\": 44") "}", plain, 2);
    check_prompts(FIXED("4", ", \"max_context_tokens\": 60") "}", plain, 4);
    check_prompts(FIXED("4", ", \"max_context_tokens\": 14") "}", plain, 1); /* the first is sent anyway */
    check_prompts(FIXED("4", ", \"system_prompt_tokens\": 100, \"max_context_tokens\": 144") "}", system, 2);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static bool near(double sum, double count, double mean, double deviation)
{
    return fabs(sum / count - mean) <= 4 * deviation / sqrt(count);
}

/* Lengths have the moments of their distributions, and what is drawn for one thing says nothing of another.
 */
static void test_distributions(void)
{
    struct workload *workload = support_good(RANDOM("20000", "\"all-at-once\"", "") "}", 3);
    struct workload_request request;
    double turns = 0, user = 0, user_square = 0, output = 0, products = 0;
    int64_t context = 0;
    while (workload_next(workload, &request)) {
        double added = (double)(request.prompt_tokens - (request.turn > 1 ? context : 0));
        CU_ASSERT_FATAL(added >= 1 && added <= 99 && request.turn <= 9);
        context = request.prompt_tokens + request.output_tokens;
        turns++;
        user += added;
        user_square += (added - 50) * (added - 50);
        output += (double)request.output_tokens;
        products += (added - 50) * (double)(request.output_tokens - 30);
    }
    CU_ASSERT_EQUAL((double)workload_count(workload), turns);
    CU_ASSERT(near(turns, 20000, 5, sqrt(80.0 / 12)));
    CU_ASSERT(near(user, turns, 50, sqrt(9800.0 / 12)));
    CU_ASSERT(near(output, turns, 30, sqrt(440.0 / 12)));
    CU_ASSERT_DOUBLE_EQUAL(user_square / turns, 9800.0 / 12, 0.02 * 9800 / 12);
    CU_ASSERT(near(products, turns, 0, sqrt(9800.0 / 12 * 440.0 / 12)));
    workload_free(workload);
}

/* Takes clients' turns, in an order that has nothing to do with their numbers, and compares them with those
 * that walking gives. Returns the sum of the think times between turns. */
static double check_clients(const char *json, uint64_t seed)
{
    static struct workload_request walked[500][10];
    struct workload *walking = support_good(json, seed), *asked = support_good(json, seed);
    struct workload_request request;
    uint32_t waiting[500];
    size_t count = 0;
    int64_t send_ns, given = 0;
    double think_s = 0;
    while (workload_next(walking, &request))
        walked[request.session][request.turn] = request;
    for (uint64_t step = 0;; step++) {
        if (count < 7 && workload_next_client(asked, &waiting[count], &send_ns))
            count++;
        if (count == 0)
            break;
        size_t at = (size_t)(step * 2654435761u % 97 % count);
        uint32_t client = waiting[at];
        waiting[at] = waiting[--count];
        CU_ASSERT_TRUE_FATAL(workload_next_of(asked, client, &request));
        const struct workload_request *same = &walked[request.session][request.turn];
        CU_ASSERT(request.prompt_tokens == same->prompt_tokens &&
                  request.output_tokens == same->output_tokens && request.hash_count == same->hash_count);
        CU_ASSERT(client < 7); /* numbers of those that have gone are used again */
        given++;
        if (!workload_answered(asked, client, &send_ns))
            continue;
        think_s += (double)send_ns / 1e9;
        waiting[count++] = client;
    }
    CU_ASSERT_EQUAL(given, workload_count(walking));
    think_s /= (double)(given - workload_users(asked));
    workload_free(walking);
    workload_free(asked);
    return think_s;
}

static void test_clients(void)
{
    const char *json =
        RANDOM("500", "{\"poisson\": {\"rate_per_s\": 5}}", ", \"system_prompt_tokens\": 70") "}";
    double one = check_clients(json, 1), other = check_clients(json, 2);
    CU_ASSERT_EQUAL(check_clients(json, 1), one);
    CU_ASSERT(one != other);
    CU_ASSERT_DOUBLE_EQUAL(one, 3, 4 * 3 / sqrt(2000.0));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Sessions begin when requests of the same arrivals would be sent; rate_scale brings them together, and not
 * the turns of one. */
static void test_begins(void)
{
    struct workload *requests = support_good("{\"synthetic\": {\"prompt_tokens\": {\"fixed\": 1}, "
                                             "\"output_tokens\": {\"fixed\": 1}, \"requests\": 200, "
                                             "\"arrivals\": {\"gamma\": {\"rate_per_s\": 5, \"cv\": 2}}}, "
                                             "\"rate_scale\": 4}",
                                             9);
    struct workload *sessions = support_good(
        RANDOM("200", "{\"gamma\": {\"rate_per_s\": 5, \"cv\": 2}}", "") ", \"rate_scale\": 4}", 9);
    struct workload_request request;
    uint32_t client;
    int64_t send_ns;
    while (workload_next(requests, &request)) {
        CU_ASSERT_TRUE_FATAL(workload_next_client(sessions, &client, &send_ns));
        CU_ASSERT_EQUAL(send_ns, request.send_ns);
    }
    CU_ASSERT_FALSE(workload_next_client(sessions, &client, &send_ns));
    CU_ASSERT_EQUAL(workload_last_send_ns(sessions), request.send_ns);
    workload_free(requests);
    workload_free(sessions);
}

/* Two users hold three sessions of two turns: think time between turns, the closed loop's between sessions.
 */
static void test_users(void)
{
    struct workload *workload = support_good(
        "{\"sessions\": {\"count\": 3, \"arrivals\": {\"closed_loop\": {\"users\": 2, \"think_time_s\": 7}}, "
        "\"turns\": {\"fixed\": 2}, \"user_tokens\": {\"fixed\": 10}, \"output_tokens\": {\"fixed\": 5}, "
        "\"think_time_s\": 2}}",
        1);
    static const struct {
        uint32_t client;
        int64_t session, turn, think_s;
    } steps[] = {{0, 0, 1, 2}, {1, 1, 1, 2}, {1, 1, 2, 7}, {1, 2, 1, 2}, {0, 0, 2, 7}, {1, 2, 2, 7}};
    struct workload_request request;
    uint32_t client;
    int64_t time_ns;
    for (uint32_t user = 0; user < 2; user++) {
        CU_ASSERT_TRUE_FATAL(workload_next_client(workload, &client, &time_ns));
        CU_ASSERT(client == user && time_ns == 0);
    }
    CU_ASSERT_FALSE(workload_next_client(workload, &client, &time_ns));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        CU_ASSERT_TRUE(workload_next_of(workload, steps[i].client, &request));
        CU_ASSERT(request.session == steps[i].session && request.turn == steps[i].turn);
        CU_ASSERT_TRUE(workload_answered(workload, steps[i].client, &time_ns));
        CU_ASSERT_EQUAL(time_ns, steps[i].think_s * 1000000000);
    }
    CU_ASSERT_FALSE(workload_next_of(workload, 0, &request));
    CU_ASSERT_FALSE(workload_next_of(workload, 1, &request));
    workload_free(workload);
}

/* A refused turn takes the others of its session with it, and no other session's. */
static void test_left(void)
{
    struct workload *workload = support_good(FIXED("3", "") "}", 1);
    struct workload_request request;
    uint32_t client;
    int64_t time_ns;
    CU_ASSERT_TRUE(workload_next_client(workload, &client, &time_ns));
    CU_ASSERT_TRUE(workload_next_of(workload, client, &request));
    for (int64_t turn = 2; turn <= 3; turn++) {
        CU_ASSERT_TRUE(workload_turn_left(workload, client, &request));
        CU_ASSERT(request.session == 0 && request.turn == turn);
    }
    CU_ASSERT_FALSE(workload_turn_left(workload, client, &request));
    CU_ASSERT_FALSE(workload_answered(workload, client, &time_ns));
    CU_ASSERT_TRUE(workload_next_client(workload, &client, &time_ns));
    CU_ASSERT(workload_next_of(workload, client, &request) && request.session == 1 && request.turn == 1);
    workload_free(workload);
}

/* A turn's blocks begin with those of the turn before; the whole blocks of a system prompt are those of all
 * who have it, and all others of one session alone. */
static void test_blocks(void)
{
    struct workload *workload =
        support_good(RANDOM("300", "\"all-at-once\"",
                            ", \"system_prompt_tokens\": 70, \"system_prompts\": 3, \"block_tokens\": 8") "}",
                     4);
    struct workload_request request;
    uint64_t before[200] = {0}, systems[3][8] = {{0}}, seen = 0;
    size_t before_count = 0;
    int64_t used[3] = {0};
    CU_ASSERT_EQUAL(workload_hash_tokens(workload), 8);
    while (workload_next(workload, &request)) {
        size_t count = (size_t)((request.prompt_tokens + request.output_tokens) / 8);
        CU_ASSERT_FATAL(request.hash_count == count && count < 200);
        if (request.turn > 1) {
            CU_ASSERT_EQUAL(memcmp(request.hashes, before, before_count * sizeof *before), 0);
        } else {
            int system = 0;
            while (system < 2 && systems[system][0] != 0 && systems[system][0] != request.hashes[0])
                system++;
            if (systems[system][0] == 0)
                memcpy(systems[system], request.hashes, sizeof systems[system]);
            CU_ASSERT_EQUAL(memcmp(request.hashes, systems[system], sizeof systems[system]), 0);
            used[system]++;
            before_count = 8;
        }
        for (size_t i = before_count; i < count;
             i++) { /* numbers of their own: they rise, session by session */
            CU_ASSERT(request.hashes[i] > seen || (request.session == 0 && i == 8 && seen == 0));
            seen = request.hashes[i];
        }
        before_count = count;
        memcpy(before, request.hashes, count * sizeof *before);
    }
    for (int i = 0; i < 3; i++) /* four standard deviations of 100 */
        CU_ASSERT(used[i] > 67 && used[i] < 133);
    workload_free(workload);
}

/* A class is a session's. */
static void test_classes(void)
{
    struct workload *workload =
        support_good(RANDOM("5000", "\"all-at-once\"", ", \"priority_shares\": [0.25, 0.75]") "}", 4);
    struct workload_request request;
    int64_t class = 0, urgent = 0;
    while (workload_next(workload, &request)) {
        if (request.turn > 1) {
            CU_ASSERT_EQUAL(request.priority, class);
            continue;
        }
        class = request.priority;
        urgent += class == 0;
    }
    CU_ASSERT(fabs((double)urgent - 1250) <= 4 * sqrt(5000 * 0.25 * 0.75));
    workload_free(workload);
}

static void test_limits(void)
{
    struct workload *workload = support_good(FIXED("2", "") ", \"max_tokens\": 64}", 1);
    struct workload_request request;
    uint32_t client;
    int64_t time_ns;
    workload_count_longer(workload, 29);
    CU_ASSERT_TRUE(workload_next_client(workload, &client, &time_ns));
    CU_ASSERT_TRUE(workload_next_of(workload, client, &request));
    CU_ASSERT_EQUAL(request.max_tokens, 64);
    CU_ASSERT_EQUAL(workload_longer(workload), 0);
    CU_ASSERT_TRUE(workload_next_of(workload, client, &request));
    CU_ASSERT_EQUAL(workload_longer(workload), 1);
    workload_free(workload);
}

static void test_refused(void)
{
    support_refused("{\"sessions\": {}, \"synthetic\": {}}", "found 2");
    support_refused("{\"sessions\": {}}", "sessions: missing");
    support_refused(FIXED("0", "") "}", "sessions.turns.fixed: must be at least 1");
    support_refused(FIXED("2", ", \"system_prompts\": 2") "}", "system_prompts: there are no system prompts");
    support_refused(FIXED("2", ", \"think_distribution\": \"gamma\"") "}", "think_distribution");
    support_refused(FIXED("2", "") ", \"max_requests\": 5}", "max_requests: sessions have all their turns");
    support_refused(FIXED("2", "") ", \"start_s\": 5}", "start_s: sessions have no window");
    support_refused(FIXED("2", "") ", \"rate_scale\": 2}", "rate_scale: these arrivals have no rate");
    support_refused(FIXED("1000000000", "") "}", "3 sessions have over 1e+09 turns");
    support_refused(FIXED("70000000", "") "}", "session 0 has over 1000000000 tokens of context");
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"contexts grow", test_growth}, {"distributions", test_distributions},
        {"clients", test_clients},      {"begins", test_begins},
        {"users", test_users},          {"turns left", test_left},
        {"blocks", test_blocks},        {"classes", test_classes},
        {"limits", test_limits},        {"refused", test_refused},
    };
    return test_main("workload/sessions", cases, sizeof cases / sizeof cases[0]);
}
