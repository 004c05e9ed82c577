//! Samples, and what they come to.

use serde::Serialize;

/// A figure whose rounds differ by more than this part of it is called noisy.
const NOISE: f64 = 0.5;

/// Samples of one quantity, by the round they were taken in. What is compared takes turns within a round, so a busy moment
/// of the machine meets all sides alike, and the difference between rounds tells how much the machine disturbed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<Vec<f64>>);

/// The usual numbers of some samples, in their unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) samples: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// From the lowest to the highest median of a round, as a part of the median.
    pub(crate) spread: f64,
    pub(crate) noisy: bool,
}

/// A quantity that each round has once: a ratio, or a difference of medians.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ByRound {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) noisy: bool,
}

impl Rounds {
    /// Adds a round; one without samples counts for nothing.
    pub(crate) fn push(&mut self, round: Vec<f64>) {
        self.0.push(round);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(crate) fn all(&self) -> Vec<f64> {
        self.0.concat()
    }

    /// The median of each round; none of one without samples.
    pub(crate) fn medians(&self) -> Vec<Option<f64>> {
        self.0.iter().map(|round| quantile(round, 0.5)).collect()
    }

    /// None without samples.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let all = self.all();
        let median = quantile(&all, 0.5)?;
        let medians: Vec<f64> = self.medians().into_iter().flatten().collect();
        let spread = (quantile(&medians, 1.0)? - quantile(&medians, 0.0)?) / median;
        Some(Summary {
            samples: all.len(),
            median,
            p99: quantile(&all, 0.99)?,
            max: quantile(&all, 1.0)?,
            spread,
            noisy: spread > NOISE,
        })
    }

    /// Combines the medians of the rounds that both have.
    pub(crate) fn against(&self, other: &Rounds, combine: impl Fn(f64, f64) -> f64) -> Option<ByRound> {
        self.against_at(other, 0.5, combine)
    }

    /// Combines another quantile than the median.
    pub(crate) fn against_at(&self, other: &Rounds, part: f64, combine: impl Fn(f64, f64) -> f64) -> Option<ByRound> {
        let pairs = self.0.iter().zip(&other.0);
        let combined = pairs.filter_map(|(a, b)| Some(combine(quantile(a, part)?, quantile(b, part)?)));
        ByRound::of(combined.collect())
    }
}

impl ByRound {
    /// None without rounds.
    pub(crate) fn of(rounds: Vec<f64>) -> Option<ByRound> {
        let (median, lowest, highest) = (
            quantile(&rounds, 0.5)?,
            quantile(&rounds, 0.0)?,
            quantile(&rounds, 1.0)?,
        );
        Some(ByRound {
            median,
            lowest,
            highest,
            noisy: highest - lowest > NOISE * median.abs(),
        })
    }
}

/// The value below which a part `part` of the samples lies: the nearest sample, no interpolation.
pub(crate) fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place among some thousand samples"
    )]
    let place = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// The slope of `log y` over `log x` by least squares: 1 when `y` grows as `x` does, 2 for its square.
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    #[allow(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&samples, 0.5), Some(50.0));
        assert_eq!(quantile(&samples, 0.99), Some(99.0));
        assert_eq!(quantile(&samples, 1.0), Some(100.0));
        assert_eq!(quantile(&[7.0], 0.0), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_comparison_by_round_is_not_moved_by_one_bad_round() {
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        for slowness in [1.0, 10.0, 1.0] {
            ours.push(vec![slowness, 2.0 * slowness, 3.0 * slowness]);
            theirs.push(vec![4.0 * slowness]);
        }
        let ratio = ours.against(&theirs, |a, b| a / b).unwrap();
        assert_eq!((ratio.median, ratio.highest, ratio.noisy), (0.5, 0.5, false));
        let summary = ours.summary().unwrap();
        assert!(
            summary.noisy,
            "the samples themselves tell of the bad round: {summary:?}"
        );
    }

    #[test]
    fn the_exponent_of_a_square_is_two() {
        let points: Vec<(f64, f64)> = [100.0, 1000.0, 10_000.0].map(|x| (x, 3.0 * x * x)).to_vec();
        assert!((exponent(&points) - 2.0).abs() < 1e-9);
    }
}
