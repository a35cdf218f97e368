//! Options: structs that begin with their own size, so that they can grow.
//!
//! A caller compiled with an older header passes a shorter struct: missing fields take their defaults. A caller
//! compiled with a newer header passes a longer one: fields that this library does not know must be zero, which
//! requests nothing.

use std::ffi::c_char;
use std::time::Duration;

use ualm::{GenerationConfig, RuntimeOptions, SegmentConfig};

use super::argument::{list, path, text};
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::share;
use super::model::ualm_model;
use super::names::modality;

/// The largest accepted size of an options struct.
const LARGEST: usize = 4096;

/// An options struct. It has no padding at its end (on 64-bit machines), where a new field could not be recognised.
///
/// # Safety
/// `#[repr(C)]`, the first field is `struct_size: usize`, and every bit pattern is a value.
pub(super) unsafe trait Options: Copy {
    /// The struct's name in the header.
    const NAME: &'static str;
    /// The size in the first version that had the struct, unchanged when a field is added.
    const OLDEST: usize;
}

/// Returns `defaults` with the fields of the caller's struct applied; NULL changes nothing.
///
/// # Safety
/// `pointer` is NULL or points to a struct of as many bytes as its first field says.
pub(super) unsafe fn read<T: Options>(pointer: *const T, defaults: T) -> Result<T> {
    if pointer.is_null() {
        return Ok(defaults);
    }
    if !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is not aligned", T::NAME)));
    }
    // SAFETY: the first field is there by contract.
    let size = unsafe { pointer.cast::<usize>().read() };
    check_size::<T>(size)?;
    // SAFETY: as many bytes are there by contract.
    let given = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if given.iter().skip(known).any(|byte| *byte != 0) {
        let what = "asks for something that this version of the library does not know: update the library";
        return Err(Failure::invalid(format!("{} of {size} bytes {what}", T::NAME)));
    }
    let mut value = defaults;
    // SAFETY: `known` bytes are in both, and any bytes make a `T`.
    unsafe { std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut value).cast::<u8>(), known) };
    Ok(value)
}

/// Fills the caller's struct of `size` bytes with `value`, and the rest with zeros; writes the size to `struct_size`.
///
/// # Safety
/// `pointer` is NULL or points to `size` writable bytes.
pub(super) unsafe fn fill<T: Options>(pointer: *mut T, size: usize, value: T) -> Result<()> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(Failure::invalid(format!("{} is NULL or not aligned", T::NAME)));
    }
    check_size::<T>(size)?;
    // SAFETY: `size` bytes may be written by contract, the first field is among them.
    unsafe {
        std::ptr::write_bytes(pointer.cast::<u8>(), 0, size);
        std::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), pointer.cast::<u8>(), size.min(size_of::<T>()));
        pointer.cast::<usize>().write(size);
    }
    Ok(())
}

fn check_size<T: Options>(size: usize) -> Result<()> {
    if (T::OLDEST..=LARGEST).contains(&size) {
        return Ok(());
    }
    let (name, oldest) = (T::NAME, T::OLDEST);
    Err(Failure::invalid(format!("{name}: struct_size is {size}; expected {oldest} or more, as {name}_init writes it")))
}

/// Options of ONNX Runtime. A process has one: later calls must pass the same options, or NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_runtime_options {
    /// Written by ualm_runtime_options_init.
    pub struct_size: usize,
    /// Path of ONNX Runtime's library; NULL searches ORT_DYLIB_PATH, the program's folder and its ../lib, this
    /// library's folder and the user's cache.
    pub library: *const c_char,
    /// Threads of the one pool that all graphs share; 0 takes as many as the process may use.
    pub threads: usize,
    /// The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu", "codec=openvino,llm=cpu"
    /// or "auto"; NULL takes UALM_PROVIDER, else "cpu". Models in one process may have different ones.
    pub provider: *const c_char,
    /// Paths of provider plugins, provider_library_count of them; none takes UALM_PROVIDER_LIBRARY. Plugins beside ONNX
    /// Runtime's library are found without it. Borrowed.
    pub provider_libraries: *const *const c_char,
    /// Number of entries.
    pub provider_library_count: usize,
    /// Seconds that a library may take to load; 0 takes 120.
    pub load_timeout: usize,
    /// 1 reduces memory, mostly for long recordings; 0 does not. Models in one process may differ.
    pub low_memory: usize,
}

// SAFETY: integers and a raw pointer.
unsafe impl Options for ualm_runtime_options {
    const NAME: &'static str = "ualm_runtime_options";
    const OLDEST: usize = 3 * size_of::<usize>();
}

impl Default for ualm_runtime_options {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            library: std::ptr::null(),
            threads: 0,
            provider: std::ptr::null(),
            provider_libraries: std::ptr::null(),
            provider_library_count: 0,
            load_timeout: 0,
            low_memory: 0,
        }
    }
}

/// Fills `options` with the defaults; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_runtime_options_init(
    options: *mut ualm_runtime_options,
    struct_size: usize,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, ualm_runtime_options::default()) })
}

/// Returns the options at `pointer`.
///
/// # Safety
/// The header's contract for `ualm_runtime_options`.
pub(super) unsafe fn runtime_options(pointer: *const ualm_runtime_options) -> Result<RuntimeOptions> {
    // SAFETY: same contract.
    let options = unsafe { read(pointer, ualm_runtime_options::default()) }?;
    let library = if options.library.is_null() {
        None
    } else {
        // SAFETY: same contract.
        Some(unsafe { path(options.library, "library") }?.to_path_buf())
    };
    let providers = if options.provider.is_null() {
        None
    } else {
        // SAFETY: same contract.
        Some(unsafe { text(options.provider, "provider") }?.parse()?)
    };
    let count = options.provider_library_count;
    // SAFETY: same contract.
    let listed = unsafe { list(options.provider_libraries, count, "provider_libraries") }?;
    // SAFETY: same contract.
    let named = listed.iter().map(|file| Ok(unsafe { path(*file, "provider_libraries") }?.to_path_buf()));
    Ok(RuntimeOptions {
        library,
        threads: (options.threads > 0).then_some(options.threads),
        providers,
        provider_libraries: named.collect::<Result<_>>()?,
        load_limit: (options.load_timeout > 0).then(|| Duration::from_secs(options.load_timeout as u64)),
        low_memory: flag(options.low_memory, "low_memory")?,
    })
}

/// Settings of the segments of one modality. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_segment_options {
    /// Softmax temperature; 0 takes the largest logit.
    pub temperature: f32,
    /// Keeps the most probable ids that together reach top_p; 1 keeps all.
    pub top_p: f32,
    /// Scale of classifier-free guidance; 1 is none.
    pub guidance: f32,
    /// Keeps the top_k largest logits of each stream; 0 keeps all.
    pub top_k: u32,
    /// The most frames of a segment, the closing one included.
    pub max_steps: u32,
    /// The fewest frames before the model may close a segment, or let its sound run out; 0 is no minimum.
    pub min_steps: u32,
}

impl From<&SegmentConfig> for ualm_segment_options {
    fn from(config: &SegmentConfig) -> Self {
        let most = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            temperature: config.temperature,
            top_p: config.top_p,
            guidance: config.guidance,
            top_k: most(config.top_k),
            max_steps: most(config.max_steps),
            min_steps: most(config.min_steps),
        }
    }
}

impl From<ualm_segment_options> for SegmentConfig {
    fn from(options: ualm_segment_options) -> Self {
        Self {
            temperature: options.temperature,
            top_p: options.top_p,
            guidance: options.guidance,
            top_k: options.top_k as usize,
            max_steps: options.max_steps as usize,
            min_steps: options.min_steps as usize,
        }
    }
}

/// Settings of a reply.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_generation_options {
    /// Written by ualm_generation_options_init.
    pub struct_size: usize,
    /// Seed of every random draw: the same seed reproduces the reply with the same package, library and number of
    /// threads.
    pub seed: u64,
    /// The most segments of a reply.
    pub max_segments: usize,
    /// Modalities (ualm_modality) of the first segments, in order; the model chooses those of the others. Borrowed.
    pub force: *const i32,
    /// Number of entries.
    pub force_len: usize,
    /// Settings of text segments.
    pub text: ualm_segment_options,
    /// Settings of audio segments.
    pub audio: ualm_segment_options,
    /// Settings of speech segments.
    pub speech: ualm_segment_options,
    /// 1 emits sound in chunks while it is being generated, at some cost in speed; 0 at the end of its segment.
    pub stream_audio: i32,
    /// 1 continues with the modalities of `force` when the model ends its turn, or a segment reaches its limit, before
    /// them.
    pub insist: i32,
}

// SAFETY: integers, floats and a raw pointer.
unsafe impl Options for ualm_generation_options {
    const NAME: &'static str = "ualm_generation_options";
    const OLDEST: usize = size_of::<Self>();
}

impl From<&GenerationConfig> for ualm_generation_options {
    fn from(config: &GenerationConfig) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            seed: config.seed,
            max_segments: config.max_segments,
            force: std::ptr::null(),
            force_len: 0,
            text: (&config.text).into(),
            audio: (&config.audio).into(),
            speech: (&config.speech).into(),
            stream_audio: i32::from(config.stream_audio),
            insist: i32::from(config.insist),
        }
    }
}

/// Fills `options` with the model's defaults, seed 0 and nothing forced; `struct_size` is sizeof *options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ualm_generation_options_init(
    options: *mut ualm_generation_options,
    struct_size: usize,
    model: *const ualm_model,
) -> ualm_status {
    // SAFETY: per the header's contract.
    entry(|| unsafe { fill(options, struct_size, (&share(model)?.0.config()).into()) })
}

/// Fills the caller's `options` of `struct_size` bytes with `filled`.
///
/// # Safety
/// The header's contract for an out-pointer to a `ualm_generation_options`.
pub(super) unsafe fn fill_generation_options(
    options: *mut ualm_generation_options,
    struct_size: usize,
    filled: ualm_generation_options,
) -> Result<()> {
    // SAFETY: same contract.
    unsafe { fill(options, struct_size, filled) }
}

/// Returns the model's `defaults` with the settings at `pointer` applied.
///
/// # Safety
/// The header's contract for `ualm_generation_options`.
pub(super) unsafe fn generation_config(
    pointer: *const ualm_generation_options,
    defaults: GenerationConfig,
) -> Result<GenerationConfig> {
    // SAFETY: same contract.
    let options = unsafe { read(pointer, (&defaults).into()) }?;
    // SAFETY: same contract.
    let force = unsafe { list(options.force, options.force_len, "force") }?;
    let mut config = defaults;
    config.seed = options.seed;
    config.max_segments = options.max_segments;
    config.force = force.iter().map(|number| modality(*number)).collect::<Result<_>>()?;
    config.text = options.text.into();
    config.audio = options.audio.into();
    config.speech = options.speech.into();
    config.stream_audio = flag(options.stream_audio, "stream_audio")?;
    config.insist = flag(options.insist, "insist")?;
    Ok(config)
}

pub(super) fn flag<T: From<u8> + PartialEq + std::fmt::Display>(value: T, name: &str) -> Result<bool> {
    if value == T::from(0) {
        Ok(false)
    } else if value == T::from(1) {
        Ok(true)
    } else {
        Err(Failure::invalid(format!("{name} is {value}; expected 0 or 1")))
    }
}
