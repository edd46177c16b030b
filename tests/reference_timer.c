/* What the second simulator shares with Tandem: timers from the files of clusters/. */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>

#include "cluster_file.h"
#include "tandem/gpu.h"

struct timer *reference_timer(const char *model_name, const struct model_layout *layout, int64_t stage,
                              double prefill_ms, double decode_ms)
{
    char name[100];
    struct gpu gpu;
    struct model model;
    struct error error = {{0}};
    struct timer_config config;
    snprintf(name, sizeof name, "models/%s", model_name);
    struct config *gpu_file = cluster_file("gpus/h100-sxm"), *model_file = cluster_file(name);
    if (!option_parse(&timer_options, NULL, &config, &error) ||
        !gpu_parse(config_root(gpu_file), &gpu, &error) ||
        !model_parse(config_root(model_file), &model, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    config.level = prefill_ms > 0 ? TIMER_FIXED : TIMER_CALIBRATED;
    config.prefill_ms = prefill_ms;
    config.decode_ms = decode_ms;
    struct work_shape shape = model_shape(&model, layout, stage);
    struct timer *timer = timer_new(&gpu, &shape, &config);
    config_free(gpu_file);
    config_free(model_file);
    return timer;
}
