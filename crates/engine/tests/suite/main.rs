//! What Ferrite promises, tried from outside, where something is computed: exit codes, what training does, and runs that
//! end as they would have whatever stopped them on the way.
//!
//! Most of it starts `ferrite`, which starts `ferrite-engine`: `ferrite_testing` says how both come to lie there.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod continued;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod data;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod faces;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod folds;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod precision;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod scores;
#[cfg(test)]
mod search;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod small;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod study;
#[cfg(test)]
mod techniques;
#[cfg(test)]
mod together;
#[cfg(test)]
mod tutorial;
#[cfg(test)]
mod video;
#[cfg(test)]
mod views;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod weights;
