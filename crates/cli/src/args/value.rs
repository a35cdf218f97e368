//! Parsers of option values.

/// Parses a number of seconds above 0.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
        .ok_or("expected seconds above 0".into())
}

/// Parses the duration of a sound in seconds, with or without the unit `s`.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    match text.strip_suffix('s').unwrap_or(text).trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("expected seconds above 0 and up to 3600, as in 5s or 2.5".into()),
    }
}

/// Parses a number of bytes; the suffixes K, M, G and T stand for powers of 1024.
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
