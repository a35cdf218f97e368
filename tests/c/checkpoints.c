/* Checkpoints, rewinding, records, intermediate results and packages in memory:
 * checkpoints PACKAGE TAKE.wav FILE... (the package's files) */
#include <math.h>

#include "check.h"

static const int32_t AUDIO = UALM_MODALITY_AUDIO, TEXT = UALM_MODALITY_TEXT;

static ualm_session *session_of(const ualm_model *model) {
    ualm_session *session;
    WORKS(ualm_session_new(model, &session));
    return session;
}

static size_t position(const ualm_session *session) {
    size_t position;
    WORKS(ualm_session_position(session, &position));
    return position;
}

static ualm_reply *generated(ualm_session *session, const ualm_prompt *prompt, const ualm_generation_options *options) {
    ualm_reply *reply;
    WORKS(ualm_session_generate(session, prompt, options, NULL, NULL, NULL, &reply));
    CHECK(ualm_reply_segment_count(reply) == 1 && ualm_reply_segment(reply, 0)->frame_count > 0);
    return reply;
}

static ualm_reply *generated_from(ualm_session *session, const ualm_checkpoint *checkpoint,
                                  const ualm_generation_options *options) {
    ualm_reply *reply;
    WORKS(ualm_session_generate_from(session, checkpoint, options, NULL, NULL, NULL, &reply));
    CHECK(ualm_reply_segment_count(reply) > 0);
    return reply;
}

static void takes_from_one_prompt_are_those_of_prompts_of_their_own(const ualm_model *model) {
    ualm_generation_options options = one(model, &AUDIO, 24);
    ualm_prompt *prompt = words("a dog barks");
    ualm_session *session = session_of(model), *foreign = session_of(model);
    ualm_checkpoint *checkpoint;
    ualm_record *record;
    size_t at, segments;
    WORKS(ualm_session_checkpoint(session, prompt, NULL, &checkpoint));
    WORKS(ualm_checkpoint_position(checkpoint, &at, &segments));
    CHECK(at == position(session) && segments == 0 && at < ualm_session_max_positions(session));
    for (options.seed = 1; options.seed <= 3; options.seed++) {
        ualm_session *own = session_of(model);
        ualm_reply *alone = generated(own, prompt, &options), *take = generated_from(session, checkpoint, &options);
        CHECK(same(ualm_reply_segment(alone, 0), ualm_reply_segment(take, 0)));
        WORKS(ualm_session_record(session, &record));
        CHECK(ualm_record_turn_count(record) == 1 && ualm_record_segment_count(record, 0) == 1);
        ualm_record_free(record), ualm_reply_free(take), ualm_reply_free(alone), ualm_session_free(own);
    }
    /* event by event as well */
    ualm_generation *generation;
    const ualm_event *event;
    WORKS(ualm_generation_new_from(session, checkpoint, &options, NULL, &generation));
    do WORKS(ualm_generation_next(generation, &event));
    while (event);
    ualm_generation_free(generation);
    SAYS(UALM_STATUS_INVALID, "another session",
         ualm_session_generate_from(foreign, checkpoint, &options, NULL, NULL, NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_session_generate_from(session, NULL, &options, NULL, NULL, NULL, NULL));
    options.max_segments = 0;
    FAILS(UALM_STATUS_INVALID, ualm_session_generate_from(session, checkpoint, &options, NULL, NULL, NULL, NULL));
    WORKS(ualm_session_record(session, &record));
    CHECK(ualm_record_segment_count(record, 0) == 0 && position(session) == at);
    ualm_record_free(record);

    /* a reply that is cancelled before its first event leaves the turn in the record: its prompt was run */
    ualm_cancel *cancel;
    WORKS(ualm_cancel_new(&cancel));
    options.max_segments = 1;
    WORKS(ualm_generation_new_from(session, checkpoint, &options, cancel, &generation));
    WORKS(ualm_cancel_throw(cancel));
    do WORKS(ualm_generation_next(generation, &event));
    while (event);
    ualm_generation_free(generation);
    WORKS(ualm_session_record(session, &record));
    CHECK(ualm_record_turn_count(record) == 1 && ualm_record_segment_count(record, 0) == 0 && position(session) == at);
    ualm_record_free(record);
    ualm_reply_free(generated_from(session, checkpoint, &options));
    WORKS(ualm_session_record(session, &record));
    CHECK(ualm_record_turn_count(record) == 1 && ualm_record_segment_count(record, 0) == 1);
    ualm_cancel_free(cancel), ualm_record_free(record), ualm_checkpoint_free(checkpoint), ualm_prompt_free(prompt);
    ualm_session_free(foreign), ualm_session_free(session);
}

static void given_frames_begin_a_segment(const ualm_model *model) {
    ualm_generation_options options = one(model, &TEXT, 12);
    ualm_prompt *prompt = words("what is it?");
    ualm_session *session = session_of(model);
    ualm_checkpoint *checkpoint, *begun;
    ualm_codes *ids;
    size_t streams, count;
    WORKS(ualm_session_checkpoint(session, prompt, NULL, &checkpoint));
    WORKS(ualm_model_text_ids(model, "it is", &ids));
    const uint32_t *given = ualm_codes_data(ids, &streams, &count);
    CHECK(streams == 1 && count > 0);
    WORKS(ualm_checkpoint_keep(checkpoint, TEXT, given, count, 1, &begun));
    ualm_reply *reply = generated_from(session, begun, &options);
    const ualm_segment *segment = ualm_reply_segment(reply, 0);
    CHECK(segment->frame_count >= count && strncmp(segment->text, "it is", 5) == 0);
    for (size_t i = 0; i < count; i++) CHECK(segment->frames[i * segment->stream_count] == given[i]);
    ualm_reply_free(reply), ualm_checkpoint_free(begun);

    const uint32_t wrong = UINT32_MAX;
    FAILS(UALM_STATUS_INVALID, ualm_checkpoint_keep(checkpoint, TEXT, &wrong, 1, 1, &begun));
    CHECK(begun == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_checkpoint_keep(checkpoint, AUDIO, given, count, 1, &begun));
    FAILS(UALM_STATUS_INVALID, ualm_checkpoint_keep(checkpoint, TEXT, given, 1, 3, &begun));
    FAILS(UALM_STATUS_INVALID, ualm_checkpoint_keep(checkpoint, TEXT, given, SIZE_MAX, 2, &begun));
    FAILS(UALM_STATUS_INVALID, ualm_checkpoint_keep(checkpoint, 77, given, 1, 1, &begun));
    ualm_codes_free(ids), ualm_checkpoint_free(checkpoint), ualm_prompt_free(prompt), ualm_session_free(session);
}

static void turns_are_taken_back(const ualm_model *model) {
    ualm_generation_options options = one(model, &TEXT, 8);
    ualm_prompt *first = words("a dog barks"), *second = words("and rain");
    ualm_session *session = session_of(model);
    ualm_mark *mark;
    ualm_record *record;
    ualm_reply_free(generated(session, first, &options));
    WORKS(ualm_session_mark(session, &mark));
    const size_t there = position(session);
    ualm_reply *once = generated(session, second, &options);
    CHECK(position(session) > there);
    WORKS(ualm_session_rewind(session, mark));
    WORKS(ualm_session_record(session, &record));
    CHECK(position(session) == there && ualm_record_turn_count(record) == 1);
    ualm_reply *again = generated(session, second, &options);
    CHECK(same(ualm_reply_segment(once, 0), ualm_reply_segment(again, 0)));
    ualm_session *foreign = session_of(model);
    FAILS(UALM_STATUS_INVALID, ualm_session_rewind(foreign, mark));
    ualm_reply_free(once), ualm_reply_free(again), ualm_record_free(record), ualm_mark_free(mark);
    ualm_prompt_free(first), ualm_prompt_free(second), ualm_session_free(foreign), ualm_session_free(session);
}

static void a_record_goes_on_where_it_is_cut(const ualm_model *model, const char *file) {
    ualm_generation_options options = one(model, &AUDIO, 24), recorded;
    ualm_prompt *prompt = words("rain");
    ualm_session *session = session_of(model), *other = session_of(model);
    ualm_record *record, *read, *copy;
    ualm_checkpoint *checkpoint;
    char *json;
    options.audio.temperature = 1, options.audio.top_k = 20, options.seed = 5;
    ualm_reply *reply = generated(session, prompt, &options);
    const ualm_segment *whole = ualm_reply_segment(reply, 0);
    WORKS(ualm_session_record(session, &record));
    WORKS(ualm_record_write_wav(record, file, ualm_reply_audio(reply), UALM_WAV_FORMAT_FLOAT32));
    WORKS(ualm_record_read_wav(file, &read));
    WORKS(ualm_record_to_json(read, &json));
    WORKS(ualm_record_from_json(json, &copy));
    WORKS(ualm_record_options(copy, 0, 0, &recorded, sizeof recorded));
    CHECK(recorded.seed == 5 && recorded.audio.top_k == 20 && recorded.force_len == 1 && recorded.force[0] == AUDIO);
    for (size_t frame = 0; frame < whole->frame_count; frame += 5) {
        WORKS(ualm_session_restore(other, copy, 0, 0, frame, NULL, &checkpoint));
        ualm_reply *again = generated_from(other, checkpoint, &recorded);
        CHECK(same(whole, ualm_reply_segment(again, 0)));
        ualm_reply_free(again), ualm_checkpoint_free(checkpoint);
    }
    WORKS(ualm_session_restore_turns(other, copy, 1, NULL));
    CHECK(position(other) == position(session));
    ualm_cancel *cancel;
    WORKS(ualm_cancel_new(&cancel));
    WORKS(ualm_cancel_throw(cancel));
    FAILS(UALM_STATUS_CANCELLED, ualm_session_restore(other, copy, 0, 0, 0, cancel, &checkpoint));
    ualm_record *empty;
    WORKS(ualm_session_record(other, &empty));
    CHECK(checkpoint == NULL && position(other) == 0 && ualm_record_turn_count(empty) == 0);
    ualm_record_free(empty);
    FAILS(UALM_STATUS_INVALID, ualm_session_restore(other, copy, 1, 0, 0, NULL, &checkpoint));
    FAILS(UALM_STATUS_INVALID, ualm_record_options(copy, 1, 0, &recorded, sizeof recorded));
    FAILS(UALM_STATUS_INVALID, ualm_record_from_json("{}", &empty));
    CHECK(empty == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_session_go_on(other, NULL, &checkpoint));

    /* another segment after the end of the reply */
    options.max_segments = 2;
    WORKS(ualm_session_go_on(session, NULL, &checkpoint));
    const int32_t both[] = {AUDIO, TEXT};
    options.force = both, options.force_len = 2;
    ualm_reply *more = generated_from(session, checkpoint, &options);
    CHECK(ualm_reply_segment(more, 0)->modality == UALM_MODALITY_TEXT);
    ualm_record_free(record);
    WORKS(ualm_session_record(session, &record));
    CHECK(ualm_record_segment_count(record, 0) == 2);
    ualm_reply_free(more), ualm_checkpoint_free(checkpoint), ualm_cancel_free(cancel);
    ualm_string_free(json), ualm_record_free(record), ualm_record_free(read), ualm_record_free(copy);
    ualm_reply_free(reply), ualm_prompt_free(prompt), ualm_session_free(other), ualm_session_free(session);
}

/* Prints the shape and the sum of a tensor. */
static size_t tell(const char *name, ualm_tensor *tensor) {
    size_t rows, columns;
    const float *data = ualm_tensor_data(tensor, &rows, &columns);
    double sum = 0;
    for (size_t i = 0; i < rows * columns; i++) {
        CHECK(isfinite(data[i]));
        sum += data[i];
    }
    printf("%s %zu %zu %.9g\n", name, rows, columns, sum);
    ualm_tensor_free(tensor);
    return rows;
}

static void numbers_from_within(const ualm_model *model) {
    static float noise[16000];
    uint32_t state = 1;
    for (size_t i = 0; i < 16000; i++) state = state * 1664525u + 1013904223u, noise[i] = (float)(state >> 16) / 65536.0f - 0.5f;
    const ualm_samples sound = {noise, 16000, 1, 16000}, takes[] = {sound, {NULL, 0, 1, 16000}};
    ualm_tensor *tensor, *audio;
    ualm_prompt *prompt = words("what is it?");
    ualm_session *session = session_of(model);
    WORKS(ualm_model_audio_features(model, &sound, &tensor));
    const size_t heard = tell("features", tensor);
    CHECK(heard > 10);
    WORKS(ualm_session_next_logits(session, prompt, &tensor, &audio));
    CHECK(tell("text", tensor) == 1 && tell("audio", audio) == 1 && position(session) == 0);
    WORKS(ualm_session_next_logits(session, prompt, &tensor, NULL));
    ualm_tensor_free(tensor);
    WORKS(ualm_prompt_add_audio(prompt, UALM_ROLE_USER, AUDIO, &sound));
    WORKS(ualm_model_prompt_embeddings(model, prompt, &tensor));
    CHECK(tell("embeddings", tensor) > heard);

    char *caption;
    WORKS(ualm_model_caption(model, &sound, AUDIO, NULL, &caption));
    ualm_ranking *ranking;
    WORKS(ualm_model_rank(model, takes, 2, AUDIO, caption, NULL, &ranking));
    const ualm_ranked *best = ualm_ranking_get(ranking, 0), *worst = ualm_ranking_get(ranking, 1);
    CHECK(best && worst && ualm_ranking_get(ranking, 2) == NULL && best->struct_size == sizeof *best);
    CHECK(best->take == 0 && strcmp(best->caption, caption) == 0 && best->total >= worst->total);
    CHECK(worst->take == 1 && worst->caption[0] == 0);
    ualm_string_free(caption), ualm_ranking_free(ranking), ualm_prompt_free(prompt), ualm_session_free(session);
}

/* Reads the files at the given paths; a name is the part after the last slash. */
static ualm_file *read_files(char **paths, size_t count) {
    ualm_file *files = calloc(count + 1, sizeof *files);
    for (size_t i = 0; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        CHECK(file && fseek(file, 0, SEEK_END) == 0);
        const long size = ftell(file);
        uint8_t *data = malloc((size_t)size + 1);
        rewind(file);
        CHECK(fread(data, 1, (size_t)size, file) == (size_t)size && fclose(file) == 0);
        files[i].name = strrchr(paths[i], '/') + 1;
        files[i].data = data;
        files[i].len = (size_t)size;
    }
    return files;
}

static void a_package_in_memory_is_the_same(const ualm_model *model, char **paths, size_t count) {
    ualm_file *files = read_files(paths, count);
    ualm_model *loaded, *none;
    WORKS(ualm_model_load_files(files, count, NULL, &loaded));
    SAYS(UALM_STATUS_PACKAGE, "in memory", ualm_model_load_files(files, count - 1, NULL, &none));
    CHECK(none == NULL);
    FAILS(UALM_STATUS_PACKAGE, ualm_model_load_files(NULL, 0, NULL, &none));
    ((uint8_t *)files[0].data)[files[0].len / 2] ^= 1;
    FAILS(UALM_STATUS_PACKAGE, ualm_model_load_files(files, count, NULL, &none));
    for (size_t i = 0; i < count; i++) free((void *)files[i].data); /* the model has copies */
    free(files);

    char *left, *right;
    WORKS(ualm_model_sha256(model, &left));
    WORKS(ualm_model_sha256(loaded, &right));
    CHECK(strlen(left) == 64 && strcmp(left, right) == 0);
    WORKS(ualm_model_verify(loaded));
    WORKS(ualm_model_load_all(loaded));
    ualm_generation_options options = one(model, &AUDIO, 16);
    ualm_prompt *prompt = words("a dog barks");
    ualm_session *from_folder = session_of(model), *from_memory = session_of(loaded);
    ualm_reply *a = generated(from_folder, prompt, &options), *b = generated(from_memory, prompt, &options);
    CHECK(same(ualm_reply_segment(a, 0), ualm_reply_segment(b, 0)));
    const ualm_samples *of_a = ualm_reply_audio(a), *of_b = ualm_reply_audio(b);
    CHECK(of_a->frames == of_b->frames && memcmp(of_a->data, of_b->data, of_a->frames * sizeof *of_a->data) == 0);
    ualm_string_free(left), ualm_string_free(right), ualm_reply_free(a), ualm_reply_free(b);
    ualm_prompt_free(prompt), ualm_session_free(from_folder), ualm_session_free(from_memory), ualm_model_free(loaded);
}

int main(int argc, char **argv) {
    CHECK(argc > 4);
    ualm_model *model = load(argv[1]);
    WORKS(ualm_model_verify(model));
    takes_from_one_prompt_are_those_of_prompts_of_their_own(model);
    given_frames_begin_a_segment(model);
    turns_are_taken_back(model);
    a_record_goes_on_where_it_is_cut(model, argv[2]);
    numbers_from_within(model);
    a_package_in_memory_is_the_same(model, argv + 3, (size_t)argc - 3);
    ualm_model_free(model);
    return 0;
}
