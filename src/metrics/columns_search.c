/* The columns that results.h5 of a search has beside those of a sweep. */
#include "tandem/column.h"

#include "tandem/results.h"

#define NAMED COLUMN_NAMED
#define TABLE(symbol, path, text)                                                                            \
    const struct column_table column_##symbol = {path, text, symbol, sizeof symbol / sizeof symbol[0]}

#define PARAMETERS_DOC "What it tunes: path=value, separated by spaces; the rest is the deployment's `set`."
#define GOOD_DOC       "Requests within the SLO for a dollar: goodput_per_s x 3600 / cost_usd_per_hour."

const char *const search_status_names[] = {"found",   "out-of-reach", "beyond-high",  "dominated",
                                           "invalid", "failed",       "not-searched", NULL};

#define COLUMN(member, unit, doc) NAMED(#member, point_row, member, unit, doc, NULL)
static const struct column probes[] = {
    COLUMN(candidate, "1", "Row of /candidates."),
    COLUMN(seed, "1", "Seed of the run."),
    COLUMN(rate, "1", "Value of the path that search.rate names."),
};
TABLE(probes, "", "");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, search_candidate_row, member, unit, doc, NULL)
static const struct column search_candidates[] = {
    COLUMN(deployment, "", "Name of its deployment."),
    COLUMN(parameters, "", PARAMETERS_DOC),
    NAMED("status", search_candidate_row, status, "1",
          "What the search for goodput found, with all seeds together; dominated: another of its deployment "
          "holds "
          "a rate that it does not, its own highest is between goodput_rate and fails_at_rate.",
          search_status_names),
    COLUMN(best, "1",
           "1: the best of its deployment: highest goodput_rate; then least cost, highest attainment."),
    COLUMN(gpus, "1", "GPUs of all pools."),
    COLUMN(cost_usd_per_hour, "USD/h", "Price of all GPUs for an hour."),
    COLUMN(goodput_rate, "1", "Highest rate that was found to hold, with all seeds together; NaN: none."),
    COLUMN(fails_at_rate, "1", "Lowest rate that was found not to hold; NaN: none."),
    COLUMN(goodput_per_s, "1/s", "/points/goodput_per_s at goodput_rate, mean over seeds."),
    COLUMN(goodput_per_s_per_gpu, "1/s", "The same per GPU."),
    COLUMN(good_requests_per_usd, "1/USD", GOOD_DOC),
    COLUMN(slo_attainment, "1", "/points/slo_attainment at goodput_rate, mean over seeds."),
    COLUMN(usd_per_million_output_tokens, "USD",
           "/points/usd_per_million_output_tokens at goodput_rate, mean over seeds."),
    COLUMN(probes, "1", "Its rows of /points."),
    COLUMN(error, "", "Why it is invalid; else empty."),
};
TABLE(search_candidates, "/candidates",
      "One row per candidate of a search: deployments as written, combinations of their tune paths, the last "
      "fastest.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, search_deployment_row, member, unit, doc, NULL)
static const struct column search_deployments[] = {
    COLUMN(deployment, "", "Its name."),
    NAMED("status", search_deployment_row, status, "1",
          "Of its best candidate; invalid: it has no candidate.", search_status_names),
    COLUMN(candidate, "1", "Its best: row of /candidates; -1: none."),
    COLUMN(parameters, "", PARAMETERS_DOC),
    COLUMN(gpus, "1", "GPUs of all pools."),
    COLUMN(cost_usd_per_hour, "USD/h", "Price of all GPUs for an hour."),
    COLUMN(seeds, "1", "Seeds that hold the rate together; 0: none does."),
    COLUMN(goodput_rate, "1", "Highest rate that its best holds, with all seeds together; NaN: none."),
    COLUMN(goodput_rate_low, "1", "Least of /seeds/goodput_rate: how much hangs on the seed."),
    COLUMN(goodput_rate_high, "1", "Highest of them."),
    COLUMN(goodput_per_s, "1/s", "/points/goodput_per_s at goodput_rate, mean over seeds."),
    COLUMN(goodput_per_s_per_gpu, "1/s", "The same per GPU."),
    COLUMN(good_requests_per_usd, "1/USD", GOOD_DOC),
    COLUMN(slo_attainment, "1", "/points/slo_attainment there, mean over seeds."),
    COLUMN(usd_per_million_output_tokens, "USD",
           "/points/usd_per_million_output_tokens there, mean over seeds."),
};
TABLE(search_deployments, "/deployments", "One row per deployment of a search for goodput, as written.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, search_seed_row, member, unit, doc, NULL)
static const struct column search_seeds[] = {
    COLUMN(deployment, "", "Name of the deployment, whose best candidate it is."),
    COLUMN(seed, "1", "Seed: the same requests for all deployments."),
    NAMED("status", search_seed_row, status, "1", "What was found with this seed alone.",
          search_status_names),
    COLUMN(goodput_rate, "1", "Highest rate that holds; 0 where the lowest does not."),
    COLUMN(goodput_per_s, "1/s", "/points/goodput_per_s there; 0 where no rate holds."),
    COLUMN(usd_per_million_output_tokens, "USD",
           "/points/usd_per_million_output_tokens there; NaN where no rate holds."),
    COLUMN(point, "1", "Row of /points; -1: no rate holds."),
};
TABLE(search_seeds, "/seeds", "One row per deployment that has a best candidate, and seed.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, search_cheapest_row, member, unit, doc, NULL)
static const struct column search_cheapest[] = {
    COLUMN(rate, "1", "One of search.cheapest.rates."),
    COLUMN(candidate, "1",
           "The candidate of least cost_usd_per_hour that holds it, with all seeds together; of equal ones "
           "that of "
           "highest attainment: row of /candidates; -1: none holds it."),
    COLUMN(deployment, "", "Name of its deployment."),
    COLUMN(parameters, "", PARAMETERS_DOC),
    COLUMN(gpus, "1", "GPUs of all pools."),
    COLUMN(cost_usd_per_hour, "USD/h", "Price of all GPUs for an hour."),
    COLUMN(slo_attainment, "1", "/points/slo_attainment there, mean over seeds."),
    COLUMN(usd_per_million_output_tokens, "USD",
           "/points/usd_per_million_output_tokens there, mean over seeds."),
    COLUMN(point, "1", "Row of /points, with the first seed."),
};
TABLE(search_cheapest, "/cheapest", "One row per rate of search.cheapest.");
#undef COLUMN
