/*
 * Runs an example (EXAMPLE, its file) on six threads of one process: example_in_threads ARGUMENT …
 *
 * Each thread calls the example's main; "{}" in an argument is the thread's number.
 */
#include <string.h>
#define main example_main
#include EXAMPLE
#undef main

#include <pthread.h>

#define THREADS 6
#define MOST 8

struct call {
    int number, argc, failed;
    char **argv;
    pthread_t thread;
};

static void *work(void *argument) {
    struct call *call = argument;
    char texts[MOST][1024], *argv[MOST + 1] = {NULL};
    for (int at = 0; at < call->argc && at < MOST; at++) {
        const char *given = call->argv[at], *mark = strstr(given, "{}");
        if (mark) snprintf(texts[at], sizeof texts[at], "%.*s%d%s", (int)(mark - given), given, call->number, mark + 2);
        else snprintf(texts[at], sizeof texts[at], "%s", given);
        argv[at] = texts[at];
    }
    call->failed = example_main(call->argc, argv);
    return NULL;
}

int main(int argc, char **argv) {
    struct call calls[THREADS];
    int failed = 0;
    for (int at = 0; at < THREADS; at++) {
        calls[at] = (struct call){at, argc, 0, argv, 0};
        if (pthread_create(&calls[at].thread, NULL, work, &calls[at]) != 0) return 1;
    }
    for (int at = 0; at < THREADS; at++) {
        pthread_join(calls[at].thread, NULL);
        failed |= calls[at].failed;
    }
    return failed;
}
