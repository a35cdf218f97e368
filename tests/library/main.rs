//! The library through its public API.

mod audex;
mod audio;
mod chains;
mod chains_by_prompt;
mod codecs;
mod converse;
mod default_package;
mod engine;
mod examples;
mod formats;
mod forms;
mod listening;
#[cfg(all(feature = "internal", feature = "schema"))]
mod manifest_schema;
mod numbers;
mod packages;
mod recordings;
mod reference;
mod resume;
mod schemas;
#[cfg(feature = "internal")]
mod seeds;
mod sharing;
mod sources;
mod variants;
