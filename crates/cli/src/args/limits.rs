//! Resource limits, as options of every command.

use ualm::{Error, ErrorKind, Limits, Result};

use super::value::{parse_bytes, parse_seconds};

/// The default limit on the takes of one prompt.
const MAX_TAKES: u16 = 99;

/// Resource limits; the library and the package have the defaults.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Longest recording to listen to, in seconds; by default the package's limit
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_INPUT_SECONDS", value_name = "SECONDS", value_parser = parse_seconds)]
    limit_input_seconds: Option<f64>,
    /// Memory for a decoded recording, as in 500M [default: 1G; of serve: 256M]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_DECODED_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    limit_decoded_bytes: Option<u64>,
    /// Positions of a prompt: about one per token, 25 per second of sound [default: 1048576]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_PROMPT_FRAMES", value_name = "N")]
    limit_prompt_frames: Option<usize>,
    /// Segments of a reply [default: 256]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_SEGMENTS", value_name = "N")]
    limit_segments: Option<usize>,
    /// Steps that may be requested for a segment [default: 1048576]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_STEPS", value_name = "N")]
    limit_steps: Option<usize>,
    /// Takes of one prompt [default: 99; of serve: 8]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_TAKES", value_name = "N")]
    limit_takes: Option<u16>,
    /// Positions of a conversation, within the model's own limit [default of serve: 4096]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_CONTEXT", value_name = "N")]
    limit_context: Option<usize>,
    /// Memory for the cache of a conversation (of serve: of all slots), as in 4G; by default half of the memory that
    /// the process may use
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_MEMORY", value_name = "BYTES", value_parser = parse_bytes)]
    limit_memory: Option<u64>,
}

impl LimitFlags {
    /// Returns the limits that the options set, with the library's defaults.
    pub fn limits(&self) -> Limits {
        self.limits_or(Limits::default())
    }

    /// Returns the limits that the options set, with `defaults` for the others.
    pub fn limits_or(&self, defaults: Limits) -> Limits {
        defaults
            .input_seconds(self.limit_input_seconds.or(defaults.input_seconds))
            .decoded_bytes(self.limit_decoded_bytes.unwrap_or(defaults.decoded_bytes))
            .prompt_positions(self.limit_prompt_frames.unwrap_or(defaults.prompt_positions))
            .segments(self.limit_segments.unwrap_or(defaults.segments))
            .steps(self.limit_steps.unwrap_or(defaults.steps))
            .context(self.limit_context.unwrap_or(defaults.context))
            .memory(self.limit_memory.or(defaults.memory))
    }

    /// Returns the limit on takes, by default `default`.
    pub fn takes_or(&self, default: u16) -> u16 {
        self.limit_takes.unwrap_or(default)
    }

    /// Refuses more takes than the limit.
    pub fn check_takes(&self, takes: u16) -> Result<()> {
        let max = self.takes_or(MAX_TAKES);
        if takes <= max {
            return Ok(());
        }
        let what = format!("{takes} takes were requested; the limit is {max} (--limit-takes)");
        Err(Error::new(ErrorKind::Limit, what))
    }
}
