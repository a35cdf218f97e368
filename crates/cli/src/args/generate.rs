//! The arguments of `ualm generate`.

use super::Make;

#[derive(clap::Args)]
pub struct Generate {
    /// Description of the sound, or - to read it from standard input
    pub prompt: String,
    #[command(flatten)]
    pub make: Make,
}
