//! The arguments of `ualm codec`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Output, Pictures, Playing};

#[derive(clap::Args)]
pub struct Codec {
    #[command(subcommand)]
    pub direction: Direction,
}

#[derive(Subcommand)]
pub enum Direction {
    /// Encode sound to codes: a NumPy file of int64 [streams, frames]
    Encode {
        /// Recording, or - for standard input
        audio: PathBuf,
        /// NumPy file to write, or - for standard output
        #[arg(long, short, value_name = "OUT.npy")]
        output: PathBuf,
        #[command(flatten)]
        pictures: Pictures,
    },
    /// Decode codes to sound
    Decode {
        /// NumPy file of int64 [streams, frames], or - for standard input
        codes: PathBuf,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        playing: Playing,
        #[command(flatten)]
        pictures: Pictures,
    },
}
