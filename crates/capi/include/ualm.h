/*
 * ualm: a runtime for unified audio language models: one model that listens, writes and generates sound.
 *
 * THE CONTRACT OF THIS INTERFACE
 *
 * Ownership
 *   - Handles (pointers to opaque structs) are returned through out-pointers (`ualm_model **model`) and freed once, by
 *     the function of the same name that ends in _free, which accepts NULL. They may be freed in any order: a session
 *     or a chain keeps its model and its engine alive, a generation keeps its session alive. A freed handle must not be
 *     used.
 *   - A function that fails sets its out-pointer's target to NULL. An out-pointer must not be NULL unless the
 *     function's description allows it.
 *   - Arguments (texts, samples, options, prompts) are borrowed for the duration of the call, and copied if needed later.
 *   - Memory that a function or an event points to (const) belongs to the library; its description
 *     says how long it is valid.
 *   - Strings returned as `char **` are freed with ualm_string_free, never with free().
 *   - Texts are NUL-terminated UTF-8. Paths are too, except on Unix, where they are any bytes.
 *
 * Errors
 *   - Functions return a ualm_status, 0 for success. Its numbers never change. Each thread keeps its last failure,
 *     with a message, until its next one: ualm_last_error, ualm_last_status.
 *   - Functions with other return types return 0 or NULL on failure, and set the last failure as well.
 *   - NULL where it is not allowed, numbers out of range, text that is not UTF-8 and samples that are not finite are
 *     refused. Freed handles, handles of another kind and wrong lengths cannot be detected, and must not be passed.
 *   - The library never ends the process, prints nothing (except for a bug in the library, UALM_STATUS_PANIC, on
 *     stderr), and throws no exception.
 *
 * Threads
 *   - Any thread may use any handle, and several threads may use one at once, with these exceptions:
 *   - ualm_prompt may be used by several threads at once while nothing is added to it.
 *   - ualm_session, ualm_generation and ualm_chain may be used by one thread at a time; a concurrent call fails with
 *     UALM_STATUS_BUSY. ualm_generation_stop, ualm_chain_stop and ualm_cancel_throw may be called at any
 *     time.
 *   - A handle may only be freed while no other thread uses it. (A callback may free the handles of its own call.)
 *   - Callbacks run on the thread of the call that they were passed to.
 *   - The graphs run on one thread pool per process. It does not survive fork(): load models after a fork.
 *   - The first model that is loaded sets two environment variables that turn ONNX Runtime's telemetry off
 *     (ORT_DISABLE_TELEMETRY, ORT_TELEMETRY_DISABLED), unless both are already 1. If other threads access the
 *     environment at that time, set both before.
 *
 * Versions
 *   - UALM_ABI_VERSION changes when programs must be recompiled, and is part of the shared library's name (SONAME).
 *     Within one version, functions, fields, enumerators and statuses are only added.
 *   - Options are structs that begin with `struct_size`. Fill them with their _init function, passing sizeof, and
 *     change what you need: then a program and a library of different versions work together, and an unknown setting
 *     is refused. NULL takes the defaults.
 *   - Structs that the library fills begin with `struct_size` as well: fields beyond it do not exist. Structs without
 *     struct_size never change.
 *
 * AN EXAMPLE
 *
 *     #include <stdio.h>
 *     #include <ualm.h>
 *
 *     static int show(const ualm_event *event, void *user_data) {
 *         if (event->kind == UALM_EVENT_KIND_AUDIO_PROGRESS)
 *             fprintf((FILE *)user_data, "\r%.1f s ", event->seconds);
 *         return 0; // 1 would stop
 *     }
 *
 *     int main(int argc, char **argv) {
 *         ualm_model *model = NULL;
 *         ualm_session *session = NULL, *listener = NULL;
 *         ualm_prompt *prompt = NULL, *question = NULL;
 *         ualm_reply *reply = NULL, *answer = NULL;
 *         ualm_generation_options options;
 *         const int32_t sound[] = { UALM_MODALITY_AUDIO }, words[] = { UALM_MODALITY_TEXT };
 *         int failed = argc != 3; // PACKAGE OUT.wav
 *
 *         failed = failed || ualm_model_load(argv[1], NULL, &model) || ualm_session_new(model, &session) ||
 *                  ualm_prompt_new(&prompt) || ualm_prompt_add_text(prompt, UALM_ROLE_USER, "a dog barking") ||
 *                  ualm_generation_options_init(&options, sizeof options, model);
 *         if (!failed) {
 *             options.force = sound;
 *             options.force_len = options.max_segments = 1;
 *             options.seed = 1;
 *             failed = ualm_session_generate(session, prompt, &options, NULL, show, stderr, &reply) ||
 *                      ualm_wav_write(argv[2], ualm_reply_audio(reply), UALM_WAV_FORMAT_PCM16) ||
 *                      ualm_session_new(model, &listener) || ualm_prompt_new(&question) ||
 *                      ualm_prompt_add_audio(question, UALM_ROLE_USER, UALM_MODALITY_AUDIO, ualm_reply_audio(reply)) ||
 *                      ualm_prompt_add_text(question, UALM_ROLE_USER, "What sound is this?");
 *         }
 *         if (!failed) {
 *             options.force = words;
 *             failed = ualm_session_generate(listener, question, &options, NULL, NULL, NULL, &answer);
 *         }
 *         if (failed) fprintf(stderr, "error: %s\n", argc == 3 ? ualm_last_error() : "usage: PACKAGE OUT.wav");
 *         else printf("%s\n", ualm_reply_text(answer));
 *         ualm_reply_free(answer), ualm_reply_free(reply);
 *         ualm_prompt_free(question), ualm_prompt_free(prompt);
 *         ualm_session_free(listener), ualm_session_free(session);
 *         ualm_model_free(model);
 *         return failed;
 *     }
 */

#ifndef UALM_H
#define UALM_H

/* Made by `make header` from crates/capi/src. Change it there. */

#include <stddef.h>
#include <stdint.h>

/**
 * Version of the binary interface that this header describes. It changes only when a program would have to be compiled
 * again, and with it the shared library's name (SONAME).
 */
#define UALM_ABI_VERSION 1

/**
 * The outcome of a call. The numbers never change; later versions may add some.
 */
enum ualm_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Success.
     */
    UALM_STATUS_OK = 0,
    /**
     * An invalid request, option or argument.
     */
    UALM_STATUS_INVALID = 1,
    /**
     * A file that does not exist, cannot be read or cannot be written.
     */
    UALM_STATUS_IO = 2,
    /**
     * Sound that cannot be read: not audio, damaged, empty, or with samples that are not finite.
     */
    UALM_STATUS_AUDIO = 3,
    /**
     * A limit was exceeded, such as seconds of input or positions of context.
     */
    UALM_STATUS_LIMIT = 4,
    /**
     * A model package that is damaged, incomplete or violates its contract.
     */
    UALM_STATUS_PACKAGE = 5,
    /**
     * ONNX Runtime's library is missing, too old or cannot be loaded.
     */
    UALM_STATUS_LIBRARY = 6,
    /**
     * A requested execution provider is not available.
     */
    UALM_STATUS_PROVIDER = 7,
    /**
     * A graph failed while running.
     */
    UALM_STATUS_GRAPH = 8,
    /**
     * Invalid numbers, such as logits that are not finite.
     */
    UALM_STATUS_NUMERIC = 9,
    /**
     * Cancelled on request.
     */
    UALM_STATUS_CANCELLED = 10,
    /**
     * The handle is in use by an open generation, by another thread, or by the call whose callback is running.
     */
    UALM_STATUS_BUSY = 11,
    /**
     * A bug in the library. The handles of the call may only be freed afterwards; please report it.
     */
    UALM_STATUS_PANIC = 12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_status ualm_status;
#else
typedef int32_t ualm_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The kind of an event.
 */
enum ualm_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A segment began.
     */
    UALM_EVENT_KIND_SEGMENT_STARTED = 1,
    /**
     * The current segment got more text: text, text_len.
     */
    UALM_EVENT_KIND_TEXT_DELTA = 2,
    /**
     * The current sound segment grew, but is not decoded yet: seconds.
     */
    UALM_EVENT_KIND_AUDIO_PROGRESS = 3,
    /**
     * The next samples of the current sound segment: audio.
     */
    UALM_EVENT_KIND_AUDIO_CHUNK = 4,
    /**
     * A segment ended: segment.
     */
    UALM_EVENT_KIND_SEGMENT_ENDED = 5,
    /**
     * The reply is complete or was stopped: usage.
     */
    UALM_EVENT_KIND_FINISHED = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_event_kind ualm_event_kind;
#else
typedef int32_t ualm_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The modality of a segment of a reply, or of a part of a prompt.
 */
enum ualm_modality
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None: the field does not apply.
     */
    UALM_MODALITY_NONE = 0,
    /**
     * Text.
     */
    UALM_MODALITY_TEXT = 1,
    /**
     * Sound and music.
     */
    UALM_MODALITY_AUDIO = 2,
    /**
     * Speech.
     */
    UALM_MODALITY_SPEECH = 3,
    /**
     * The model's thoughts before a text answer.
     */
    UALM_MODALITY_THINKING = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_modality ualm_modality;
#else
typedef int32_t ualm_modality;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reason why a segment ended.
 */
enum ualm_segment_end
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The model ended its turn.
     */
    UALM_SEGMENT_END_EOS = 1,
    /**
     * The model ended the segment; another one follows, unless the limit on segments forbids it.
     */
    UALM_SEGMENT_END_EOT = 2,
    /**
     * The limit on steps was reached.
     */
    UALM_SEGMENT_END_LIMIT = 3,
    /**
     * The model's context is full.
     */
    UALM_SEGMENT_END_CONTEXT = 4,
    /**
     * Stopped on request.
     */
    UALM_SEGMENT_END_CANCELLED = 5,
    /**
     * An error occurred; the call fails with this error.
     */
    UALM_SEGMENT_END_FAILED = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_segment_end ualm_segment_end;
#else
typedef int32_t ualm_segment_end;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The kind of an event of takes. The last kinds occur only in chains.
 */
enum ualm_take_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A segment began.
     */
    UALM_TAKE_EVENT_KIND_SEGMENT_STARTED = 1,
    /**
     * A segment got more text: text, text_len.
     */
    UALM_TAKE_EVENT_KIND_TEXT_DELTA = 2,
    /**
     * A sound segment grew, but is not decoded yet: seconds.
     */
    UALM_TAKE_EVENT_KIND_AUDIO_PROGRESS = 3,
    /**
     * The next samples of a sound segment, without the package's enhancer: audio.
     */
    UALM_TAKE_EVENT_KIND_AUDIO_CHUNK = 4,
    /**
     * A segment ended: segment, and audio ready to play.
     */
    UALM_TAKE_EVENT_KIND_SEGMENT_ENDED = 5,
    /**
     * All takes are made, and the model begins to rank them.
     */
    UALM_TAKE_EVENT_KIND_RANKING_STARTED = 6,
    /**
     * The model has listened to a take: ranked.
     */
    UALM_TAKE_EVENT_KIND_RANKED = 7,
    /**
     * The takes or the chain are complete or were stopped: usage.
     */
    UALM_TAKE_EVENT_KIND_FINISHED = 8,
    /**
     * A stage of a chain ended with the chosen take: segment, and audio ready to play; both are NULL after a
     * UALM_STAGE_LISTEN stage. stop has the reason if the chain cannot continue.
     */
    UALM_TAKE_EVENT_KIND_STAGE_ENDED = 9,
    /**
     * The model has asked a question: the chain continues after ualm_chain_answer.
     */
    UALM_TAKE_EVENT_KIND_QUESTION = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_take_event_kind ualm_take_event_kind;
#else
typedef int32_t ualm_take_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A stage of a chain of reasoning.
 */
enum ualm_stage
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None: there is no such stage, or the segment is not part of a chain.
     */
    UALM_STAGE_NONE = 0,
    /**
     * A question of the model: text.
     */
    UALM_STAGE_QUESTION = 1,
    /**
     * The user's answer.
     */
    UALM_STAGE_ANSWER = 2,
    /**
     * The model's plan of the sound: text.
     */
    UALM_STAGE_PLAN = 3,
    /**
     * A sound that is followed by a critique.
     */
    UALM_STAGE_DRAFT = 4,
    /**
     * Listening to the draft through the audio encoder; it makes no segment.
     */
    UALM_STAGE_LISTEN = 5,
    /**
     * The model's critique of its draft: text.
     */
    UALM_STAGE_CRITIQUE = 6,
    /**
     * The final sound.
     */
    UALM_STAGE_FINAL = 7,
    /**
     * The model's description of its draft, in a chain by prompt: text.
     */
    UALM_STAGE_DESCRIPTION = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_stage ualm_stage;
#else
typedef int32_t ualm_stage;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reason why a chain cannot continue after a stage. Its record has everything made so far, and the chain can be
 * resumed from it.
 */
enum ualm_stop_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None: the chain continues.
     */
    UALM_STOP_REASON_NONE = 0,
    /**
     * Stopped on request.
     */
    UALM_STOP_REASON_CANCELLED = 1,
    /**
     * The model's context is full.
     */
    UALM_STOP_REASON_CONTEXT = 2,
    /**
     * The segment, or another take of it, failed; the next call for an event fails with the error.
     */
    UALM_STOP_REASON_FAILED = 3,
    /**
     * All takes were made, but not ranked; the next call for an event fails with the error.
     */
    UALM_STOP_REASON_NOT_RANKED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_stop_reason ualm_stop_reason;
#else
typedef int32_t ualm_stop_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A mode of reasoning (docs/reply.md).
 */
enum ualm_reasoning_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The package's mode, or that of the resumed chain.
     */
    UALM_REASONING_MODE_USUAL = 0,
    /**
     * A plan, then the sound.
     */
    UALM_REASONING_MODE_ENRICH = 1,
    /**
     * A question, the user's answer, a plan, then the sound.
     */
    UALM_REASONING_MODE_DIALOGUE = 2,
    /**
     * A plan and a sound, then in each round a critique of the last sound and a revised sound.
     */
    UALM_REASONING_MODE_REFLECT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_reasoning_mode ualm_reasoning_mode;
#else
typedef int32_t ualm_reasoning_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The speaker's role.
 */
enum ualm_role
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Instructions for the whole conversation.
     */
    UALM_ROLE_SYSTEM = 1,
    /**
     * The user.
     */
    UALM_ROLE_USER = 2,
    /**
     * The model.
     */
    UALM_ROLE_ASSISTANT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_role ualm_role;
#else
typedef int32_t ualm_role;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The sample format of a WAV file.
 */
enum ualm_wav_format
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * 16-bit integers: rounded to the nearest, clipped at full scale.
     */
    UALM_WAV_FORMAT_PCM16 = 1,
    /**
     * 32-bit floats, unchanged.
     */
    UALM_WAV_FORMAT_FLOAT32 = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ualm_wav_format ualm_wav_format;
#else
typedef int32_t ualm_wav_format;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Sound in memory, owned by the library.
 */
typedef struct ualm_audio ualm_audio;

/**
 * A cancellation token, which stops every generation that it was passed to. It cannot be reset.
 */
typedef struct ualm_cancel ualm_cancel;

/**
 * A running reasoning chain, pulled event by event.
 */
typedef struct ualm_chain ualm_chain;

/**
 * A point of a conversation at which the model's reply begins. Any number of replies can start from it, without
 * running the conversation before it again.
 */
typedef struct ualm_checkpoint ualm_checkpoint;

/**
 * Codec codes: one stream per codebook, one code per frame.
 */
typedef struct ualm_codes ualm_codes;

/**
 * Many concurrent conversations on one model. One thread runs their steps in batches, which costs far less than
 * running each conversation alone. A reply is the same as that of a session without an engine.
 */
typedef struct ualm_engine ualm_engine;

/**
 * A running generation, pulled event by event.
 */
typedef struct ualm_generation ualm_generation;

/**
 * A point between two turns, to which a conversation can be rewound.
 */
typedef struct ualm_mark ualm_mark;

/**
 * A loaded model: immutable, and usable from all threads at once.
 */
typedef struct ualm_model ualm_model;

/**
 * A prompt: parts in order, each with its role. Several sessions may use it, any number of times.
 */
typedef struct ualm_prompt ualm_prompt;

/**
 * A ranking of takes, best first.
 */
typedef struct ualm_ranking ualm_ranking;

/**
 * A conversation as data: prompts, settings, seeds and tokens, and the identity of the package.
 */
typedef struct ualm_record ualm_record;

/**
 * A finished reply: its segments in order.
 */
typedef struct ualm_reply ualm_reply;

/**
 * A conversation. It keeps its history, and the next prompt continues from there.
 */
typedef struct ualm_session ualm_session;

/**
 * Takes of one prompt.
 */
typedef struct ualm_takes ualm_takes;

/**
 * A matrix of numbers, owned by the library.
 */
typedef struct ualm_tensor ualm_tensor;

/**
 * Options of ONNX Runtime, which is started once per process: later calls must pass the same options, or NULL.
 */
typedef struct {
    /**
     * Written by ualm_runtime_options_init.
     */
    size_t struct_size;
    /**
     * Path of ONNX Runtime's library; NULL searches ORT_DYLIB_PATH, the folders of the program and of this library,
     * ../lib from there, and the user's cache.
     */
    const char *library;
    /**
     * Threads of the pool that all graphs share; 0 takes as many as the process may use.
     */
    size_t threads;
    /**
     * The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu",
     * "codec=openvino,llm=cpu" or "auto"; NULL takes UALM_PROVIDER, else "cpu". Models in one process may have
     * different ones.
     */
    const char *provider;
    /**
     * Paths of plugin libraries with providers; with none, UALM_PROVIDER_LIBRARY is used. Plugins beside ONNX
     * Runtime's library are always found. Borrowed.
     */
    const char *const *provider_libraries;
    /**
     * The number of paths.
     */
    size_t provider_library_count;
    /**
     * The time limit for loading a library, in seconds; 0 takes 120.
     */
    size_t load_timeout;
    /**
     * 1 reduces memory use, above all for long recordings; 0 does not. Models in one process may differ.
     */
    size_t low_memory;
} ualm_runtime_options;

/**
 * Settings of the segments of one modality. This struct never grows.
 */
typedef struct {
    /**
     * Softmax temperature; 0 always takes the most likely id.
     */
    float temperature;
    /**
     * Sample from the most likely ids whose probabilities add up to top_p; 1 keeps all.
     */
    float top_p;
    /**
     * Scale of classifier-free guidance; 1 disables it.
     */
    float guidance;
    /**
     * Sample from the top_k most likely ids of each stream; 0 keeps all.
     */
    uint32_t top_k;
    /**
     * The maximum number of steps of a segment, including the closing one.
     */
    uint32_t max_steps;
    /**
     * The minimum number of steps before the model may close a segment, or end its sound; 0 sets no minimum.
     */
    uint32_t min_steps;
} ualm_segment_options;

/**
 * The options of a reply.
 */
typedef struct {
    /**
     * Written by ualm_generation_options_init.
     */
    size_t struct_size;
    /**
     * The random seed. The same seed reproduces a reply with the same package, library and number of threads.
     */
    uint64_t seed;
    /**
     * The maximum number of segments of a reply.
     */
    size_t max_segments;
    /**
     * Modalities (ualm_modality) of the first segments, in order; the model chooses the modalities of further ones.
     * Borrowed.
     */
    const int32_t *force;
    /**
     * The number of modalities in `force`.
     */
    size_t force_len;
    /**
     * Settings of text segments.
     */
    ualm_segment_options text;
    /**
     * Settings of audio segments.
     */
    ualm_segment_options audio;
    /**
     * Settings of speech segments.
     */
    ualm_segment_options speech;
    /**
     * 1 streams sound with low latency, in short chunks first, at some cost in speed; 0 in chunks of a few seconds, or
     * at the end of its segment.
     */
    int32_t stream_audio;
    /**
     * 1 continues with the remaining modalities of `force` when the model ends its turn early, or a segment reaches
     * its limit.
     */
    int32_t insist;
    /**
     * 1 lets the model think before a text answer, in a segment of its own (UALM_MODALITY_THINKING), if it was trained
     * to and the prompt has no sound. The limit on the steps of `text` includes the thoughts.
     */
    int32_t thinking;
    /**
     * Must be 0.
     */
    int32_t reserved;
} ualm_generation_options;

/**
 * A file of a package in memory. This struct never grows.
 */
typedef struct {
    /**
     * The name in the package's folder.
     */
    const char *name;
    /**
     * The content.
     */
    const uint8_t *data;
    /**
     * Bytes of the content.
     */
    size_t len;
} ualm_file;

/**
 * Resource limits, checked before any work is done (UALM_STATUS_LIMIT).
 */
typedef struct {
    /**
     * Written by ualm_limits_init.
     */
    size_t struct_size;
    /**
     * Seconds of a sound to listen to or encode; 0 takes the package's limit.
     */
    double input_seconds;
    /**
     * Bytes of a decoded recording.
     */
    uint64_t decoded_bytes;
    /**
     * Bytes of the key/value cache of a conversation; 0 takes half of the memory that the process may use.
     */
    uint64_t memory;
    /**
     * Positions of a prompt: about one per token, 25 per second of sound.
     */
    size_t prompt_frames;
    /**
     * Segments of a reply.
     */
    size_t segments;
    /**
     * Steps of a segment.
     */
    size_t steps;
    /**
     * Positions of a conversation, within the model's own limit.
     */
    size_t context;
} ualm_limits;

/**
 * Borrowed sound. This struct never grows.
 */
typedef struct {
    /**
     * frames x channels samples, interleaved: left, right, left, right; full scale is -1 to 1. NULL when there are
     * none.
     */
    const float *data;
    /**
     * The number of samples per channel.
     */
    size_t frames;
    /**
     * The number of channels; at least 1.
     */
    uint32_t channels;
    /**
     * The sample rate in Hz; at least 1.
     */
    uint32_t sample_rate;
} ualm_samples;

/**
 * The capacity of an engine.
 */
typedef struct {
    /**
     * Written by ualm_engine_options_init.
     */
    size_t struct_size;
    /**
     * Sequences at once; a session whose replies may be guided takes two.
     */
    size_t slots;
    /**
     * Positions of each slot; 0 takes the model's context within the limits, or at most 4096 if positions are not
     * limited.
     */
    size_t context;
    /**
     * Positions of a prompt that run between two steps of the other sessions: a smaller chunk delays the other
     * sessions less, a larger one finishes the prompt sooner.
     */
    size_t prefill_chunk;
} ualm_engine_options;

/**
 * A snapshot of an engine's load. The library fills it; later versions may add fields at the end.
 */
typedef struct {
    /**
     * Written by ualm_engine_read_stats.
     */
    size_t struct_size;
    /**
     * Slots in total.
     */
    size_t slots;
    /**
     * Free slots.
     */
    size_t free_slots;
    /**
     * Sessions.
     */
    size_t sessions;
    /**
     * Prompts that are running or queued.
     */
    size_t waiting_prompts;
    /**
     * Sessions in the last step.
     */
    size_t batch_sessions;
    /**
     * Sequences in the last step.
     */
    size_t batch_rows;
    /**
     * Steps since the engine started.
     */
    uint64_t steps;
    /**
     * Sum of the sequences of all steps.
     */
    uint64_t row_steps;
    /**
     * Positions of prompts since the engine started.
     */
    uint64_t prompt_positions;
} ualm_engine_stats;

/**
 * A segment of a reply. The library fills it; later versions may add fields at the end.
 */
typedef struct {
    /**
     * Its size in this version of the library.
     */
    size_t struct_size;
    /**
     * The modality.
     */
    ualm_modality modality;
    /**
     * The reason why the segment ended.
     */
    ualm_segment_end end;
    /**
     * The NUL-terminated text of a text segment; "" for sound.
     */
    const char *text;
    /**
     * Bytes of the text, without the NUL. (A model's text may contain NUL.)
     */
    size_t text_len;
    /**
     * The sound of a sound segment, NULL for text. It has no samples if the segment was too short.
     */
    const ualm_samples *audio;
    /**
     * Token ids: frame_count positions of stream_count ids each, including the closing position.
     */
    const uint32_t *frames;
    /**
     * The number of positions.
     */
    size_t frame_count;
    /**
     * The number of ids per position.
     */
    size_t stream_count;
} ualm_segment;

/**
 * The usage of a reply. The library fills it; later versions may add fields at the end.
 */
typedef struct {
    /**
     * Its size in this version of the library.
     */
    size_t struct_size;
    /**
     * Positions of the prompt.
     */
    size_t prompt_frames;
    /**
     * Generated steps, including closing ones.
     */
    size_t steps;
    /**
     * Seconds spent on prompts and on the openings of segments.
     */
    double prefill_seconds;
    /**
     * Seconds spent on steps and on decoding sound.
     */
    double decode_seconds;
} ualm_usage;

/**
 * An event of a reply that is being generated. The library fills it; later versions may add fields at the end, and
 * kinds: ignore unknown kinds.
 */
typedef struct {
    /**
     * Its size in this version of the library.
     */
    size_t struct_size;
    /**
     * The kind, which determines the other fields that are set.
     */
    ualm_event_kind kind;
    /**
     * The modality of the current segment; UALM_MODALITY_NONE in UALM_EVENT_KIND_FINISHED.
     */
    ualm_modality modality;
    /**
     * Index of the current segment in the reply, from 0.
     */
    size_t segment_index;
    /**
     * The NUL-terminated text, else NULL. It always ends on a character boundary.
     */
    const char *text;
    /**
     * Bytes of the text, without the NUL.
     */
    size_t text_len;
    /**
     * Seconds of the current sound segment so far.
     */
    double seconds;
    /**
     * The samples, else NULL.
     */
    const ualm_samples *audio;
    /**
     * The segment, else NULL.
     */
    const ualm_segment *segment;
    /**
     * The usage of the reply, else NULL.
     */
    const ualm_usage *usage;
} ualm_event;

/**
 * A callback for events, called in the thread that called ualm_session_generate. The event is valid until the callback
 * returns. 0 continues; any other value stops the reply, which keeps what was made so far. The callback must return:
 * no longjmp, no exception.
 */
typedef int (*ualm_event_callback)(const ualm_event *event, void *user_data);

/**
 * A take with its rank. The library fills it; later versions may add fields at the end.
 */
typedef struct {
    /**
     * Its size in this version of the library.
     */
    size_t struct_size;
    /**
     * Index of the take, from 0.
     */
    size_t take;
    /**
     * The model's caption of the take, NUL-terminated.
     */
    const char *caption;
    /**
     * The score: covered x (1 + ordered) / 2.
     */
    double total;
    /**
     * Share of the expected words in the caption; a word that is expected twice must occur twice.
     */
    double covered;
    /**
     * Share of the pairs of covered words in the expected order; 1 when there are no pairs.
     */
    double ordered;
    /**
     * The model's confidence in the caption: the geometric mean of the probabilities of its tokens; 0 without a caption.
     */
    double confidence;
} ualm_ranked;

/**
 * An event of takes that are being generated. Concurrent takes interleave their events. The library fills it; later
 * versions may add fields at the end, and kinds: ignore unknown kinds.
 */
typedef struct {
    /**
     * Its size in this version of the library.
     */
    size_t struct_size;
    /**
     * The kind, which determines the other fields that are set.
     */
    ualm_take_event_kind kind;
    /**
     * The stage of a chain.
     */
    ualm_stage stage;
    /**
     * Index of the take, from 0.
     */
    size_t take;
    /**
     * Index of the segment in its reply, from 0; in a chain the index of its stage (ualm_chain_stage).
     */
    size_t segment_index;
    /**
     * The segment's modality.
     */
    ualm_modality modality;
    /**
     * The reason why a chain cannot continue, if it cannot.
     */
    ualm_stop_reason stop;
    /**
     * The NUL-terminated text, else NULL. It always ends on a character boundary.
     */
    const char *text;
    /**
     * Bytes of the text, without the NUL.
     */
    size_t text_len;
    /**
     * Seconds of the sound segment so far.
     */
    double seconds;
    /**
     * The sound, else NULL.
     */
    const ualm_samples *audio;
    /**
     * The segment, else NULL. Its own audio is without the package's enhancer.
     */
    const ualm_segment *segment;
    /**
     * The take's rank, else NULL.
     */
    const ualm_ranked *ranked;
    /**
     * The usage so far, else NULL.
     */
    const ualm_usage *usage;
} ualm_take_event;

/**
 * A callback for events, called in the thread that called ualm_takes_make. The event is valid until the callback
 * returns. 0 continues; any other value stops all takes, which keep what was made so far. The callback must return:
 * no longjmp, no exception.
 */
typedef int (*ualm_take_callback)(const ualm_take_event *event, void *user_data);

/**
 * The options of a reasoning chain.
 */
typedef struct {
    /**
     * Written by ualm_chain_options_init.
     */
    size_t struct_size;
    /**
     * Seed of every segment; take n (from 0) of the final sound has the seed plus n.
     */
    uint64_t seed;
    /**
     * Rounds of reflection, 1 to 32; 0 takes the number of the resumed chain, or 1.
     */
    size_t rounds;
    /**
     * Takes of the final sound; at least 1.
     */
    size_t takes;
    /**
     * The reasoning mode (ualm_reasoning_mode); UALM_REASONING_MODE_USUAL takes the package's, or that of the resumed
     * chain.
     */
    int32_t mode;
    /**
     * 1 lets a reflection hear its drafts through the audio encoder, 0 does not; -1 takes the package's setting, or
     * that of the resumed chain.
     */
    int32_t listen;
    /**
     * 1 ranks the takes of the final sound by how well they match the plan, and ends the chain with the best one; 0
     * ends it with the first one.
     */
    int32_t best;
    /**
     * 1 streams sound with low latency, in short chunks first, at some cost in speed; 0 in chunks of a few seconds, or
     * at the end of its segment.
     */
    int32_t stream_audio;
    /**
     * 1 resumes a chain with `seed`, 0 with the seed of its record. A new chain always uses `seed`.
     */
    size_t reseed;
    /**
     * The wording of a chain by prompt: a JSON object with a text for each stage, by its name (docs/chains.md); NULL
     * takes the package's, or that of the resumed chain.
     */
    const char *wording;
} ualm_chain_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the library's version, such as "0.1.0".
 */
const char *ualm_version(void);

/**
 * Returns the version of the library's binary interface; it works with programs whose UALM_ABI_VERSION is the same.
 */
uint32_t ualm_abi_version(void);

/**
 * Returns the status of this thread's last failed call; UALM_STATUS_OK when none has failed. Successful calls do not
 * change it.
 */
ualm_status ualm_last_status(void);

/**
 * Returns the error message of this thread's last failed call: what was expected, what was found, what to do; "" when
 * none has failed. Valid until the thread's next failed call.
 */
const char *ualm_last_error(void);

/**
 * Returns the name of a status, such as "invalid"; "unknown" for an unknown number.
 */
const char *ualm_status_name(int32_t status);

/**
 * Fills `options` with the defaults; `struct_size` is sizeof *options.
 */
ualm_status ualm_runtime_options_init(ualm_runtime_options *options, size_t struct_size);

/**
 * Fills `options` with the model's defaults, seed 0 and nothing forced; `struct_size` is sizeof *options.
 */
ualm_status ualm_generation_options_init(ualm_generation_options *options, size_t struct_size, const ualm_model *model);

/**
 * Starts ONNX Runtime if it is not running, loads the requested providers, and returns a report: an object with
 * "library" (the file), "build", "threads", "asked" (the requested providers), "providers" (a list: "asked",
 * "default_options" (an object: options that the request leaves to their defaults), "state" (ready, not_installed,
 * wrong_version, missing_dependency, no_device, timed_out, failed), "message", "library", "version", "devices",
 * "missing"), "unserved" (graphs that none of the providers can run), "devices" (a list of
 * {"provider", "hardware", "vendor"}), "graphs" (empty), "other_libraries" (other copies of ONNX Runtime in the
 * process), "lost_devices" (an object: for each lost device the error, after which the process must be
 * restarted) and "processor" (an object: "name" and "features"). An unavailable provider is an error only
 * when a model is loaded, not here. `options` may be NULL. Free `json` with ualm_string_free.
 */
ualm_status ualm_runtime_report(const ualm_runtime_options *options, char **json);

/**
 * Returns the report of a loaded model, as ualm_runtime_report does, with "graphs", a list of the graphs loaded so
 * far: "graph", "file", "provider", "device", "nodes", "nodes_on_cpu" (nodes that the provider does not support),
 * "operators_on_cpu", "in_float16" (true if the provider computes in float16 although the graph is in float32),
 * "sizes" (the sizes of its dimensions by name, if its shapes are fixed), "instructions" (only if the file was chosen
 * for an instruction set, such as "AVX-512 VNNI"), "variant_passed_over" (only if the graph's variant
 * for the provider or the processor is not used: the file and the reason) and "passed_over" (a list of {"provider",
 * "why"}). Free `json` with ualm_string_free.
 */
ualm_status ualm_model_report(const ualm_model *model, char **json);

/**
 * Loads the model package in `folder`; `options` may be NULL. The language model is loaded now, the graphs for sound
 * when they are first used. The files must not be moved or changed while the model is in use, since its weights are
 * mapped into memory.
 */
ualm_status ualm_model_load(const char *folder, const ualm_runtime_options *options, ualm_model **model);

/**
 * Loads a package whose `file_count` files are in memory (manifest.json, tokenizer.json, the graphs and their
 * weights), as ualm_model_load does. The contents are copied, and stay in memory as long as the model.
 */
ualm_status ualm_model_load_files(const ualm_file *files,
                                  size_t file_count,
                                  const ualm_runtime_options *options,
                                  ualm_model **model);

/**
 * Verifies the checksum of every file of the model's package and fails with UALM_STATUS_PACKAGE for a damaged one.
 * Loading verifies files of up to 64 MiB only.
 */
ualm_status ualm_model_verify(const ualm_model *model);

/**
 * Returns the identity of the model's package: SHA-256 of its manifest, which holds the checksums of all other files,
 * in hexadecimal digits. Free `digits` with ualm_string_free.
 */
ualm_status ualm_model_sha256(const ualm_model *model, char **digits);

/**
 * Loads all remaining graphs, so that no later call waits for loading or fails because of a broken graph.
 */
ualm_status ualm_model_load_all(const ualm_model *model);

/**
 * Returns the package's manifest.json: name, precision, modalities and their defaults, rates, licence. Free `json`
 * with ualm_string_free.
 */
ualm_status ualm_model_manifest(const ualm_model *model, char **json);

/**
 * Frees a model; its sessions stay usable. NULL is allowed.
 */
void ualm_model_free(ualm_model *model);

/**
 * Fills `limits` with the model's limits; `struct_size` is sizeof *limits.
 */
ualm_status ualm_limits_init(ualm_limits *limits, size_t struct_size, const ualm_model *model);

/**
 * Returns the same model with other limits; both share the loaded graphs. NULL for `limits` takes the model's own.
 * Free both models.
 */
ualm_status ualm_model_with_limits(const ualm_model *model, const ualm_limits *limits, ualm_model **limited);

/**
 * Creates a cancellation token.
 */
ualm_status ualm_cancel_new(ualm_cancel **cancel);

/**
 * Cancels the token, from any thread: every generation that has it ends after its current step and keeps what it has
 * made.
 */
ualm_status ualm_cancel_throw(ualm_cancel *cancel);

/**
 * Returns 1 when the token was cancelled, else 0.
 */
int ualm_cancel_is_thrown(const ualm_cancel *cancel);

/**
 * Frees a token; generations that have it continue. NULL is allowed.
 */
void ualm_cancel_free(ualm_cancel *cancel);

/**
 * Creates an empty prompt.
 */
ualm_status ualm_prompt_new(ualm_prompt **prompt);

/**
 * Adds a text of `speaker` (ualm_role). The text is copied.
 */
ualm_status ualm_prompt_add_text(ualm_prompt *prompt, int32_t speaker, const char *words);

/**
 * Adds a recording of `speaker` (ualm_role): `kind` is UALM_MODALITY_AUDIO for sound and music, UALM_MODALITY_SPEECH
 * for speech. Any sample rate and number of channels is accepted; channels are mixed to mono. The samples are copied.
 */
ualm_status ualm_prompt_add_audio(ualm_prompt *prompt, int32_t speaker, int32_t kind, const ualm_samples *samples);

/**
 * Frees a prompt. NULL is allowed.
 */
void ualm_prompt_free(ualm_prompt *prompt);

/**
 * Begins a conversation.
 */
ualm_status ualm_session_new(const ualm_model *model, ualm_session **session);

/**
 * Returns the number of positions of the conversation so far. Fails with UALM_STATUS_BUSY while a generation is open.
 */
ualm_status ualm_session_position(const ualm_session *session, size_t *position);

/**
 * Returns the number of positions that the conversation may hold: the model's context, or the engine's.
 */
size_t ualm_session_max_positions(const ualm_session *session);

/**
 * Frees a session; its generation stays usable. NULL is allowed.
 */
void ualm_session_free(ualm_session *session);

/**
 * Fills `options` with the defaults; `struct_size` is sizeof *options.
 */
ualm_status ualm_engine_options_init(ualm_engine_options *options, size_t struct_size);

/**
 * Starts an engine on `model`, within the model's limits; `options` may be NULL. The cache of all slots is allocated
 * now. Refused (UALM_STATUS_LIMIT) when it takes more memory than the limits allow.
 */
ualm_status ualm_engine_new(const ualm_model *model, const ualm_engine_options *options, ualm_engine **engine);

/**
 * Begins a conversation in the engine, which is used and freed like any other session, on any thread. It takes two
 * slots if replies with `options` may be guided, else one; NULL takes the model's defaults. Fails with
 * UALM_STATUS_LIMIT when too few slots are free.
 */
ualm_status ualm_engine_session_new(const ualm_engine *engine,
                                    const ualm_generation_options *options,
                                    ualm_session **session);

/**
 * Returns the number of positions that a conversation in the engine may hold.
 */
size_t ualm_engine_context(const ualm_engine *engine);

/**
 * Fills `stats` with the engine's current load; `struct_size` is sizeof *stats.
 */
ualm_status ualm_engine_read_stats(const ualm_engine *engine, ualm_engine_stats *stats, size_t struct_size);

/**
 * Frees an engine; its sessions stay usable. NULL is allowed.
 */
void ualm_engine_free(ualm_engine *engine);

/**
 * Runs `prompt` and returns the checkpoint after it, from which ualm_session_generate_from generates replies. The
 * prompt is laid out for a text reply, or for any reply if the model chooses the modality. `cancel` may be NULL; if it
 * stops this call, the call fails with UALM_STATUS_CANCELLED. After a failure the conversation is unchanged, except
 * for earlier thoughts, which a prompt removes from it; checkpoints in a reply with such thoughts become invalid.
 */
ualm_status ualm_session_checkpoint(ualm_session *session,
                                    const ualm_prompt *prompt,
                                    const ualm_cancel *cancel,
                                    ualm_checkpoint **checkpoint);

/**
 * Runs `prompt` as ualm_session_checkpoint does, laid out for a reply that begins with a segment of `kind`
 * (ualm_modality), on which the prompts of some models depend.
 */
ualm_status ualm_session_checkpoint_for(ualm_session *session,
                                        const ualm_prompt *prompt,
                                        int32_t kind,
                                        const ualm_cancel *cancel,
                                        ualm_checkpoint **checkpoint);

/**
 * Creates another conversation at `checkpoint` of this one. Replies can then be generated from the checkpoint in both
 * at once, on two threads; in an engine their steps are batched. Fails with UALM_STATUS_LIMIT when there is no room
 * for another conversation.
 */
ualm_status ualm_session_fork(ualm_session *session, const ualm_checkpoint *checkpoint, ualm_session **fork);

/**
 * Returns the checkpoint after the last reply of a session, as if the model had opened another segment of that reply.
 * `cancel` may be NULL. Fails with UALM_STATUS_INVALID when there is no reply to continue.
 */
ualm_status ualm_session_go_on(ualm_session *session, const ualm_cancel *cancel, ualm_checkpoint **checkpoint);

/**
 * Returns the same checkpoint with the first positions of its next segment, of `kind` (ualm_modality), fixed to
 * `frames`: `frame_count` positions of `stream_count` ids each, without a closing one, as in a segment of a reply, or
 * as returned by ualm_model_text_ids (one stream).
 */
ualm_status ualm_checkpoint_keep(const ualm_checkpoint *checkpoint,
                                 int32_t kind,
                                 const uint32_t *frames,
                                 size_t frame_count,
                                 size_t stream_count,
                                 ualm_checkpoint **kept);

/**
 * Returns the number of positions of the conversation up to a checkpoint, and the number of segments of the reply
 * before it. Either out-pointer may be NULL.
 */
ualm_status ualm_checkpoint_position(const ualm_checkpoint *checkpoint, size_t *position, size_t *segments);

/**
 * Frees a checkpoint. NULL is allowed.
 */
void ualm_checkpoint_free(ualm_checkpoint *checkpoint);

/**
 * Marks the end of a conversation, without the thoughts that the next prompt removes from it.
 */
ualm_status ualm_session_mark(ualm_session *session, ualm_mark **mark);

/**
 * Rewinds a conversation to `mark`. Fails with UALM_STATUS_INVALID for a mark of another session, and for one
 * that the session was rewound beyond.
 */
ualm_status ualm_session_rewind(ualm_session *session, const ualm_mark *mark);

/**
 * Frees a mark. NULL is allowed.
 */
void ualm_mark_free(ualm_mark *mark);

/**
 * Generates the whole reply to `prompt`. `options` (NULL takes the model's defaults), `cancel`, `callback` and `reply`
 * may be NULL. Stopping a reply is not a failure: the reply ends with the segments made so far. After a failure
 * there is no reply, but the callback has received everything made before it, and the session may be used again.
 */
ualm_status ualm_session_generate(ualm_session *session,
                                  const ualm_prompt *prompt,
                                  const ualm_generation_options *options,
                                  const ualm_cancel *cancel,
                                  ualm_event_callback callback,
                                  void *user_data,
                                  ualm_reply **reply);

/**
 * Generates a reply that begins at `checkpoint`, as ualm_session_generate does. The conversation after the checkpoint
 * is forgotten. Fails with UALM_STATUS_INVALID for a checkpoint of another session, and for one that the session was
 * rewound beyond.
 */
ualm_status ualm_session_generate_from(ualm_session *session,
                                       const ualm_checkpoint *checkpoint,
                                       const ualm_generation_options *options,
                                       const ualm_cancel *cancel,
                                       ualm_event_callback callback,
                                       void *user_data,
                                       ualm_reply **reply);

/**
 * Begins the reply to `prompt`, to be pulled event by event; nothing is generated before the first call of
 * ualm_generation_next. The session is busy until the last event was returned or the generation is freed. `options`
 * and `cancel` may be NULL.
 */
ualm_status ualm_generation_new(ualm_session *session,
                                const ualm_prompt *prompt,
                                const ualm_generation_options *options,
                                const ualm_cancel *cancel,
                                ualm_generation **generation);

/**
 * Begins a reply at `checkpoint` (see ualm_session_generate_from), as ualm_generation_new does.
 */
ualm_status ualm_generation_new_from(ualm_session *session,
                                     const ualm_checkpoint *checkpoint,
                                     const ualm_generation_options *options,
                                     const ualm_cancel *cancel,
                                     ualm_generation **generation);

/**
 * Runs until the next event, and returns it in `event`. The last event is UALM_EVENT_KIND_FINISHED; after it, and
 * after a failure, `event` is NULL. The event is valid until the next call for this generation, or until it is freed.
 */
ualm_status ualm_generation_next(ualm_generation *generation, const ualm_event **event);

/**
 * Stops a reply, from any thread: it ends after its current step. The remaining events, including the end of its
 * segment, are still returned.
 */
ualm_status ualm_generation_stop(ualm_generation *generation);

/**
 * Frees a generation; an unfinished one counts as cancelled. NULL is allowed.
 */
void ualm_generation_free(ualm_generation *generation);

/**
 * Returns the number of segments; 0 when the reply was stopped before the first one.
 */
size_t ualm_reply_segment_count(const ualm_reply *reply);

/**
 * Returns the segment at `index`, from 0; NULL after the last one. It is valid until the reply is freed.
 */
const ualm_segment *ualm_reply_segment(const ualm_reply *reply, size_t index);

/**
 * Returns the text of all text segments, concatenated and NUL-terminated. It is valid until the reply is freed.
 */
const char *ualm_reply_text(const ualm_reply *reply);

/**
 * Returns the sound of the last sound segment; NULL when there is none. It is valid until the reply is freed.
 */
const ualm_samples *ualm_reply_audio(const ualm_reply *reply);

/**
 * Returns the usage of the reply. It is valid until the reply is freed.
 */
const ualm_usage *ualm_reply_usage(const ualm_reply *reply);

/**
 * Frees a reply. NULL is allowed.
 */
void ualm_reply_free(ualm_reply *reply);

/**
 * Reads a sound file (WAV, FLAC, MP3, AAC, Ogg, MP4, MOV, WebM, MKV, AIFF, CAF and others: docs/audio.md), mixed to
 * one channel, at its own rate.
 * Refuses a file longer than `max_seconds` (UALM_STATUS_LIMIT); 0 sets no limit.
 */
ualm_status ualm_audio_read(const char *file, double max_seconds, ualm_audio **audio);

/**
 * Reads a sound file from `len` bytes in memory, as ualm_audio_read does.
 */
ualm_status ualm_audio_read_memory(const uint8_t *bytes, size_t len, double max_seconds, ualm_audio **audio);

/**
 * Returns the samples; NULL when `audio` is NULL. They are valid until the audio is freed.
 */
const ualm_samples *ualm_audio_samples(const ualm_audio *audio);

/**
 * Returns the warning at `index` (from 0) about a damaged but readable file; NULL after the last one. It is valid
 * until the audio is freed.
 */
const char *ualm_audio_warning(const ualm_audio *audio, size_t index);

/**
 * Frees sound. NULL is allowed.
 */
void ualm_audio_free(ualm_audio *audio);

/**
 * Writes a WAV file in a `format` (ualm_wav_format). The write is atomic: `file` is either the old file or the
 * complete new one.
 */
ualm_status ualm_wav_write(const char *file, const ualm_samples *samples, int32_t format);

/**
 * Runs the package's enhancer on sound; sets `audio` to NULL when the package has none.
 */
ualm_status ualm_model_enhance(const ualm_model *model, const ualm_samples *samples, ualm_audio **audio);

/**
 * Encodes sound, at any sample rate and with any number of channels.
 */
ualm_status ualm_model_encode(const ualm_model *model, const ualm_samples *samples, ualm_codes **codes);

/**
 * Decodes `streams` x `frames` codes, stream after stream, to sound.
 */
ualm_status ualm_model_decode(const ualm_model *model,
                              const uint32_t *codes,
                              size_t streams,
                              size_t frames,
                              ualm_audio **audio);

/**
 * Returns the token ids of `words` as one stream, which ualm_checkpoint_keep accepts as the beginning of a text
 * segment.
 */
ualm_status ualm_model_text_ids(const ualm_model *model, const char *words, ualm_codes **ids);

/**
 * Returns the codes, stream after stream, and the numbers of streams and frames; NULL when `codes` is NULL. They are
 * valid until the handle is freed.
 */
const uint32_t *ualm_codes_data(const ualm_codes *codes, size_t *streams, size_t *frames);

/**
 * Frees codes. NULL is allowed.
 */
void ualm_codes_free(ualm_codes *codes);

/**
 * Returns the numbers, row after row, and the numbers of rows and columns; NULL when `tensor` is NULL. They are valid
 * until the handle is freed.
 */
const float *ualm_tensor_data(const ualm_tensor *tensor, size_t *rows, size_t *columns);

/**
 * Frees a tensor. NULL is allowed.
 */
void ualm_tensor_free(ualm_tensor *tensor);

/**
 * Encodes sound to language-model features: a row of the hidden size for each position, about 25 per second.
 */
ualm_status ualm_model_audio_features(const ualm_model *model, const ualm_samples *samples, ualm_tensor **features);

/**
 * Returns the embeddings of a prompt at the beginning of a conversation: a row of the hidden size for each position,
 * with the features of sound in their positions.
 */
ualm_status ualm_model_prompt_embeddings(const ualm_model *model, const ualm_prompt *prompt, ualm_tensor **embeddings);

/**
 * Returns the logits that follow the conversation and `prompt`, one row each: of the text head (column = id), and of
 * the audio head (the codes of all streams, then the ids that end the turn and the segment). `audio` may be NULL, and
 * is set to NULL for a package that generates no sound. The conversation is unchanged.
 */
ualm_status ualm_session_next_logits(ualm_session *session,
                                     const ualm_prompt *prompt,
                                     ualm_tensor **text,
                                     ualm_tensor **audio);

/**
 * Describes sound by the model: returns a caption, or a transcript for the `kind` UALM_MODALITY_SPEECH. `cancel` may
 * be NULL. Free `words` with ualm_string_free.
 */
ualm_status ualm_model_caption(const ualm_model *model,
                               const ualm_samples *samples,
                               int32_t kind,
                               const ualm_cancel *cancel,
                               char **words);

/**
 * Ranks `take_count` takes by how well the model's own caption of each matches `wanted`: the prompt of the takes, or
 * the text to speak for the `kind` UALM_MODALITY_SPEECH. Of equal scores the one with the larger confidence comes
 * first, then the earlier one; a take that the model cannot listen to has an empty caption. `cancel` may be NULL.
 */
ualm_status ualm_model_rank(const ualm_model *model,
                            const ualm_samples *takes,
                            size_t take_count,
                            int32_t kind,
                            const char *wanted,
                            const ualm_cancel *cancel,
                            ualm_ranking **ranking);

/**
 * Returns the take of rank `index`, 0 for the best; NULL after the last one. It is valid until the ranking is freed.
 */
const ualm_ranked *ualm_ranking_get(const ualm_ranking *ranking, size_t index);

/**
 * Frees a ranking. NULL is allowed.
 */
void ualm_ranking_free(ualm_ranking *ranking);

/**
 * Returns the record of a session so far.
 */
ualm_status ualm_session_record(const ualm_session *session, ualm_record **record);

/**
 * Reads the record of a WAV file that `ualm` or ualm_record_write_wav wrote.
 */
ualm_status ualm_record_read_wav(const char *file, ualm_record **record);

/**
 * Writes a WAV file with the record in it, as ualm_wav_write does; `samples` are the sound of the record's last
 * segment.
 */
ualm_status ualm_record_write_wav(const ualm_record *record,
                                  const char *file,
                                  const ualm_samples *samples,
                                  int32_t format);

/**
 * Reads a record from `json`, as ualm_record_to_json returns it.
 */
ualm_status ualm_record_from_json(const char *json, ualm_record **record);

/**
 * Returns the record as one line of JSON (docs/reply.md). Free `json` with ualm_string_free.
 */
ualm_status ualm_record_to_json(const ualm_record *record, char **json);

/**
 * Returns the number of turns: prompts with their replies.
 */
size_t ualm_record_turn_count(const ualm_record *record);

/**
 * Returns the number of segments in the reply of turn `turn` (from 0); 0 when there is no such turn.
 */
size_t ualm_record_segment_count(const ualm_record *record, size_t turn);

/**
 * Fills `options` with the settings and the seed of segment `segment` in turn `turn` (both from 0), or with those of
 * the turn for the segment after its last one. `struct_size` is sizeof *options. `force` points into the record.
 */
ualm_status ualm_record_options(const ualm_record *record,
                                size_t turn,
                                size_t segment,
                                ualm_generation_options *options,
                                size_t struct_size);

/**
 * Replaces the conversation of a session by that of `record`, up to position `frame` of segment `segment` of turn
 * `turn`, all from 0, and returns the checkpoint there. With the settings of the record (ualm_record_options) a reply
 * from the checkpoint has the same ids as if the conversation had never stopped. `cancel` may be NULL. After a failure
 * the conversation is empty, unless the record was refused: a record of another package, a damaged one, or one without
 * such a position.
 */
ualm_status ualm_session_restore(ualm_session *session,
                                 const ualm_record *record,
                                 size_t turn,
                                 size_t segment,
                                 size_t frame,
                                 const ualm_cancel *cancel,
                                 ualm_checkpoint **checkpoint);

/**
 * Replaces the conversation of a session by the first `turns` turns of `record`, after which another turn can begin.
 * `cancel` may be NULL. Fails as ualm_session_restore does.
 */
ualm_status ualm_session_restore_turns(ualm_session *session,
                                       const ualm_record *record,
                                       size_t turns,
                                       const ualm_cancel *cancel);

/**
 * Frees a record. NULL is allowed.
 */
void ualm_record_free(ualm_record *record);

/**
 * Answers a spoken question with speech: the model transcribes `question` (`heard`), answers the transcript in text
 * (`answer`), and speaks the answer (`speech`), each with the package's settings and `seed`. `cancel` may be NULL;
 * speech that it stops is returned incomplete. `record` may be NULL; it gets a turn for each of the three steps. Fails
 * with UALM_STATUS_AUDIO when no speech was understood. Free both texts with ualm_string_free.
 */
ualm_status ualm_model_converse(const ualm_model *model,
                                const ualm_samples *question,
                                uint64_t seed,
                                const ualm_cancel *cancel,
                                char **heard,
                                char **answer,
                                ualm_audio **speech,
                                ualm_record **record);

/**
 * Makes `take_count` takes of the reply to `prompt`, several at once: the prompt runs once, steps are batched, and
 * each take has the seed of the options plus its index. The takes run in `engine`, as many at once as it has slots
 * for, or in a new engine on `model`; the other argument may be NULL.
 *
 * With `wanted` the takes are ranked by how well the model's own caption of each matches this text, as ualm_model_rank
 * does. `options` (NULL takes the model's defaults), `wanted`, `cancel` and `callback` may be NULL. Stopping takes is
 * not a failure: they keep what was made so far, and takes that were not begun are missing. After the failure of a
 * take there are no takes, but the callback has received everything made before it.
 */
ualm_status ualm_takes_make(const ualm_model *model,
                            const ualm_engine *engine,
                            const ualm_prompt *prompt,
                            const ualm_generation_options *options,
                            size_t take_count,
                            const char *wanted,
                            const ualm_cancel *cancel,
                            ualm_take_callback callback,
                            void *user_data,
                            ualm_takes **takes);

/**
 * Returns the number of takes that were begun.
 */
size_t ualm_takes_count(const ualm_takes *takes);

/**
 * Returns the segment at `index` of the take `take`, both from 0; NULL after the last one. It is valid until the takes
 * are freed.
 */
const ualm_segment *ualm_takes_segment(const ualm_takes *takes, size_t take, size_t index);

/**
 * Returns the last sound of the take `take` (from 0), ready to play: enhanced if the package has an enhancer.
 * NULL when there is none. Valid until the takes are freed.
 */
const ualm_samples *ualm_takes_audio(const ualm_takes *takes, size_t take);

/**
 * Returns the record of the take `take` (from 0), from which the take can be reproduced or resumed.
 */
ualm_status ualm_takes_record(const ualm_takes *takes, size_t take, ualm_record **record);

/**
 * Returns the ranking of the takes, best first; empty when they were not ranked.
 */
ualm_status ualm_takes_ranking(const ualm_takes *takes, ualm_ranking **ranking);

/**
 * Returns the usage of all takes; their shared prompt counts once. Valid until the takes are
 * freed.
 */
const ualm_usage *ualm_takes_usage(const ualm_takes *takes);

/**
 * Frees takes. NULL is allowed.
 */
void ualm_takes_free(ualm_takes *takes);

/**
 * Fills `options` with the defaults; `struct_size` is sizeof *options.
 */
ualm_status ualm_chain_options_init(ualm_chain_options *options, size_t struct_size);

/**
 * Begins a chain about `words` and runs its prompt; ualm_chain_next returns its events. The chain has its own
 * conversation, in `engine` or on `model`; the other one may be NULL. In an engine it takes two slots, and further
 * free slots for its takes.
 *
 * `options` may be NULL. Of `settings` only text, audio and speech are used; NULL takes the package's. `cancel` may be
 * NULL; it stops the chain at any time, and makes this call fail with UALM_STATUS_CANCELLED.
 */
ualm_status ualm_chain_new(const ualm_model *model,
                           const ualm_engine *engine,
                           const char *words,
                           const ualm_chain_options *options,
                           const ualm_generation_options *settings,
                           const ualm_cancel *cancel,
                           ualm_chain **chain);

/**
 * Resumes the chain of `record` before the stage at `stage_index` (from 0, as in ualm_chain_stage), with the same ids
 * as if it had never stopped. The chain may continue in another mode, but the stages before `stage_index` must have
 * the same modalities. A chain cannot be resumed at a UALM_STAGE_LISTEN stage, only at the draft or the critique
 * beside it. The other arguments are as in ualm_chain_new; NULL for `settings` takes the record's.
 */
ualm_status ualm_chain_resume(const ualm_model *model,
                              const ualm_engine *engine,
                              const ualm_record *record,
                              size_t stage_index,
                              const ualm_chain_options *options,
                              const ualm_generation_options *settings,
                              const ualm_cancel *cancel,
                              ualm_chain **chain);

/**
 * Runs until the next event, and returns it in `event`. Each stage ends with UALM_TAKE_EVENT_KIND_STAGE_ENDED, the
 * chain with UALM_TAKE_EVENT_KIND_FINISHED; after that, and after a failure, `event` is NULL. A question is returned
 * again until it is answered. Stopping a chain is not a failure: the chain ends with the segments made so far. After a
 * failure that no stage has reported (stop), nothing of the stage is kept, and the next call repeats the stage. The
 * event is valid until the next call for this chain, or until the chain is freed. A stage runs on its own thread, one
 * event ahead.
 */
ualm_status ualm_chain_next(ualm_chain *chain, const ualm_take_event **event);

/**
 * Answers the model's question, after UALM_TAKE_EVENT_KIND_QUESTION. Fails with UALM_STATUS_INVALID when no question
 * awaits an answer.
 */
ualm_status ualm_chain_answer(ualm_chain *chain, const char *words);

/**
 * Sets the plan, in place of one that the model would write or has just written; the next events are about its
 * segment. Fails with UALM_STATUS_INVALID when neither the next stage nor the last one is a plan, and with
 * UALM_STATUS_BUSY while a stage is running.
 */
ualm_status ualm_chain_set_plan(ualm_chain *chain, const char *plan);

/**
 * Stops a chain, from any thread: it ends after its current step. The remaining events are still returned.
 */
ualm_status ualm_chain_stop(ualm_chain *chain);

/**
 * Returns 1 when the package was trained to reason in the chain's mode; 0 when not, in which case the stages are
 * forced in order.
 */
int ualm_chain_is_trained(const ualm_chain *chain);

/**
 * Returns the number of stages.
 */
size_t ualm_chain_stage_count(const ualm_chain *chain);

/**
 * Returns the stage at `index`, from 0; UALM_STAGE_NONE after the last one.
 */
ualm_stage ualm_chain_stage(const ualm_chain *chain, size_t index);

/**
 * Returns the segment that the stage at `index` (from 0) ended with; NULL before its end, and for a stage without a
 * segment. It is valid until the chain is freed.
 */
const ualm_segment *ualm_chain_segment(const ualm_chain *chain, size_t index);

/**
 * Returns the sound of the segment of the stage at `index`, ready to play: enhanced if the package has an
 * enhancer. NULL when there is none. Valid until the chain is freed.
 */
const ualm_samples *ualm_chain_audio(const ualm_chain *chain, size_t index);

/**
 * Returns the record of the chain so far. The chain can be resumed from the record (ualm_chain_resume), and a sound
 * that is written with it (ualm_record_write_wav) can be reproduced. Fails with UALM_STATUS_BUSY while a stage is
 * running.
 */
ualm_status ualm_chain_record(const ualm_chain *chain, ualm_record **record);

/**
 * Returns the ranking of the takes of the final sound, best first; empty before they are ranked. Fails with
 * UALM_STATUS_BUSY while a stage is running.
 */
ualm_status ualm_chain_ranking(const ualm_chain *chain, ualm_ranking **ranking);

/**
 * Frees a chain; a running stage ends after its current step. NULL is allowed.
 */
void ualm_chain_free(ualm_chain *chain);

/**
 * Frees a string that this library returned. NULL is allowed.
 */
void ualm_string_free(char *string);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* UALM_H */
