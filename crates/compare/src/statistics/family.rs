//! Many tests at once.

/// The probability at which at least one of a family of tests finds a difference that isn't there.
const ALPHA: f64 = 0.01;

/// Tests that are judged together, by Holm's step-down procedure.
#[derive(Debug, Default)]
pub(crate) struct Family {
    tests: u64,
    /// The smallest probability first, once [`judge`](Self::judge) has sorted them.
    found: Vec<(f64, usize)>,
}

impl Family {
    /// Counts a test whose result doesn't matter: there was nothing to find, or too little.
    pub(crate) fn count(&mut self) {
        self.tests += 1;
    }

    /// Adds a test of the difference with this number.
    pub(crate) fn add(&mut self, p: f64, number: usize) {
        self.tests += 1;
        self.found.push((p, number));
    }

    /// The numbers of the differences that are more than chance.
    ///
    /// Tests that were only counted are taken as the least certain, which can only make the others less certain.
    pub(crate) fn judge(mut self) -> Vec<usize> {
        self.found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (tests, mut left) = (self.tests, self.tests);
        let holds = self.found.iter().take_while(|(p, _)| {
            let bound = ALPHA / left as f64;
            left = left.saturating_sub(1).max(1);
            *p <= bound
        });
        let certain = holds.map(|(_, number)| *number).collect();
        debug_assert!(tests >= self.found.len() as u64);
        certain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holms_own_steps() {
        // With four tests the bounds are 0.0025, 0.0033…, 0.005 and 0.01.
        let mut family = Family::default();
        for (p, number) in [(0.004, 0), (0.001, 1), (0.003, 2), (0.02, 3)] {
            family.add(p, number);
        }
        assert_eq!(family.judge(), [1, 2, 0]);
    }

    #[test]
    fn more_tests_ask_for_more() {
        let judged = |others: u64| {
            let mut family = Family::default();
            (0..others).for_each(|_| family.count());
            family.add(0.001, 7);
            family.judge()
        };
        assert_eq!((judged(0), judged(9)), (vec![7], vec![7]));
        assert!(judged(10).is_empty());
    }
}
