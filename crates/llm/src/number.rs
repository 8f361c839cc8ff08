//! Checks of numbers as they are read, so that a wrong one is reported at its place in the file.
//!
//! YAML has `.nan` and `.inf`, which JSON cannot carry: they would reach the server as `null`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// No wait and no limit is longer than a day.
const LONGEST_SECONDS: f64 = 86_400.0;
/// No model costs more for a million tokens.
const MOST_DOLLARS: f64 = 1_000_000.0;
/// More tries than this are a mistake, and would hide the endpoint's trouble for hours.
const MOST_TRIES: u32 = 100;

fn optional<'de, D: Deserializer<'de>>(deserializer: D, least: f64, most: f64) -> Result<Option<f64>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(deserializer)? else {
        return Ok(None);
    };
    check(number, least, most).map(Some)
}

fn check<E: Error>(number: f64, least: f64, most: f64) -> Result<f64, E> {
    if number.is_finite() && (least..=most).contains(&number) {
        Ok(number)
    } else if most.is_infinite() {
        Err(E::custom(format_args!("{number} is out of range: write a number of at least {least}")))
    } else {
        Err(E::custom(format_args!("{number} is out of range: write a number from {least} to {most}")))
    }
}

/// A temperature: servers disagree about the highest one, so only the lowest is checked.
pub(crate) fn temperature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    optional(deserializer, 0.0, f64::INFINITY)
}

/// A share, from 0 to 1.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    optional(deserializer, 0.0, 1.0)
}

/// A penalty, from -2 to 2.
pub(crate) fn penalty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    optional(deserializer, -2.0, 2.0)
}

/// Dollars for a million tokens, as millionths of a millionth of a dollar for one. Whole ones, so that sums are exact.
pub(crate) fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let dollars = check(f64::deserialize(deserializer)?, 0.0, MOST_DOLLARS)?;
    let whole = (dollars * 1e6).round();
    // The nearest number to the same digits is the same number.
    if (whole / 1e6).to_bits() != dollars.abs().to_bits() {
        return Err(D::Error::custom(format_args!("{dollars} has more than six digits behind the point")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 10^12, and whole")]
    Ok(whole as u64)
}

/// Likewise, where it may be left out.
pub(crate) fn optional_price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Given(u64);

    impl<'de> Deserialize<'de> for Given {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            price(deserializer).map(Self)
        }
    }

    Ok(Option::<Given>::deserialize(deserializer)?.map(|Given(price)| price))
}

/// Seconds to wait; none is allowed.
pub(crate) fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    check(seconds, 0.0, LONGEST_SECONDS).map(Duration::from_secs_f64)
}

/// Seconds that something may take; with none it could never succeed.
pub(crate) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    check(seconds, 0.001, LONGEST_SECONDS).map(Duration::from_secs_f64)
}

/// How often something is tried, the first time included.
pub(crate) fn tries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let tries = u32::deserialize(deserializer)?;
    NonZeroU32::new(tries).filter(|tries| tries.get() <= MOST_TRIES).ok_or_else(|| {
        D::Error::custom(format_args!("{tries} is out of range: write a number from 1 to {MOST_TRIES}"))
    })
}
