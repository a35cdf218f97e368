/* Checks for the test programs, which print the file and line and exit on failure. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ualm.h>

#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition, ualm_last_error()); \
            exit(1);                                                                                       \
        }                                                                                                  \
    } while (0)

/* Checks that a call succeeds. */
#define WORKS(call) CHECK((call) == UALM_STATUS_OK)

/* Checks that a call fails with `status` and a message. */
#define FAILS(expected, call)                          \
    do {                                               \
        CHECK((call) == (expected));                   \
        CHECK(ualm_last_status() == (expected));       \
        CHECK(strlen(ualm_last_error()) > 0);          \
    } while (0)

/* Checks that a call fails with `status` and with `words` in the message. */
#define SAYS(expected, words, call)                      \
    do {                                                 \
        FAILS(expected, call);                           \
        CHECK(strstr(ualm_last_error(), words) != NULL); \
    } while (0)

static inline ualm_model *load(const char *package) {
    ualm_model *model;
    WORKS(ualm_model_load(package, NULL, &model));
    return model;
}

/* Returns whether two segments have the same tokens. */
static inline int same(const ualm_segment *a, const ualm_segment *b) {
    const size_t bytes = a->frame_count * a->stream_count * sizeof *a->frames;
    return a->frame_count == b->frame_count && a->modality == b->modality && memcmp(a->frames, b->frames, bytes) == 0;
}

static inline ualm_prompt *words(const char *text) {
    ualm_prompt *prompt;
    WORKS(ualm_prompt_new(&prompt));
    WORKS(ualm_prompt_add_text(prompt, UALM_ROLE_USER, text));
    return prompt;
}

/* Options for one segment of `*modality` with at most `max_steps` steps. */
static inline ualm_generation_options one(const ualm_model *model, const int32_t *modality, uint32_t max_steps) {
    ualm_generation_options options;
    WORKS(ualm_generation_options_init(&options, sizeof options, model));
    options.force = modality;
    options.force_len = 1;
    options.max_segments = 1;
    options.text.max_steps = options.audio.max_steps = options.speech.max_steps = max_steps;
    return options;
}

/* Settings for long segments: all ids are equally likely, so that the end is rare. */
static inline ualm_generation_options endless(const ualm_model *model, const int32_t *modality) {
    ualm_generation_options options = one(model, modality, 4000);
    options.audio.temperature = 1000;
    options.audio.guidance = 1;
    options.audio.top_k = 0;
    options.seed = 8;
    return options;
}

#endif
