//! Lenient Base64: with line breaks, without padding, in the URL alphabet, or in a `data:` URL.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The maximum length of a URL scheme that is recognized.
const LONGEST_SCHEME: usize = 32;

/// Decodes `text`.
///
/// # Errors
/// A message about the fault.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_ascii();
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    // Base64 has no colon: one near the beginning ends a scheme, such as file: or blob:
    if !is_url && text.bytes().take(LONGEST_SCHEME).any(|letter| letter == b':') {
        return Err("URLs are not fetched: send the file itself, in Base64".into());
    }
    let mut letters = if is_url { percent_decode_str(data_of(text)?).collect() } else { text.as_bytes().to_vec() };
    letters.retain(|letter| !letter.is_ascii_whitespace());
    for letter in &mut letters {
        *letter = match *letter {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
    }
    LENIENT.decode(&letters).map_err(|e| format!("invalid Base64: {e}"))
}

/// Returns the data of a `data:` URL.
fn data_of(url: &str) -> Result<&str, String> {
    const EXPECTED: &str = "expected data:TYPE;base64,DATA";
    let (head, data) = url.split_once(',').ok_or_else(|| format!("the data: URL is without a comma; {EXPECTED}"))?;
    let coding = head.rsplit(';').next().unwrap_or_default().trim();
    if coding.eq_ignore_ascii_case("base64") {
        Ok(data)
    } else {
        Err(format!("the data: URL is not in Base64; {EXPECTED}"))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_form_decodes_to_the_same_bytes(bytes: Vec<u8>, width in 1usize..80) {
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let text = engine.encode(&bytes);
                let lines: Vec<_> = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
                let percent = text.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
                for form in [
                    text.clone(), lines.join("\r\n"), lines.join("\n\t "), format!(" {text}\n"),
                    format!("data:audio/wav;base64,{text}"), format!("DATA:audio/webm;codecs=opus;BASE64,{text}"),
                    format!("data:;base64,{percent}"),
                ] {
                    prop_assert_eq!(&decode(&form).unwrap(), &bytes, "{}", form);
                }
            }
        }
    }

    #[test]
    fn invalid_base64_is_refused() {
        for (text, why) in [
            ("%", "invalid Base64"),
            ("UklGR", "invalid Base64"),
            ("UklGRg==UklG", "invalid Base64"),
            ("data:audio/wav,RIFF", "not in Base64"),
            ("data:audio/wav;base64", "without a comma"),
            ("https://example.org/a.wav", "not fetched"),
            ("HTTP://example.org/a.wav", "not fetched"),
            ("file:///a.wav", "not fetched"),
            ("blob:http://localhost/1", "not fetched"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(decode("").unwrap().is_empty());
    }
}
