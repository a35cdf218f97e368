/* Calls every function with NULL, invalid and stale arguments, and with options of other sizes: arguments PACKAGE EMPTY_FOLDER */
#include <math.h>
#include <stddef.h>

#include "check.h"

static void nulls_are_refused(const ualm_model *model, ualm_session *session, ualm_prompt *prompt) {
    size_t number;
    char *text = (char *)&number;
    ualm_model *no_model = (ualm_model *)&number;
    ualm_session *no_session = (ualm_session *)&number;
    ualm_generation *generation = (ualm_generation *)&number;
    ualm_reply *reply = (ualm_reply *)&number;
    ualm_audio *audio = (ualm_audio *)&number;
    ualm_codes *codes = (ualm_codes *)&number;
    const ualm_event *event = (const ualm_event *)&number;
    const uint32_t code = 0;
    const float sample = 0;
    const ualm_samples samples = {&sample, 1, 1, 16000};

    SAYS(UALM_STATUS_INVALID, "folder is NULL", ualm_model_load(NULL, NULL, &no_model));
    CHECK(no_model == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_model_load("x", NULL, NULL));
    SAYS(UALM_STATUS_INVALID, "model is NULL", ualm_model_load_all(NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_manifest(NULL, &text));
    CHECK(text == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_model_manifest(model, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_runtime_report(NULL, NULL));

    FAILS(UALM_STATUS_INVALID, ualm_session_new(NULL, &no_session));
    CHECK(no_session == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_session_new(model, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_session_position(NULL, &number));
    FAILS(UALM_STATUS_INVALID, ualm_session_position(session, NULL));

    FAILS(UALM_STATUS_INVALID, ualm_prompt_new(NULL));
    FAILS(UALM_STATUS_INVALID, ualm_prompt_add_text(NULL, UALM_ROLE_USER, "x"));
    SAYS(UALM_STATUS_INVALID, "words is NULL", ualm_prompt_add_text(prompt, UALM_ROLE_USER, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_prompt_add_audio(NULL, UALM_ROLE_USER, UALM_MODALITY_AUDIO, &samples));
    SAYS(UALM_STATUS_INVALID, "samples", ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_AUDIO, NULL));

    SAYS(UALM_STATUS_INVALID, "session is NULL", ualm_session_generate(NULL, prompt, NULL, NULL, NULL, NULL, &reply));
    CHECK(reply == NULL);
    SAYS(UALM_STATUS_INVALID, "prompt is NULL", ualm_session_generate(session, NULL, NULL, NULL, NULL, NULL, &reply));
    FAILS(UALM_STATUS_INVALID, ualm_generation_new(NULL, prompt, NULL, NULL, &generation));
    CHECK(generation == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_generation_new(session, NULL, NULL, NULL, &generation));
    FAILS(UALM_STATUS_INVALID, ualm_generation_new(session, prompt, NULL, NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_generation_next(NULL, &event));
    CHECK(event == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_generation_next(NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_generation_stop(NULL));

    FAILS(UALM_STATUS_INVALID, ualm_cancel_new(NULL));
    FAILS(UALM_STATUS_INVALID, ualm_cancel_throw(NULL));
    CHECK(ualm_cancel_is_thrown(NULL) == 0);

    FAILS(UALM_STATUS_INVALID, ualm_audio_read(NULL, 0, &audio));
    CHECK(audio == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_audio_read("x.wav", 0, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_audio_read_memory(NULL, 5, 0, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_audio_read_memory((const uint8_t *)"x", 1, 0, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_wav_write(NULL, &samples, UALM_WAV_FORMAT_PCM16));
    FAILS(UALM_STATUS_INVALID, ualm_wav_write("x.wav", NULL, UALM_WAV_FORMAT_PCM16));
    char *heard, *answer;
    FAILS(UALM_STATUS_INVALID, ualm_model_converse(NULL, &samples, 0, NULL, &heard, &answer, &audio, NULL));
    CHECK(heard == NULL && answer == NULL && audio == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_model_converse(model, NULL, 0, NULL, &heard, &answer, &audio, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_converse(model, &samples, 0, NULL, NULL, &answer, &audio, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_converse(model, &samples, 0, NULL, &heard, NULL, &audio, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_converse(model, &samples, 0, NULL, &heard, &answer, NULL, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_enhance(NULL, &samples, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_model_enhance(model, NULL, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_model_enhance(model, &samples, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_encode(NULL, &samples, &codes));
    CHECK(codes == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_model_encode(model, NULL, &codes));
    FAILS(UALM_STATUS_INVALID, ualm_model_encode(model, &samples, NULL));
    FAILS(UALM_STATUS_INVALID, ualm_model_decode(NULL, &code, 1, 1, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_model_decode(model, NULL, 1, 1, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_model_decode(model, &code, 1, 1, NULL));

    CHECK(ualm_audio_samples(NULL) == NULL && ualm_last_status() == UALM_STATUS_INVALID);
    CHECK(ualm_audio_warning(NULL, 0) == NULL);
    CHECK(ualm_codes_data(NULL, &number, &number) == NULL);
    CHECK(ualm_reply_segment_count(NULL) == 0 && ualm_reply_segment(NULL, 0) == NULL);
    CHECK(ualm_reply_text(NULL) == NULL && ualm_reply_audio(NULL) == NULL && ualm_reply_usage(NULL) == NULL);

    ualm_model_free(NULL), ualm_session_free(NULL), ualm_prompt_free(NULL), ualm_generation_free(NULL);
    ualm_reply_free(NULL), ualm_cancel_free(NULL), ualm_audio_free(NULL), ualm_codes_free(NULL), ualm_string_free(NULL);
}

static void nonsense_is_refused(const ualm_model *model, ualm_session *session, const char *empty) {
    float data[] = {0, 0.5f, NAN, 0};
    const uint32_t codes[8] = {70000};
    const ualm_samples good = {data, 2, 1, 16000}, not_finite = {data, 4, 1, 16000};
    const ualm_samples no_channel = {data, 2, 0, 16000}, no_rate = {data, 2, 1, 0}, no_data = {NULL, 2, 1, 16000};
    const ualm_samples endless = {data, SIZE_MAX / 2, 3, 16000};
    const ualm_samples crooked = {(const float *)(const void *)((const char *)data + 1), 1, 1, 16000};
    ualm_model *other;
    ualm_audio *audio;
    ualm_codes *found;
    ualm_reply *reply;
    ualm_prompt *prompt;

    SAYS(UALM_STATUS_PACKAGE, "no model package", ualm_model_load(empty, NULL, &other));
    SAYS(UALM_STATUS_PACKAGE, "no model package", ualm_model_load("no/such/folder", NULL, &other));
    FAILS(UALM_STATUS_INVALID, ualm_model_load_all((const ualm_model *)((const char *)model + 1)));

    WORKS(ualm_prompt_new(&prompt));
    SAYS(UALM_STATUS_INVALID, "UALM_ROLE", ualm_prompt_add_text(prompt, 0, "x"));
    SAYS(UALM_STATUS_INVALID, "UTF-8 after byte 2", ualm_prompt_add_text(prompt, UALM_ROLE_USER, "ab\xff"));
    SAYS(UALM_STATUS_INVALID, "UALM_ROLE", ualm_prompt_add_audio(prompt, -1, UALM_MODALITY_AUDIO, &good));
    SAYS(UALM_STATUS_INVALID, "text", ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_TEXT, &good));
    SAYS(UALM_STATUS_INVALID, "UALM_MODALITY", ualm_prompt_add_audio(prompt, UALM_ROLE_USER, 99, &good));
#define REFUSED(status, words, samples) \
    SAYS(status, words, ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_AUDIO, samples))
    REFUSED(UALM_STATUS_AUDIO, "sample 2", &not_finite);
    REFUSED(UALM_STATUS_INVALID, "at least one channel", &no_channel);
    REFUSED(UALM_STATUS_INVALID, "at least 1 Hz", &no_rate);
    REFUSED(UALM_STATUS_INVALID, "NULL", &no_data);
    REFUSED(UALM_STATUS_INVALID, "", &endless);
    REFUSED(UALM_STATUS_INVALID, "aligned", &crooked);
    SAYS(UALM_STATUS_INVALID, "", ualm_session_generate(session, prompt, NULL, NULL, NULL, NULL, &reply));
    WORKS(ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_AUDIO, &good));
    SAYS(UALM_STATUS_AUDIO, "at least 30 ms", ualm_session_generate(session, prompt, NULL, NULL, NULL, NULL, &reply));
    ualm_prompt_free(prompt);

    FAILS(UALM_STATUS_IO, ualm_audio_read("no/such/file.wav", 0, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_audio_read("no/such/file.wav", -1, &audio));
    FAILS(UALM_STATUS_INVALID, ualm_audio_read("no/such/file.wav", NAN, &audio));
    FAILS(UALM_STATUS_AUDIO, ualm_audio_read_memory((const uint8_t *)"words, no sound", 15, 0, &audio));
    FAILS(UALM_STATUS_AUDIO, ualm_audio_read_memory(NULL, 0, 0, &audio));
    FAILS(UALM_STATUS_IO, ualm_wav_write("no/such/folder/x.wav", &good, UALM_WAV_FORMAT_PCM16));
    SAYS(UALM_STATUS_INVALID, "WAV format", ualm_wav_write("x.wav", &good, 0));
    SAYS(UALM_STATUS_AUDIO, "at least 320", ualm_model_encode(model, &good, &found));
    audio = (ualm_audio *)data;
    FAILS(UALM_STATUS_INVALID, ualm_model_decode(model, codes, 0, 1, &audio));
    CHECK(audio == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_model_decode(model, codes, SIZE_MAX, 2, &audio));
    SAYS(UALM_STATUS_INVALID, "codes of 1 book;", ualm_model_decode(model, codes, 1, 1, &audio));
    SAYS(UALM_STATUS_INVALID, "70000", ualm_model_decode(model, codes, 8, 1, &audio));

    CHECK(strcmp(ualm_status_name(UALM_STATUS_LIMIT), "limit") == 0 && strcmp(ualm_status_name(-5), "unknown") == 0);
    CHECK(ualm_abi_version() == UALM_ABI_VERSION && strchr(ualm_version(), '.') != NULL);
}

static void options_may_have_other_sizes(const char *package, const ualm_model *model, ualm_session *session, ualm_prompt *prompt) {
    const int32_t audio = UALM_MODALITY_AUDIO, wrong[] = {UALM_MODALITY_AUDIO, 7};
    const char *plugin = "no/such/plugin.so";
    ualm_reply *reply;
    ualm_model *other;
    char *report;
    struct {
        ualm_generation_options known;
        uint64_t later[4];
    } longer;
    struct {
        ualm_runtime_options known;
        uint64_t later;
    } runtime;

    SAYS(UALM_STATUS_INVALID, "struct_size", ualm_generation_options_init(&longer.known, sizeof(size_t), model));
    SAYS(UALM_STATUS_INVALID, "struct_size", ualm_generation_options_init(&longer.known, 1 << 20, model));
    FAILS(UALM_STATUS_INVALID, ualm_generation_options_init(NULL, sizeof longer.known, model));
    FAILS(UALM_STATUS_INVALID, ualm_generation_options_init(&longer.known, sizeof longer.known, NULL));

    memset(&longer, 0xff, sizeof longer);
    WORKS(ualm_generation_options_init(&longer.known, sizeof longer, model));
    CHECK(longer.known.struct_size == sizeof longer && longer.later[0] == 0 && longer.later[3] == 0);
    longer.known.force = &audio;
    longer.known.force_len = longer.known.max_segments = 1;
    longer.known.audio.max_steps = 3;
    WORKS(ualm_session_generate(session, prompt, &longer.known, NULL, NULL, NULL, &reply));
    CHECK(ualm_reply_segment(reply, 0)->frame_count <= 3);
    ualm_reply_free(reply);
    longer.later[3] = 1;
    SAYS(UALM_STATUS_INVALID, "update",
         ualm_session_generate(session, prompt, &longer.known, NULL, NULL, NULL, &reply));
    longer.known.struct_size = 0;
    SAYS(UALM_STATUS_INVALID, "_init", ualm_session_generate(session, prompt, &longer.known, NULL, NULL, NULL, &reply));
    longer.known.struct_size = offsetof(ualm_generation_options, thinking) - 1; // shorter than in the first version
    FAILS(UALM_STATUS_INVALID, ualm_session_generate(session, prompt, &longer.known, NULL, NULL, NULL, &reply));
    longer.known.struct_size = SIZE_MAX;
    FAILS(UALM_STATUS_INVALID, ualm_session_generate(session, prompt, &longer.known, NULL, NULL, NULL, &reply));

    longer.known.struct_size = sizeof longer.known;
#define BAD(field, value, words)                                                                                    \
    do {                                                                                                            \
        ualm_generation_options bad = longer.known;                                                                 \
        bad.field = value;                                                                                          \
        SAYS(UALM_STATUS_INVALID, words, ualm_session_generate(session, prompt, &bad, NULL, NULL, NULL, &reply));   \
        CHECK(reply == NULL);                                                                                       \
    } while (0)
    BAD(force, NULL, "force is NULL");
    BAD(force_len, SIZE_MAX / 2, "more than memory");
    BAD(stream_audio, 2, "stream_audio");
    BAD(insist, 2, "insist");
    BAD(thinking, 2, "thinking");
    BAD(reserved, 1, "reserved");
    BAD(max_segments, 0, "max_segments");
    BAD(audio.temperature, -1, "temperature");
    BAD(audio.guidance, INFINITY, "guidance");
    BAD(text.top_p, NAN, "top_p");
    BAD(speech.max_steps, 0, "max_steps");
    longer.known.force = wrong;
    BAD(force_len, 2, "modality 7");

    WORKS(ualm_runtime_options_init(&runtime.known, sizeof runtime));
    CHECK(runtime.known.library == NULL && runtime.known.threads == 0 && runtime.later == 0);
    runtime.later = 1;
    SAYS(UALM_STATUS_INVALID, "update", ualm_model_load("x", &runtime.known, &other));
    runtime.later = 0;
    runtime.known.provider = "codec=";
    SAYS(UALM_STATUS_INVALID, "names no provider", ualm_model_load("x", &runtime.known, &other));
    runtime.known.provider = "sorcery";
    WORKS(ualm_runtime_report(&runtime.known, &report));
    CHECK(strstr(report, "\"asked\":\"sorcery\"") && strstr(report, "\"state\":\"not_installed\""));
    ualm_string_free(report);
    runtime.known.provider_library_count = 1;
    SAYS(UALM_STATUS_INVALID, "provider_libraries is NULL", ualm_runtime_report(&runtime.known, &report));
    runtime.known.provider_libraries = &plugin;
    WORKS(ualm_runtime_report(&runtime.known, &report));
    CHECK(strstr(report, "no/such/plugin.so"));
    ualm_string_free(report);
    FAILS(UALM_STATUS_PROVIDER, ualm_model_load(package, &runtime.known, &other));
    runtime.known.provider = "sorcery,cpu";
    WORKS(ualm_model_load(package, &runtime.known, &other));
    WORKS(ualm_model_report(other, &report));
    CHECK(strstr(report, "\"graph\":\"llm\"") && strstr(report, "\"passed_over\":[{\"provider\":\"sorcery\""));
    ualm_string_free(report);
    ualm_model_free(other);
    FAILS(UALM_STATUS_INVALID, ualm_model_report(NULL, &report));
    runtime.known.low_memory = 2;
    SAYS(UALM_STATUS_INVALID, "low_memory is 2", ualm_model_load(package, &runtime.known, &other));
    FAILS(UALM_STATUS_INVALID, ualm_runtime_options_init(NULL, sizeof runtime));
    FAILS(UALM_STATUS_INVALID, ualm_runtime_options_init(&runtime.known, 8));
}

/* Limits apply only to the model that they were set for. */
static void limits_are_kept(const ualm_model *model, const ualm_generation_options *options) {
    ualm_limits limits;
    ualm_model *limited = NULL;
    ualm_session *session;
    ualm_prompt *prompt;
    ualm_reply *reply;

    WORKS(ualm_limits_init(&limits, sizeof limits, model));
    CHECK(limits.input_seconds == 0 && limits.memory == 0 && limits.segments > 0);
    limits.prompt_frames = 3;
    WORKS(ualm_model_with_limits(model, &limits, &limited));
    WORKS(ualm_limits_init(&limits, sizeof limits, limited));
    CHECK(limits.prompt_frames == 3);
    WORKS(ualm_session_new(limited, &session));
    WORKS(ualm_prompt_new(&prompt));
    WORKS(ualm_prompt_add_text(prompt, UALM_ROLE_USER, "a bell, and then another one"));
    SAYS(UALM_STATUS_LIMIT, "limit is 3",
         ualm_session_generate(session, prompt, options, NULL, NULL, NULL, &reply));
    ualm_session_free(session);
    ualm_model_free(limited);
    WORKS(ualm_session_new(model, &session));
    WORKS(ualm_session_generate(session, prompt, options, NULL, NULL, NULL, &reply));
    ualm_reply_free(reply);
    ualm_session_free(session);
    ualm_prompt_free(prompt);

    limits.input_seconds = -1;
    SAYS(UALM_STATUS_INVALID, "input_seconds is -1", ualm_model_with_limits(model, &limits, &limited));
    CHECK(limited == NULL);
    FAILS(UALM_STATUS_INVALID, ualm_limits_init(&limits, 8, model));
    FAILS(UALM_STATUS_INVALID, ualm_model_with_limits(NULL, NULL, &limited));
    FAILS(UALM_STATUS_INVALID, ualm_model_with_limits(model, NULL, NULL));
}

/* Handles whose owner was freed, has ended, or is in use. */
static void stale_things_are_seen(ualm_session *session, ualm_prompt *prompt, const ualm_generation_options *options) {
    ualm_generation *generation, *second;
    ualm_reply *reply;
    const ualm_event *event;
    size_t position;

    WORKS(ualm_generation_new(session, prompt, options, NULL, &generation));
    SAYS(UALM_STATUS_BUSY, "in use", ualm_generation_new(session, prompt, options, NULL, &second));
    CHECK(second == NULL);
    FAILS(UALM_STATUS_BUSY, ualm_session_generate(session, prompt, options, NULL, NULL, NULL, &reply));
    FAILS(UALM_STATUS_BUSY, ualm_session_position(session, &position));
    do {
        WORKS(ualm_generation_next(generation, &event));
        CHECK(event != NULL && event->struct_size == sizeof *event);
    } while (event->kind != UALM_EVENT_KIND_FINISHED);
    CHECK(event->usage->steps > 0 && event->segment == NULL && event->modality == UALM_MODALITY_NONE);
    WORKS(ualm_session_position(session, &position));
    CHECK(position > 0);
    WORKS(ualm_session_generate(session, prompt, options, NULL, NULL, NULL, &reply));
    for (int again = 0; again < 3; again++) {
        WORKS(ualm_generation_next(generation, &event));
        CHECK(event == NULL);
    }
    WORKS(ualm_generation_stop(generation));
    CHECK(ualm_reply_segment_count(reply) == 1 && ualm_reply_segment(reply, 1) == NULL);
    ualm_reply_free(reply);
    ualm_generation_free(generation);

    /* a generation that is freed early releases the session */
    WORKS(ualm_generation_new(session, prompt, options, NULL, &generation));
    WORKS(ualm_generation_next(generation, &event));
    ualm_generation_free(generation);
    WORKS(ualm_session_position(session, &position));
}

/* Handles keep the objects alive that they depend on. */
static void any_order_of_freeing(const char *package) {
    const int32_t audio = UALM_MODALITY_AUDIO;
    ualm_model *model = load(package);
    ualm_session *session;
    ualm_generation *generation;
    ualm_cancel *cancel;
    const ualm_event *event;
    ualm_prompt *prompt = words("rain");
    ualm_generation_options options = one(model, &audio, 4);
    WORKS(ualm_session_new(model, &session));
    WORKS(ualm_cancel_new(&cancel));
    WORKS(ualm_generation_new(session, prompt, &options, cancel, &generation));
    ualm_cancel_free(cancel);
    ualm_prompt_free(prompt);
    ualm_model_free(model);
    ualm_session_free(session);
    do WORKS(ualm_generation_next(generation, &event));
    while (event);
    ualm_generation_free(generation);
}

/* All roles and kinds of content, two turns, streamed sound: the chunks add up to the segment's sound. */
static void a_conversation_goes_on(const ualm_model *model) {
    enum { FRAMES = 8000 };
    static float tone[FRAMES];
    const int32_t audio = UALM_MODALITY_AUDIO;
    const ualm_samples samples = {tone, FRAMES, 1, 16000};
    ualm_generation_options options = one(model, &audio, 40);
    ualm_generation *generation;
    ualm_session *session;
    const ualm_event *event;
    size_t first, second, heard = 0;
    ualm_prompt *prompt = words("a dog barks twice and then a bell rings");
    for (int i = 0; i < FRAMES; i++) tone[i] = 0.2f * sinf(0.2f * (float)i);
    WORKS(ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_AUDIO, &samples));
    WORKS(ualm_prompt_add_audio(prompt, UALM_ROLE_USER, UALM_MODALITY_SPEECH, &samples));
    WORKS(ualm_prompt_add_audio(prompt, UALM_ROLE_ASSISTANT, UALM_MODALITY_AUDIO, &samples));
    WORKS(ualm_prompt_add_text(prompt, UALM_ROLE_SYSTEM, "be brief"));
    WORKS(ualm_session_new(model, &session));
    WORKS(ualm_session_generate(session, prompt, &options, NULL, NULL, NULL, NULL));
    WORKS(ualm_session_position(session, &first));
    ualm_prompt_free(prompt);

    prompt = words("once more");
    options.stream_audio = 1;
    WORKS(ualm_generation_new(session, prompt, &options, NULL, &generation));
    for (;;) {
        WORKS(ualm_generation_next(generation, &event));
        if (event->kind == UALM_EVENT_KIND_FINISHED) break;
        CHECK(event->modality == UALM_MODALITY_AUDIO && event->segment_index == 0);
        if (event->audio) heard += event->audio->frames;
        if (event->segment) CHECK(event->segment->audio->frames == heard && event->segment->text[0] == 0);
    }
    ualm_generation_free(generation);
    WORKS(ualm_session_position(session, &second));
    CHECK(second > first);
    ualm_session_free(session);
    ualm_prompt_free(prompt);
}

static void the_codec_goes_both_ways(const ualm_model *model) {
    enum { FRAMES = 44100 };
    float *stereo = calloc(2 * FRAMES, sizeof *stereo);
    for (int i = 0; i < FRAMES; i++) stereo[2 * i] = 0.4f * sinf(0.06f * (float)i);
    const ualm_samples samples = {stereo, FRAMES, 2, 44100};
    ualm_codes *codes;
    ualm_audio *audio;
    size_t streams, frames;
    WORKS(ualm_model_encode(model, &samples, &codes));
    const uint32_t *data = ualm_codes_data(codes, &streams, &frames);
    CHECK(data != NULL && streams == 8 && frames >= 49 && frames <= 51);
    CHECK(ualm_codes_data(codes, NULL, &frames) == NULL);
    WORKS(ualm_model_decode(model, data, streams, frames, &audio));
    const ualm_samples *sound = ualm_audio_samples(audio);
    CHECK(sound->channels == 1 && sound->frames == frames * sound->sample_rate / 50);
    CHECK(ualm_audio_warning(audio, 0) == NULL);
    ualm_audio_free(audio);
    WORKS(ualm_model_enhance(model, &samples, &audio));
    CHECK(audio == NULL);
    ualm_codes_free(codes);
    free(stereo);
}

static void reports_are_json(const ualm_model *model) {
    char *json;
    WORKS(ualm_runtime_report(NULL, &json));
    CHECK(json[0] == '{' && strstr(json, "CPUExecutionProvider") != NULL);
    ualm_string_free(json);
    WORKS(ualm_model_manifest(model, &json));
    CHECK(json[0] == '{' && strstr(json, "\"tokens\"") != NULL);
    ualm_string_free(json);
}

int main(int argc, char **argv) {
    const int32_t audio = UALM_MODALITY_AUDIO;
    CHECK(argc == 3);
    CHECK(ualm_last_status() == UALM_STATUS_OK && ualm_last_error()[0] == '\0');
    ualm_model *model = load(argv[1]);
    ualm_session *session;
    WORKS(ualm_session_new(model, &session));
    ualm_prompt *prompt = words("rain");
    nulls_are_refused(model, session, prompt);
    nonsense_is_refused(model, session, argv[2]);
    options_may_have_other_sizes(argv[1], model, session, prompt);
    ualm_generation_options options = one(model, &audio, 6);
    stale_things_are_seen(session, prompt, &options);
    limits_are_kept(model, &options);
    any_order_of_freeing(argv[1]);
    a_conversation_goes_on(model);
    the_codec_goes_both_ways(model);
    reports_are_json(model);
    WORKS(ualm_model_load_all(model));
    ualm_prompt_free(prompt);
    ualm_session_free(session);
    ualm_model_free(model);
    return 0;
}
