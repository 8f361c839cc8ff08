//! The draws of one arrival: from the plan's seed and the number of the arrival, and from nothing else.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{FaultKind, Faults, Latency, Plan, StartError};

/// Draws for one arrival. The fault is always drawn before the latency, so that neither shifts the other.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, arrival: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(arrival);
        Self(generator)
    }

    /// The fault of the given arrival; the first is 0.
    pub(crate) fn fault(&mut self, faults: &Faults, arrival: u64) -> Option<FaultKind> {
        let scripted = usize::try_from(arrival).ok().and_then(|arrival| faults.script.get(arrival));
        if let Some(scripted) = scripted {
            return *scripted;
        }
        let mut rest = self.0.random::<f64>();
        faults.shares.iter().find_map(|(kind, share)| {
            rest -= share;
            (rest < 0.0).then_some(*kind)
        })
    }

    pub(crate) fn latency(&mut self, latency: Latency) -> Duration {
        let ms = match latency {
            Latency::Fixed { ms } => ms,
            Latency::Jittered { ms, jitter_ms } => ms + jitter_ms * (2.0 * self.0.random::<f64>() - 1.0),
            Latency::Lognormal { mean_ms, sigma } => mean_ms * (sigma * self.normal() - sigma * sigma / 2.0).exp(),
        };
        Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX)
    }

    /// A standard normal number, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (self.0.random(), self.0.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Refuses a plan whose numbers would skew every draw.
pub(crate) fn check(plan: &Plan) -> Result<(), StartError> {
    check_shares("faults", plan.faults.shares.values().copied())?;
    check_shares("verdicts", [plan.verdicts.valid, plan.verdicts.invalid])?;
    let numbers = match plan.latency {
        Latency::Fixed { ms } => [ms, 0.0],
        Latency::Jittered { ms, jitter_ms } => [ms, jitter_ms],
        Latency::Lognormal { mean_ms, sigma } => [mean_ms, sigma],
    };
    if numbers.iter().all(|number| number.is_finite() && *number >= 0.0) {
        Ok(())
    } else {
        Err(StartError::Latency)
    }
}

fn check_shares(of: &'static str, shares: impl IntoIterator<Item = f64>) -> Result<(), StartError> {
    let mut sum = 0.0;
    let all_are_shares = shares.into_iter().all(|share| {
        sum += share;
        (0.0..=1.0).contains(&share)
    });
    // Ten tenths are a little more than 1.
    if all_are_shares && sum <= 1.0 + 1e-9 { Ok(()) } else { Err(StartError::Shares { of }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Verdicts;

    #[test]
    fn shares_and_means_are_kept() {
        let faults = Faults {
            shares: BTreeMap::from([(FaultKind::Status(429), 0.2), (FaultKind::Drop, 0.1)]),
            ..Faults::default()
        };
        let latency = Latency::Lognormal { mean_ms: 50.0, sigma: 1.0 };
        let (mut limited, mut dropped, mut total) = (0, 0, Duration::ZERO);
        for arrival in 0..20_000 {
            let mut draw = Draw::new(1, arrival);
            match draw.fault(&faults, arrival) {
                Some(FaultKind::Drop) => dropped += 1,
                Some(_) => limited += 1,
                None => {}
            }
            total += draw.latency(latency);
        }
        assert!((3_700..4_300).contains(&limited) && (1_800..2_200).contains(&dropped), "{limited} {dropped}");
        let mean = total.as_secs_f64() / 20_000.0;
        assert!((0.046..0.054).contains(&mean), "{mean}");
    }

    #[test]
    fn a_script_comes_first_and_arrivals_repeat() {
        let faults = Faults {
            script: vec![Some(FaultKind::Drop), None],
            shares: BTreeMap::from([(FaultKind::Quota, 1.0)]),
            ..Faults::default()
        };
        let drawn: Vec<_> = (0..3).map(|arrival| Draw::new(9, arrival).fault(&faults, arrival)).collect();
        assert_eq!(drawn, [Some(FaultKind::Drop), None, Some(FaultKind::Quota)]);
        let latency = Latency::Jittered { ms: 10.0, jitter_ms: 5.0 };
        assert_eq!(Draw::new(9, 4).latency(latency), Draw::new(9, 4).latency(latency));
        assert_ne!(Draw::new(9, 4).latency(latency), Draw::new(9, 5).latency(latency));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let faults = |shares: &[(FaultKind, f64)]| {
            let shares = shares.iter().copied().collect();
            check(&Plan { faults: Faults { shares, ..Faults::default() }, ..Plan::default() })
        };
        assert!(check(&Plan::default()).is_ok());
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(faults(&[(FaultKind::Drop, share)]).is_err());
            let verdicts = Verdicts { valid: share, invalid: 0.0 };
            assert!(check(&Plan { verdicts, ..Plan::default() }).is_err());
        }
        assert!(faults(&[(FaultKind::Drop, 0.7), (FaultKind::Quota, 0.3)]).is_ok());
        assert!(faults(&[(FaultKind::Drop, 0.7), (FaultKind::Quota, 0.7)]).is_err());
        for ms in [-1.0, f64::INFINITY] {
            assert!(check(&Plan { latency: Latency::Fixed { ms }, ..Plan::default() }).is_err());
        }
    }
}
