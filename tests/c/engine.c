/* Concurrent conversations: engine PACKAGE */
#include <pthread.h>

#include "check.h"

#define SESSIONS 4

static const int32_t AUDIO = UALM_MODALITY_AUDIO;
static const char *const TEXTS[SESSIONS] = {"a dog barks", "rain", "what is it?", "a bell rings twice"};

struct job {
    ualm_session *session;
    const ualm_checkpoint *from; /* NULL: the prompt */
    const char *text;
    ualm_generation_options options;
    ualm_reply *reply;
};

static void *work(void *argument) {
    struct job *job = argument;
    if (job->from) {
        WORKS(ualm_session_generate_from(job->session, job->from, &job->options, NULL, NULL, NULL, &job->reply));
    } else {
        ualm_prompt *prompt = words(job->text);
        WORKS(ualm_session_generate(job->session, prompt, &job->options, NULL, NULL, NULL, &job->reply));
        ualm_prompt_free(prompt);
    }
    return NULL;
}

static void run(struct job *jobs) {
    pthread_t threads[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    for (int i = 0; i < SESSIONS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Checks that the job's reply is the same as without an engine; frees the reply. */
static void is_as_alone(const ualm_model *model, struct job *job) {
    struct job alone = *job;
    alone.from = NULL;
    WORKS(ualm_session_new(model, &alone.session));
    work(&alone);
    const ualm_segment *a = ualm_reply_segment(job->reply, 0), *b = ualm_reply_segment(alone.reply, 0);
    CHECK(a->frame_count > 0 && same(a, b));
    ualm_reply_free(alone.reply), ualm_reply_free(job->reply), ualm_session_free(alone.session);
}

static ualm_engine *engine_of(const ualm_model *model, size_t slots) {
    ualm_engine_options options;
    ualm_engine *engine;
    WORKS(ualm_engine_options_init(&options, sizeof options));
    CHECK(options.slots > 0 && options.context == 0 && options.prefill_chunk > 0);
    options.slots = slots;
    options.context = 200;
    WORKS(ualm_engine_new(model, &options, &engine));
    CHECK(ualm_engine_context(engine) == 200);
    return engine;
}

static ualm_engine_stats stats_of(const ualm_engine *engine) {
    ualm_engine_stats stats;
    WORKS(ualm_engine_read_stats(engine, &stats, sizeof stats));
    return stats;
}

static void replies_together_are_those_of_sessions_alone(const ualm_model *model) {
    ualm_engine *engine = engine_of(model, 2 * SESSIONS);
    struct job jobs[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) {
        jobs[i] = (struct job){.text = TEXTS[i], .options = one(model, &AUDIO, 24)};
        jobs[i].options.seed = (uint64_t)i;
        jobs[i].options.audio.guidance = i % 2 ? 3.0f : 1.0f;
        WORKS(ualm_engine_session_new(engine, &jobs[i].options, &jobs[i].session));
        CHECK(ualm_session_max_positions(jobs[i].session) == 200);
    }
    const ualm_engine_stats before = stats_of(engine);
    CHECK(before.slots == 2 * SESSIONS && before.sessions == SESSIONS && before.free_slots == SESSIONS / 2);
    run(jobs);
    const ualm_engine_stats after = stats_of(engine);
    CHECK(after.steps > 0 && after.row_steps >= after.steps && after.prompt_positions > 0);
    for (int i = 0; i < SESSIONS; i++) is_as_alone(model, &jobs[i]), ualm_session_free(jobs[i].session);
    CHECK(stats_of(engine).free_slots == 2 * SESSIONS);
    ualm_engine_free(engine);
}

/* One prompt, and a reply in every fork; the engine is freed first. */
static void forks_begin_where_a_prompt_ended(const ualm_model *model) {
    ualm_engine *engine = engine_of(model, 2 * SESSIONS);
    ualm_prompt *prompt = words(TEXTS[0]);
    ualm_checkpoint *checkpoint;
    ualm_session *another;
    struct job jobs[SESSIONS];
    WORKS(ualm_engine_session_new(engine, NULL, &jobs[0].session));
    ualm_session *first = jobs[0].session;
    WORKS(ualm_session_checkpoint(first, prompt, NULL, &checkpoint));
    for (int i = 0; i < SESSIONS; i++) {
        jobs[i] = (struct job){.session = first, .from = checkpoint, .text = TEXTS[0], .options = one(model, &AUDIO, 24)};
        jobs[i].options.seed = (uint64_t)i;
        if (i) WORKS(ualm_session_fork(first, checkpoint, &jobs[i].session));
    }
    CHECK(stats_of(engine).free_slots == 0);
    SAYS(UALM_STATUS_LIMIT, "slots", ualm_session_fork(first, checkpoint, &another));
    FAILS(UALM_STATUS_INVALID, ualm_session_fork(first, NULL, &another));
    CHECK(another == NULL);
    ualm_engine_free(engine);
    run(jobs);
    for (int i = 0; i < SESSIONS; i++) {
        ualm_record *record;
        WORKS(ualm_session_record(jobs[i].session, &record));
        CHECK(ualm_record_turn_count(record) == 1 && ualm_record_segment_count(record, 0) == 1);
        ualm_record_free(record);
        is_as_alone(model, &jobs[i]);
        ualm_session_free(jobs[i].session);
    }
    ualm_checkpoint_free(checkpoint), ualm_prompt_free(prompt);
}

/* A session without an engine can be forked as well. */
static void sessions_alone_fork(const ualm_model *model) {
    ualm_session *session, *fork;
    ualm_prompt *prompt = words(TEXTS[1]);
    ualm_checkpoint *checkpoint;
    WORKS(ualm_session_new(model, &session));
    WORKS(ualm_session_checkpoint(session, prompt, NULL, &checkpoint));
    WORKS(ualm_session_fork(session, checkpoint, &fork));
    ualm_session_free(session);
    struct job job = {.session = fork, .from = checkpoint, .text = TEXTS[1], .options = one(model, &AUDIO, 24)};
    work(&job);
    is_as_alone(model, &job);
    ualm_session_free(fork), ualm_checkpoint_free(checkpoint), ualm_prompt_free(prompt);
}

static void what_makes_no_sense_is_refused(const ualm_model *model) {
    ualm_engine_options options;
    ualm_engine *engine;
    ualm_session *session;
    ualm_engine_stats stats;
    WORKS(ualm_engine_options_init(&options, sizeof options));
    options.slots = 0;
    FAILS(UALM_STATUS_INVALID, ualm_engine_new(model, &options, &engine));
    CHECK(engine == NULL);
    options.slots = 1;
    options.context = SIZE_MAX;
    FAILS(UALM_STATUS_LIMIT, ualm_engine_new(model, &options, &engine));
    FAILS(UALM_STATUS_INVALID, ualm_engine_new(NULL, NULL, &engine));
    FAILS(UALM_STATUS_INVALID, ualm_engine_new(model, NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_engine_session_new(NULL, NULL, &session));
    FAILS(UALM_STATUS_INVALID, ualm_engine_read_stats(NULL, &stats, sizeof stats));
    CHECK(ualm_engine_context(NULL) == 0 && ualm_last_status() == UALM_STATUS_INVALID);

    engine = engine_of(model, 1);
    FAILS(UALM_STATUS_INVALID, ualm_engine_read_stats(engine, NULL, sizeof stats));
    ualm_generation_options guided = one(model, &AUDIO, 8), plain = guided;
    guided.audio.guidance = 3, plain.audio.guidance = 1;
    SAYS(UALM_STATUS_LIMIT, "slots", ualm_engine_session_new(engine, &guided, &session));
    WORKS(ualm_engine_session_new(engine, &plain, &session));
    ualm_session_free(session);
    ualm_engine_free(engine);
    ualm_engine_free(NULL);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ualm_model *model = load(argv[1]);
    replies_together_are_those_of_sessions_alone(model);
    forks_begin_where_a_prompt_ended(model);
    sessions_alone_fork(model);
    what_makes_no_sense_is_refused(model);
    ualm_model_free(model);
    return 0;
}
