//! Which training images an epoch sees, in what order and in what batches.
//!
//! Everything is a function of (seed, epoch).

use ferrite_core::settings::sampling::Sampling;
use ferrite_random::{Random, Use};

/// The epoch of a stage that draws, by what decides its random numbers.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct EpochAt {
    pub(in crate::train) seed: u64,
    /// From 1 on.
    pub(in crate::train) epoch: usize,
}

impl EpochAt {
    fn random(self, for_use: Use, item: u64) -> Random {
        Random::at(self.seed, for_use, self.epoch as u64, item)
    }
}

/// The step of a stage that draws, by what decides its random numbers.
#[derive(Debug, Clone, Copy)]
pub(in crate::train) struct StepAt {
    pub(in crate::train) seed: u64,
    /// From 1 on.
    pub(in crate::train) epoch: usize,
    /// From 0 on, over all epochs of the stage.
    pub(in crate::train) step: usize,
}

impl StepAt {
    /// The random numbers that the step draws for one use.
    pub(in crate::train) fn random(self, for_use: Use) -> Random {
        Random::at(self.seed, for_use, self.epoch as u64, self.step as u64)
    }
}

/// Positions of the training split in the order in which an epoch sees them; `labels` holds the class of each
/// position.
pub(in crate::train) fn order(
    sampling: Sampling,
    labels: &[u8],
    classes: usize,
    at: EpochAt,
) -> Vec<u32> {
    let mut order: Vec<u32> = match sampling {
        Sampling::Shuffle => (0..labels.len() as u32).collect(),
        Sampling::Balanced => balanced(labels, classes, at),
    };
    at.random(Use::Shuffle, 0).shuffle(&mut order);
    order
}

/// As many positions as there are, of each class equally many (or one more for some).
fn balanced(labels: &[u8], classes: usize, at: EpochAt) -> Vec<u32> {
    let members = |class: usize| {
        let of_class = labels.iter().enumerate().filter(|(_, it)| usize::from(**it) == class);
        of_class.map(|(position, _)| position as u32).collect::<Vec<_>>()
    };
    let mut members: Vec<_> = (0..classes).map(members).filter(|it| !it.is_empty()).collect();
    // Which classes have one more is drawn, too.
    at.random(Use::Sample, 0).shuffle(&mut members);
    let (each, more) = (labels.len() / members.len(), labels.len() % members.len());
    let mut order = Vec::with_capacity(labels.len());
    for (index, mut of_class) in members.into_iter().enumerate() {
        let mut wanted = each + usize::from(index < more);
        let item = u64::from(labels[of_class[0] as usize]) + 1;
        let mut random = at.random(Use::Sample, item);
        while wanted > 0 {
            random.shuffle(&mut of_class);
            let taken = wanted.min(of_class.len());
            order.extend(&of_class[..taken]);
            wanted -= taken;
        }
    }
    order
}

/// Steps of an epoch over `images` images.
pub fn steps_per_epoch(images: usize, batch_size: usize) -> usize {
    let positions = vec![0; images];
    batches(&positions, batch_size).len()
}

/// Batches of `size`; a last one of a single image joins the one before, since a batch norm cannot
/// learn a variance from it.
pub(in crate::train) fn batches(order: &[u32], size: usize) -> Vec<&[u32]> {
    let lonely = order.len() > size && order.len() % size == 1;
    let (most, last) = order.split_at(if lonely { order.len() - size - 1 } else { order.len() });
    most.chunks(size).chain((!last.is_empty()).then_some(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_batch_and_none_is_alone() {
        for (images, expected) in
            [(8, vec![4, 4]), (9, vec![4, 5]), (10, vec![4, 4, 2]), (3, vec![3])]
        {
            let order =
                order(Sampling::Shuffle, &vec![0; images], 1, EpochAt { seed: 1, epoch: 1 });
            let sizes: Vec<usize> = batches(&order, 4).iter().map(|it| it.len()).collect();
            assert_eq!(sizes, expected, "{images} images");
            assert_eq!(batches(&order, 4).concat(), order);
        }
    }

    #[test]
    fn balanced_epochs_see_every_class_equally_often_and_spread_its_images() {
        // 31 images: 20, 8 and 3 of the classes.
        let labels: Vec<u8> = [vec![0; 20], vec![1; 8], vec![2; 3]].concat();
        let mut firsts = Vec::new();
        for epoch in 1..=6 {
            let draw = || order(Sampling::Balanced, &labels, 3, EpochAt { seed: 7, epoch });
            let order = draw();
            assert_eq!(order, draw());
            let mut classes = [0; 3];
            let mut times = [0; 31];
            for position in &order {
                classes[usize::from(labels[*position as usize])] += 1;
                times[*position as usize] += 1;
            }
            assert!(order.len() == 31 && classes.iter().all(|it| [10, 11].contains(it)));
            assert!(times[..20].iter().all(|it| *it <= 1), "a frequent one came twice");
            assert!(times[20..28].iter().all(|it| [1, 2].contains(it)), "{times:?}");
            assert!(times[28..].iter().all(|it| [3, 4].contains(it)), "{times:?}");
            firsts.push(order);
        }
        assert!(firsts.iter().skip(1).all(|it| *it != firsts[0]), "epochs are alike");
    }
}
