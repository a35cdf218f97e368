//! The arguments of `ualm inspect`.

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Inspect {
    /// Model package, as for --model; by default the package of --model
    pub package: Option<PathBuf>,
    /// Read every file and verify its checksum
    #[arg(long)]
    pub verify: bool,
}
