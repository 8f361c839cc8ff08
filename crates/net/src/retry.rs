//! How long to wait before the next try. Pure arithmetic, for every layer that tries again.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// A server may ask for longer; a run that seems to hang for hours helps nobody.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Milliseconds; some endpoints send them beside the coarser `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The wait after the given try (the first is 1).
///
/// Without the server's word it is between half and the whole of `initial_delay`, doubled with each try. What
/// the server asks for is always waited, and up to half a backoff more: it tells thousands of calls the same
/// second, and they should not all come back in it.
pub fn wait(
    initial_delay: Duration,
    max_delay: Duration,
    failed_try: u32,
    asked: Option<Duration>,
    identity: &str,
) -> Duration {
    let doubled = 2_u32.saturating_pow(failed_try.saturating_sub(1));
    let backoff = initial_delay.saturating_mul(doubled).min(max_delay);
    let spread = (backoff / 2).mul_f64(share(identity, failed_try));
    match asked {
        Some(asked) => asked.min(LONGEST_ASKED) + spread,
        None => backoff / 2 + spread,
    }
}

/// How long the server asks to wait.
pub fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, unit: f64| Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok();
    if let Some(wait) = text(&RETRY_AFTER_MS).and_then(|ms| number(ms, 0.001)) {
        return Some(wait);
    }
    let after = text(&RETRY_AFTER)?;
    number(after, 1.0).or_else(|| {
        // Measured against the server's own clock: ours may be wrong, and every server with a clock sends `Date`.
        let then = httpdate::parse_http_date(after).ok()?;
        let now = httpdate::parse_http_date(text(&DATE)?).ok()?;
        Some(then.duration_since(now).unwrap_or_default())
    })
}

/// A number from 0 to 1 (exclusive) that follows from the call and the try, so that a repeated run waits alike.
fn share(identity: &str, failed_try: u32) -> f64 {
    f64::from(hash(identity, &format!("wait/{failed_try}"))) / (f64::from(u32::MAX) + 1.0)
}

/// 32 bits that follow from an identity, others for each purpose.
pub fn hash(identity: &str, purpose: &str) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(&[0]).update(identity.as_bytes());
    let mut word = [0; 4];
    hasher.finalize_xof().fill(&mut word);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(30);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        for (failed_try, longest_ms) in [(1, 500), (2, 1000), (3, 2000), (7, 30_000), (40, 30_000)] {
            for identity in ["a", "b", "c"] {
                let wait = wait(INITIAL, MAX, failed_try, None, identity);
                let longest = Duration::from_millis(longest_ms);
                assert!(wait >= longest / 2 && wait < longest, "{failed_try} {wait:?}");
            }
        }
    }

    #[test]
    fn chance_follows_from_the_call_and_the_try() {
        assert_eq!(wait(INITIAL, MAX, 1, None, "a"), wait(INITIAL, MAX, 1, None, "a"));
        assert_ne!(wait(INITIAL, MAX, 1, None, "a"), wait(INITIAL, MAX, 1, None, "b"));
        assert_ne!(share("a", 1).to_bits(), share("a", 2).to_bits());
        let mean = (0..1000_u32).map(|n| share(&n.to_string(), 1)).sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn what_the_server_asks_is_waited_up_to_a_minute() {
        let asked = |seconds| wait(Duration::ZERO, MAX, 1, Some(Duration::from_secs(seconds)), "a");
        assert_eq!(asked(0), Duration::ZERO);
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(3600), LONGEST_ASKED);
        assert!(wait(INITIAL, MAX, 1, Some(Duration::from_secs(7)), "a") >= Duration::from_secs(7));
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(asked(&headers(&[("retry-after", "3")])), Some(Duration::from_secs(3)));
        assert_eq!(asked(&headers(&[("retry-after", "0.5")])), Some(Duration::from_millis(500)));
        assert_eq!(
            asked(&headers(&[("retry-after", "3"), ("retry-after-ms", "20")])),
            Some(Duration::from_millis(20))
        );
        let later = ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(
            asked(&headers(&[later, ("date", "Sun, 06 Nov 1994 08:49:37 GMT")])),
            Some(Duration::from_secs(10))
        );
        assert_eq!(asked(&headers(&[later, ("date", "Sun, 06 Nov 1994 09:49:37 GMT")])), Some(Duration::ZERO));
        for unusable in ["", "-1", "nan", "inf", "1e300", "soon"] {
            assert_eq!(asked(&headers(&[("retry-after", unusable)])), None, "{unusable}");
        }
    }
}
