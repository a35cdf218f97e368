/*
 * ualm for C++17: a header-only wrapper of ualm.h with owning handles, results that hold a value or an error, and
 * std::function callbacks. The contract at the top of ualm.h (threads, versions) applies here as well; handles are freed
 * automatically.
 *
 *     auto model = ualm::model::load("onnx/default");
 *     if (!model) return fail(model.error().message);
 *     auto session = model->new_session();
 *     auto prompt = ualm::prompt::create();
 *     prompt->add_text(UALM_ROLE_USER, "a dog barking");
 *     auto options = model->options();
 *     options->force({UALM_MODALITY_AUDIO}).max_segments(1).seed(1);
 *     auto reply = session->generate(*prompt, *options);
 *     if (reply && reply->audio()) ualm::write_wav("dog.wav", *reply->audio());
 */
#ifndef UALM_HPP
#define UALM_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ualm.h"

namespace ualm {

/** The error of a failed call. */
struct error {
    ualm_status status = UALM_STATUS_OK;
    std::string message;

    /** Returns this thread's last failure. */
    static error last() { return {ualm_last_status(), ualm_last_error()}; }
};

/** The exception that result::value throws if there is an error. */
class bad_result : public std::runtime_error {
public:
    explicit bad_result(error why) : std::runtime_error(why.message), error_(std::move(why)) {}
    const error &why() const noexcept { return error_; }

private:
    error error_;
};

/** A value or an error, like std::expected of C++23. */
template <class T>
class [[nodiscard]] result {
public:
    result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    result(ualm::error why) : content_(std::in_place_index<1>, std::move(why)) {}

    bool has_value() const noexcept { return content_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    /** Returns the value; throws bad_result if there is an error. */
    T &value() & { return check(), *std::get_if<0>(&content_); }
    const T &value() const & { return check(), *std::get_if<0>(&content_); }
    T &&value() && { return check(), std::move(*std::get_if<0>(&content_)); }

    /** Returns the value; there must be no error. */
    T &operator*() & { return *std::get_if<0>(&content_); }
    const T &operator*() const & { return *std::get_if<0>(&content_); }
    T &&operator*() && { return std::move(*std::get_if<0>(&content_)); }
    T *operator->() { return std::get_if<0>(&content_); }
    const T *operator->() const { return std::get_if<0>(&content_); }

    /** Returns the error; there must be one. */
    const ualm::error &error() const { return *std::get_if<1>(&content_); }

private:
    void check() const {
        if (!has_value()) throw bad_result(error());
    }

    std::variant<T, ualm::error> content_;
};

/** Success, or an error. */
template <>
class [[nodiscard]] result<void> {
public:
    result() = default;
    result(ualm::error why) : error_(std::move(why)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (error_) throw bad_result(*error_);
    }
    const ualm::error &error() const { return *error_; }

private:
    std::optional<ualm::error> error_;
};

/** A borrowed array, like std::span of C++20. */
template <class T>
class span {
public:
    constexpr span() = default;
    constexpr span(T *data, std::size_t size) : data_(data), size_(size) {}

    constexpr T *data() const { return data_; }
    constexpr std::size_t size() const { return size_; }
    constexpr bool empty() const { return size_ == 0; }
    constexpr T *begin() const { return data_; }
    constexpr T *end() const { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const { return data_[index]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Borrowed sound: interleaved samples. */
class samples {
public:
    samples(span<const float> data, std::uint32_t channels, std::uint32_t sample_rate)
        : view_{data.data(), channels ? data.size() / channels : 0, channels, sample_rate} {}
    explicit samples(const ualm_samples &view) : view_(view) {}

    span<const float> data() const { return {view_.data, view_.frames * view_.channels}; }
    std::size_t frames() const { return view_.frames; }
    std::uint32_t channels() const { return view_.channels; }
    std::uint32_t sample_rate() const { return view_.sample_rate; }
    double seconds() const { return double(view_.frames) / view_.sample_rate; }
    const ualm_samples *get() const { return &view_; }

private:
    ualm_samples view_;
};

/** A segment of a reply, borrowed from the reply or the event. */
class segment {
public:
    explicit segment(const ualm_segment &view) : view_(&view) {}

    ualm_modality modality() const { return view_->modality; }
    ualm_segment_end end() const { return view_->end; }
    std::string_view text() const { return {view_->text, view_->text_len}; }
    std::optional<samples> audio() const {
        return view_->audio ? std::optional<samples>(*view_->audio) : std::nullopt;
    }
    std::size_t frame_count() const { return view_->frame_count; }
    /** Returns the ids of a position, one per stream. */
    span<const std::uint32_t> frame(std::size_t index) const {
        return {view_->frames + index * view_->stream_count, view_->stream_count};
    }

private:
    const ualm_segment *view_;
};

/** An event of a reply that is being generated; valid until the next one. */
class event {
public:
    explicit event(const ualm_event &view) : view_(&view) {}

    ualm_event_kind kind() const { return view_->kind; }
    ualm_modality modality() const { return view_->modality; }
    std::size_t segment_index() const { return view_->segment_index; }
    std::string_view text() const { return view_->text ? std::string_view(view_->text, view_->text_len) : ""; }
    double seconds() const { return view_->seconds; }
    std::optional<samples> audio() const {
        return view_->audio ? std::optional<samples>(*view_->audio) : std::nullopt;
    }
    std::optional<ualm::segment> segment() const {
        return view_->segment ? std::optional<ualm::segment>(*view_->segment) : std::nullopt;
    }
    const ualm_usage *usage() const { return view_->usage; }

private:
    const ualm_event *view_;
};

/** A callback for events; false stops the reply. An exception also stops the reply, and is rethrown by the call. */
using callback = std::function<bool(const event &)>;

namespace detail {

/** An owning handle. */
template <class T, void (*Free)(T *)>
class owner {
public:
    T *get() const noexcept { return handle_.get(); }

protected:
    explicit owner(T *handle) noexcept : handle_(handle) {}

    /** Returns the handle that `make` writes to its out-pointer, as an `Owner`. */
    template <class Owner, class Make>
    static result<Owner> own(Make make) {
        T *handle = nullptr;
        if (make(&handle) != UALM_STATUS_OK) return error::last();
        return Owner(handle);
    }

private:
    struct deleter {
        void operator()(T *handle) const noexcept { Free(handle); }
    };
    std::unique_ptr<T, deleter> handle_;
};

inline result<void> check(ualm_status status) {
    return status == UALM_STATUS_OK ? result<void>() : result<void>(error::last());
}

template <class Make>
result<std::string> string(Make make) {
    char *text = nullptr;
    if (make(&text) != UALM_STATUS_OK) return error::last();
    const std::unique_ptr<char, void (*)(char *)> owned(text, ualm_string_free);
    return std::string(text);
}

/** The adapter of a callback to C, which exceptions must not cross. */
template <class Event, class Callback>
struct listener {
    const Callback &told;
    std::exception_ptr thrown;

    template <class Raw>
    static int hear(const Raw *what, void *self) noexcept {
        auto &listener = *static_cast<detail::listener<Event, Callback> *>(self);
        try {
            return listener.told(Event(*what)) ? 0 : 1;
        } catch (...) {
            listener.thrown = std::current_exception();
            return 1;
        }
    }
};

} // namespace detail

/** A cancellation token, which stops generations from any thread. */
class cancel : public detail::owner<ualm_cancel, ualm_cancel_free> {
public:
    static result<cancel> create() { return own<cancel>(ualm_cancel_new); }
    void request() { ualm_cancel_throw(get()); }
    bool is_requested() const { return ualm_cancel_is_thrown(get()) != 0; }

private:
    friend owner;
    using owner::owner;
};

/** Sound in memory. */
class audio : public detail::owner<ualm_audio, ualm_audio_free> {
public:
    /** Reads a sound file; refuses one longer than `max_seconds` (0: no limit). */
    static result<audio> read(const std::string &file, double max_seconds = 0) {
        return own<audio>([&](auto place) { return ualm_audio_read(file.c_str(), max_seconds, place); });
    }
    ualm::samples samples() const { return ualm::samples(*ualm_audio_samples(get())); }
    std::vector<std::string> warnings() const {
        std::vector<std::string> all;
        while (const char *warning = ualm_audio_warning(get(), all.size())) all.emplace_back(warning);
        return all;
    }

private:
    friend owner;
    friend class model;
    using owner::owner;
};

/** Writes a WAV file. */
inline result<void> write_wav(const std::string &file, const samples &sound,
                              ualm_wav_format format = UALM_WAV_FORMAT_PCM16) {
    return detail::check(ualm_wav_write(file.c_str(), sound.get(), format));
}

/** Codec codes. */
class codes : public detail::owner<ualm_codes, ualm_codes_free> {
public:
    std::size_t streams() const { return size().first; }
    std::size_t frames() const { return size().second; }
    /** Returns the codes, stream after stream. */
    span<const std::uint32_t> data() const {
        std::size_t streams = 0, frames = 0;
        const std::uint32_t *data = ualm_codes_data(get(), &streams, &frames);
        return {data, streams * frames};
    }

private:
    friend owner;
    friend class model;
    using owner::owner;

    std::pair<std::size_t, std::size_t> size() const {
        std::pair<std::size_t, std::size_t> size{0, 0};
        ualm_codes_data(get(), &size.first, &size.second);
        return size;
    }
};

/** A matrix of numbers. */
class tensor : public detail::owner<ualm_tensor, ualm_tensor_free> {
public:
    std::size_t rows() const { return size().first; }
    std::size_t columns() const { return size().second; }
    /** Returns the numbers, row after row. */
    span<const float> data() const {
        std::size_t rows = 0, columns = 0;
        const float *data = ualm_tensor_data(get(), &rows, &columns);
        return {data, rows * columns};
    }

private:
    friend owner;
    friend class model;
    friend class session;
    using owner::owner;

    std::pair<std::size_t, std::size_t> size() const {
        std::pair<std::size_t, std::size_t> size{0, 0};
        ualm_tensor_data(get(), &size.first, &size.second);
        return size;
    }
};

/** A point between two turns. */
class mark : public detail::owner<ualm_mark, ualm_mark_free> {
    friend owner;
    friend class session;
    using owner::owner;
};

/** A point at which a reply of the model begins. */
class checkpoint : public detail::owner<ualm_checkpoint, ualm_checkpoint_free> {
public:
    /** Returns the number of positions of the conversation before it. */
    std::size_t position() const {
        std::size_t position = 0;
        ualm_checkpoint_position(get(), &position, nullptr);
        return position;
    }
    /** Returns the same checkpoint with the first positions of its next segment fixed. */
    result<checkpoint> keep(ualm_modality kind, span<const std::uint32_t> ids, std::size_t streams = 1) const {
        return own<checkpoint>([&](auto place) {
            const std::size_t frames = streams ? ids.size() / streams : 0;
            return ualm_checkpoint_keep(get(), kind, ids.data(), frames, streams, place);
        });
    }

private:
    friend owner;
    friend class session;
    using owner::owner;
};

/** A ranking of takes, best first. */
class ranking : public detail::owner<ualm_ranking, ualm_ranking_free> {
public:
    /** Returns the take of rank `index`; NULL after the last one. */
    const ualm_ranked *operator[](std::size_t index) const { return ualm_ranking_get(get(), index); }

private:
    friend owner;
    friend class model;
    friend class takes;
    friend class chain;
    using owner::owner;
};

/** An event of takes that are being generated; valid until the next one. */
class take_event {
public:
    explicit take_event(const ualm_take_event &view) : view_(&view) {}

    ualm_take_event_kind kind() const { return view_->kind; }
    ualm_stage stage() const { return view_->stage; }
    /** Returns the index of the take. */
    std::size_t take() const { return view_->take; }
    /** Returns the index of the segment in its reply, or of its stage in a chain. */
    std::size_t segment_index() const { return view_->segment_index; }
    ualm_modality modality() const { return view_->modality; }
    ualm_stop_reason stop() const { return view_->stop; }
    std::string_view text() const { return view_->text ? std::string_view(view_->text, view_->text_len) : ""; }
    double seconds() const { return view_->seconds; }
    /** Returns a chunk of sound, or the sound of the segment, ready to play. */
    std::optional<samples> audio() const {
        return view_->audio ? std::optional<samples>(*view_->audio) : std::nullopt;
    }
    std::optional<ualm::segment> segment() const {
        return view_->segment ? std::optional<ualm::segment>(*view_->segment) : std::nullopt;
    }
    const ualm_ranked *ranked() const { return view_->ranked; }
    const ualm_usage *usage() const { return view_->usage; }

private:
    const ualm_take_event *view_;
};

/** A callback for events of takes; false stops all takes. An exception also stops them, and is rethrown by the call. */
using take_callback = std::function<bool(const take_event &)>;

/** A prompt: parts in order, each with its role. */
class prompt : public detail::owner<ualm_prompt, ualm_prompt_free> {
public:
    static result<prompt> create() { return own<prompt>(ualm_prompt_new); }
    result<void> add_text(ualm_role speaker, const std::string &words) {
        return detail::check(ualm_prompt_add_text(get(), speaker, words.c_str()));
    }
    /** Adds a recording; `kind` is UALM_MODALITY_AUDIO or UALM_MODALITY_SPEECH. */
    result<void> add_audio(ualm_role speaker, ualm_modality kind, const samples &sound) {
        return detail::check(ualm_prompt_add_audio(get(), speaker, kind, sound.get()));
    }

private:
    friend owner;
    using owner::owner;
};

/** The options of a reply: the model's defaults, with changes. */
class options {
public:
    options &seed(std::uint64_t seed) { return raw_.seed = seed, *this; }
    options &max_segments(std::size_t count) { return raw_.max_segments = count, *this; }
    options &stream_audio(bool stream) { return raw_.stream_audio = stream, *this; }
    options &insist(bool insist) { return raw_.insist = insist, *this; }
    options &thinking(bool thinking) { return raw_.thinking = thinking, *this; }
    /** Sets the modalities of the first segments, in order. */
    options &force(std::initializer_list<ualm_modality> modalities) {
        force_.assign(modalities.begin(), modalities.end());
        return *this;
    }
    ualm_segment_options &text() { return raw_.text; }
    ualm_segment_options &audio() { return raw_.audio; }
    ualm_segment_options &speech() { return raw_.speech; }

    /** Returns the C struct, valid while these options exist and do not change. */
    ualm_generation_options raw() const {
        ualm_generation_options raw = raw_;
        raw.force = force_.data();
        raw.force_len = force_.size();
        return raw;
    }

private:
    friend class model;
    friend class record;
    options() = default;

    ualm_generation_options raw_{};
    std::vector<std::int32_t> force_;
};

/** A conversation as data. */
class record : public detail::owner<ualm_record, ualm_record_free> {
public:
    static result<record> read_wav(const std::string &file) {
        return own<record>([&](auto place) { return ualm_record_read_wav(file.c_str(), place); });
    }
    static result<record> from_json(const std::string &json) {
        return own<record>([&](auto place) { return ualm_record_from_json(json.c_str(), place); });
    }
    result<std::string> to_json() const {
        return detail::string([&](auto place) { return ualm_record_to_json(get(), place); });
    }
    /** Writes a WAV file with the record in it. */
    result<void> write_wav(const std::string &file, const samples &sound,
                           ualm_wav_format format = UALM_WAV_FORMAT_PCM16) const {
        return detail::check(ualm_record_write_wav(get(), file.c_str(), sound.get(), format));
    }
    std::size_t turns() const { return ualm_record_turn_count(get()); }
    std::size_t segments(std::size_t turn) const { return ualm_record_segment_count(get(), turn); }
    /** Returns the settings and the seed of a segment. */
    result<ualm::options> options(std::size_t turn, std::size_t segment) const {
        ualm::options options;
        auto &raw = options.raw_;
        if (ualm_record_options(get(), turn, segment, &raw, sizeof raw) != UALM_STATUS_OK) return error::last();
        options.force_.assign(raw.force, raw.force + raw.force_len);
        return options;
    }

private:
    friend owner;
    friend class model;
    friend class session;
    friend class takes;
    friend class chain;
    using owner::owner;
};

/** A finished reply. */
class reply : public detail::owner<ualm_reply, ualm_reply_free> {
public:
    std::size_t size() const { return ualm_reply_segment_count(get()); }
    /** Returns the segment at `index`, which must be below size(). */
    segment operator[](std::size_t index) const { return segment(*ualm_reply_segment(get(), index)); }
    std::string_view text() const { return ualm_reply_text(get()); }
    std::optional<samples> audio() const {
        const ualm_samples *sound = ualm_reply_audio(get());
        return sound ? std::optional<samples>(*sound) : std::nullopt;
    }
    const ualm_usage &usage() const { return *ualm_reply_usage(get()); }

private:
    friend owner;
    friend class session;
    using owner::owner;
};

/** A running generation, pulled event by event. */
class generation : public detail::owner<ualm_generation, ualm_generation_free> {
public:
    /** Returns the next event, valid until the next call; none after the last one. */
    result<std::optional<event>> next() {
        const ualm_event *found = nullptr;
        if (ualm_generation_next(get(), &found) != UALM_STATUS_OK) return error::last();
        return found ? std::optional<event>(*found) : std::nullopt;
    }
    /** Stops it; may be called from any thread. */
    void stop() { ualm_generation_stop(get()); }

private:
    friend owner;
    friend class session;
    using owner::owner;
};

/** A conversation. */
class session : public detail::owner<ualm_session, ualm_session_free> {
public:
    /** Generates the whole reply; `told`, if set, receives the events. */
    result<reply> generate(const prompt &prompt, const options &options, const callback &told = nullptr,
                           const cancel *cancel = nullptr) {
        return make(ualm_session_generate, prompt.get(), options, told, cancel);
    }
    /** Generates the whole reply from a checkpoint; the conversation after it is forgotten. */
    result<reply> generate(const checkpoint &place, const options &options, const callback &told = nullptr,
                           const cancel *cancel = nullptr) {
        return make(ualm_session_generate_from, place.get(), options, told, cancel);
    }
    /** Begins a reply to pull event by event. */
    result<generation> start(const prompt &prompt, const options &options, const cancel *cancel = nullptr) {
        return begin(ualm_generation_new, prompt.get(), options, cancel);
    }
    /** Begins a reply from a checkpoint, to pull event by event. */
    result<generation> start(const checkpoint &place, const options &options, const cancel *cancel = nullptr) {
        return begin(ualm_generation_new_from, place.get(), options, cancel);
    }
    /** Runs a prompt; any number of replies can start from the checkpoint after it. */
    result<ualm::checkpoint> run(const prompt &prompt, const cancel *cancel = nullptr) {
        return checkpoint::own<ualm::checkpoint>(
            [&](auto place) { return ualm_session_checkpoint(get(), prompt.get(), raw(cancel), place); });
    }
    /** Returns the checkpoint after the last reply, as if the model had opened another segment of it. */
    result<ualm::checkpoint> go_on(const cancel *cancel = nullptr) {
        return checkpoint::own<ualm::checkpoint>(
            [&](auto place) { return ualm_session_go_on(get(), raw(cancel), place); });
    }
    /** Creates another conversation at a checkpoint of this one; both can generate at once, on two threads. */
    result<session> fork(const checkpoint &from) {
        return own<session>([&](auto place) { return ualm_session_fork(get(), from.get(), place); });
    }
    /** Marks the end of the conversation. */
    result<ualm::mark> set_mark() {
        return mark::own<ualm::mark>([&](auto place) { return ualm_session_mark(get(), place); });
    }
    /** Rewinds the conversation to a mark. */
    result<void> rewind(const ualm::mark &mark) { return detail::check(ualm_session_rewind(get(), mark.get())); }
    /** Returns the record of the conversation so far. */
    result<ualm::record> record() const {
        return record::own<ualm::record>([&](auto place) { return ualm_session_record(get(), place); });
    }
    /** Replaces the conversation by that of `record`, up to position `frame` of segment `segment` of turn `turn`. */
    result<ualm::checkpoint> restore(const ualm::record &record, std::size_t turn, std::size_t segment,
                                     std::size_t frame = 0, const cancel *cancel = nullptr) {
        return checkpoint::own<ualm::checkpoint>([&](auto place) {
            return ualm_session_restore(get(), record.get(), turn, segment, frame, raw(cancel), place);
        });
    }
    /** Replaces the conversation by the first `turns` turns of `record`. */
    result<void> restore_turns(const ualm::record &record, std::size_t turns, const cancel *cancel = nullptr) {
        return detail::check(ualm_session_restore_turns(get(), record.get(), turns, raw(cancel)));
    }
    /** Returns the logits that follow the conversation and `prompt`: of the text head, and of the audio head if there is one. */
    result<std::pair<tensor, std::optional<tensor>>> next_logits(const prompt &prompt) {
        ualm_tensor *text = nullptr, *audio = nullptr;
        if (ualm_session_next_logits(get(), prompt.get(), &text, &audio) != UALM_STATUS_OK) return error::last();
        std::optional<tensor> of_audio;
        if (audio) of_audio.emplace(tensor(audio));
        return std::pair<tensor, std::optional<tensor>>(tensor(text), std::move(of_audio));
    }
    /** Returns the number of positions that the conversation may hold. */
    std::size_t max_positions() const { return ualm_session_max_positions(get()); }
    /** Returns the number of positions of the conversation so far. */
    result<std::size_t> position() const {
        std::size_t position = 0;
        if (ualm_session_position(get(), &position) != UALM_STATUS_OK) return error::last();
        return position;
    }

private:
    friend owner;
    friend class model;
    friend class engine;
    using owner::owner;

    static ualm_cancel *raw(const cancel *cancel) { return cancel ? cancel->get() : nullptr; }

    template <class Call, class From>
    result<reply> make(Call call, From *from, const options &options, const callback &told, const cancel *cancel) {
        const ualm_generation_options settings = options.raw();
        detail::listener<event, callback> listener{told, nullptr};
        constexpr auto hear = detail::listener<event, callback>::hear<ualm_event>;
        auto made = reply::own<reply>([&](auto place) {
            return call(get(), from, &settings, raw(cancel), told ? hear : nullptr, &listener, place);
        });
        if (listener.thrown) std::rethrow_exception(listener.thrown);
        return made;
    }

    template <class Call, class From>
    result<generation> begin(Call call, From *from, const options &options, const cancel *cancel) {
        const ualm_generation_options settings = options.raw();
        return generation::own<generation>(
            [&](auto place) { return call(get(), from, &settings, raw(cancel), place); });
    }
};

/** Many concurrent conversations on one model, with batched steps. */
class engine : public detail::owner<ualm_engine, ualm_engine_free> {
public:
    /** Begins a conversation for replies with these options; guided ones take two slots. */
    result<session> new_session(const options &options) const {
        const ualm_generation_options settings = options.raw();
        return session::own<session>(
            [&](auto place) { return ualm_engine_session_new(get(), &settings, place); });
    }
    /** Returns the number of positions that a conversation in the engine may hold. */
    std::size_t context() const { return ualm_engine_context(get()); }
    /** Returns the current load. */
    ualm_engine_stats stats() const {
        ualm_engine_stats stats;
        ualm_engine_read_stats(get(), &stats, sizeof stats);
        return stats;
    }

private:
    friend owner;
    friend class model;
    using owner::owner;
};

/** Options of ONNX Runtime. */
struct runtime_options {
    /** The library's file; empty: search for it. */
    std::string library;
    /** Threads of the pool; 0: as many as the process may use. */
    std::size_t threads = 0;
    /** Execution providers, as in "openvino,llm=cpu"; empty: UALM_PROVIDER, else the CPU. */
    std::string provider;
    /** Plugin libraries with providers; empty: UALM_PROVIDER_LIBRARY. */
    std::vector<std::string> provider_libraries;
    /** Time limit for loading a library, in seconds; 0: 120. */
    std::size_t load_timeout = 0;
    /** Reduces memory use, above all for long recordings. */
    bool low_memory = false;

    /** Returns the C struct; fills `pointers`. Valid while these options and `pointers` exist and do not change. */
    ualm_runtime_options raw(std::vector<const char *> &pointers) const {
        for (const auto &file : provider_libraries)
            pointers.push_back(file.c_str());
        ualm_runtime_options raw;
        ualm_runtime_options_init(&raw, sizeof raw);
        raw.library = library.empty() ? nullptr : library.c_str();
        raw.threads = threads;
        raw.provider = provider.empty() ? nullptr : provider.c_str();
        raw.provider_libraries = pointers.data();
        raw.provider_library_count = pointers.size();
        raw.load_timeout = load_timeout;
        raw.low_memory = low_memory;
        return raw;
    }
};

/** A file of a package in memory. */
struct file {
    std::string name;
    span<const std::uint8_t> content;
};

/** A loaded model, usable from all threads at once. */
class model : public detail::owner<ualm_model, ualm_model_free> {
public:
    static result<model> load(const std::string &folder, const runtime_options &options = {}) {
        std::vector<const char *> pointers;
        const ualm_runtime_options raw = options.raw(pointers);
        return own<model>([&](auto place) { return ualm_model_load(folder.c_str(), &raw, place); });
    }
    /** Loads a package from memory; the contents are copied. */
    static result<model> load(span<const file> files, const runtime_options &options = {}) {
        std::vector<ualm_file> all;
        for (const file &file : files) all.push_back({file.name.c_str(), file.content.data(), file.content.size()});
        std::vector<const char *> pointers;
        const ualm_runtime_options raw = options.raw(pointers);
        return own<model>([&](auto place) { return ualm_model_load_files(all.data(), all.size(), &raw, place); });
    }
    /** Returns the limits. */
    result<ualm_limits> limits() const {
        ualm_limits limits;
        if (ualm_limits_init(&limits, sizeof limits, get()) != UALM_STATUS_OK) return error::last();
        return limits;
    }
    /** Returns the same model with other limits; both share the loaded graphs. */
    result<model> with_limits(const ualm_limits &limits) const {
        return own<model>([&](auto place) { return ualm_model_with_limits(get(), &limits, place); });
    }
    /** Verifies the checksum of every file of the package. */
    result<void> verify() const { return detail::check(ualm_model_verify(get())); }
    /** Returns the identity of the package, the SHA-256 of its manifest. */
    result<std::string> sha256() const {
        return detail::string([&](auto place) { return ualm_model_sha256(get(), place); });
    }
    /** Encodes sound to language-model features. */
    result<tensor> audio_features(const samples &sound) const {
        return tensor::own<tensor>([&](auto place) { return ualm_model_audio_features(get(), sound.get(), place); });
    }
    /** Returns the embeddings of a prompt at the beginning of a conversation. */
    result<tensor> prompt_embeddings(const prompt &prompt) const {
        return tensor::own<tensor>(
            [&](auto place) { return ualm_model_prompt_embeddings(get(), prompt.get(), place); });
    }
    /** Returns the token ids of a text, as one stream. */
    result<codes> text_ids(const std::string &words) const {
        return codes::own<codes>([&](auto place) { return ualm_model_text_ids(get(), words.c_str(), place); });
    }
    /** Describes sound by the model. */
    result<std::string> caption(const samples &sound, ualm_modality kind = UALM_MODALITY_AUDIO,
                                const cancel *cancel = nullptr) const {
        return detail::string([&](auto place) {
            return ualm_model_caption(get(), sound.get(), kind, cancel ? cancel->get() : nullptr, place);
        });
    }
    /** A spoken answer: the texts of the question and the answer, the speech, and the record. */
    struct spoken {
        std::string heard, answer;
        audio speech;
        ualm::record record;
    };
    /** Answers a spoken question with speech. */
    result<spoken> converse(const samples &question, std::uint64_t seed = 0, const cancel *cancel = nullptr) const {
        char *answer = nullptr;
        ualm_audio *speech = nullptr;
        ualm_record *kept = nullptr;
        auto heard = detail::string([&](auto place) {
            const ualm_cancel *token = cancel ? cancel->get() : nullptr;
            return ualm_model_converse(get(), question.get(), seed, token, place, &answer, &speech, &kept);
        });
        if (!heard) return heard.error();
        auto answered = detail::string([&](auto place) { return *place = answer, UALM_STATUS_OK; });
        return spoken{*heard, *answered, audio(speech), ualm::record(kept)};
    }
    /** Ranks takes by how well the model's own captions match `wanted`. */
    result<ranking> rank(span<const samples> takes, const std::string &wanted,
                         ualm_modality kind = UALM_MODALITY_AUDIO, const cancel *cancel = nullptr) const {
        std::vector<ualm_samples> all;
        for (const samples &take : takes) all.push_back(*take.get());
        return ranking::own<ranking>([&](auto place) {
            return ualm_model_rank(get(), all.data(), all.size(), kind, wanted.c_str(),
                                   cancel ? cancel->get() : nullptr, place);
        });
    }
    result<void> load_all() const { return detail::check(ualm_model_load_all(get())); }
    /** Returns the package's manifest.json. */
    result<std::string> manifest() const {
        return detail::string([&](auto place) { return ualm_model_manifest(get(), place); });
    }
    /** Returns the report on providers and graphs, as JSON. */
    result<std::string> report() const {
        return detail::string([&](auto place) { return ualm_model_report(get(), place); });
    }
    /** Returns the package's default options. */
    result<ualm::options> options() const {
        ualm::options options;
        if (ualm_generation_options_init(&options.raw_, sizeof options.raw_, get()) != UALM_STATUS_OK)
            return error::last();
        return options;
    }
    result<session> new_session() const {
        return session::own<session>([&](auto place) { return ualm_session_new(get(), place); });
    }
    /** Starts an engine; `context` 0 takes as many positions as the model and the limits allow. */
    result<engine> new_engine(std::size_t slots = 16, std::size_t context = 0) const {
        ualm_engine_options options;
        ualm_engine_options_init(&options, sizeof options);
        options.slots = slots;
        options.context = context;
        return engine::own<engine>([&](auto place) { return ualm_engine_new(get(), &options, place); });
    }
    result<codes> encode(const samples &sound) const {
        return codes::own<codes>([&](auto place) { return ualm_model_encode(get(), sound.get(), place); });
    }
    /** Decodes `streams` rows of codes to sound. */
    result<audio> decode(span<const std::uint32_t> codes, std::size_t streams) const {
        const std::size_t frames = streams ? codes.size() / streams : 0;
        return audio::own<audio>(
            [&](auto place) { return ualm_model_decode(get(), codes.data(), streams, frames, place); });
    }
    /** Enhances sound; returns none if the package has no enhancer. */
    result<std::optional<audio>> enhance(const samples &sound) const {
        ualm_audio *enhanced = nullptr;
        if (ualm_model_enhance(get(), sound.get(), &enhanced) != UALM_STATUS_OK) return error::last();
        return enhanced ? std::optional<audio>(audio(enhanced)) : std::nullopt;
    }

private:
    friend owner;
    using owner::owner;
};

/** Several takes of a prompt. */
class takes : public detail::owner<ualm_takes, ualm_takes_free> {
public:
    /**
     * Makes `count` takes, several at once; each take has the seed of the options plus its index. With `wanted` the takes
     * are ranked by how well the model's own captions match this text.
     */
    static result<takes> make(const model &model, const prompt &prompt, const options &options, std::size_t count,
                              const std::string &wanted = {}, const take_callback &told = nullptr,
                              const cancel *cancel = nullptr) {
        return make(model.get(), nullptr, prompt, options, count, wanted, told, cancel);
    }
    /** Makes takes in an engine, as many at once as it has slots for. */
    static result<takes> make(const engine &engine, const prompt &prompt, const options &options, std::size_t count,
                              const std::string &wanted = {}, const take_callback &told = nullptr,
                              const cancel *cancel = nullptr) {
        return make(nullptr, engine.get(), prompt, options, count, wanted, told, cancel);
    }
    /** Returns the number of takes. */
    std::size_t size() const { return ualm_takes_count(get()); }
    /** Returns the segment at `index` of a take; none after the last one. */
    std::optional<ualm::segment> segment(std::size_t take, std::size_t index = 0) const {
        const ualm_segment *found = ualm_takes_segment(get(), take, index);
        return found ? std::optional<ualm::segment>(*found) : std::nullopt;
    }
    /** Returns the last sound of a take, ready to play. */
    std::optional<samples> audio(std::size_t take) const {
        const ualm_samples *sound = ualm_takes_audio(get(), take);
        return sound ? std::optional<samples>(*sound) : std::nullopt;
    }
    /** Returns the record of a take. */
    result<ualm::record> record(std::size_t take) const {
        return record::own<ualm::record>([&](auto place) { return ualm_takes_record(get(), take, place); });
    }
    /** Returns the ranking, best first; empty when the takes were not ranked. */
    result<ualm::ranking> ranking() const {
        return ranking::own<ualm::ranking>([&](auto place) { return ualm_takes_ranking(get(), place); });
    }
    const ualm_usage &usage() const { return *ualm_takes_usage(get()); }

private:
    friend owner;
    using owner::owner;

    static result<takes> make(const ualm_model *model, const ualm_engine *engine, const prompt &prompt,
                              const options &options, std::size_t count, const std::string &wanted,
                              const take_callback &told, const cancel *cancel) {
        const ualm_generation_options settings = options.raw();
        detail::listener<take_event, take_callback> listener{told, nullptr};
        auto made = own<takes>([&](auto place) {
            return ualm_takes_make(model, engine, prompt.get(), &settings, count, wanted.empty() ? nullptr : wanted.c_str(),
                                   cancel ? cancel->get() : nullptr,
                                   told ? detail::listener<take_event, take_callback>::hear<ualm_take_event> : nullptr,
                                   &listener, place);
        });
        if (listener.thrown) std::rethrow_exception(listener.thrown);
        return made;
    }
};

/** The options of a chain of reasoning: the package's or the record's, with changes. */
class chain_options {
public:
    chain_options() { ualm_chain_options_init(&raw_, sizeof raw_); }

    chain_options &mode(ualm_reasoning_mode mode) { return raw_.mode = mode, *this; }
    /** Sets the rounds of reflection. */
    chain_options &rounds(std::size_t rounds) { return raw_.rounds = rounds, *this; }
    /** Sets whether a reflection hears its drafts through the audio encoder. */
    chain_options &listen(bool listen) { return raw_.listen = listen, *this; }
    /** Sets the seed; without it a resumed chain has the seed of its record. */
    chain_options &seed(std::uint64_t seed) { return raw_.seed = seed, raw_.reseed = 1, *this; }
    /** Sets the takes of the final sound, and whether the chain ends with the best one. */
    chain_options &takes(std::size_t count, bool best = false) { return raw_.takes = count, raw_.best = best, *this; }
    chain_options &stream_audio(bool stream) { return raw_.stream_audio = stream, *this; }
    /** Sets the wording of a chain by prompt: a JSON object with a text for each stage, by its name. */
    chain_options &wording(std::string json) { return wording_ = std::move(json), *this; }
    const ualm_chain_options *get() const {
        raw_.wording = wording_.empty() ? nullptr : wording_.c_str();
        return &raw_;
    }

private:
    mutable ualm_chain_options raw_{};
    std::string wording_;
};

/** A running chain of reasoning, pulled event by event. */
class chain : public detail::owner<ualm_chain, ualm_chain_free> {
public:
    /** Begins a chain about `words`. Of `settings` only text, audio and speech are used; NULL: the package's. */
    static result<chain> begin(const model &model, const std::string &words, const chain_options &options = {},
                               const ualm::options *settings = nullptr, const cancel *cancel = nullptr) {
        return begin(model.get(), nullptr, words, options, settings, cancel);
    }
    /** Begins a chain in an engine. */
    static result<chain> begin(const engine &engine, const std::string &words, const chain_options &options = {},
                               const ualm::options *settings = nullptr, const cancel *cancel = nullptr) {
        return begin(nullptr, engine.get(), words, options, settings, cancel);
    }
    /** Resumes the chain of a record before the stage at `stage_index`. NULL for `settings` takes the record's. */
    static result<chain> resume(const model &model, const ualm::record &record, std::size_t stage_index,
                                const chain_options &options = {}, const ualm::options *settings = nullptr,
                                const cancel *cancel = nullptr) {
        return resume(model.get(), nullptr, record, stage_index, options, settings, cancel);
    }
    /** Resumes the chain of a record in an engine. */
    static result<chain> resume(const engine &engine, const ualm::record &record, std::size_t stage_index,
                                const chain_options &options = {}, const ualm::options *settings = nullptr,
                                const cancel *cancel = nullptr) {
        return resume(nullptr, engine.get(), record, stage_index, options, settings, cancel);
    }

    /** Returns the next event, valid until the next call; none after the last one. */
    result<std::optional<take_event>> next() {
        const ualm_take_event *found = nullptr;
        if (ualm_chain_next(get(), &found) != UALM_STATUS_OK) return error::last();
        return found ? std::optional<take_event>(*found) : std::nullopt;
    }
    /** Answers the model's question. */
    result<void> answer(const std::string &words) { return detail::check(ualm_chain_answer(get(), words.c_str())); }
    /** Sets the plan, in place of one that the model would write or has just written. */
    result<void> set_plan(const std::string &plan) { return detail::check(ualm_chain_set_plan(get(), plan.c_str())); }
    /** Stops it; may be called from any thread. */
    void stop() { ualm_chain_stop(get()); }
    /** Returns whether the package was trained to reason in this mode. */
    bool is_trained() const { return ualm_chain_is_trained(get()) != 0; }
    /** Returns the number of stages. */
    std::size_t size() const { return ualm_chain_stage_count(get()); }
    ualm_stage stage(std::size_t index) const { return ualm_chain_stage(get(), index); }
    /** Returns the segment of a stage; none before the stage ends. */
    std::optional<ualm::segment> segment(std::size_t index) const {
        const ualm_segment *found = ualm_chain_segment(get(), index);
        return found ? std::optional<ualm::segment>(*found) : std::nullopt;
    }
    /** Returns the sound of a stage, ready to play. */
    std::optional<samples> audio(std::size_t index) const {
        const ualm_samples *sound = ualm_chain_audio(get(), index);
        return sound ? std::optional<samples>(*sound) : std::nullopt;
    }
    /** Returns the record of the chain so far. */
    result<ualm::record> record() const {
        return record::own<ualm::record>([&](auto place) { return ualm_chain_record(get(), place); });
    }
    /** Returns the ranking of the takes of the final sound, best first; empty before they are ranked. */
    result<ualm::ranking> ranking() const {
        return ranking::own<ualm::ranking>([&](auto place) { return ualm_chain_ranking(get(), place); });
    }

private:
    friend owner;
    using owner::owner;

    static result<chain> begin(const ualm_model *model, const ualm_engine *engine, const std::string &words,
                               const chain_options &options, const ualm::options *settings, const cancel *cancel) {
        const auto raw = settings ? std::optional<ualm_generation_options>(settings->raw()) : std::nullopt;
        return own<chain>([&](auto place) {
            return ualm_chain_new(model, engine, words.c_str(), options.get(), raw ? &*raw : nullptr,
                                  cancel ? cancel->get() : nullptr, place);
        });
    }
    static result<chain> resume(const ualm_model *model, const ualm_engine *engine, const ualm::record &record,
                                std::size_t stage_index, const chain_options &options, const ualm::options *settings,
                                const cancel *cancel) {
        const auto raw = settings ? std::optional<ualm_generation_options>(settings->raw()) : std::nullopt;
        return own<chain>([&](auto place) {
            return ualm_chain_resume(model, engine, record.get(), stage_index, options.get(), raw ? &*raw : nullptr,
                                     cancel ? cancel->get() : nullptr, place);
        });
    }
};

/** Returns the report on ONNX Runtime and its providers, as JSON. */
inline result<std::string> runtime_report(const runtime_options &options = {}) {
    std::vector<const char *> pointers;
    const ualm_runtime_options raw = options.raw(pointers);
    return detail::string([&](auto place) { return ualm_runtime_report(&raw, place); });
}

} // namespace ualm

#endif // UALM_HPP
