//! The arguments of `ualm batch`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Samples, Shard};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Batch {
    #[command(subcommand)]
    pub command: Option<BatchCommand>,
    #[command(flatten)]
    pub run: BatchRun,
}

#[derive(Subcommand)]
pub enum BatchCommand {
    /// Merge the results of all shards into one file, if every request has exactly one result
    Merge(BatchMerge),
}

#[derive(clap::Args)]
pub struct BatchRun {
    /// Requests, one JSON object per line (docs/batch.md), or - for standard input
    #[arg(required = true)]
    pub requests: Option<PathBuf>,
    /// Folder for results.jsonl and the sounds; requests that have results there are not run again
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Include the tokens in the results
    #[arg(long)]
    pub frames: bool,
    #[command(flatten)]
    pub samples: Samples,
    /// Draw a spectrogram beside every WAV file, ID.n.png
    #[arg(long)]
    pub spectrogram: bool,
    /// Draw the spectrograms in the terminal
    #[arg(long)]
    pub show: bool,
    /// Run only shard I of N, to which requests belong by their ids, and write results.I-of-N.jsonl
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Number of requests to run in parallel
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Run requests again that failed before
    #[arg(long)]
    pub retry_failed: bool,
    /// Start over; existing results are kept as results.previous.jsonl
    #[arg(long, conflicts_with = "retry_failed")]
    pub restart: bool,
}

#[derive(clap::Args)]
pub struct BatchMerge {
    /// Requests that the results must answer, each exactly once
    pub requests: PathBuf,
    /// Folder for results.jsonl and the sounds
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folders of shards, or files of results; by default the folder of --out
    pub from: Vec<PathBuf>,
}
