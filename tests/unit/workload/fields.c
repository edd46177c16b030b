/* Fields of delimited text: splitting, whole numbers, time stamps and decimal times, all exact. */
#include "test.h"

#include <stdint.h>

#include "../../../src/workload/fields.h"
#include "tandem/mem.h"

static struct error error;

static void check_split(const char *line, char delimiter, const char *const *expected, size_t count)
{
    struct fields fields = {0};
    CU_ASSERT_TRUE(fields_split(&fields, line, delimiter, &error));
    CU_ASSERT_EQUAL_FATAL(fields.count, count);
    for (size_t i = 0; i < count; i++)
        CU_ASSERT_STRING_EQUAL(fields.at[i], expected[i]);
    fields_clear(&fields);
}

static void test_split(void)
{
    check_split("a,b,c", ',', (const char *const[]){"a", "b", "c"}, 3);
    check_split(",", ',', (const char *const[]){"", ""}, 2);
    check_split("", ',', (const char *const[]){""}, 1);
    check_split(" a , b\t,c ", ',', (const char *const[]){"a", "b", "c"}, 3);
    check_split("\"a,b\" ,\"c \"\"d\"\"\",", ',', (const char *const[]){"a,b", "c \"d\"", ""}, 3);
    check_split("a\t\tb", '\t', (const char *const[]){"a", "", "b"}, 3);
    check_split("a b;c", ';', (const char *const[]){"a b", "c"}, 2);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_bad_quotes(void)
{
    struct fields fields = {0};
    CU_ASSERT_FALSE(fields_split(&fields, "1,\"open", ',', &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "no closing quote"));
    CU_ASSERT_FALSE(fields_split(&fields, "\"a\"b,c", ',', &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "after a closing quote"));
    fields_clear(&fields);
}

static void test_tokens(void)
{
    static const char *const bad[] = {
        "",    "0",   "-1", "1.5", "abc", "12x", "1000000001", "99999999999999999999",
        "1e3", "+12", ".0", "0.0", " 7"};
    int64_t tokens = 0;
    CU_ASSERT_TRUE(fields_tokens("374", "p", 1, &tokens, &error) && tokens == 374);
    CU_ASSERT_TRUE(fields_tokens("374.0", "p", 1, &tokens, &error) && tokens == 374);
    CU_ASSERT_TRUE(fields_tokens("1000000000", "p", 1, &tokens, &error) && tokens == 1000000000);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_FALSE(fields_tokens(bad[i], "Prompt", 1, &tokens, &error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "Prompt: expected a whole number of tokens from 1"));
    }
}

static int64_t stamp(const char *text)
{
    int64_t time_ns = -1;
    CU_ASSERT_TRUE(fields_timestamp(text, "time", &time_ns, &error));
    return time_ns;
}

static void test_timestamps(void)
{
    CU_ASSERT_EQUAL(stamp("1970-01-01 00:00:00"), 0);
    CU_ASSERT_EQUAL(stamp("1970-01-01 00:00:00.0000001"), 100);
    CU_ASSERT_EQUAL(stamp("1970-01-01T00:00:00.123456789Z"), 123456789);
    CU_ASSERT_EQUAL(stamp("2023-11-16 18:15:46.6805900"), INT64_C(1700158546680590000));
    CU_ASSERT_EQUAL(stamp("2024-02-29 12:00:00"), INT64_C(1709208000000000000));
    CU_ASSERT_EQUAL(stamp("2000-03-01 00:00:00"), INT64_C(951868800000000000));
    CU_ASSERT_EQUAL(stamp("2024-05-10 00:00:00.009930+00:00"), INT64_C(1715299200009930000));
    CU_ASSERT_EQUAL(stamp("2024-05-10 01:30:00+01:30"), stamp("2024-05-10 00:00:00"));
    CU_ASSERT_EQUAL(stamp("2024-05-09 22:00:00-0200"), stamp("2024-05-10 00:00:00"));
    CU_ASSERT_EQUAL(stamp("1969-12-31 23:59:59.5"), -500000000);
}

static void test_bad_timestamps(void)
{
    static const char *const bad[] = {"",
                                      "12.5",
                                      "2023-11-16",
                                      "2023-11-16 18:15",
                                      "2023-13-16 18:15:46",
                                      "2023-02-29 18:15:46",
                                      "1900-02-29 18:15:46",
                                      "2023-11-31 18:15:46",
                                      "2023-11-16 24:00:00",
                                      "2023-11-16 18:60:00",
                                      "2023-11-16 18:15:60",
                                      "2023-11-16 18:15:46.",
                                      "2023-11-16 18:15:46.1234567890",
                                      "2023-11-16 18:15:46 UTC",
                                      "2023-11-16 18:15:46+1",
                                      "2023-11-16 18:15:46Z ",
                                      "23-11-16 18:15:46",
                                      "2123-11-16 18:15:46",
                                      "2023-11-16_18:15:46"};
    int64_t time_ns = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_FALSE(fields_timestamp(bad[i], "when", &time_ns, &error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "when: expected a time stamp such as"));
    }
}

static int64_t decimal(const char *text, int exponent)
{
    int64_t time_ns = -1;
    CU_ASSERT_TRUE(fields_time(text, "time", exponent, &time_ns, &error));
    return time_ns;
}

static void test_decimals(void)
{
    CU_ASSERT_EQUAL(decimal("0", 9), 0);
    CU_ASSERT_EQUAL(decimal("12.345678901", 9), INT64_C(12345678901));
    CU_ASSERT_EQUAL(decimal("0.1", 9), 100000000);
    CU_ASSERT_EQUAL(decimal("-0.1", 9), -100000000);
    CU_ASSERT_EQUAL(decimal("+.5", 6), 500000);
    CU_ASSERT_EQUAL(decimal("5.", 3), 5000);
    CU_ASSERT_EQUAL(decimal("1e-05", 9), 10000);
    CU_ASSERT_EQUAL(decimal("1.7E+3", 3), 1700000);
    CU_ASSERT_EQUAL(decimal("1700158546.680590123", 9), INT64_C(1700158546680590123));
    CU_ASSERT_EQUAL(decimal("3501.7219999999998", 9), INT64_C(3501722000000));
    CU_ASSERT_EQUAL(decimal("000000000000000000000000000000000000007", 0), 7);
    CU_ASSERT_EQUAL(decimal("0.00000000000000000000000000000000000000000000000000001", 9), 0);
    CU_ASSERT_EQUAL(decimal("1e-300", 9), 0);
}

static void test_decimal_rounding(void)
{
    CU_ASSERT_EQUAL(decimal("0.5", 0), 0);
    CU_ASSERT_EQUAL(decimal("1.5", 0), 2);
    CU_ASSERT_EQUAL(decimal("2.5", 0), 2);
    CU_ASSERT_EQUAL(decimal("2.50000000000000000001", 0), 3);
    CU_ASSERT_EQUAL(decimal("2.4999999999999999999", 0), 2);
    CU_ASSERT_EQUAL(decimal("-1.5", 0), -2);
    CU_ASSERT_EQUAL(decimal("0.6", 0), 1);
    CU_ASSERT_EQUAL(decimal("0.04", 0), 0);
}

static void test_bad_decimals(void)
{
    static const char *const bad[] = {"",    ".",     "-",     "e5",   "1e",
                                      "1e+", "1.2.3", "1,5",   "12s",  "nan",
                                      "inf", "0x10",  "1e999", "1e 5", "1234567890123456789012345678901"};
    static const char *const large[] = {"1e10", "5000000000", "1e300", "-5000000000"};
    int64_t time_ns = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_FALSE(fields_time(bad[i], "t", 9, &time_ns, &error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "t: expected a number"));
    }
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++) {
        CU_ASSERT_FALSE(fields_time(large[i], "t", 9, &time_ns, &error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "is the time unit right?"));
    }
}

int main(void)
{
    static const struct test_case cases[] = {
        {"splitting", test_split},
        {"bad quotes", test_bad_quotes},
        {"numbers of tokens", test_tokens},
        {"time stamps", test_timestamps},
        {"bad time stamps", test_bad_timestamps},
        {"decimal times", test_decimals},
        {"rounding of decimal times", test_decimal_rounding},
        {"bad decimal times", test_bad_decimals},
    };
    return test_main("workload fields", cases, sizeof cases / sizeof cases[0]);
}
