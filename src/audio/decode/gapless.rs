//! The padding at the end of MPEG audio, whose length is in a header that may count too few frames.

use std::collections::VecDeque;

use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

/// The maximum number of samples of padding at the end: the largest value of the header's field, and a frame.
const MAX_PADDING: i64 = 4096 + 1152;

/// Packets near the stated end, held back until it is known whether the stream ends there.
#[derive(Default)]
pub(super) struct Gapless {
    held: VecDeque<Packet>,
    /// True if the stream continues after its stated end.
    pub continues: bool,
}

impl Gapless {
    /// Takes a packet of a stream of `frames` samples, and returns the next packet to decode, if it is known.
    pub fn push(&mut self, mut packet: Packet, frames: u64) -> Option<Packet> {
        let is_beyond = packet.pts.get() > i64::try_from(frames).unwrap_or(i64::MAX).saturating_add(MAX_PADDING);
        if is_beyond && !self.continues {
            self.continues = true;
            for packet in &mut self.held {
                keep_whole(packet);
            }
        }
        if self.continues {
            keep_whole(&mut packet);
        }
        if packet.trim_end == Duration::ZERO && self.held.is_empty() {
            return Some(packet);
        }
        self.held.push_back(packet);
        if self.continues { self.held.pop_front() } else { None }
    }

    /// Returns the packets that were held back, one per call, after the end of the stream.
    pub fn pop(&mut self) -> Option<Packet> {
        self.held.pop_front()
    }
}

/// Undoes the trimming of a packet's end.
fn keep_whole(packet: &mut Packet) {
    packet.dur = packet.dur.saturating_add(packet.trim_end);
    packet.trim_end = Duration::ZERO;
}

#[cfg(test)]
mod tests {
    use symphonia::core::units::Timestamp;

    use super::*;

    fn packets(count: i64, frames: i64) -> impl Iterator<Item = Packet> {
        (0..count).map(move |n| {
            let mut packet = Packet::new(0, Timestamp::new(1152 * n), Duration::from(1152_u64), vec![n as u8]);
            let beyond = (1152 * (n + 1) - frames).clamp(0, 1152) as u64;
            packet.dur = Duration::from(1152 - beyond);
            packet.trim_end = Duration::from(beyond);
            packet
        })
    }

    fn run(count: i64, frames: i64) -> Vec<(u8, u64)> {
        let mut gapless = Gapless::default();
        let mut out: Vec<Packet> =
            packets(count, frames).filter_map(|packet| gapless.push(packet, frames as u64)).collect();
        out.extend(std::iter::from_fn(|| gapless.pop()));
        out.iter().map(|packet| (packet.data[0], packet.dur.get())).collect()
    }

    #[test]
    fn the_end_is_trimmed_where_the_stream_ends() {
        assert_eq!(run(4, 3000), [(0, 1152), (1, 1152), (2, 696), (3, 0)]);
    }

    #[test]
    fn a_stream_that_continues_is_kept() {
        let whole: Vec<(u8, u64)> = (0..20).map(|n| (n, 1152)).collect();
        assert_eq!(run(20, 3000), whole);
    }
}
