/* Repeats create, generate one step, cancel, free; memory and open files must not grow: rounds PACKAGE COUNT */
#include <dirent.h>
#include <malloc.h>

#include "check.h"

static long resident_kib(void) {
    char line[256];
    long found = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &found) == 1) break;
    if (status) fclose(status);
    return found;
}

static int entries(const char *folder) {
    int found = 0;
    DIR *opened = opendir(folder);
    while (opened && readdir(opened)) found++;
    if (opened) closedir(opened);
    return found;
}

static void one_round(const ualm_model *model, long round) {
    const int32_t audio = UALM_MODALITY_AUDIO;
    ualm_generation_options options = one(model, &audio, 8);
    ualm_session *session;
    ualm_generation *generation;
    ualm_cancel *cancel;
    const ualm_event *event;
    ualm_prompt *prompt = words("rain");
    options.seed = (uint64_t)round;
    WORKS(ualm_session_new(model, &session));
    WORKS(ualm_cancel_new(&cancel));
    WORKS(ualm_generation_new(session, prompt, &options, cancel, &generation));
    WORKS(ualm_generation_next(generation, &event)); /* the segment begins */
    WORKS(ualm_generation_next(generation, &event)); /* the first step */
    WORKS(ualm_cancel_throw(cancel));
    if (round % 2) { /* half of the replies to the end, half freed early */
        do WORKS(ualm_generation_next(generation, &event));
        while (event);
    }
    FAILS(UALM_STATUS_INVALID, ualm_prompt_add_text(prompt, 0, "x"));
    ualm_generation_free(generation);
    ualm_cancel_free(cancel);
    ualm_prompt_free(prompt);
    ualm_session_free(session);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    const long count = atol(argv[2]);
    ualm_model *model = load(argv[1]);
    long warm = 0;
    int files = 0, threads = 0;
    for (long round = 0; round < count; round++) {
        if (round == count / 10) {
            malloc_trim(0);
            warm = resident_kib(), files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
        }
        one_round(model, round);
    }
    malloc_trim(0);
    printf("%ld rounds: %ld KiB resident after a tenth of them, %ld at the end; ", count, warm, resident_kib());
    printf("open files %d, %d; threads %d, %d\n", files, entries("/proc/self/fd"), threads, entries("/proc/self/task"));
    CHECK(entries("/proc/self/fd") == files && entries("/proc/self/task") == threads);
#ifndef __SANITIZE_ADDRESS__ /* the sanitizer delays the release of freed memory */
    CHECK(resident_kib() <= warm + 4096);
#endif
    ualm_model_free(model);
    return 0;
}
