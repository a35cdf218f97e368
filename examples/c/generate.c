/* Generates a sound from a description: generate PACKAGE PROMPT OUT.wav [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <ualm.h>

/* All handles, freed at the end; NULL until created. */
struct run {
    ualm_model *model;
    ualm_session *session;
    ualm_prompt *prompt;
    ualm_reply *reply;
};

static int show_progress(const ualm_event *event, void *user_data) {
    (void)user_data;
    if (event->kind == UALM_EVENT_KIND_AUDIO_PROGRESS) fprintf(stderr, "\r%.1f s ", event->seconds);
    if (event->kind == UALM_EVENT_KIND_FINISHED) fputs("\n", stderr);
    return 0; /* any other value would stop */
}

static ualm_status make(struct run *run, const char *package, const char *words, uint64_t seed) {
    const int32_t sound = UALM_MODALITY_AUDIO;
    ualm_generation_options options;
    ualm_status status;

    if ((status = ualm_model_load(package, NULL, &run->model)) != UALM_STATUS_OK) return status;
    if ((status = ualm_session_new(run->model, &run->session)) != UALM_STATUS_OK) return status;
    if ((status = ualm_prompt_new(&run->prompt)) != UALM_STATUS_OK) return status;
    if ((status = ualm_prompt_add_text(run->prompt, UALM_ROLE_USER, words)) != UALM_STATUS_OK) return status;
    if ((status = ualm_generation_options_init(&options, sizeof options, run->model)) != UALM_STATUS_OK) return status;
    options.force = &sound;
    options.force_len = 1;
    options.max_segments = 1;
    options.seed = seed;
    return ualm_session_generate(run->session, run->prompt, &options, NULL, show_progress, NULL, &run->reply);
}

int main(int argc, char **argv) {
    struct run run = {NULL, NULL, NULL, NULL};
    ualm_status status;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s PACKAGE PROMPT OUT.wav [SEED]\n", argv[0]);
        return 2;
    }
    status = make(&run, argv[1], argv[2], argc == 5 ? strtoull(argv[4], NULL, 10) : 0);
    if (status == UALM_STATUS_OK) {
        const ualm_samples *sound = ualm_reply_audio(run.reply);
        status = ualm_wav_write(argv[3], sound, UALM_WAV_FORMAT_PCM16);
        if (status == UALM_STATUS_OK) printf("%s: %.2f s\n", argv[3], (double)sound->frames / sound->sample_rate);
    }
    if (status != UALM_STATUS_OK) fprintf(stderr, "error (%s): %s\n", ualm_status_name(status), ualm_last_error());

    ualm_reply_free(run.reply);
    ualm_prompt_free(run.prompt);
    ualm_session_free(run.session);
    ualm_model_free(run.model);
    return status != UALM_STATUS_OK;
}
