/* A chain whose stages are separate requests: chains_by_prompt PACKAGE. Prints the tokens of its segments. */
#include <stddef.h>

#include "check.h"

static ualm_chain_options defaults(void) {
    ualm_chain_options options;
    WORKS(ualm_chain_options_init(&options, sizeof options));
    CHECK(options.wording == NULL);
    options.mode = UALM_REASONING_MODE_REFLECT;
    options.seed = 5;
    return options;
}

static ualm_chain *begin(const ualm_model *model, const ualm_chain_options *options) {
    ualm_chain *chain;
    WORKS(ualm_chain_new(model, NULL, "rain", options, NULL, NULL, &chain));
    return chain;
}

static void run(ualm_chain *chain) {
    const ualm_take_event *event;
    do WORKS(ualm_chain_next(chain, &event));
    while (event);
}

static void print(const ualm_chain *chain) {
    for (size_t i = 0; i < ualm_chain_stage_count(chain); i++) {
        const ualm_segment *segment = ualm_chain_segment(chain, i);
        CHECK(segment);
        printf("[");
        for (size_t j = 0; j < segment->frame_count * segment->stream_count; j++)
            printf("%s%u", j ? ", " : "", segment->frames[j]);
        printf("]\n");
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ualm_model *model = load(argv[1]);
    ualm_chain_options options = defaults();
    ualm_chain *chain = begin(model, &options);
    CHECK(ualm_chain_stage_count(chain) == 5 && ualm_chain_stage(chain, 2) == UALM_STAGE_DESCRIPTION);
    run(chain);
    print(chain);

    /* resumed before the description, the chain is the same */
    ualm_record *record;
    ualm_chain *resumed;
    WORKS(ualm_chain_record(chain, &record));
    WORKS(ualm_chain_resume(model, NULL, record, 2, &options, NULL, NULL, &resumed));
    run(resumed);
    for (size_t i = 2; i < 5; i++) CHECK(same(ualm_chain_segment(chain, i), ualm_chain_segment(resumed, i)));
    ualm_chain_free(resumed);
    ualm_record_free(record);

    /* a wording, and a program that was compiled before wordings existed */
    options.wording = "{\"plan\": \"Say {words}.\"}";
    ualm_chain *worded = begin(model, &options);
    run(worded);
    CHECK(!same(ualm_chain_segment(chain, 0), ualm_chain_segment(worded, 0)));
    ualm_chain_free(worded);
    options.struct_size = offsetof(ualm_chain_options, wording);
    ualm_chain *older = begin(model, &options);
    run(older);
    CHECK(same(ualm_chain_segment(chain, 0), ualm_chain_segment(older, 0)));
    ualm_chain_free(older);
    options.struct_size = sizeof options;
    options.wording = "{\"plan\": \"{wrods}\"}";
    SAYS(UALM_STATUS_INVALID, "{words}", ualm_chain_new(model, NULL, "rain", &options, NULL, NULL, &worded));
    ualm_chain_free(chain);
    ualm_model_free(model);
    return 0;
}
