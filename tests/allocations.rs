//! A step of the loop allocates nothing outside ONNX Runtime, whose allocations this program's allocator does not count.

#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ualm::{Engine, EngineOptions, Event, Message, Modality, Session};
use ualm_testing::{model, skip_without_fixtures};

/// The system's allocator with a counter.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the number of allocations in each step of a sound, without the first and the last steps.
fn allocations(mut session: Session, guidance: f32) -> Vec<usize> {
    let mut config = session.model().config();
    config.force = vec![Modality::Audio];
    config.max_segments = 1;
    config.audio.min_steps = 60;
    config.audio.max_steps = 60;
    config.audio.guidance = guidance;
    config.audio.temperature = 0.8;
    let prompt = session.prompt(&[Message::text("rain")]).unwrap();
    let mut generation = session.generate(prompt, &config).unwrap();
    let mut counts = Vec::with_capacity(100);
    loop {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let Some(event) = generation.next() else { break };
        let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
        if let Event::AudioProgress { .. } = event.unwrap() {
            counts.push(made);
        }
    }
    counts[4..50].to_vec()
}

/// This program has one test, so that no other thread allocates.
#[test]
fn a_step_allocates_nothing() {
    skip_without_fixtures!();
    for name in ["tiny-omni-fp32", "tiny-omni-int8"] {
        let model = model(name);
        let engine = Engine::new(&model, &EngineOptions::default().slots(2)).unwrap();
        for guidance in [1.0, 3.0] {
            assert_eq!(allocations(model.session(), guidance), [0; 46], "{name}, guidance {guidance}");
            let counts = allocations(engine.session().unwrap(), guidance);
            assert_eq!(counts, [0; 46], "{name}, guidance {guidance}, in an engine");
        }
    }
}
