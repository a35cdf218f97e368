//! `serve`: an HTTP server with an API that is compatible with OpenAI's (`docs/server.md`).

mod admission;
mod body;
mod chat;
mod check;
mod encode;
mod error;
mod job;
mod keys;
mod listener;
mod metrics;
mod models;
mod notify;
mod origin;
mod page;
mod pieces;
mod recordings;
mod router;
mod server;
mod speech;
mod stop;
mod threads;
mod transcription;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tracing::Level;
use ualm::{Engine, EngineOptions, Error, ErrorKind, Limits as ModelLimits, Result};

use crate::args::{Common, Serve};
use crate::output::warn;
use crate::setup::load_model;
use admission::Admission;
use keys::Keys;
use metrics::Metrics;
use origin::Origins;
use server::{Limits, Phases, Server, now};

/// The default memory limit for a decoded recording, lower than elsewhere since many are decoded at once.
const DECODED_BYTES: u64 = 256 << 20;
/// The default limit on the takes of a request.
const TAKES: u16 = 8;

/// `ualm serve`.
pub fn run(common: &Common, args: &Serve) -> Result<()> {
    if args.check {
        return check::check(args.listen);
    }
    let keys = args.api_keys.as_deref().map(Keys::read).transpose()?;
    if keys.is_none() && !args.without_keys && !args.listen.ip().is_loopback() {
        let what = format!("{} can be reached from other machines: add --api-keys FILE or --without-keys", args.listen);
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    let origins = Origins::new(&args.cors, &args.host_name, args.listen, keys.is_some())?;
    if keys.is_none() && args.cors.iter().any(|origin| origin.eq_ignore_ascii_case("null")) {
        warn("warning: with --cors null any page can send requests from a sandboxed frame: add --api-keys FILE");
    }
    let defaults = ModelLimits::default().decoded_bytes(DECODED_BYTES);
    let model = load_model(common)?.with_limits(common.limits.limits_or(defaults));
    model.load_all()?;
    // a guided sequence takes two slots of the engine
    let options = EngineOptions::default().slots(2 * usize::from(args.slots));
    let engine = Engine::new(&model, &options)?;
    start_log(common);
    let seconds = Duration::from_secs_f64;
    let name = model.manifest().name.clone();
    let server = Arc::new(Server {
        names: std::iter::once(name).chain(args.alias.iter().cloned()).collect(),
        voices: std::iter::once("default".to_owned()).chain(args.voice.iter().cloned()).collect(),
        limits: Limits {
            body: args.limit_body,
            output_seconds: args.limit_output_seconds,
            takes: common.limits.takes_or(TAKES),
        },
        admission: Admission::new(args.slots, args.queue, args.limit_bodies.max(args.limit_body)),
        metrics: Metrics::new(),
        keys,
        origins,
        deadline: seconds(args.deadline),
        client_timeout: seconds(args.client_timeout),
        started: now(),
        phase: Phases::open(),
        model,
        engine,
    });
    let failed = |e| Error::new(ErrorKind::Io, "the server's threads cannot be started").with_source(e);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
    let served = runtime.block_on(listener::serve(server, args, common.quiet));
    // a reply that ignores cancellation must not block the exit
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Starts the request log: lines of JSON on standard error, without contents of requests.
fn start_log(common: &Common) {
    let max = if common.quiet { Level::WARN } else { Level::INFO };
    let lines = tracing_subscriber::fmt().json().with_max_level(max).with_writer(std::io::stderr);
    // fails only if a subscriber is installed already
    let _ = lines.flatten_event(true).with_current_span(true).with_span_list(false).try_init();
}
