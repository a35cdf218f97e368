//! Tests of the program `ualm` by its command line.

mod batch;
mod by_prompt;
mod cli;
mod enhancer;
mod faults;
mod files;
mod help;
mod limits;
mod playing;
mod read_only;
mod reasoning;
#[cfg(feature = "internal")]
mod seeds;
mod terminal;
mod text;
