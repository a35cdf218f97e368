//! A thread that decodes a piece of sound while the next steps run.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::codec::ClipDecoder;
use crate::error::{Error, ErrorKind, Result};
use crate::token::Codes;

/// Codes to decode, with the clip that they continue.
pub(super) struct Piece {
    pub clip: Box<dyn ClipDecoder>,
    pub codes: Codes,
    /// `true` if the clip ends with these codes.
    pub is_last: bool,
}

/// The clip after a piece, and the piece's samples, or those before the error.
pub(super) struct DecodedPiece {
    pub clip: Box<dyn ClipDecoder>,
    pub samples: Vec<f32>,
    pub result: Result<()>,
}

impl Piece {
    /// Decodes the piece.
    pub(super) fn decode(self) -> DecodedPiece {
        let Self { mut clip, codes, is_last } = self;
        let mut samples = Vec::new();
        let pushed = clip.push(&codes, &mut samples);
        let result = pushed.and_then(|()| if is_last { clip.finish(&mut samples) } else { Ok(()) });
        DecodedPiece { clip, samples, result }
    }
}

/// A thread that decodes one piece at a time. Dropping this waits for the piece in progress, and ends the thread.
pub(super) struct SoundWorker {
    /// `None` during the drop.
    pieces: Option<SyncSender<Piece>>,
    decoded: Receiver<DecodedPiece>,
    thread: Option<JoinHandle<()>>,
}

impl SoundWorker {
    /// Starts the thread; returns `None` if it cannot be started.
    pub(super) fn start() -> Option<Self> {
        // a piece is sent only after the piece before it was joined, so that neither side ever blocks on sending
        let (pieces, to_decode) = sync_channel::<Piece>(1);
        let (done, decoded) = sync_channel(1);
        let run = move || {
            for piece in to_decode {
                if done.send(piece.decode()).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("ualm-sound".to_owned()).spawn(run);
        let thread = thread.inspect_err(|e| log::warn!("sound is decoded between the steps: no thread for it: {e}"));
        Some(Self { pieces: Some(pieces), decoded, thread: Some(thread.ok()?) })
    }

    /// Begins to decode `piece`.
    pub(super) fn begin(&self, piece: Piece) -> Result<()> {
        self.pieces.as_ref().and_then(|pieces| pieces.send(piece).ok()).ok_or_else(panicked)
    }

    /// Waits for the piece that was begun.
    pub(super) fn finish(&self) -> Result<DecodedPiece> {
        self.decoded.recv().map_err(|_| panicked())
    }
}

fn panicked() -> Error {
    Error::new(ErrorKind::Graph, "the thread that decodes sound panicked; the sound before that is kept")
}

impl Drop for SoundWorker {
    fn drop(&mut self) {
        drop(self.pieces.take());
        if let Some(thread) = self.thread.take() {
            // `finish` reports a panic of the thread, if the piece is still wanted
            let _ = thread.join();
        }
    }
}
