//! Pictures on the device, and how a network of a given input size sees them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::tensor::Tensor;
use ferrite_core::data::augment::{Augment, Change, Window};
use ferrite_core::data::layout::Layout;
use ferrite_core::data::picture::{fit, in_channels};
use ferrite_core::device::Device;
use ferrite_torch::picture;
use ferrite_torch::tensor::{Table, in_order};
use rayon::prelude::*;

use crate::train::augment::{Canvas, apply, look};

/// Pictures as [`fit`] gives them, uploaded once. Those of one size lie in one table.
#[derive(Debug)]
pub struct Pictures {
    tables: Vec<Table>,
    /// The table and the row in it of each picture; empty where there is only one table.
    places: Vec<Place>,
    size: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    table: usize,
    row: u32,
}

impl Pictures {
    /// Uploads the pictures that lie in `bytes` as `layout` says; `size` is the network's input, in pixels a side.
    pub fn new(bytes: &[u8], layout: &Layout, size: usize, device: Device) -> Self {
        let count = layout.count();
        let [height, width, channels] = layout.largest();
        if layout.is_uniform() && height == width && width <= size {
            let table = Table::of_bytes(bytes, [count, height, width, channels], device);
            return Self { tables: vec![table], places: Vec::new(), size };
        }
        let seen = |row: u32| {
            let shape = layout.shape(row);
            let (pixels, [length, ..]) = fit(&bytes[layout.range(row)], shape, size);
            let pixels = match in_channels(&pixels, shape[2], channels) {
                Cow::Borrowed(_) => pixels.into_owned(),
                Cow::Owned(other) => other,
            };
            (length, pixels)
        };
        let seen: Vec<_> = (0..count as u32).into_par_iter().map(seen).collect();
        let mut sides = BTreeMap::<usize, (u32, Vec<u8>)>::new();
        let mut places = Vec::with_capacity(count);
        for (side, pixels) in seen {
            let (rows, all) = sides.entry(side).or_default();
            places.push((side, *rows));
            *rows += 1;
            all.extend(pixels);
        }
        let table = |(side, (rows, pixels)): (&usize, &(u32, Vec<u8>))| {
            Table::of_bytes(pixels, [*rows as usize, *side, *side, channels], device)
        };
        let tables: Vec<Table> = sides.iter().map(table).collect();
        let number: BTreeMap<usize, usize> = sides.keys().copied().zip(0..).collect();
        let place = |(side, row)| Place { table: number[&side], row };
        let places =
            if tables.len() > 1 { places.into_iter().map(place).collect() } else { vec![] };
        Self { tables, places, size }
    }

    /// Pictures at the network's size, gray levels 0-255.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn plain(&self, rows: &[u32]) -> Tensor<4> {
        self.each(rows, &|x, _| picture::resize(x, self.size))
    }

    /// A part of each picture, at the network's size, gray levels 0-255.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn window(&self, rows: &[u32], window: Window) -> Tensor<4> {
        self.each(rows, &|x, _| look(window, x, self.size))
    }

    /// Pictures at the network's size, each changed as `changes` says, gray levels 0-255. `fill` is the gray level of what
    /// is erased.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn changed(
        &self,
        rows: &[u32],
        augment: &Augment,
        changes: &[Change],
        fill: f64,
    ) -> Tensor<4> {
        self.each(rows, &|x, positions| {
            let of_these: Vec<Change>;
            let changes = if let Some(positions) = positions {
                of_these = positions.iter().map(|it| changes[*it as usize]).collect();
                &of_these
            } else {
                changes
            };
            apply(augment, x, changes, Canvas { size: self.size, fill })
        })
    }

    /// What `see` makes of the pictures at `rows`, in their order. It is given those of one size at a time, with their
    /// positions in `rows`, or without where that is all of them.
    ///
    /// What it makes of a picture does not depend on the others, so neither does what a network sees of it.
    fn each(
        &self,
        rows: &[u32],
        see: &dyn Fn(Tensor<4>, Option<&[u32]>) -> Tensor<4>,
    ) -> Tensor<4> {
        if let [table] = &self.tables[..] {
            return see(table.images(rows), None);
        }
        let mut parts: Vec<(Vec<u32>, Vec<u32>)> = vec![Default::default(); self.tables.len()];
        for (position, row) in rows.iter().enumerate() {
            let place = self.places[*row as usize];
            let (rows, positions) = &mut parts[place.table];
            rows.push(place.row);
            positions.push(position as u32);
        }
        let parts = self.tables.iter().zip(&parts).filter(|it| !it.1.0.is_empty());
        let parts = parts.map(|(table, (rows, positions))| {
            (see(table.images(rows), Some(positions)), positions.as_slice())
        });
        in_order(parts.collect())
    }
}

#[cfg(test)]
mod tests {
    use ferrite_torch::tensor::to_floats;

    use super::*;

    /// Pictures of these shapes, with pixels that differ.
    fn pictures(shapes: &[[usize; 3]]) -> (Vec<u8>, Layout) {
        let mut layout = Layout::default();
        let mut bytes = Vec::new();
        for (picture, shape) in shapes.iter().enumerate() {
            layout.push(*shape).unwrap();
            let length: usize = shape.iter().product();
            bytes.extend((0..length).map(|it| ((it * 37 + it / 11 + picture * 90) % 256) as u8));
        }
        (bytes, layout)
    }

    #[test]
    fn what_is_seen_of_a_picture_does_not_depend_on_the_others() {
        let shapes =
            [[8, 8, 3], [6, 6, 3], [5, 9, 1], [8, 8, 1], [20, 20, 3], [6, 6, 1], [8, 8, 3]];
        let (bytes, layout) = pictures(&shapes);
        let all = Pictures::new(&bytes, &layout, 8, Device::Cpu);
        assert_eq!(all.tables.len(), 2);
        let rows = [6, 2, 1, 0, 5, 4, 3, 1];
        let augment =
            Augment { rotation: 20.0, brightness: Some([0.5, 1.5]), ..Augment::default() };
        let changes: Vec<Change> = rows.iter().map(|it| augment.draw(1, 1, *it)).collect();
        let window = Window { left: 0.25, top: 0.0, side: 0.75 };
        let looks = |pictures: &Pictures, rows: &[u32], changes: &[Change]| {
            [
                to_floats(pictures.plain(rows)),
                to_floats(pictures.window(rows, window)),
                to_floats(pictures.changed(rows, &augment, changes, 9.0)),
            ]
        };
        let together = looks(&all, &rows, &changes);
        for (position, row) in rows.into_iter().enumerate() {
            let shape = shapes[row as usize];
            let pixels = in_channels(&bytes[layout.range(row)], shape[2], 3);
            let alone = Layout::uniform(1, [shape[0], shape[1], 3]);
            let alone = Pictures::new(&pixels, &alone, 8, Device::Cpu);
            let alone = looks(&alone, &[0], &changes[position..=position]);
            for (together, alone) in together.iter().zip(&alone) {
                assert_eq!(together[position * 192..][..192], alone[..], "picture {row}");
            }
        }
    }
}
