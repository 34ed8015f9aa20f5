//! A number that stands for what two nodes hold: the same on every machine and in every build.

/// FNV-1a, 64 bits: small. Against accidents, not against liars. Sums of `mixed` stand for sets.
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// A tag, the length and the bytes: no two sequences run together.
    pub fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_be_bytes();
        for byte in [tag].iter().chain(&length).chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// FNV's last bytes stir the low bits only, and sums of such numbers meet too often (splitmix64's end).
    pub fn mixed(self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
