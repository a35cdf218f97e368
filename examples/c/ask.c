/* Answers a question about a recording, and streams the answer: ask PACKAGE RECORDING QUESTION */
#include <stdio.h>
#include <ualm.h>

struct run {
    ualm_model *model;
    ualm_session *session;
    ualm_audio *recording;
    ualm_prompt *prompt;
    ualm_generation *generation;
};

/* Prints warnings about the recording; its readable part is used. */
static void warn(const ualm_audio *recording) {
    const char *warning;
    size_t index = 0;
    while ((warning = ualm_audio_warning(recording, index++)) != NULL) fprintf(stderr, "warning: %s\n", warning);
}

/* Creates a prompt with the recording and the question, as one turn of the user. */
static ualm_status lay_out(struct run *run, const char *recording, const char *question) {
    ualm_status status;
    if ((status = ualm_audio_read(recording, 0, &run->recording)) != UALM_STATUS_OK) return status;
    warn(run->recording);
    if ((status = ualm_prompt_new(&run->prompt)) != UALM_STATUS_OK) return status;
    status = ualm_prompt_add_audio(run->prompt, UALM_ROLE_USER, UALM_MODALITY_AUDIO,
                                   ualm_audio_samples(run->recording));
    if (status != UALM_STATUS_OK) return status;
    return ualm_prompt_add_text(run->prompt, UALM_ROLE_USER, question);
}

static ualm_status begin(struct run *run, const char *package) {
    const int32_t words = UALM_MODALITY_TEXT;
    ualm_generation_options options;
    ualm_status status;
    if ((status = ualm_model_load(package, NULL, &run->model)) != UALM_STATUS_OK) return status;
    if ((status = ualm_session_new(run->model, &run->session)) != UALM_STATUS_OK) return status;
    if ((status = ualm_generation_options_init(&options, sizeof options, run->model)) != UALM_STATUS_OK) return status;
    options.force = &words;
    options.force_len = 1;
    options.max_segments = 1;
    return ualm_generation_new(run->session, run->prompt, &options, NULL, &run->generation);
}

static ualm_status answer(struct run *run) {
    const ualm_event *event;
    ualm_status status;
    while ((status = ualm_generation_next(run->generation, &event)) == UALM_STATUS_OK && event) {
        if (event->kind == UALM_EVENT_KIND_TEXT_DELTA) {
            fwrite(event->text, 1, event->text_len, stdout);
            fflush(stdout);
        }
    }
    putchar('\n');
    return status;
}

int main(int argc, char **argv) {
    struct run run = {NULL, NULL, NULL, NULL, NULL};
    ualm_status status;

    if (argc != 4) {
        fprintf(stderr, "usage: %s PACKAGE RECORDING QUESTION\n", argv[0]);
        return 2;
    }
    status = lay_out(&run, argv[2], argv[3]);
    if (status == UALM_STATUS_OK) status = begin(&run, argv[1]);
    if (status == UALM_STATUS_OK) status = answer(&run);
    if (status != UALM_STATUS_OK) fprintf(stderr, "error (%s): %s\n", ualm_status_name(status), ualm_last_error());

    ualm_generation_free(run.generation);
    ualm_prompt_free(run.prompt);
    ualm_audio_free(run.recording);
    ualm_session_free(run.session);
    ualm_model_free(run.model);
    return status != UALM_STATUS_OK;
}
