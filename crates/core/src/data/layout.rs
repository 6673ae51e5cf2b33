//! Images of different shapes, one behind the other in one piece of memory.

use std::ops::Range;

/// The most pixels a side of a stored image, and the most channels: a number that is larger is damage.
const LARGEST: [usize; 3] = [1 << 16, 1 << 16, 3];

/// Where the image of each row begins, and its height, width and channels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    places: Vec<(usize, [u32; 3])>,
    bytes: usize,
}

impl Layout {
    /// `count` images of one shape.
    pub fn uniform(count: usize, shape: [usize; 3]) -> Self {
        let mut layout = Self::default();
        for _ in 0..count {
            layout.push(shape);
        }
        layout
    }

    /// Adds an image behind the others; none if no image has such a shape.
    pub fn push(&mut self, shape: [usize; 3]) -> Option<()> {
        let fits = shape.iter().zip(LARGEST).all(|(it, largest)| (1..=largest).contains(it));
        let bytes = shape.iter().product::<usize>().checked_add(self.bytes).filter(|_| fits)?;
        self.places.push((self.bytes, shape.map(|it| it as u32)));
        self.bytes = bytes;
        Some(())
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// How many bytes all images have together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Height, width and channels of the image at `row`.
    pub fn shape(&self, row: u32) -> [usize; 3] {
        self.places[row as usize].1.map(|it| it as usize)
    }

    /// Where the image at `row` lies.
    pub fn range(&self, row: u32) -> Range<usize> {
        let from = self.places[row as usize].0;
        from..from + self.shape(row).iter().product::<usize>()
    }

    /// The largest height, width and number of channels; zeros for no images.
    pub fn largest(&self) -> [usize; 3] {
        let larger = |a: [u32; 3], b: [u32; 3]| [0, 1, 2].map(|it| a[it].max(b[it]));
        let largest = self.places.iter().map(|it| it.1).reduce(larger);
        largest.unwrap_or_default().map(|it| it as usize)
    }

    /// Whether all images have the same shape.
    pub fn is_uniform(&self) -> bool {
        self.places.iter().all(|it| it.1 == self.places[0].1)
    }
}
