/* Power of a GPU: the form by hand, and the cap. */
#include "test.h"

#include "tandem/power.h"

static struct power_config defaults(void)
{
    struct power_config config;
    struct error error = {{0}};
    CU_ASSERT_FATAL(option_parse(&power_options, NULL, &config, &error));
    return config;
}

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-12 * (expected))

static void form(void)
{
    const struct power_config config = {.idle = 0.25, .mfu = 0.5, .mfu_exponent = 0.5, .mbu = 0.75};
    NEAR(power_watts(&config, 400, 0, 0), 100);
    NEAR(power_watts(&config, 400, 0.25, 0), 400 * (0.25 + 0.5 * 0.5));
    NEAR(power_watts(&config, 400, 0, 0.2), 400 * (0.25 + 0.15));
    NEAR(power_watts(&config, 400, 0.25, 0.2), 400 * (0.25 + 0.25 + 0.15));
    CU_ASSERT_EQUAL(power_watts(&config, 400, 1, 1), 400); /* the TDP */
    CU_ASSERT_EQUAL(power_cap_watts(&config, 400), 400);
}

static void cap(void)
{
    struct power_config config = defaults();
    config.cap_watts = 150;
    CU_ASSERT_EQUAL(power_cap_watts(&config, 400), 150);
    CU_ASSERT_EQUAL(power_watts(&config, 400, 0.5, 0.1), 150);
    NEAR(power_watts(&config, 400, 0, 0), 0.255 * 400);
    config.cap_watts = 500; /* above the TDP, for cards that may be set so */
    NEAR(power_watts(&config, 400, 1, 1), 500);

    struct error error = {{0}};
    struct power_config idle = defaults();
    CU_ASSERT(power_check(&idle, 400, NULL, &error));
    idle.cap_watts = 102; /* what an idle GPU takes */
    CU_ASSERT(power_check(&idle, 400, NULL, &error));
}

int main(void)
{
    static const struct test_case cases[] = {{"form", form}, {"cap", cap}};
    return test_main("power", cases, sizeof cases / sizeof cases[0]);
}
