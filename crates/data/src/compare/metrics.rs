//! Scores of one column against another, as `SDMetrics` 0.32 defines them.

use std::collections::BTreeMap;

/// `TVComplement`: 1 − ½ Σ |share in the real column − share in the synthetic one|, over counts without nulls.
///
/// A value that only the synthetic column has counts as 10⁻⁶ of a real row, as in `SDMetrics`, which is why the score
/// is not the plain total variation distance there. None where either column has no value.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn tv_complement<K: Ord>(real: &BTreeMap<K, u64>, synthetic: &BTreeMap<K, u64>) -> Option<f64> {
    const UNSEEN: f64 = 1e-6;
    let total_synthetic: u64 = synthetic.values().sum();
    let total_real: u64 = real.values().sum();
    if total_real == 0 || total_synthetic == 0 {
        return None;
    }
    let unseen = synthetic.keys().filter(|value| !real.contains_key(*value)).count();
    let total_real = total_real as f64 + unseen as f64 * UNSEEN;
    let total_synthetic = total_synthetic as f64;
    let share = |count: Option<&u64>| count.map_or(0.0, |count| *count as f64) / total_synthetic;
    let known = real.iter().map(|(value, count)| (share(synthetic.get(value)) - *count as f64 / total_real).abs());
    let new = synthetic.iter().filter(|(value, _)| !real.contains_key(*value));
    let new = new.map(|(_, count)| (share(Some(count)) - UNSEEN / total_real).abs());
    Some(1.0 - 0.5 * known.chain(new).sum::<f64>())
}

/// `KSComplement`: 1 − the largest distance between the empirical distribution functions, both continuous from the
/// right, over values without nulls, rounded to 14 decimals (half to even). None where either column has no value.
/// Values that are not numbers (NaN) count as null. The distance is kept as a fraction until the end, as the exact mode
/// of `SciPy`'s `ks_2samp` does.
#[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
pub fn ks_complement(real: &[f64], synthetic: &[f64]) -> Option<f64> {
    let (real, synthetic) = (sorted(real), sorted(synthetic));
    if real.is_empty() || synthetic.is_empty() {
        return None;
    }
    let (all_real, all_synthetic) = (real.len() as u128, synthetic.len() as u128);
    let (mut below_real, mut below_synthetic, mut largest) = (0, 0, 0);
    // The next value of either side, and how many of each side are not above it.
    while let Some(next) =
        [real.get(below_real), synthetic.get(below_synthetic)].into_iter().flatten().min_by(|a, b| a.total_cmp(b))
    {
        below_real += real[below_real..].iter().take_while(|value| *value <= next).count();
        below_synthetic += synthetic[below_synthetic..].iter().take_while(|value| *value <= next).count();
        largest = largest.max((below_real as u128 * all_synthetic).abs_diff(below_synthetic as u128 * all_real));
    }
    Some(1.0 - largest as f64 / (all_real * all_synthetic) as f64)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    const DECIMALS: f64 = 1e14;
    let round = |value: &f64| {
        let scaled = value * DECIMALS;
        // A number so large has no decimals to round.
        if scaled.is_finite() { scaled.round_ties_even() / DECIMALS } else { *value }
    };
    let mut sorted: Vec<f64> = values.iter().filter(|v| !v.is_nan()).map(round).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Minimum, lower quartile, median, upper quartile and maximum of the values that are numbers; quartiles between two
/// values are interpolated (Hyndman and Fan, "Sample quantiles in statistical packages", 1996, type 7). None where
/// there is no value.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indices are far below 2^53 and never negative"
)]
pub fn five_numbers(values: &[f64]) -> Option<[f64; 5]> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        let below = place.floor() as usize;
        let (low, high) = (sorted[below], sorted[last.min(below + 1)]);
        low + (high - low) * place.fract()
    };
    Some([0.0, 0.25, 0.5, 0.75, 1.0].map(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(text: &str) -> BTreeMap<char, u64> {
        text.chars().fold(BTreeMap::new(), |mut counts, c| {
            *counts.entry(c).or_default() += 1;
            counts
        })
    }

    #[test]
    fn the_worked_cases_agree_to_the_last_digit() {
        assert_eq!(tv_complement(&counts("abcaab"), &counts("abcabc")), Some(0.833_333_333_333_333_3));
        assert_eq!(tv_complement(&counts("aab"), &counts("abz")), Some(0.666_666_888_888_814_9));
        assert_eq!(ks_complement(&[1., 2., 2., 3., 3., 3.], &[2., 3., 3., 4.]), Some(0.75));
        assert_eq!(
            ks_complement(&[1., 2., f64::NAN, 4.], &[1., f64::NAN, 5., 6.]),
            Some(0.333_333_333_333_333_37)
        );
    }

    #[test]
    fn five_numbers_interpolate() {
        assert_eq!(five_numbers(&[4., 1., 3., 2.]), Some([1., 1.75, 2.5, 3.25, 4.]));
        assert_eq!(five_numbers(&[7.]), Some([7.; 5]));
        assert_eq!(five_numbers(&[f64::NAN]), None);
    }

    #[test]
    fn nothing_has_no_score() {
        assert_eq!(tv_complement(&counts(""), &counts("a")), None);
        assert_eq!(ks_complement(&[1.0], &[]), None);
    }

    proptest! {
        #[test]
        fn scores_lie_between_0_and_1_and_equals_score_1(
            a in prop::collection::vec(-1e6_f64..1e6, 1..40), b in prop::collection::vec(-1e6_f64..1e6, 1..40),
        ) {
            let score = ks_complement(&a, &b);
            prop_assert!(score.is_some_and(|score| (0.0..=1.0).contains(&score)));
            prop_assert_eq!(score, ks_complement(&b, &a));
            prop_assert_eq!(ks_complement(&a, &a), Some(1.0));
        }
    }
}
