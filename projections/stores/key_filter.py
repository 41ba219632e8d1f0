"""Which touchpoint keys were seen in a part of the journal: nearly every new one is told from memory.

A Bloom filter. Keys are hashes already, so their own bits serve. It answers "not seen" for certain, and "seen" for what
was seen and for few others: with 16 bits for each key 1 of 400, with 8 bits 1 of 40, with 4 bits 1 of 6. A wrong "seen"
costs a look into the store, shared by all of one batch, and never changes what is found.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from struct import Struct

BITS_A_KEY = 16
LEAST_BITS = 1 << 19
"""64 KiB, enough for 32,768 keys: one that grows is filled anew from the store, while the fold waits."""
_four_numbers = Struct("<4I").unpack


class KeyFilter:
    def __init__(self, keys: int, most_bytes: int) -> None:
        """For twice as many keys as there are, in at most so many bytes."""
        bits = LEAST_BITS
        while bits < 2 * keys * BITS_A_KEY and bits < min(most_bytes * 8, 1 << 32):
            bits *= 2
        bits = max(min(bits, 1 << (most_bytes * 8).bit_length() - 1), 64)
        self.mask = bits - 1
        self._words = array("Q", bytes(bits // 8))
        self._keys = keys
        self._most = most_bytes * 8

    @property
    def crowded(self) -> bool:
        """Whether it would answer better if it were made anew, larger."""
        return self._keys * BITS_A_KEY > len(self._words) * 64 and len(self._words) * 128 <= self._most

    def fill(self, words: Iterable[tuple[int, int]]) -> None:
        """Sets the bits of (number of a word, bits)."""
        mine = self._words
        for number, bits in words:
            mine[number] |= bits

    def add(self, keys: Sequence[str]) -> None:
        words, mask = self._words, self.mask
        for key in keys:
            for number in _four_numbers(bytes.fromhex(key)):
                bit = number & mask
                words[bit >> 6] |= 1 << (bit & 63)
        self._keys += len(keys)

    def perhaps(self, keys: Iterable[str]) -> list[str]:
        """Those that may have been seen."""
        words, mask = self._words, self.mask
        found = []
        for key in keys:
            one, two, three, four = _four_numbers(bytes.fromhex(key))
            if (
                words[(one & mask) >> 6] >> (one & mask & 63) & 1
                and words[(two & mask) >> 6] >> (two & mask & 63) & 1
                and words[(three & mask) >> 6] >> (three & mask & 63) & 1
                and words[(four & mask) >> 6] >> (four & mask & 63) & 1
            ):
                found.append(key)
        return found
