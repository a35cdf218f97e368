/* Runs a chain of reasoning in the package's mode, such as a plan and a sound: reason PACKAGE WORDS OUT.wav [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ualm.h>

/* All handles, freed at the end; NULL until created. */
struct run {
    ualm_model *model;
    ualm_chain *chain;
    ualm_record *record;
};

static const char *name(ualm_stage stage) {
    static const char *const names[] = {"", "question", "answer", "plan", "draft", "listen", "critique", "final",
                                        "description"};
    return stage >= UALM_STAGE_QUESTION && stage <= UALM_STAGE_DESCRIPTION ? names[stage] : "";
}

/* Answers a question of the model with a line from standard input. */
static ualm_status answer(ualm_chain *chain) {
    char line[1024];
    printf("answer: ");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) line[0] = 0;
    line[strcspn(line, "\n")] = 0;
    return ualm_chain_answer(chain, line);
}

static ualm_status show(ualm_chain *chain, const ualm_take_event *event) {
    switch (event->kind) {
    case UALM_TAKE_EVENT_KIND_SEGMENT_STARTED:
        printf("%s: ", name(event->stage));
        break;
    case UALM_TAKE_EVENT_KIND_TEXT_DELTA:
        fwrite(event->text, 1, event->text_len, stdout);
        break;
    case UALM_TAKE_EVENT_KIND_STAGE_ENDED:
        if (event->audio) printf("%.2f s", (double)event->audio->frames / event->audio->sample_rate);
        if (event->segment) printf("\n");
        break;
    case UALM_TAKE_EVENT_KIND_QUESTION:
        return answer(chain);
    default: /* later versions may add kinds */
        break;
    }
    fflush(stdout);
    return UALM_STATUS_OK;
}

static ualm_status make(struct run *run, const char *package, const char *words, uint64_t seed, const char *out) {
    ualm_chain_options options;
    const ualm_take_event *event;
    ualm_status status;

    if ((status = ualm_model_load(package, NULL, &run->model)) != UALM_STATUS_OK) return status;
    if ((status = ualm_chain_options_init(&options, sizeof options)) != UALM_STATUS_OK) return status;
    options.seed = seed;
    status = ualm_chain_new(run->model, NULL, words, &options, NULL, NULL, &run->chain);
    while (status == UALM_STATUS_OK && (status = ualm_chain_next(run->chain, &event)) == UALM_STATUS_OK && event)
        status = show(run->chain, event);
    if (status != UALM_STATUS_OK) return status;

    /* the record in the file allows to reproduce the sound and to resume the chain */
    if ((status = ualm_chain_record(run->chain, &run->record)) != UALM_STATUS_OK) return status;
    const ualm_samples *sound = ualm_chain_audio(run->chain, ualm_chain_stage_count(run->chain) - 1);
    return ualm_record_write_wav(run->record, out, sound, UALM_WAV_FORMAT_PCM16);
}

int main(int argc, char **argv) {
    struct run run = {NULL, NULL, NULL};
    ualm_status status;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: %s PACKAGE WORDS OUT.wav [SEED]\n", argv[0]);
        return 2;
    }
    status = make(&run, argv[1], argv[2], argc == 5 ? strtoull(argv[4], NULL, 10) : 0, argv[3]);
    if (status == UALM_STATUS_OK) printf("%s\n", argv[3]);
    else fprintf(stderr, "error (%s): %s\n", ualm_status_name(status), ualm_last_error());

    ualm_record_free(run.record);
    ualm_chain_free(run.chain);
    ualm_model_free(run.model);
    return status != UALM_STATUS_OK;
}
