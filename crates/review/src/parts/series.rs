//! A time series with a bounded number of steps, for charts.

/// Steps of equal length; the length doubles as the series grows.
#[derive(Debug, Clone)]
pub(crate) struct Series<T> {
    /// The maximum number of steps.
    most: usize,
    /// The length of a step, in microseconds.
    step: i64,
    /// When the first step begins.
    origin: Option<i64>,
    steps: Vec<T>,
}

/// The value of a step.
pub(crate) trait Step: Default + Clone {
    /// Merges the following step.
    fn merge(&mut self, next: &Self);
}

impl<T: Step> Series<T> {
    pub(crate) fn new(step: i64, most: usize) -> Self {
        Self { most, step: step.max(1), origin: None, steps: Vec::new() }
    }

    /// The step at this instant; earlier instants count in the first step.
    pub(crate) fn at(&mut self, at: i64) -> &mut T {
        let origin = *self.origin.get_or_insert_with(|| at.div_euclid(self.step).saturating_mul(self.step));
        let index = |step: i64| usize::try_from(at.saturating_sub(origin).max(0) / step).unwrap_or(usize::MAX);
        while index(self.step) >= self.most && self.step < i64::MAX / 2 {
            self.double();
        }
        let index = index(self.step).min(self.most - 1);
        if index >= self.steps.len() {
            self.steps.resize(index + 1, T::default());
        }
        &mut self.steps[index]
    }

    fn double(&mut self) {
        self.step *= 2;
        self.steps = self
            .steps
            .chunks(2)
            .map(|pair| {
                let mut merged = pair[0].clone();
                pair.iter().skip(1).for_each(|next| merged.merge(next));
                merged
            })
            .collect();
    }

    /// The length of a step, in microseconds.
    pub(crate) fn step(&self) -> i64 {
        self.step
    }

    /// The steps with their start times.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        let origin = self.origin.unwrap_or(0);
        (0_i64..).zip(&self.steps).map(move |(index, step)| (origin + index * self.step, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default, PartialEq)]
    struct Count(u32);

    impl Step for Count {
        fn merge(&mut self, next: &Self) {
            self.0 += next.0;
        }
    }

    #[test]
    fn steps_double_and_keep_all_counts() {
        let mut series: Series<Count> = Series::new(10, 4);
        for at in 1000..1100 {
            series.at(at).0 += 1;
        }
        assert_eq!(series.step(), 40);
        let steps: Vec<_> = series.iter().map(|(at, count)| (at, count.0)).collect();
        assert_eq!(steps, [(1000, 40), (1040, 40), (1080, 20)]);
        series.at(i64::MAX).0 += 1;
        series.at(i64::MIN).0 += 1;
        assert_eq!(series.iter().map(|(_, count)| count.0).sum::<u32>(), 102);
        assert!(series.iter().count() <= 4);
    }
}
