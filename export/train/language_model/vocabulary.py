"""One vocabulary over parallel streams, and the delay pattern (the layout of the UALM authors' code)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PAD, BOS, EOS, EOT, SYSTEM, USER, ASSISTANT, TEXT, AUDIO, SPEECH = range(10)
SPECIAL_COUNT = 256


@dataclass(frozen=True)
class Vocabulary:
    text_size: int  # the language model config's `vocab_size`
    streams: int
    codebook_size: int

    @property
    def block_size(self) -> int:
        """Ids of a stream: its own pad and its codes."""
        return 1 + self.codebook_size

    @property
    def text_end(self) -> int:
        return SPECIAL_COUNT + self.text_size

    @property
    def size(self) -> int:
        return self.text_end + self.streams * self.block_size

    def block(self, stream: int) -> int:
        """Returns the first id of a stream's block: its pad."""
        return self.text_end + stream * self.block_size

    def single(self, ids: list[int]) -> np.ndarray:
        """Returns special or text ids as frames [n, streams]: stream 0, pad in the others."""
        frames = np.zeros((len(ids), self.streams), np.int64)
        frames[:, 0] = ids
        return frames

    def text(self, token_ids: list[int]) -> np.ndarray:
        return self.single([SPECIAL_COUNT + i for i in token_ids])

    def delayed(self, codes: np.ndarray) -> np.ndarray:
        """Delays codes [streams, n] to frames [n + streams − 1, streams]: stream i is shifted by i."""
        streams, count = codes.shape
        frames = np.empty((count + streams - 1, streams), np.int64)
        for i in range(streams):
            frames[:, i] = self.block(i)
            frames[i : i + count, i] = self.block(i) + 1 + codes[i]
        return frames
