//! Options: structs that begin with their own size, so that they can grow.
//!
//! A caller compiled with an older header gives a shorter struct: what it lacks is as the defaults say. One compiled
//! with a newer header gives a longer one: what this library does not know must be zero, which asks for nothing.

use std::ffi::c_char;
use std::time::Duration;

use ualm::{GenerationConfig, RuntimeOptions, SegmentConfig};

use super::argument::{list, path, text};
use super::boundary::{Failure, Result, entry, ualm_status};
use super::handle::share;
use super::model::ualm_model;
use super::names::modality;

/// Nothing that is an options struct is larger than this.
const LARGEST: usize = 4096;

/// A struct of options. It has no padding at its end (on 64-bit machines), where a new field would not be told apart.
///
/// # Safety
/// `#[repr(C)]`, the first field is `struct_size: usize`, and every bit pattern is a value.
pub(super) unsafe trait Options: Copy {
    /// The header's name.
    const NAME: &'static str;
    /// Its size in the first version that had it: it stays when a field is added.
    const OLDEST: usize;
}

/// What the caller's struct says, over `defaults`; NULL says nothing.
///
/// # Safety
/// `pointer` is NULL or a struct of as many bytes as its first field says.
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

/// Fills the caller's struct of `size` bytes with `value`, and the rest with zeros; notes the size.
///
/// # Safety
/// `pointer` is NULL or has `size` bytes behind it that may be written to.
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

/// How to start ONNX Runtime. There is one in a process: later calls must ask for the same, or for nothing (NULL).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_runtime_options {
    /// Written by ualm_runtime_options_init.
    pub struct_size: usize,
    /// Path of ONNX Runtime's library; NULL looks for it: in ORT_DYLIB_PATH, beside the program and in ../lib of it,
    /// beside this library, in the user's cache.
    pub library: *const c_char,
    /// Threads of the one pool that all graphs share; 0 takes as many as the process may use.
    pub threads: usize,
    /// The execution providers of a model's graphs, such as "openvino", "cuda:device_id=1,cpu", "codec=openvino,llm=cpu"
    /// or "auto"; NULL takes UALM_PROVIDER, else "cpu". Models in one process may have different ones.
    pub provider: *const c_char,
    /// Paths of plugins that offer providers, provider_library_count of them; none takes UALM_PROVIDER_LIBRARY. Plugins
    /// beside ONNX Runtime's library are found without. Borrowed.
    pub provider_libraries: *const *const c_char,
    /// How many.
    pub provider_library_count: usize,
    /// How many seconds a library may take to load; 0 takes 120.
    pub load_timeout: usize,
    /// 1 takes less memory, for long recordings above all; 0 does not. Models in one process may differ.
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
    // SAFETY: the header's law.
    entry(|| unsafe { fill(options, struct_size, ualm_runtime_options::default()) })
}

/// The options that `pointer` names.
///
/// # Safety
/// The header's law for `ualm_runtime_options`.
pub(super) unsafe fn runtime_options(pointer: *const ualm_runtime_options) -> Result<RuntimeOptions> {
    // SAFETY: the contract is the same.
    let options = unsafe { read(pointer, ualm_runtime_options::default()) }?;
    let library = match options.library.is_null() {
        true => None,
        // SAFETY: the contract is the same.
        false => Some(unsafe { path(options.library, "library") }?.to_path_buf()),
    };
    let providers = match options.provider.is_null() {
        true => None,
        // SAFETY: the contract is the same.
        false => Some(unsafe { text(options.provider, "provider") }?.parse()?),
    };
    let count = options.provider_library_count;
    // SAFETY: the contract is the same.
    let listed = unsafe { list(options.provider_libraries, count, "provider_libraries") }?;
    // SAFETY: the contract is the same.
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
    /// Only the most probable ids that together reach top_p; 1 keeps all.
    pub top_p: f32,
    /// Scale of classifier-free guidance; 1 is none.
    pub guidance: f32,
    /// Only the top_k largest logits of each stream; 0 keeps all.
    pub top_k: u32,
    /// The most frames of a segment, the closing one included.
    pub max_steps: u32,
    /// The fewest frames before the model may close a segment, or let its sound run out; 0 leaves it free.
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

/// How a reply is generated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ualm_generation_options {
    /// Written by ualm_generation_options_init.
    pub struct_size: usize,
    /// Seed of every random draw: the same one gives the same reply on the same package, library and number of threads.
    pub seed: u64,
    /// The most segments of a reply.
    pub max_segments: usize,
    /// Modalities (ualm_modality) of the first segments, in order; the model chooses those of the others. Borrowed.
    pub force: *const i32,
    /// How many.
    pub force_len: usize,
    /// Settings of text segments.
    pub text: ualm_segment_options,
    /// Settings of audio segments.
    pub audio: ualm_segment_options,
    /// Settings of speech segments.
    pub speech: ualm_segment_options,
    /// 1 gives sound out in chunks while it is being made, at some cost in speed; 0 at the end of its segment.
    pub stream_audio: i32,
    /// 1 goes on with the modalities of `force` when the model ends its turn, or a segment meets its limit, before them.
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
    // SAFETY: the header's law.
    entry(|| unsafe { fill(options, struct_size, (&share(model)?.0.config()).into()) })
}

/// Fills the caller's `options` of `struct_size` bytes with `filled`.
///
/// # Safety
/// The header's law for the place of a `ualm_generation_options`.
pub(super) unsafe fn fill_generation_options(
    options: *mut ualm_generation_options,
    struct_size: usize,
    filled: ualm_generation_options,
) -> Result<()> {
    // SAFETY: the contract is the same.
    unsafe { fill(options, struct_size, filled) }
}

/// The settings that `pointer` names, over the model's `defaults`.
///
/// # Safety
/// The header's law for `ualm_generation_options`.
pub(super) unsafe fn generation_config(
    pointer: *const ualm_generation_options,
    defaults: GenerationConfig,
) -> Result<GenerationConfig> {
    // SAFETY: the contract is the same.
    let options = unsafe { read(pointer, (&defaults).into()) }?;
    // SAFETY: the contract is the same.
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
    match value == T::from(1) {
        true => Ok(true),
        false if value == T::from(0) => Ok(false),
        false => Err(Failure::invalid(format!("{name} is {value}; expected 0 or 1"))),
    }
}
