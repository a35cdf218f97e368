//! `codec encode` and `codec decode`: converts sound to codes and back.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;

use ndarray::Array2;
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use ualm::audio::Waveform;
use ualm::internal::{counted, unreadable, write_whole};
use ualm::{Codes, Error, ErrorKind, Modality, Model, Result};

use crate::args::{Codec, Common, Direction, Output, Pictures};
use crate::interrupt::cancel_on_signal;
use crate::output::{check_writable, note};
use crate::player::Player;
use crate::progress::Progress;
use crate::setup::{load_model, read_recording};

/// `ualm codec`.
pub fn run(common: &Common, args: &Codec) -> Result<()> {
    let cancel = cancel_on_signal()?;
    match &args.direction {
        Direction::Encode { audio, output, pictures } => encode(common, audio, output, pictures),
        Direction::Decode { codes, output, playing, pictures } => {
            let sound = decode(common, codes, output, pictures)?;
            Player::new(common, playing).offer(&sound, &cancel)
        }
    }
}

fn encode(common: &Common, audio: &Path, output: &Path, pictures: &Pictures) -> Result<()> {
    check_writable(output)?;
    pictures.check()?;
    let model = load_model(common)?;
    let recording = read_recording(audio, &model)?;
    pictures.draw(&recording)?;
    let progress = Progress::spinner(common, "encoding");
    let codes = model.encode_codes(sound_modality(&model)?, &recording).map_err(|e| e.context(audio.display()))?;
    progress.clear();
    write_codes(&codes, output)?;
    let books = counted(codes.nrows(), "book");
    let frames = counted(codes.ncols(), "frame");
    note(common, &format!("{}: {books} of {frames}", output.display()));
    Ok(())
}

fn decode(common: &Common, codes: &Path, output: &Output, pictures: &Pictures) -> Result<Waveform> {
    output.check()?;
    pictures.check()?;
    let found = read_codes(codes)?;
    let model = load_model(common)?;
    let progress = Progress::spinner(common, "decoding");
    let sound = model.decode_codes(sound_modality(&model)?, &found).map_err(|e| e.context(codes.display()))?;
    progress.clear();
    output.write(&sound)?;
    pictures.draw(&sound)?;
    note(common, &format!("{}: {:.2} s", output.output.display(), sound.seconds()));
    Ok(sound)
}

/// Returns the package's first sound modality, whose codec the command uses.
fn sound_modality(model: &Model) -> Result<Modality> {
    let first = model.sounds().next().map(|(modality, _)| modality);
    first.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("the package {:?} has no codec", model.manifest().name)))
}

fn write_codes(codes: &Codes, output: &Path) -> Result<()> {
    let failed = || Error::new(ErrorKind::Io, format!("{}: cannot be written", output.display()));
    let mut bytes = Vec::new();
    codes.mapv(i64::from).write_npy(Cursor::new(&mut bytes)).map_err(|e| failed().with_source(e))?;
    match output.to_str() {
        Some("-") => {
            let mut out = std::io::stdout();
            out.write_all(&bytes).and_then(|()| out.flush()).map_err(|e| failed().with_source(e))
        }
        _ => write_whole(output, &bytes),
    }
}

fn read_codes(path: &Path) -> Result<Codes> {
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(BufReader::new(File::open(path).map_err(|e| unreadable(e).context(path.display()))?)),
    };
    let wrong = || {
        let what = format!("{}: expected a NumPy file of int64 [books, frames]", path.display());
        Error::new(ErrorKind::Invalid, what)
    };
    let codes = Array2::<i64>::read_npy(source).map_err(|e| wrong().with_source(e))?;
    if let Some(((book, frame), code)) = codes.indexed_iter().find(|(_, code)| u32::try_from(**code).is_err()) {
        return Err(wrong().context(format!("code {code} in book {book}, frame {frame}")));
    }
    Ok(codes.mapv(|code| code as u32))
}
