//! What the tries of a call have in common.

pub(crate) use flowrun_net::retry::asked;

use std::time::Duration;

use crate::RetryConfig;

/// The wait after the given try (the first is 1).
pub(crate) fn wait(config: &RetryConfig, failed_try: u32, asked: Option<Duration>, identity: &str) -> Duration {
    flowrun_net::retry::wait(config.initial_delay, config.max_delay, failed_try, asked, identity)
}

/// A seed for the server's sampler that follows from the identity of a call.
///
/// 31 bits, because some servers take no more; two calls with the same seed do no harm.
pub(crate) fn sampling_seed(identity: &str) -> i64 {
    i64::from(flowrun_net::retry::hash(identity, "seed") >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_fit_every_server_and_differ() {
        let seeds: Vec<_> = ["00", "01", "02"].iter().map(|identity| sampling_seed(identity)).collect();
        assert!(seeds.iter().all(|seed| (0..=i64::from(i32::MAX)).contains(seed)), "{seeds:?}");
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2]);
    }
}
