//! The arguments of `ualm speak`.

use super::Make;

#[derive(clap::Args)]
pub struct Speak {
    /// Text to speak, or - to read it from standard input
    pub text: String,
    #[command(flatten)]
    pub make: Make,
}
