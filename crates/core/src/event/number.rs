//! Numbers of events in JSON, which has no word for infinity or for no number at all.
//!
//! **Invariant:** what is written is read back to the same value; `null` of older logs is no number.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

/// Writes a number as such, and what JSON has no number for as a word.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        it if it.is_nan() => serializer.serialize_str(NAN),
        it if it.is_finite() => serializer.serialize_f64(*it),
        it => serializer.serialize_str(if *it > 0.0 { INFINITE } else { MINUS_INFINITE }),
    }
}

/// Reads what [`serialize`] wrote.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Number)
}

const NAN: &str = "nan";
const INFINITE: &str = "inf";
const MINUS_INFINITE: &str = "-inf";

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, `{NAN}`, `{INFINITE}` or `{MINUS_INFINITE}`")
    }

    fn visit_f64<E: Error>(self, it: f64) -> Result<f64, E> {
        Ok(it)
    }

    fn visit_u64<E: Error>(self, it: u64) -> Result<f64, E> {
        Ok(it as f64)
    }

    fn visit_i64<E: Error>(self, it: i64) -> Result<f64, E> {
        Ok(it as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_str<E: Error>(self, it: &str) -> Result<f64, E> {
        match it {
            NAN => Ok(f64::NAN),
            INFINITE => Ok(f64::INFINITY),
            MINUS_INFINITE => Ok(f64::NEG_INFINITY),
            other => Err(E::custom(format!("`{other}` is no number"))),
        }
    }
}

/// Numbers that may be absent, under the same rules; their fields need `default`.
pub(super) mod optional {
    use serde::Deserialize;
    use serde::de::Deserializer;
    use serde::ser::Serializer;

    #[derive(Deserialize)]
    struct Present(#[serde(with = "super")] f64);

    /// Writes a number, or `null` for an absent one that is not left out.
    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub(in crate::event) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(it) => super::serialize(it, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads what [`serialize`] wrote.
    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Present>::deserialize(deserializer)?.map(|it| it.0))
    }
}

/// Lists of 32-bit floats, under the same rules.
pub(super) mod floats {
    use serde::Deserialize;
    use serde::de::Deserializer;
    use serde::ser::{SerializeSeq, Serializer};

    /// Writes each with as many digits as a 32-bit float has.
    pub(in crate::event) fn serialize<S: Serializer>(
        values: &[f32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        struct Float(f32);

        impl serde::Serialize for Float {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    it if it.is_finite() => serializer.serialize_f32(it),
                    it => super::serialize(&it.into(), serializer),
                }
            }
        }
        let mut list = serializer.serialize_seq(Some(values.len()))?;
        for value in values {
            list.serialize_element(&Float(*value))?;
        }
        list.end()
    }

    /// Reads what [`serialize`] wrote.
    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f32>, D::Error> {
        #[derive(Deserialize)]
        struct Number(#[serde(with = "super")] f64);

        let values = Vec::<Number>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|it| it.0 as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::event::acts::{Clipped, Kept, Mixed, Stop, TechniqueEvidence};
    use crate::event::audit::LeakFree;
    use crate::event::energy::Energy;
    use crate::event::gradient::Gradient;
    use crate::event::progress::Progress;
    use crate::event::{Augmentation, Epoch, Evaluation, Event, Kind, Noise, Scores, StageEnd};

    /// Numbers of every magnitude, drawn by their bits, behind those that are special.
    fn numbers() -> impl Iterator<Item = f64> {
        let special = [0.0, -0.0, 4.0 / 17.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, -f64::MAX];
        let more = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e17, 123.0, -7.0];
        // A linear congruence (Knuth's MMIX) whose high bits are moved over the low ones.
        let mut state = 7_u64;
        let drawn = std::iter::from_fn(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            Some(f64::from_bits(state ^ (state >> 29)))
        });
        // Every other one as a 32-bit float has it, which is what most of them are made from.
        let drawn =
            drawn.enumerate().map(|(at, it)| if at % 2 == 0 { it } else { f64::from(it as f32) });
        special.into_iter().chain(more).chain(drawn.take(3000))
    }

    /// Every event that holds numbers, all of them this one.
    fn events(x: f64) -> Vec<Kind> {
        let scores = Scores { loss: x, accuracy: x };
        let stage = || "head".to_owned();
        let clipped = Some(Clipped { share: x, norm: x });
        let mixed = Some(Mixed { other: x, cut: x });
        let acts = TechniqueEvidence { clipped, mixed, ..TechniqueEvidence::default() };
        let why = Stop::Early {
            monitor: "valid_loss".into(),
            patience: 1,
            best: x,
            best_epoch: 1,
            last: Some(x),
            baseline: Some(x),
        };
        let kept = vec![Kept { monitor: "valid_loss".into(), epoch: 1, value: x }];
        let leak_free =
            Some(LeakFree { images: 1, accuracy: Some(x), inherited: 0, unknown: false });
        vec![
            Kind::EpochEnded(Epoch {
                stage: stage(),
                epoch: 1,
                lr: x,
                train: scores,
                valid: scores,
                seconds: 1.0,
                images_per_second: x,
                acts,
                confusion: vec![1, 0, 2, 3],
                gradient: Some(Gradient { norm: x, groups: vec![x as f32, 0.1] }),
                energy: Some(Energy { processor: Some(1.5), gpu: None }),
            }),
            Kind::StageEnded(StageEnd {
                stage: stage(),
                why,
                epochs: 1,
                kept_epoch: 1,
                checkpoints: kept,
            }),
            Kind::NoiseMeasured(Noise { layer: stage(), std: x, signal_std: x }),
            Kind::AugmentationMeasured(Augmentation {
                stage: stage(),
                images: 1,
                changed: [].into(),
                mean_difference: x,
            }),
            Kind::Evaluated(Evaluation {
                weights: "final".into(),
                split: "test".into(),
                images: 1,
                scores,
                predicted: Vec::new(),
                leak_free,
                viewed: None,
            }),
            Kind::StepEnded(Progress {
                stage: stage(),
                epoch: 1,
                epochs: 1,
                step: 1,
                steps: 1,
                loss: x,
                accuracy: x,
                images_per_second: x,
            }),
        ]
    }

    #[test]
    fn every_number_of_an_event_comes_back_with_the_same_bits() {
        for x in numbers() {
            for kind in events(x) {
                let line = serde_json::to_string(&Event { at_ms: 1, kind: kind.clone() }).unwrap();
                let there = Event::parse(line.as_bytes());
                let there = there.unwrap_or_else(|error| panic!("{line}: {error}"));
                // What is printed tells zeros apart, and a number that is none equals itself there.
                assert_eq!(format!("{:?}", there.kind), format!("{kind:?}"), "{line}");
            }
        }
    }

    #[test]
    fn an_absent_number_is_absent_however_it_is_written() {
        for last in ["", r#","last":null"#] {
            let text =
                format!(r#"{{"early":{{"monitor":"valid_loss","patience":1,"best":1{last}}}}}"#);
            let Stop::Early { last, .. } = serde_json::from_str(&text).unwrap() else {
                panic!("{text}")
            };
            assert_eq!(last, None);
        }
    }

    #[test]
    fn what_older_logs_wrote_for_no_number_is_read_as_none() {
        let there: Scores = serde_json::from_str(r#"{"loss":null,"accuracy":1}"#).unwrap();
        assert!(there.loss.is_nan() && there.accuracy == 1.0);
    }
}
