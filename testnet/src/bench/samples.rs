//! Several measurements of the same thing.

/// One value a round, in the order of the rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn rounds(&self) -> usize {
        self.0.len()
    }

    /// The middle value; the mean of the two middle ones where their number is even. Zero of none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => 0.0,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn greatest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// This over `other`, round by round: what disturbs the machine in one round disturbs both.
    pub fn over(&self, other: &Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(samples(&[]).median(), 0.0);
    }

    #[test]
    fn ratios_are_taken_within_each_round() {
        let ours = samples(&[2.0, 6.0]);
        let theirs = samples(&[1.0, 4.0]);
        assert_eq!(ours.over(&theirs), samples(&[2.0, 1.5]));
    }

    #[test]
    fn the_spread_runs_from_the_least_to_the_greatest() {
        let some = samples(&[2.0, 1.0, 3.0]);
        assert_eq!((some.least(), some.greatest()), (1.0, 3.0));
    }
}
