//! Resource limits, as flags of every command.

use ualm::{Error, ErrorKind, Limits, Result};

/// Takes of one prompt unless a flag says otherwise.
const MOST_TAKES: u16 = 99;

/// Flags of what is refused; what is not given is as the library and the package say.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// The longest recording that is listened to, in seconds; by default as the package says
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_INPUT_SECONDS", value_name = "SECONDS", value_parser = parse_seconds)]
    limit_input_seconds: Option<f64>,
    /// Memory that a decoded recording may take, as in 500M [default: 1G]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_DECODED_BYTES", value_name = "BYTES", value_parser = parse_bytes)]
    limit_decoded_bytes: Option<u64>,
    /// Frames of a prompt: about one a token, 25 a second of sound [default: 1048576]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_PROMPT_FRAMES", value_name = "N")]
    limit_prompt_frames: Option<usize>,
    /// Segments of a reply [default: 256]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_SEGMENTS", value_name = "N")]
    limit_segments: Option<usize>,
    /// Frames of a segment that may be asked for [default: 1048576]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_STEPS", value_name = "N")]
    limit_steps: Option<usize>,
    /// Takes of one prompt [default: 99; of serve: 8]
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_TAKES", value_name = "N")]
    limit_takes: Option<u16>,
    /// Positions of a conversation; the model's own limit holds as well
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_CONTEXT", value_name = "N")]
    limit_context: Option<usize>,
    /// Memory that the cache of a conversation may take, as in 4G; by default half of what the process may use
    #[arg(long, global = true, hide_short_help = true, env = "UALM_LIMIT_MEMORY", value_name = "BYTES", value_parser = parse_bytes)]
    limit_memory: Option<u64>,
}

impl LimitFlags {
    /// The library's limits.
    pub fn limits(&self) -> Limits {
        self.limits_or(Limits::default())
    }

    /// The library's limits; those without a flag are as `usual`.
    pub fn limits_or(&self, usual: Limits) -> Limits {
        usual
            .input_seconds(self.limit_input_seconds.or(usual.input_seconds))
            .decoded_bytes(self.limit_decoded_bytes.unwrap_or(usual.decoded_bytes))
            .prompt_positions(self.limit_prompt_frames.unwrap_or(usual.prompt_positions))
            .segments(self.limit_segments.unwrap_or(usual.segments))
            .steps(self.limit_steps.unwrap_or(usual.steps))
            .context(self.limit_context.unwrap_or(usual.context))
            .memory(self.limit_memory.or(usual.memory))
    }

    /// The most takes; without a flag `usual`.
    pub fn takes_or(&self, usual: u16) -> u16 {
        self.limit_takes.unwrap_or(usual)
    }

    /// Refuses more takes than are allowed.
    pub fn check_takes(&self, takes: u16) -> Result<()> {
        let most = self.takes_or(MOST_TAKES);
        if takes <= most {
            Ok(())
        } else {
            let what = format!("{takes} takes are asked for; the limit is {most}");
            Err(Error::new(ErrorKind::Limit, what))
        }
    }
}

pub fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
        .ok_or("expected seconds above 0".into())
}

/// Bytes, with K, M, G or T behind them for powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[number.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => 64,
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1u64.checked_shl(shift)?));
    bytes.ok_or("expected bytes, as in 500M or 4G".into())
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn bytes_have_units() {
        assert_eq!(parse_bytes("4G"), Ok(4 << 30));
        assert_eq!(parse_bytes("17"), Ok(17));
        for text in ["", "G", "-1", "1.5G", "4GG", "4g", "99999999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
