/* Generates one audio segment and prints its tokens as JSON: frames PACKAGE PROMPT SEED */
#include "check.h"

int main(int argc, char **argv) {
    const int32_t audio = UALM_MODALITY_AUDIO;
    CHECK(argc == 4);
    ualm_model *model = load(argv[1]);
    ualm_session *session;
    WORKS(ualm_session_new(model, &session));
    ualm_prompt *prompt = words(argv[2]);
    ualm_generation_options options;
    WORKS(ualm_generation_options_init(&options, sizeof options, model));
    options.force = &audio;
    options.force_len = options.max_segments = 1;
    options.seed = strtoull(argv[3], NULL, 10);
    ualm_reply *reply;
    WORKS(ualm_session_generate(session, prompt, &options, NULL, NULL, NULL, &reply));
    CHECK(ualm_reply_segment_count(reply) == 1);
    const ualm_segment *segment = ualm_reply_segment(reply, 0);
    putchar('[');
    for (size_t frame = 0; frame < segment->frame_count; frame++) {
        for (size_t stream = 0; stream < segment->stream_count; stream++) {
            const char *before = stream ? "," : frame ? ",[" : "[";
            printf("%s%lu", before, (unsigned long)segment->frames[frame * segment->stream_count + stream]);
        }
        putchar(']');
    }
    puts("]");
    ualm_reply_free(reply);
    ualm_prompt_free(prompt);
    ualm_session_free(session);
    ualm_model_free(model);
    return 0;
}
