//! What Ferrite promises, tried from outside: the map of the modules, what users are told, exit codes,
//! and runs that end as they would have whatever stopped them on the way.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod configs;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod data;
#[cfg(test)]
mod golden_keys;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod names;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod place;
#[cfg(test)]
mod precision;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod schema_keys;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod small;
#[cfg(test)]
mod study;
#[cfg(test)]
mod techniques;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod views;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod weights;
