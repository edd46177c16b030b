/* Generators: arrival processes against GSL, independence of lengths and rate, limits, and what is refused.
 */
#include "support.h"

#include <gsl/gsl_cdf.h>

#include "tandem/simtime.h"

#define REQUESTS 50000

static double gaps[REQUESTS];

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Gaps in seconds, the first one from time 0. */
static void draw_gaps(const char *json)
{
    struct workload *workload = support_good(json, 11);
    struct workload_request request = {0};
    int64_t before_ns = 0;
    CU_ASSERT_EQUAL_FATAL(workload_count(workload), REQUESTS);
    for (size_t i = 0; workload_next(workload, &request); i++) {
        CU_ASSERT_FATAL(request.send_ns >= before_ns);
        gaps[i] = (double)(request.send_ns - before_ns) / 1e9;
        before_ns = request.send_ns;
    }
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), before_ns);
    workload_free(workload);
}

static double mean_gap(void)
{
    double sum = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        sum += gaps[i];
    return sum / REQUESTS;
}

static double gap_variation(void)
{
    double mean = mean_gap(), square = 0;
    for (size_t i = 0; i < REQUESTS; i++)
        square += (gaps[i] - mean) * (gaps[i] - mean);
    return sqrt(square / REQUESTS) / mean;
}

/* Kolmogorov-Smirnov distance of the gaps from a gamma distribution (shape 1: exponential). Sorts them. */
static double distance(double shape, double mean)
{
    double largest = 0;
    qsort(gaps, REQUESTS, sizeof *gaps, compare);
    for (size_t i = 0; i < REQUESTS; i++) {
        double expected = gsl_cdf_gamma_P(gaps[i], shape, mean / shape);
        double above = (double)(i + 1) / REQUESTS - expected, below = expected - (double)i / REQUESTS;
        largest = fmax(largest, fmax(above, below));
    }
    return largest;
}

#define LENGTHS                                                                                              \
    "\"prompt_tokens\": {\"uniform\": {\"min\": 1, \"max\": 900}}, \"output_tokens\": {\"fixed\": 10}"
#define OPEN(text) "{\"synthetic\": {" LENGTHS ", \"requests\": 50000, \"arrivals\": " text "}}"
#define FEW(text)  "{\"synthetic\": {" LENGTHS ", \"requests\": 5, \"arrivals\": " text "}"

static const double one_percent = 1.63; /* KS distance x sqrt(n) that one sample in a hundred exceeds */

static void test_poisson(void)
{
    draw_gaps(OPEN("{\"poisson\": {\"rate_per_s\": 40}}"));
    CU_ASSERT_DOUBLE_EQUAL(mean_gap(), 0.025, 0.0004);
    CU_ASSERT_DOUBLE_EQUAL(gap_variation(), 1, 0.02);
    CU_ASSERT(distance(1, 0.025) < one_percent / sqrt(REQUESTS));
}

static void test_gamma(void)
{
    draw_gaps(OPEN("{\"gamma\": {\"rate_per_s\": 5, \"cv\": 2}}"));
    CU_ASSERT_DOUBLE_EQUAL(mean_gap(), 0.2, 0.005);
    CU_ASSERT_DOUBLE_EQUAL(gap_variation(), 2, 0.06);
    CU_ASSERT(distance(0.25, 0.2) < one_percent / sqrt(REQUESTS));
    draw_gaps(OPEN("{\"gamma\": {\"rate_per_s\": 5, \"cv\": 0.5}}"));
    CU_ASSERT_DOUBLE_EQUAL(gap_variation(), 0.5, 0.01);
    CU_ASSERT(distance(4, 0.2) < one_percent / sqrt(REQUESTS));
}

/* Request i at i / rate, rounded once: no drift. */
static void test_fixed(void)
{
    struct workload *workload = support_good(OPEN("{\"fixed\": {\"rate_per_s\": 3}}"), 1);
    struct workload_request request;
    for (int64_t i = 0; workload_next(workload, &request); i++)
        CU_ASSERT_EQUAL_FATAL(request.send_ns, (2 * i * SIMTIME_SECOND_NS + 3) / 6);
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), INT64_C(16666333333333));
    workload_free(workload);
}

static void test_all_at_once(void)
{
    struct workload *workload = support_good(FEW("\"all-at-once\"") "}", 1);
    struct workload_request request;
    int count = 0;
    for (; workload_next(workload, &request); count++)
        CU_ASSERT_EQUAL(request.send_ns, 0);
    CU_ASSERT_EQUAL(count, 5);
    CU_ASSERT_FALSE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), 0);
    CU_ASSERT_EQUAL(workload_users(workload), 0);
    CU_ASSERT_STRING_EQUAL(workload_trace_path(workload), "");
    CU_ASSERT_STRING_EQUAL(workload_trace_sha256(workload), "");
    workload_free(workload);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_closed_loop(void)
{
    struct workload *fixed =
        support_good(FEW("{\"closed_loop\": {\"users\": 3, \"think_time_s\": 1.5}}") "}", 1);
    struct workload *random = support_good(
        FEW("{\"closed_loop\": {\"users\": 3, \"think_time_s\": 2, \"distribution\": \"exponential\"}}") "}",
        1);
    struct workload_request request;
    double sum = 0;
    CU_ASSERT_EQUAL(workload_users(fixed), 3);
    CU_ASSERT_EQUAL(workload_count(fixed), 5);
    CU_ASSERT_EQUAL(workload_last_send_ns(fixed), SIMTIME_NEVER);
    CU_ASSERT_TRUE(workload_next(fixed, &request));
    CU_ASSERT_EQUAL(request.send_ns, 0);
    CU_ASSERT_EQUAL(workload_think_ns(fixed, 4), 1500000000);
    for (uint64_t i = 0; i < 20000; i++)
        sum += (double)workload_think_ns(random, i) / 1e9;
    CU_ASSERT_DOUBLE_EQUAL(sum / 20000, 2, 0.05);
    CU_ASSERT_EQUAL(workload_think_ns(random, 9), workload_think_ns(random, 9));
    workload_free(fixed);
    workload_free(random);
}

/* The same lengths at any rate and with any arrivals; the same times with any lengths; others with another
 * seed. */
static void test_independence(void)
{
    struct workload *slow = support_good(OPEN("{\"poisson\": {\"rate_per_s\": 1}}"), 5);
    struct workload *fast = support_good(OPEN("{\"gamma\": {\"rate_per_s\": 90, \"cv\": 3}}"), 5);
    struct workload *other = support_good(OPEN("{\"poisson\": {\"rate_per_s\": 1}}"), 6);
    struct workload_request a, b, c;
    int same = 0;
    while (workload_next(slow, &a)) {
        CU_ASSERT_TRUE_FATAL(workload_next(fast, &b) && workload_next(other, &c));
        CU_ASSERT_EQUAL_FATAL(a.prompt_tokens, b.prompt_tokens);
        same += a.prompt_tokens == c.prompt_tokens;
    }
    CU_ASSERT(same < REQUESTS / 300);
    workload_free(slow);
    workload_free(fast);
    workload_free(other);
}

static void test_rate_scale(void)
{
    struct workload *plain = support_good(FEW("{\"poisson\": {\"rate_per_s\": 1}}") "}", 5);
    struct workload *twice =
        support_good(FEW("{\"poisson\": {\"rate_per_s\": 1}}") ", \"rate_scale\": 2}", 5);
    struct workload *half =
        support_good(FEW("{\"poisson\": {\"rate_per_s\": 1}}") ", \"rate_scale\": 0.5}", 5);
    struct workload_request a, b, c;
    while (workload_next(plain, &a)) {
        CU_ASSERT_TRUE_FATAL(workload_next(twice, &b) && workload_next(half, &c));
        CU_ASSERT_EQUAL(c.send_ns, 2 * a.send_ns);
        CU_ASSERT(llabs(2 * b.send_ns - a.send_ns) <= 1);
    }
    CU_ASSERT_EQUAL(workload_last_send_ns(half), c.send_ns);
    workload_free(plain);
    workload_free(twice);
    workload_free(half);
}

/* How many of the requests are longer than tokens; checks that the count grows with each that is given. */
static int64_t count_longer(int64_t tokens)
{
    struct workload *workload = support_good(FEW("\"all-at-once\"") "}", 5);
    struct workload_request request;
    int64_t longer = 0;
    workload_count_longer(workload, tokens);
    CU_ASSERT_EQUAL(workload_longer(workload), 0);
    while (workload_next(workload, &request)) {
        longer += request.prompt_tokens + request.output_tokens > tokens;
        CU_ASSERT_EQUAL(workload_longer(workload), longer);
    }
    workload_free(workload);
    return longer;
}

static void test_longer(void)
{
    struct workload *workload = support_good(FEW("\"all-at-once\"") "}", 5);
    struct workload_request request;
    int64_t most = 0;
    while (workload_next(workload, &request))
        most = request.prompt_tokens > most ? request.prompt_tokens : most;
    CU_ASSERT_EQUAL(workload_longer(workload), 0); /* nobody asked */
    workload_free(workload);
    CU_ASSERT_EQUAL(count_longer(most + 10), 0);
    CU_ASSERT_EQUAL(count_longer(most + 9), 1);
    CU_ASSERT_EQUAL(count_longer(0), 5);
}

static void test_limits(void)
{
    struct workload *workload =
        support_good(FEW("\"all-at-once\"") ", \"max_requests\": 3, \"max_tokens\": 7}", 5);
    struct workload_request request;
    CU_ASSERT_EQUAL(workload_count(workload), 3);
    int given = 0;
    for (; workload_next(workload, &request); given++)
        CU_ASSERT_EQUAL(request.max_tokens, 10); /* 7 is below the output */
    CU_ASSERT_EQUAL(given, 3);
    workload_free(workload);
    workload = support_good(FEW("\"all-at-once\"") ", \"max_tokens\": 64}", 5);
    CU_ASSERT_TRUE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(request.max_tokens, 64);
    workload_free(workload);
}

/* Classes have their shares, whatever the lengths; without shares nothing else changes. */
static void test_priorities(void)
{
    static const double shares[] = {0.2, 0, 0.5, 0.3};
    int64_t counts[4] = {0}, same = 0;
    struct workload *plain =
        support_good("{\"synthetic\": {" LENGTHS ", \"requests\": 50000, \"arrivals\": \"all-at-once\"}}", 5);
    struct workload *classes =
        support_good("{\"synthetic\": {" LENGTHS ", \"requests\": 50000, \"arrivals\": \"all-at-once\", "
                     "\"priority_shares\": [0.2, 0, 0.5, 0.3]}}",
                     5);
    struct workload_request left, right;
    while (workload_next(plain, &left) && workload_next(classes, &right)) {
        CU_ASSERT_FATAL(left.priority == 0 && right.priority >= 0 && right.priority < 4);
        same += left.prompt_tokens == right.prompt_tokens && left.output_tokens == right.output_tokens;
        counts[right.priority]++;
    }
    CU_ASSERT_EQUAL(same, 50000);
    for (int i = 0; i < 4; i++) /* four standard deviations */
        CU_ASSERT(fabs((double)counts[i] - 50000 * shares[i]) <=
                  4 * sqrt(50000 * shares[i] * (1 - shares[i])));
    workload_free(plain);
    workload_free(classes);
}

/* What is known before a run is what walking gives. */
static void test_last_send(void)
{
    static const char *const arrivals[] = {"{\"poisson\": {\"rate_per_s\": 40}}",
                                           "{\"gamma\": {\"rate_per_s\": 40, \"cv\": 2}}",
                                           "{\"gamma\": {\"rate_per_s\": 40, \"cv\": 0.4}}",
                                           "{\"fixed\": {\"rate_per_s\": 0.7}}", "\"all-at-once\""};
    static const char *const settings[] = {"", ", \"max_requests\": 777", ", \"rate_scale\": 3",
                                           ", \"rate_scale\": 0.3, \"max_requests\": 1"};
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++)
        for (size_t j = 0; j < (i == 4 ? 2 : sizeof settings / sizeof settings[0]); j++) {
            char json[512];
            struct workload_request request = {0};
            snprintf(json, sizeof json,
                     "{\"synthetic\": {" LENGTHS ", \"requests\": 1000, \"arrivals\": %s}%s}", arrivals[i],
                     settings[j]);
            struct workload *workload = support_good(json, 3);
            while (workload_next(workload, &request))
                ;
            CU_ASSERT_EQUAL(workload_last_send_ns(workload), request.send_ns);
            CU_ASSERT_EQUAL(request.send_ns > 0, i < 4 && !(i == 3 && j == 3));
            workload_free(workload);
        }
}

/* As many requests as there can be cost no memory, and no time where their times follow from the index. */
static void test_many(void)
{
    struct workload *few = support_good(FEW("{\"fixed\": {\"rate_per_s\": 1000}}") "}", 1);
    size_t bytes = mem_live_bytes();
    workload_free(few);
    struct workload *many =
        support_good("{\"synthetic\": {" LENGTHS ", \"requests\": 1000000000, \"arrivals\": {\"fixed\": "
                     "{\"rate_per_s\": 1000}}}}",
                     1);
    CU_ASSERT_EQUAL(workload_last_send_ns(many), INT64_C(999999999000000));
    CU_ASSERT_EQUAL(mem_live_bytes(), bytes);
    workload_free(many);
}

static void test_refused(void)
{
    support_refused("{}", "expected exactly one of \"trace\", \"synthetic\" and \"sessions\", found 0");
    support_refused("{\"trace\": {}, \"synthetic\": {}}", "found 2");
    support_refused("{\"synthetic\": {" LENGTHS ", \"requests\": 5}}", "arrivals");
    support_refused("{\"synthetic\": {" LENGTHS ", \"requests\": 0, \"arrivals\": \"all-at-once\"}}",
                    "requests");
    support_refused(FEW("\"at-once\"") "}", "unknown arrivals 'at-once'");
    support_refused(FEW("{}") "}", "exactly one kind of arrivals");
    support_refused(FEW("{\"poison\": {\"rate_per_s\": 4}}") "}", "poisson");
    support_refused(FEW("{\"poisson\": null}") "}", "arrivals.poisson: expected an object");
    support_refused(FEW("{\"poisson\": {\"rate_per_s\": 0}}") "}", "rate_per_s");
    support_refused(FEW("{\"poisson\": {\"rate_per_s\": 4}, \"fixed\": {\"rate_per_s\": 4}}") "}",
                    "exactly one");
    support_refused(FEW("{\"gamma\": {\"rate_per_s\": 4}}") "}", "cv");
    support_refused(FEW("{\"closed_loop\": {\"users\": 0, \"think_time_s\": 1}}") "}", "users");
    support_refused(FEW("{\"closed_loop\": {\"users\": 2, \"think_time_s\": 1}}") ", \"rate_scale\": 2}",
                    "rate_scale: these arrivals have no rate");
    support_refused(FEW("\"all-at-once\"") ", \"rate_scale\": 2}", "rate_scale: these arrivals have no rate");
    support_refused(FEW("\"all-at-once\"") ", \"start_s\": 2}",
                    "start_s: a synthetic workload has no window");
    support_refused(FEW("\"all-at-once\"") ", \"duration_s\": 2}", "duration_s: a synthetic workload");
    support_refused(FEW("{\"fixed\": {\"rate_per_s\": 0.001}}") ", \"rate_scale\": 0.001}",
                    "raise rate_per_s");
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"poisson", test_poisson},
        {"gamma", test_gamma},
        {"fixed", test_fixed},
        {"all at once", test_all_at_once},
        {"closed loop", test_closed_loop},
        {"independence", test_independence},
        {"rate_scale", test_rate_scale},
        {"longer requests", test_longer},
        {"limits", test_limits},
        {"priorities", test_priorities},
        {"time of the last request", test_last_send},
        {"a billion requests", test_many},
        {"refused", test_refused},
    };
    return test_main("workload synthetic", cases, sizeof cases / sizeof cases[0]);
}
