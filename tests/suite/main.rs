//! What Ferrite promises, tried from outside, as far as nothing is computed: the map of the modules, what users are told
//! of their files, keys, and readers of others' bytes. Nothing here needs LibTorch; what does stands in
//! `crates/engine/tests/suite`.

#[cfg(test)]
mod configs;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod first_steps;
#[cfg(test)]
mod folds;
#[cfg(test)]
mod golden_keys;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod names;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod schema_keys;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod verbs;
