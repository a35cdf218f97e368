/* Chains and takes: chains PACKAGE. Prints the tokens of a chain, and of the takes of a prompt. */
#include "check.h"

static const char PLAN[] = "Keywords: rain. Layout: 0-1 rain. Description: It rains.";

/* Settings with which a small model samples a few steps. */
static ualm_generation_options drawn(const ualm_model *model) {
    ualm_generation_options settings;
    WORKS(ualm_generation_options_init(&settings, sizeof settings, model));
    settings.audio.temperature = 1;
    settings.audio.max_steps = 14;
    return settings;
}

static ualm_chain_options defaults(int32_t mode) {
    ualm_chain_options options;
    WORKS(ualm_chain_options_init(&options, sizeof options));
    CHECK(options.takes == 1 && options.listen == -1 && options.mode == UALM_REASONING_MODE_USUAL);
    options.mode = mode;
    options.seed = 5;
    return options;
}

static ualm_chain *begin(const ualm_model *model, const ualm_engine *engine, const ualm_chain_options *options) {
    const ualm_generation_options settings = drawn(model);
    ualm_chain *chain;
    WORKS(ualm_chain_new(engine ? NULL : model, engine, "rain", options, &settings, NULL, &chain));
    return chain;
}

/* Returns the next event of `kind`; NULL after the last event. */
static const ualm_take_event *pull_to(ualm_chain *chain, ualm_take_event_kind kind) {
    const ualm_take_event *event;
    do WORKS(ualm_chain_next(chain, &event));
    while (event && event->kind != kind);
    return event;
}

static void finish(ualm_chain *chain) {
    const ualm_take_event *event = pull_to(chain, UALM_TAKE_EVENT_KIND_FINISHED);
    CHECK(event && event->usage && event->usage->steps > 0);
    WORKS(ualm_chain_next(chain, &event));
    CHECK(!event);
}

static void same_chains(ualm_chain *a, ualm_chain *b) {
    CHECK(ualm_chain_stage_count(a) == ualm_chain_stage_count(b));
    for (size_t i = 0; i < ualm_chain_stage_count(a); i++) {
        const ualm_segment *first = ualm_chain_segment(a, i), *second = ualm_chain_segment(b, i);
        if (first && second) CHECK(same(first, second));
    }
}

static void print(const ualm_segment *segment) {
    printf("[");
    for (size_t i = 0; i < segment->frame_count * segment->stream_count; i++)
        printf("%s%u", i ? ", " : "", segment->frames[i]);
    printf("]\n");
}

static void a_chain_tells_of_its_stages(const ualm_model *model) {
    const ualm_stage stages[] = {UALM_STAGE_PLAN, UALM_STAGE_DRAFT, UALM_STAGE_LISTEN, UALM_STAGE_CRITIQUE,
                                 UALM_STAGE_FINAL};
    ualm_chain_options options = defaults(UALM_REASONING_MODE_REFLECT);
    options.listen = 1;
    options.stream_audio = 1;
    ualm_chain *chain = begin(model, NULL, &options), *resumed;
    ualm_record *record, *read;
    const ualm_take_event *event;
    size_t ended = 0, chunks = 0;
    char *json;
    CHECK(!ualm_chain_is_trained(chain));
    CHECK(ualm_chain_stage_count(chain) == 5 && ualm_chain_stage(chain, 5) == UALM_STAGE_NONE);
    WORKS(ualm_chain_next(chain, &event));
    CHECK(event->kind == UALM_TAKE_EVENT_KIND_SEGMENT_STARTED && event->modality == UALM_MODALITY_TEXT);
    FAILS(UALM_STATUS_BUSY, ualm_chain_record(chain, &record));
    FAILS(UALM_STATUS_BUSY, ualm_chain_set_plan(chain, PLAN));
    while (event) {
        if (event->kind == UALM_TAKE_EVENT_KIND_AUDIO_CHUNK) chunks += event->audio->frames > 0;
        if (event->kind == UALM_TAKE_EVENT_KIND_SEGMENT_ENDED) {
            CHECK(event->stage == stages[ended] && event->segment_index == ended);
            CHECK((event->audio != NULL) == (event->modality == UALM_MODALITY_AUDIO));
        }
        if (event->kind == UALM_TAKE_EVENT_KIND_STAGE_ENDED) {
            CHECK(event->stage == stages[ended] && event->segment_index == ended);
            CHECK(event->stage == ualm_chain_stage(chain, ended) && event->stop == UALM_STOP_REASON_NONE);
            CHECK(event->segment == ualm_chain_segment(chain, ended));
            CHECK(event->audio == ualm_chain_audio(chain, ended));
            CHECK((event->segment == NULL) == (event->stage == UALM_STAGE_LISTEN));
            ended++;
        }
        WORKS(ualm_chain_next(chain, &event));
    }
    CHECK(ended == 5 && chunks > 0);
    for (size_t i = 0; i < 5; i++)
        if (ualm_chain_segment(chain, i)) print(ualm_chain_segment(chain, i));

    /* resumed at every stage except listening, the chain is the same */
    WORKS(ualm_chain_record(chain, &record));
    WORKS(ualm_record_to_json(record, &json));
    WORKS(ualm_record_from_json(json, &read));
    for (size_t i = 0; i < 5; i++) {
        if (stages[i] == UALM_STAGE_LISTEN) {
            SAYS(UALM_STATUS_INVALID, "resumes at a segment",
                 ualm_chain_resume(model, NULL, read, i, NULL, NULL, NULL, &resumed));
            CHECK(!resumed);
            continue;
        }
        WORKS(ualm_chain_resume(model, NULL, read, i, NULL, NULL, NULL, &resumed));
        CHECK(!ualm_chain_segment(resumed, i));
        finish(resumed);
        CHECK(ualm_chain_segment(resumed, 4) && !ualm_chain_segment(resumed, 5));
        same_chains(chain, resumed);
        ualm_chain_free(resumed);
    }
    /* resumed at the end with another seed, only the last sound differs */
    options.reseed = 1;
    options.seed = 6;
    WORKS(ualm_chain_resume(model, NULL, read, 4, &options, NULL, NULL, &resumed));
    finish(resumed);
    CHECK(!same(ualm_chain_segment(resumed, 4), ualm_chain_segment(chain, 4)));
    ualm_chain_free(resumed);
    ualm_record_free(read);
    ualm_record_free(record);
    ualm_string_free(json);
    ualm_chain_free(chain);
}

static void a_question_awaits_its_answer(const ualm_model *model) {
    const ualm_chain_options options = defaults(UALM_REASONING_MODE_DIALOGUE);
    ualm_chain *chain = begin(model, NULL, &options);
    const ualm_take_event *event;
    FAILS(UALM_STATUS_INVALID, ualm_chain_answer(chain, "early"));
    for (int i = 0; i < 2; i++) {
        event = pull_to(chain, UALM_TAKE_EVENT_KIND_QUESTION);
        CHECK(event && event->stage == UALM_STAGE_ANSWER && event->segment_index == 1);
    }
    FAILS(UALM_STATUS_INVALID, ualm_chain_answer(chain, NULL));
    WORKS(ualm_chain_answer(chain, "on tin"));
    FAILS(UALM_STATUS_INVALID, ualm_chain_answer(chain, "again"));
    finish(chain);
    CHECK(ualm_chain_segment(chain, 0) && !ualm_chain_segment(chain, 1) && ualm_chain_audio(chain, 3));
    ualm_chain_free(chain);
}

static void a_plan_is_given_or_replaced(const ualm_model *model) {
    const ualm_chain_options options = defaults(UALM_REASONING_MODE_ENRICH);
    ualm_chain *given = begin(model, NULL, &options), *replaced = begin(model, NULL, &options);
    const ualm_segment *before;
    WORKS(ualm_chain_set_plan(given, PLAN));
    finish(given);
    CHECK(strcmp(ualm_chain_segment(given, 0)->text, PLAN) == 0);
    SAYS(UALM_STATUS_INVALID, "neither", ualm_chain_set_plan(given, PLAN));

    CHECK(pull_to(replaced, UALM_TAKE_EVENT_KIND_STAGE_ENDED)->stage == UALM_STAGE_PLAN);
    before = ualm_chain_segment(replaced, 0);
    WORKS(ualm_chain_set_plan(replaced, PLAN));
    finish(replaced);
    CHECK(strcmp(before->text, PLAN) != 0); /* still readable */
    same_chains(given, replaced);
    ualm_chain_free(given);
    ualm_chain_free(replaced);
}

static void the_best_take_ends_the_chain(const ualm_model *model) {
    ualm_chain_options options = defaults(UALM_REASONING_MODE_ENRICH);
    ualm_engine_options slots;
    ualm_engine *engine;
    ualm_ranking *ranking;
    size_t best = 0;
    options.takes = 3;
    options.best = 1;
    WORKS(ualm_engine_options_init(&slots, sizeof slots));
    slots.slots = 4;
    WORKS(ualm_engine_new(model, &slots, &engine));
    ualm_chain *chains[] = {begin(model, NULL, &options), begin(model, engine, &options)};
    ualm_engine_free(engine); /* the chain keeps it */
    for (int i = 0; i < 2; i++) {
        const ualm_take_event *event = pull_to(chains[i], UALM_TAKE_EVENT_KIND_RANKING_STARTED);
        CHECK(event);
        for (size_t take = 0; take < 3; take++) {
            WORKS(ualm_chain_next(chains[i], &event));
            CHECK(event->kind == UALM_TAKE_EVENT_KIND_RANKED && event->ranked->take == take && event->take == take);
        }
        WORKS(ualm_chain_next(chains[i], &event));
        CHECK(event->kind == UALM_TAKE_EVENT_KIND_STAGE_ENDED);
        best = event->take;
        WORKS(ualm_chain_ranking(chains[i], &ranking));
        CHECK(ualm_ranking_get(ranking, 0)->take == best && ualm_ranking_get(ranking, 2));
        CHECK(!ualm_ranking_get(ranking, 3));
        ualm_ranking_free(ranking);
        finish(chains[i]);
    }
    same_chains(chains[0], chains[1]);
    options.takes = 1;
    options.seed += best;
    ualm_chain *alone = begin(model, NULL, &options);
    WORKS(ualm_chain_set_plan(alone, ualm_chain_segment(chains[0], 0)->text));
    finish(alone);
    ualm_chain_free(alone);
    ualm_chain_free(chains[0]);
    ualm_chain_free(chains[1]);
}

static void stopped_and_given_up(const ualm_model *model) {
    const ualm_chain_options options = defaults(UALM_REASONING_MODE_ENRICH);
    const ualm_generation_options settings = drawn(model);
    const ualm_take_event *event;
    ualm_chain *chain = begin(model, NULL, &options);
    ualm_cancel *cancel;
    ualm_record *record;
    CHECK(pull_to(chain, UALM_TAKE_EVENT_KIND_AUDIO_PROGRESS));
    WORKS(ualm_chain_stop(chain));
    event = pull_to(chain, UALM_TAKE_EVENT_KIND_STAGE_ENDED);
    CHECK(event && event->stop == UALM_STOP_REASON_CANCELLED);
    CHECK(event->segment->end == UALM_SEGMENT_END_CANCELLED && event->segment->frame_count > 0);
    finish(chain);
    WORKS(ualm_chain_record(chain, &record));
    CHECK(ualm_record_segment_count(record, 0) == 2);
    ualm_record_free(record);
    ualm_chain_free(chain);

    chain = begin(model, NULL, &options); /* freed during a stage */
    CHECK(pull_to(chain, UALM_TAKE_EVENT_KIND_SEGMENT_STARTED));
    ualm_chain_free(chain);

    WORKS(ualm_cancel_new(&cancel));
    WORKS(ualm_cancel_throw(cancel));
    FAILS(UALM_STATUS_CANCELLED, ualm_chain_new(model, NULL, "rain", &options, &settings, cancel, &chain));
    CHECK(!chain);
    ualm_cancel_free(cancel);
}

static void refused(const ualm_model *model) {
    ualm_chain_options options = defaults(9);
    ualm_chain *chain;
    SAYS(UALM_STATUS_INVALID, "mode 9", ualm_chain_new(model, NULL, "rain", &options, NULL, NULL, &chain));
    options = defaults(UALM_REASONING_MODE_REFLECT);
    options.rounds = 33;
    SAYS(UALM_STATUS_INVALID, "33 rounds", ualm_chain_new(model, NULL, "rain", &options, NULL, NULL, &chain));
    options = defaults(UALM_REASONING_MODE_ENRICH);
    options.takes = 0;
    SAYS(UALM_STATUS_INVALID, "takes is 0", ualm_chain_new(model, NULL, "rain", &options, NULL, NULL, &chain));
    options.takes = 1;
    options.listen = 2;
    SAYS(UALM_STATUS_INVALID, "listen is 2", ualm_chain_new(model, NULL, "rain", &options, NULL, NULL, &chain));
    SAYS(UALM_STATUS_INVALID, "words is NULL", ualm_chain_new(model, NULL, NULL, NULL, NULL, NULL, &chain));
    SAYS(UALM_STATUS_INVALID, "model is NULL", ualm_chain_new(NULL, NULL, "rain", NULL, NULL, NULL, &chain));
    FAILS(UALM_STATUS_INVALID, ualm_chain_next(NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_chain_stop(NULL));
    CHECK(ualm_chain_stage_count(NULL) == 0 && ualm_chain_segment(NULL, 0) == NULL);
    ualm_chain_free(NULL);
    ualm_takes_free(NULL);
}

struct seen {
    size_t started, ended, ranked, stop_after;
};

static int watch(const ualm_take_event *event, void *argument) {
    struct seen *seen = argument;
    seen->started += event->kind == UALM_TAKE_EVENT_KIND_SEGMENT_STARTED;
    seen->ended += event->kind == UALM_TAKE_EVENT_KIND_SEGMENT_ENDED && event->audio != NULL;
    seen->ranked += event->kind == UALM_TAKE_EVENT_KIND_RANKED;
    return seen->stop_after && seen->ended >= seen->stop_after;
}

static void takes_of_a_prompt(const ualm_model *model) {
    const int32_t audio = UALM_MODALITY_AUDIO;
    ualm_generation_options settings = drawn(model);
    ualm_prompt *prompt = words("rain");
    ualm_engine_options slots;
    ualm_engine *engine;
    ualm_ranking *ranking;
    ualm_record *record;
    ualm_takes *takes, *others;
    struct seen seen = {0, 0, 0, 0};
    settings.force = &audio;
    settings.force_len = settings.max_segments = 1;
    settings.seed = 7;
    WORKS(ualm_takes_make(model, NULL, prompt, &settings, 3, "rain", NULL, watch, &seen, &takes));
    CHECK(seen.started == 3 && seen.ended == 3 && seen.ranked == 3 && ualm_takes_count(takes) == 3);
    CHECK(ualm_takes_usage(takes)->steps > 0 && !ualm_takes_segment(takes, 3, 0) && !ualm_takes_segment(takes, 0, 1));
    for (size_t i = 0; i < 3; i++) {
        CHECK(ualm_takes_audio(takes, i));
        print(ualm_takes_segment(takes, i, 0));
        WORKS(ualm_takes_record(takes, i, &record));
        CHECK(ualm_record_turn_count(record) == 1 && ualm_record_segment_count(record, 0) == 1);
        ualm_record_free(record);
    }
    FAILS(UALM_STATUS_INVALID, ualm_takes_record(takes, 3, &record));
    WORKS(ualm_takes_ranking(takes, &ranking));
    CHECK(ualm_ranking_get(ranking, 2) && !ualm_ranking_get(ranking, 3));
    ualm_ranking_free(ranking);

    /* in an engine with room for one and a half sessions, and without ranking */
    WORKS(ualm_engine_options_init(&slots, sizeof slots));
    slots.slots = 3;
    WORKS(ualm_engine_new(model, &slots, &engine));
    WORKS(ualm_takes_make(NULL, engine, prompt, &settings, 3, NULL, NULL, NULL, NULL, &others));
    for (size_t i = 0; i < 3; i++) CHECK(same(ualm_takes_segment(takes, i, 0), ualm_takes_segment(others, i, 0)));
    WORKS(ualm_takes_ranking(others, &ranking));
    CHECK(!ualm_ranking_get(ranking, 0));
    ualm_ranking_free(ranking);
    ualm_takes_free(others);
    ualm_engine_free(engine);

    seen = (struct seen){0, 0, 0, 1};
    WORKS(ualm_takes_make(model, NULL, prompt, &settings, 20, "rain", NULL, watch, &seen, &others));
    CHECK(ualm_takes_count(others) < 20 && seen.ranked == 0);
    ualm_takes_free(others);
    SAYS(UALM_STATUS_INVALID, "0 takes", ualm_takes_make(model, NULL, prompt, NULL, 0, NULL, NULL, NULL, NULL, &others));
    CHECK(!others);
    ualm_takes_free(takes);
    ualm_prompt_free(prompt);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ualm_model *model = load(argv[1]);
    a_chain_tells_of_its_stages(model);
    a_question_awaits_its_answer(model);
    a_plan_is_given_or_replaced(model);
    the_best_take_ends_the_chain(model);
    stopped_and_given_up(model);
    refused(model);
    takes_of_a_prompt(model);
    ualm_model_free(model);
    return 0;
}
