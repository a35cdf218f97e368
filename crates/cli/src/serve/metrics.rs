//! The metrics of `/metrics`.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use ualm::EngineStats;

use super::admission::Admission;

/// The content type of Prometheus's text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bucket bounds of the histograms, in seconds.
const SECONDS: [f64; 13] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResponseLabels {
    path: String,
    status: u16,
}

/// Counters, gauges and histograms of the server.
pub struct Metrics {
    registry: Registry,
    answered: Family<ResponseLabels, Counter>,
    slots_in_use: Gauge,
    queue_length: Gauge,
    batch_rows: Gauge,
    waiting_prompts: Gauge,
    /// Generated steps.
    pub steps: Counter,
    /// Positions of prompts.
    pub prompt_frames: Counter,
    /// Replies that stopped because the client disconnected.
    pub gone: Counter,
    waited: Histogram,
    first_sound: Histogram,
    took: Histogram,
}

impl Metrics {
    pub fn new() -> Self {
        let times = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("ualm"),
            answered: Family::default(),
            slots_in_use: Gauge::default(),
            queue_length: Gauge::default(),
            batch_rows: Gauge::default(),
            waiting_prompts: Gauge::default(),
            steps: Counter::default(),
            prompt_frames: Counter::default(),
            gone: Counter::default(),
            waited: times(),
            first_sound: times(),
            took: times(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests by path and status", metrics.answered.clone());
        registry.register("slots_in_use", "Slots in use by requests and their takes", metrics.slots_in_use.clone());
        registry.register("queue_length", "Requests that wait for a slot", metrics.queue_length.clone());
        registry.register("batch_rows", "Sequences in the last step", metrics.batch_rows.clone());
        registry.register("waiting_prompts", "Prompts in progress", metrics.waiting_prompts.clone());
        registry.register("steps", "Generated steps", metrics.steps.clone());
        registry.register("prompt_frames", "Positions of prompts", metrics.prompt_frames.clone());
        registry.register("clients_gone", "Replies whose client disconnected", metrics.gone.clone());
        let seconds = || Unit::Seconds;
        registry.register_with_unit("queue", "Time in the queue", seconds(), metrics.waited.clone());
        registry.register_with_unit(
            "first_sound",
            "Time from a request to its first streamed sound",
            seconds(),
            metrics.first_sound.clone(),
        );
        registry.register_with_unit("reply", "Time in a slot", seconds(), metrics.took.clone());
        metrics
    }

    pub fn answered(&self, path: &str, status: u16) {
        self.answered.get_or_create(&ResponseLabels { path: path.to_owned(), status }).inc();
    }

    pub fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub fn first_sound(&self, time: Duration) {
        self.first_sound.observe(time.as_secs_f64());
    }

    pub fn took(&self, time: Duration) {
        self.took.observe(time.as_secs_f64());
    }

    /// Returns the response of `/metrics`.
    pub fn page(&self, admission: &Admission, engine: &EngineStats) -> String {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.slots_in_use.set(count(admission.slots_in_use()));
        self.queue_length.set(count(admission.waiting()));
        self.batch_rows.set(count(engine.batch_rows));
        self.waiting_prompts.set(count(engine.waiting_prompts));
        let mut page = String::new();
        // writing to a string cannot fail
        let _ = encode(&mut page, &self.registry);
        page
    }
}
