//! Randomness that is addressed, never drawn in passing.
//!
//! Every random number belongs to a key, BLAKE3 of the run's seed, the address of a step and the name of a column, and
//! to a row. The generator is `ChaCha8` by name, because its stream is promised to stay the same; row i owns its words
//! 4·i to 4·i+3, so that any row can be drawn alone and none depends on how many there are.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Words of 32 bits that each row owns.
const WORDS_PER_ROW: u128 = 4;

/// What a stream of draws is addressed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a column below an address, under the run's seed.
    pub fn new(seed: u64, address: &str, column: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 draws");
        hasher.update(&seed.to_le_bytes());
        for part in [address, column] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// A key below this one.
    #[must_use]
    pub fn column(&self, column: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(column.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The draws of this key.
    pub fn draws(&self) -> Draws {
        Draws { rng: ChaCha8Rng::from_seed(self.0), next: 0 }
    }

    /// A generator of row `row`'s own, for what needs an unknown number of words: rejection samplers, made-up names.
    pub fn stream(&self, row: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        // Stream 0 belongs to `draws`.
        rng.set_stream(row.wrapping_add(1));
        rng
    }
}

/// Draws by row. Asking for rows in order is quickest; any order gives the same numbers.
#[derive(Clone, Debug)]
pub struct Draws {
    rng: ChaCha8Rng,
    next: u64,
}

impl Draws {
    /// The two 64-bit words of a row.
    pub fn words(&mut self, row: u64) -> [u64; 2] {
        if row != self.next {
            self.rng.set_word_pos(u128::from(row) * WORDS_PER_ROW);
        }
        self.next = row.wrapping_add(1);
        [self.rng.next_u64(), self.rng.next_u64()]
    }

    /// A number in [0, 1) for a row, one of 2^53 equally spaced ones.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    pub fn unit(&mut self, row: u64) -> f64 {
        (self.words(row)[0] >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// A number in 0..n for a row; each has the same chance to within n / 2^128. `n` must not be 0.
    ///
    /// Lemire, "Fast random integer generation in an interval", 2019, over 128 bits, so that nothing is rejected and a
    /// row never needs more words than it owns.
    pub fn below(&mut self, row: u64, n: u64) -> u64 {
        let [high, low] = self.words(row);
        let carry = (u128::from(low) * u128::from(n)) >> 64;
        let product = u128::from(high) * u128::from(n) + carry;
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_gives_the_same_numbers() {
        let key = Key::new(7, "structured", "region");
        let mut in_order = key.draws();
        let forward: Vec<_> = (0..100).map(|row| in_order.words(row)).collect();
        let mut shuffled = key.draws();
        for row in (0..100_u64).rev() {
            assert_eq!(shuffled.words(row), forward[usize::try_from(row).unwrap()]);
        }
    }

    #[test]
    fn the_stream_is_fixed() {
        let mut draws = Key::new(0, "a", "b").draws();
        insta::assert_debug_snapshot!([
            draws.below(0, 1_000_000),
            draws.below(1, 1_000_000),
            draws.below(2, 1_000_000)
        ]);
    }

    #[test]
    fn bounds_hold_and_all_values_occur() {
        let mut draws = Key::new(1, "", "").draws();
        let mut seen = [0; 3];
        for row in 0..3000 {
            seen[usize::try_from(draws.below(row, 3)).unwrap()] += 1;
            let unit = draws.unit(row);
            assert!((0.0..1.0).contains(&unit));
        }
        assert!(seen.iter().all(|n| (900..1100).contains(n)), "{seen:?}");
    }

    #[test]
    fn addresses_and_columns_do_not_run_into_each_other() {
        assert_ne!(Key::new(0, "ab", "c"), Key::new(0, "a", "bc"));
        assert_ne!(Key::new(0, "a", "b"), Key::new(1, "a", "b"));
    }
}
