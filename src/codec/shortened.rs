//! Clips with a maximum number of frames.

use ndarray::s;

use super::ClipDecoder;
use crate::error::Result;
use crate::token::Codes;

/// A decoder that ends a clip after a number of frames, and drops the codes of later frames.
pub(super) struct ShortenedClip {
    clip: Box<dyn ClipDecoder>,
    /// The maximum number of frames of the clip.
    max: usize,
    /// Frames pushed to `clip`.
    pushed: usize,
}

impl ShortenedClip {
    pub(super) fn new(clip: Box<dyn ClipDecoder>, max: usize) -> Self {
        Self { clip, max, pushed: 0 }
    }
}

impl ClipDecoder for ShortenedClip {
    fn frames_wanted(&self) -> usize {
        if self.pushed == self.max { usize::MAX } else { self.clip.frames_wanted().min(self.max) }
    }

    fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()> {
        let frames = codes.ncols().min(self.max - self.pushed);
        self.pushed += frames;
        self.clip.push(&codes.slice(s![.., ..frames]).to_owned(), samples)?;
        if self.pushed == self.max { self.clip.finish(samples) } else { Ok(()) }
    }

    fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()> {
        self.clip.finish(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clip that decodes each frame to its code, two frames late.
    #[derive(Default)]
    struct Late(Vec<f32>, usize);

    impl ClipDecoder for Late {
        fn frames_wanted(&self) -> usize {
            self.1 + 3
        }

        fn push(&mut self, codes: &Codes, samples: &mut Vec<f32>) -> Result<()> {
            self.0.extend(codes.row(0).iter().map(|code| *code as f32));
            let end = self.0.len().saturating_sub(2).max(self.1);
            samples.extend(&self.0[self.1..end]);
            self.1 = end;
            Ok(())
        }

        fn finish(&mut self, samples: &mut Vec<f32>) -> Result<()> {
            samples.extend(&self.0[self.1..]);
            self.1 = self.0.len();
            Ok(())
        }
    }

    #[test]
    fn later_frames_are_dropped() {
        for max in 1..12 {
            for size in 1..12 {
                let mut clip = ShortenedClip::new(Box::new(Late::default()), max);
                let mut samples = Vec::new();
                for start in (0..10).step_by(size) {
                    let end = (start + size).min(10);
                    let wanted = clip.frames_wanted();
                    let before = samples.len();
                    let codes = Codes::from_shape_fn((1, end - start), |(_, frame)| (start + frame) as u32);
                    clip.push(&codes, &mut samples).unwrap();
                    assert_eq!(samples.len() == before, end < wanted, "{max} frames, {size} at a time, at {start}");
                }
                let at_the_last_push = samples.len();
                clip.finish(&mut samples).unwrap();
                assert!(at_the_last_push == samples.len() || max > 10, "the last frame ends the clip");
                assert_eq!(samples, (0..max.min(10)).map(|code| code as f32).collect::<Vec<_>>());
            }
        }
    }
}
