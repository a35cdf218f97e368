/* Threads and stopping: threads PACKAGE */
#include <pthread.h>
#include <time.h>

#include "check.h"

static const int32_t AUDIO = UALM_MODALITY_AUDIO;

static void pause_ms(long milliseconds) {
    const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

struct job {
    const ualm_model *model;
    const char *text;
    ualm_reply *reply;
};

static void *work(void *argument) {
    struct job *job = argument;
    ualm_session *session;
    ualm_prompt *prompt = words(job->text);
    ualm_generation_options options = one(job->model, &AUDIO, 40);
    WORKS(ualm_session_new(job->model, &session));
    WORKS(ualm_session_generate(session, prompt, &options, NULL, NULL, NULL, &job->reply));
    /* each thread has its own last error */
    CHECK(ualm_last_status() == UALM_STATUS_OK);
    FAILS(UALM_STATUS_INVALID, ualm_model_load_all(NULL));
    ualm_prompt_free(prompt);
    ualm_session_free(session);
    return NULL;
}

static void two_sessions_on_two_threads(const ualm_model *model) {
    struct job jobs[] = {{model, "a dog barks", NULL}, {model, "rain", NULL}};
    struct job alone[] = {{model, "a dog barks", NULL}, {model, "rain", NULL}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, &alone[i]) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(same(ualm_reply_segment(jobs[i].reply, 0), ualm_reply_segment(alone[i].reply, 0)));
        ualm_reply_free(jobs[i].reply);
        ualm_reply_free(alone[i].reply);
    }
}

struct run {
    ualm_session *session;
    ualm_prompt *prompt;
    const ualm_generation_options *options;
    ualm_cancel *cancel;
    ualm_generation *generation;
    size_t events;
    size_t stop_after;
    pthread_barrier_t *amid;
};

static int count(const ualm_event *event, void *argument) {
    struct run *run = argument;
    (void)event;
    if (++run->events == 5 && run->amid) pthread_barrier_wait(run->amid);
    return run->events == run->stop_after;
}

static void *cancel_amid(void *argument) {
    struct run *run = argument;
    pthread_barrier_wait(run->amid);
    pause_ms(20);
    WORKS(ualm_cancel_throw(run->cancel));
    return NULL;
}

static void cancelled_by_another_thread(struct run run) {
    ualm_reply *reply;
    pthread_barrier_t amid;
    pthread_t thread;
    CHECK(pthread_barrier_init(&amid, NULL, 2) == 0);
    run.amid = &amid;
    WORKS(ualm_cancel_new(&run.cancel));
    CHECK(!ualm_cancel_is_thrown(run.cancel));
    CHECK(pthread_create(&thread, NULL, cancel_amid, &run) == 0);
    WORKS(ualm_session_generate(run.session, run.prompt, run.options, run.cancel, count, &run, &reply));
    CHECK(pthread_join(thread, NULL) == 0 && pthread_barrier_destroy(&amid) == 0);
    CHECK(ualm_cancel_is_thrown(run.cancel) && run.events > 5);
    CHECK(ualm_reply_segment_count(reply) == 1);
    CHECK(ualm_reply_segment(reply, 0)->end == UALM_SEGMENT_END_CANCELLED);
    CHECK(ualm_reply_segment(reply, 0)->frame_count == ualm_reply_usage(reply)->steps);
    ualm_reply_free(reply);

    /* the token stays cancelled: nothing is generated, which is not a failure */
    WORKS(ualm_session_generate(run.session, run.prompt, run.options, run.cancel, NULL, NULL, &reply));
    CHECK(ualm_reply_segment_count(reply) == 0 && ualm_reply_audio(reply) == NULL && ualm_reply_text(reply)[0] == 0);
    ualm_reply_free(reply);
    ualm_cancel_free(run.cancel);
}

static void stopped_by_its_callback(struct run run) {
    ualm_reply *reply;
    run.stop_after = 5;
    WORKS(ualm_cancel_new(&run.cancel));
    WORKS(ualm_session_generate(run.session, run.prompt, run.options, run.cancel, count, &run, &reply));
    CHECK(run.events == 5);
    CHECK(ualm_reply_segment(reply, 0)->end == UALM_SEGMENT_END_CANCELLED);
    CHECK(!ualm_cancel_is_thrown(run.cancel));
    ualm_reply_free(reply);
    /* without an out-pointer for the reply */
    run.events = 0;
    WORKS(ualm_session_generate(run.session, run.prompt, run.options, run.cancel, count, &run, NULL));
    CHECK(run.events == 5);
    ualm_cancel_free(run.cancel);
}

static int meddle(const ualm_event *event, void *argument) {
    struct run *run = argument;
    size_t position;
    if (event->kind != UALM_EVENT_KIND_AUDIO_PROGRESS) return 0;
    FAILS(UALM_STATUS_BUSY, ualm_session_position(run->session, &position));
    FAILS(UALM_STATUS_BUSY, ualm_session_generate(run->session, run->prompt, NULL, NULL, NULL, NULL, NULL));
    ualm_session_free(run->session);
    ualm_prompt_free(run->prompt);
    return 1;
}

static void a_callback_may_not_go_on_but_free(const ualm_model *model, struct run run) {
    WORKS(ualm_session_new(model, &run.session));
    run.prompt = words("rain");
    WORKS(ualm_session_generate(run.session, run.prompt, run.options, NULL, meddle, &run, NULL));
}

static void *pull(void *argument) {
    struct run *run = argument;
    const ualm_event *event;
    do {
        WORKS(ualm_generation_next(run->generation, &event));
        run->events++;
        if (event && event->segment) CHECK(event->segment->end == UALM_SEGMENT_END_CANCELLED);
    } while (event);
    return NULL;
}

static void pulled_by_one_thread_and_stopped_by_another(struct run run) {
    const ualm_event *event;
    pthread_t thread;
    WORKS(ualm_generation_new(run.session, run.prompt, run.options, NULL, &run.generation));
    WORKS(ualm_generation_next(run.generation, &event));
    CHECK(event->kind == UALM_EVENT_KIND_SEGMENT_STARTED && event->modality == UALM_MODALITY_AUDIO);
    CHECK(pthread_create(&thread, NULL, pull, &run) == 0);
    pause_ms(100);
    WORKS(ualm_generation_stop(run.generation));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(run.events > 3);
    ualm_generation_free(run.generation);
}

/* Two threads on one session: each call succeeds or fails as busy. */
static void *race(void *argument) {
    struct run *run = argument;
    ualm_generation_options options = *run->options;
    options.audio.max_steps = 3;
    for (int i = 0; i < 20; i++) {
        ualm_status status =
            ualm_session_generate(run->session, run->prompt, &options, NULL, NULL, NULL, NULL);
        CHECK(status == UALM_STATUS_OK || status == UALM_STATUS_BUSY);
        run->events += status == UALM_STATUS_OK;
    }
    return NULL;
}

static void a_race_for_a_session(const struct run run) {
    struct run runs[] = {run, run};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, race, &runs[i]) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(runs[0].events + runs[1].events >= 20);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ualm_model *model = load(argv[1]);
    ualm_generation_options options = endless(model, &AUDIO);
    struct run run = {NULL, words("a dog barks"), &options, NULL, NULL, 0, 0, NULL};
    two_sessions_on_two_threads(model);
    WORKS(ualm_session_new(model, &run.session));
    cancelled_by_another_thread(run);
    ualm_session_free(run.session);
    WORKS(ualm_session_new(model, &run.session));
    stopped_by_its_callback(run);
    a_callback_may_not_go_on_but_free(model, run);
    pulled_by_one_thread_and_stopped_by_another(run);
    a_race_for_a_session(run);
    ualm_session_free(run.session);
    ualm_prompt_free(run.prompt);
    ualm_model_free(model);
    return 0;
}
