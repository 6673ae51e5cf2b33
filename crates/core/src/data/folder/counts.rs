//! Whether the pictures of a folder can be split as the settings say, told before any of them is decoded.

use crate::data::Data;
use crate::data::OnError;
use crate::data::dataset::{empty_class, empty_part};
use crate::data::folder::list::{Found, same};
use crate::error::Result;

/// How many pictures there are of each class, in each split of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::data) struct Counts {
    /// Names of the splits, empty where there are none, with the pictures of each class in label order.
    by_split: Vec<(String, Vec<usize>)>,
}

impl Counts {
    pub(in crate::data) fn of(files: &[Found], classes: usize) -> Self {
        let mut by_split: Vec<(String, Vec<usize>)> = Vec::new();
        for file in files {
            let known = by_split.iter().position(|it| it.0 == file.split);
            let at = known.unwrap_or_else(|| {
                by_split.push((file.split.clone(), vec![0; classes]));
                by_split.len() - 1
            });
            if let Some(count) = by_split[at].1.get_mut(usize::from(file.label)) {
                *count += 1;
            }
        }
        Self { by_split }
    }

    /// Refuses data of which a part, or a class of the training images, would be empty.
    ///
    /// Where damaged pictures are left out nobody knows how many are left before they are decoded, so nothing is refused;
    /// what folds and groups leave empty is told when they are drawn.
    ///
    /// # Errors
    /// [`Error::Data`](crate::error::Error::Data), as opening the decoded pictures would.
    pub(in crate::data) fn check(&self, data: &Data) -> Result<()> {
        let split = &data.split;
        if data.on_error != OnError::Error || split.folds.is_some() || split.groups {
            return Ok(());
        }
        let parts = self.parts(data);
        let all = sum(self.by_split.iter().map(|it| &it.1));
        for ((key, _), counts) in data.split.parts().zip(&parts) {
            if counts.iter().all(|it| *it == 0) {
                return Err(empty_part(data, key, &all));
            }
        }
        let train = parts.first().map_or(&[][..], Vec::as_slice);
        let absent = train.iter().position(|it| *it == 0);
        absent.map_or(Ok(()), |class| Err(empty_class(data, &data.classes()[class])))
    }

    /// The pictures of each class in each part of `data.split`, in its order.
    fn parts(&self, data: &Data) -> Vec<Vec<usize>> {
        let named = |name: &str| {
            let found = self.by_split.iter().filter(|it| same(&it.0, name));
            sum(found.map(|it| &it.1))
        };
        let fractions: Vec<f64> = data.split.parts().filter_map(|it| it.1.fraction()).collect();
        let pool = match data.split.parts().next().and_then(|it| it.1.name()) {
            Some(train) => named(train),
            None => sum(self.by_split.iter().map(|it| &it.1)),
        };
        // Fractions are cut out of each class by itself; `rows::by_fractions` rounds alike.
        let mut until = 0.0;
        let mut from = vec![0; pool.len()];
        let mut cut = |fraction: f64| {
            until += fraction;
            let take = |(from, all): (&mut usize, &usize)| {
                let to = ((until * *all as f64).round() as usize).clamp(*from, *all);
                let taken = to - *from;
                *from = to;
                taken
            };
            from.iter_mut().zip(&pool).map(take).collect::<Vec<_>>()
        };
        let mut taken = fractions.into_iter().map(&mut cut).collect::<Vec<_>>().into_iter();
        let part = |(_, part): (&str, &crate::data::part::Part)| match part.name() {
            Some(name) => named(name),
            None => taken.next().unwrap_or_default(),
        };
        let mut parts: Vec<Vec<usize>> = data.split.parts().map(part).collect();
        // What fractions take out of a named `train` is no longer in it.
        if data.split.is_named()
            && let Some((train, others)) = parts.split_first_mut()
        {
            let fractional =
                data.split.parts().skip(1).zip(others).filter(|it| it.0.1.name().is_none());
            for (_, counts) in fractional {
                train.iter_mut().zip(counts).for_each(|(left, taken)| *left -= *taken);
            }
        }
        parts
    }
}

/// The sum of `all`, class by class.
fn sum<'a>(all: impl Iterator<Item = &'a Vec<usize>>) -> Vec<usize> {
    all.fold(Vec::new(), |mut sum, it| {
        sum.resize(sum.len().max(it.len()), 0);
        sum.iter_mut().zip(it).for_each(|(sum, it)| *sum += it);
        sum
    })
}
