//! Unsupported formats: the names of containers and codecs, and the error messages.

use std::fmt::Display;

use crate::count::counted;
use crate::error::{Error, ErrorKind};

/// The supported formats, for error messages.
pub(super) const FORMATS: &str =
    "WAV (also RF64, W64 and AU), FLAC, MP3, AAC, Ogg (Opus, Vorbis, FLAC), MP4/M4A/MOV, WebM/MKV, AIFF and CAF";

/// The advice for other formats.
const CONVERSION: &str = "`ffmpeg -i RECORDING out.wav` converts it";

/// Returns the error that `what`, a codec or a variant of a codec, in `container`, is not supported.
pub(super) fn codec(what: &str, container: &str) -> Error {
    Error::new(ErrorKind::Audio, format!("is {what} in {container}, which cannot be decoded; {CONVERSION}"))
}

/// Returns the error that the container `name` is not supported.
pub(super) fn container(name: &str) -> Error {
    Error::new(ErrorKind::Audio, format!("is {name}, which cannot be read; {CONVERSION}"))
}

/// Returns the error that the header of `container` is damaged.
pub(super) fn broken(container: &str, defect: &str) -> Error {
    Error::new(ErrorKind::Audio, format!("is {container} with a damaged header: {defect}"))
}

/// Returns the error that the header of `container` declares an impossible number of channels or rate.
pub(super) fn signal<N: Display + PartialEq + From<u8>>(container: &str, channels: N, rate: impl Display) -> Error {
    broken(container, &format!("{} at {rate} Hz", counted(channels, "channel")))
}

/// Returns the name of the unsupported codec with a `WAVEFORMATEX` tag.
pub(super) fn wave_tag(tag: u16) -> String {
    let name = match tag {
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0016 => "G.723 ADPCM",
        0x0020 => "Yamaha ADPCM",
        0x0022 => "TrueSpeech",
        0x0031 | 0x1500 => "GSM 6.10",
        0x0042 => "G.723.1",
        0x0045 | 0x0064 | 0x0085 => "G.726 ADPCM",
        0x0050 => "MP2",
        0x0055 => "MP3",
        0x0061 | 0x0062 => "Duck ADPCM",
        0x0065 | 0x028f => "G.722",
        0x0083 => "G.729",
        0x0092 => "AC-3 (S/PDIF)",
        0x00ff | 0x1600 | 0x1602 | 0x1610 | 0xa106 => "AAC",
        0x0160 => "Windows Media Audio 1",
        0x0161 => "Windows Media Audio",
        0x0162 => "Windows Media Audio Professional",
        0x0163 => "Windows Media Audio Lossless",
        0x000a => "Windows Media Audio Voice",
        0x0200 => "Creative ADPCM",
        0x0270 | 0x0271 => "ATRAC3",
        0x2000 => "AC-3",
        0x2001 => "DTS",
        0x566f | 0x674f..=0x6771 => "Vorbis",
        0x704f => "Opus",
        0xa109 => "Speex",
        0xf1ac => "FLAC",
        _ => return format!("an unknown codec (tag 0x{tag:04x})"),
    };
    name.to_owned()
}

/// Returns the name of the unsupported codec with a four-character code (MP4, QuickTime, CAF, AIFF-C).
pub(super) fn four_characters(code: [u8; 4]) -> String {
    let name = match &code {
        b"samr" | b"amr " => "AMR",
        b"sawb" | b"sawp" => "AMR-WB",
        b"ac-3" | b"AC-3" | b"sac3" => "AC-3",
        b"ec-3" => "E-AC-3 (Dolby Digital Plus)",
        b"ac-4" => "AC-4",
        b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" | b"dtsx" => "DTS",
        b"mlpa" => "TrueHD",
        b"ima4" => "IMA ADPCM (QuickTime)",
        b"MAC3" | b"MAC6" => "MACE",
        b"QDMC" | b"QDM2" => "QDesign Music",
        b"Qclp" | b"Qclq" | b"sqcp" => "QCELP",
        b"agsm" | b"GSM " => "GSM 6.10",
        b"ilbc" => "iLBC",
        b"sevc" => "EVRC",
        b"G726" => "G.726 ADPCM",
        b"G722" => "G.722",
        b"aach" => "HE-AAC",
        b"aacp" => "HE-AAC v2",
        b"aacl" | b"aace" => "AAC-LD",
        b"usac" => "xHE-AAC",
        b".mp2" | b".mp1" => "MP2",
        b"flac" | b"fLaC" => "FLAC",
        b"vorb" => "Vorbis",
        b"spex" => "Speex",
        b"mha1" | b"mhm1" => "MPEG-H 3D Audio",
        b"enca" => "encrypted sound",
        [b'm', b's', high, low] => return wave_tag(u16::from_be_bytes([*high, *low])),
        code => return format!("an unknown codec ({})", code.escape_ascii()),
    };
    name.to_owned()
}

/// Returns the name of the unsupported codec with a Matroska codec id.
pub(super) fn matroska_codec(id: &str) -> String {
    let name = match id {
        id if id.starts_with("A_AC3") => "AC-3",
        "A_EAC3" => "E-AC-3 (Dolby Digital Plus)",
        id if id.starts_with("A_DTS") => "DTS",
        "A_TRUEHD" | "A_MLP" => "TrueHD",
        "A_MPC" => "Musepack",
        "A_TTA1" => "TTA",
        "A_WAVPACK4" => "WavPack",
        id if id.starts_with("A_REAL/") => "RealAudio",
        id if id.starts_with("A_QUICKTIME") => "a QuickTime codec",
        id if id.starts_with("A_AAC") && id.ends_with("/SBR") => "HE-AAC",
        id if id.starts_with("A_AAC") => "AAC other than LC",
        id => return format!("an unknown codec ({})", id.escape_default()),
    };
    name.to_owned()
}

/// Returns the name of the unsupported codec with an MPEG-4 object type.
pub(super) fn mpeg4_object(object: u8) -> String {
    let name = match object {
        0xa5 => "AC-3",
        0xa6 => "E-AC-3 (Dolby Digital Plus)",
        0xa9..=0xac => "DTS",
        0xad => "Opus",
        0xdd => "Vorbis",
        0xe1 => "QCELP",
        _ => return format!("an unknown codec (object type 0x{object:02x})"),
    };
    name.to_owned()
}
