//! What a run really did: its network and first weights, noise, stages, and the images they saw.
//!
//! Every technique has its place: a card, a row of its stage's card here or in [`techniques`], or a tile.

mod kept;
mod techniques;

use ferrite_core::digits::thousands;
use ferrite_core::event::acts::Stop;
use ferrite_core::event::weights::{Ancestors, Taken, Weights};
use ferrite_core::event::{Augmentation, Layer, Network, Noise, StageStart};
use ferrite_core::model::Model;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::store::record::{Record, Stage};
use ferrite_core::warning;
use maud::{Markup, html};

use crate::format;
use crate::report::evidence::kept::kept_weights;
use crate::report::figures::split_name;
use crate::report::page;
use crate::report::page::{prose, scroll};
use crate::report::trial::Files;
use ferrite_core::digits::counted;

pub(super) fn evidence(record: &Record, files: &Files) -> Option<Markup> {
    let facts = &record.facts;
    let some = facts.weights.is_some() || !facts.stages.is_empty() || !facts.noise.is_empty();
    some.then(|| {
        html! {
            div .cards {
                @if let Some(it) = &facts.network { (network(record, it)) }
                @if let Some(it) = &facts.weights { (weights(it)) }
                @for it in &facts.noise { (noise(it)) }
                @for it in &facts.stages { (stage(record, it, sheet(files, &it.start.stage))) }
                @if let Some(it) = kept_weights(record) { (it) }
            }
        }
    })
}

fn network(record: &Record, it: &Network) -> Markup {
    let [channels, height, width] = it.feature_map;
    let part = |learns: usize, statistics: usize| {
        html! {
            (thousands(learns))
            @if statistics > 0 { " and " (thousands(statistics)) " running statistics" }
        }
    };
    html! {
        div .card {
            h3 { "Network" }
            dl {
                dt { "Backbone" } dd {
                    code { (it.backbone) } @if is_keras(record) { " as Keras has it" } " at " (it.image_size) " px"
                }
                dt { "Feature maps" } dd { (channels) " × " (height) " × " (width) }
                dt { "Parameters" } dd { strong { (thousands(it.total())) } }
                dt { "In the backbone" } dd { (part(it.backbone_parameters, it.backbone_statistics)) }
                dt { "In the head" } dd { (part(it.head_parameters, it.head_statistics)) }
            }
        }
    }
}

/// Whether the network is Keras's, which computes otherwise than PyTorch's of the same name.
fn is_keras(record: &Record) -> bool {
    let model = record.settings.get("model").cloned();
    let model = model.and_then(|it| it.try_into::<Model>().ok());
    model.is_some_and(|it| it.implementation() == Implementation::Keras)
}

fn weights(it: &Weights) -> Markup {
    let names = |title: &str, all: &[String]| {
        html! { @if !all.is_empty() { dt { (title) } dd { details {
            summary { (counted(all.len(), "tensor")) }
            ul { @for it in all { li { code { (it) } } } }
        } } } }
    };
    html! {
        div .card {
            h3 { "First weights" }
            dl {
                dt { "From" } dd { code { (it.from) } }
                dt { "Loaded" } dd { (counted(it.loaded, "tensor")) }
                (taken(&it.taken))
                (names("Not in the file, drawn at random", &it.missing))
                (names("In the file, not in this network", &it.unexpected))
                @if it.missing.is_empty() && it.loaded > 0 { dt { "Missing" } dd { "nothing" } }
                @if let Some(it) = &it.ancestors { (ancestors(it)) }
            }
            @for it in warning::weights(it) { p .warning { (prose(&it.message)) } }
        }
    }
}

/// What of a weight file was taken.
fn taken(it: &Taken) -> Markup {
    let list = |names: &[String]| names.join(", ");
    html! {
        @if let Some(name) = &it.state_dict {
            dt { "State dict" } dd { code { (name) } @if it.averaged { ", averaged weights" } }
        }
        @if !it.others.is_empty() { dt { "Not taken" } dd { code { (list(&it.others)) } } }
        @if !it.prefix.is_empty() { dt { "Prefix taken off the names" } dd { code { (it.prefix) } } }
        @if !it.ignored.is_empty() {
            dt { "Code in the file, not executed" }
            dd { @for (at, (name, count)) in it.ignored.iter().enumerate() {
                @if at > 0 { ", " } (thousands(*count)) " " code { (name) }
            } }
        }
        @if !it.unreadable.is_empty() {
            dt { "Not readable" }
            dd { ul { @for why in it.unreadable.values() { li { (prose(why)) } } } }
        }
    }
}

/// Whose images the first weights know.
fn ancestors(it: &Ancestors) -> Markup {
    html! {
        dt { "Trained on" }
        dd {
            @if it.images > 0 { (counted(it.images, "different image")) @if !it.known { ", and " } }
            @if !it.known { "images that are not known" }
        }
        // What is known of few says nothing of the others.
        @for (split, seen) in it.seen.iter().filter(|seen| it.known || seen.1.images > 0) {
            dt { (split_name(split)) " images among them" }
            dd { (thousands(seen.images)) " of " (thousands(seen.of)) }
        }
    }
}

fn noise(it: &Noise) -> Markup {
    let share = it.std / it.signal_std;
    html! {
        div .card {
            h3 { "Noise on the " (it.layer) }
            dl {
                dt { "Standard deviation" } dd { (format!("{:.3}", it.std)) }
                dt { "That of the signal" } dd { (format!("{:.3}", it.signal_std)) }
                dt { "Noise to signal" } dd { (format::small_percent(share)) }
            }
            @if let Some(it) = warning::noise(it) { p .warning { (prose(&it.message)) } }
        }
    }
}

fn stage(record: &Record, it: &Stage, sheet: Option<&[u8]>) -> Markup {
    let start = &it.start;
    let speed = it.epochs.last().map(|it| format!("{:.0} images/s", it.images_per_second));
    let mean: f64 = it.epochs.iter().map(|it| it.seconds).sum::<f64>() / it.epochs.len() as f64;
    html! {
        div .card .wide {
            h3 { "Stage " span .stage { (start.stage) } }
            div .columns {
                dl {
                    dt { "Ended" } dd { (ending(it)) }
                    dt { "Epochs" } dd {
                        (it.epochs.len()) " of " (start.epochs) " planned, "
                        (counted(start.steps_per_epoch, "step")) " each"
                        @if mean.is_finite() { ", " (format::duration(mean)) }
                        @if let Some(speed) = speed { ", " (speed) }
                    }
                    @if let Some(it) = &it.continued {
                        dt { "Trained before" } dd {
                            (counted(it.epochs, "epoch")) ", in " (format::duration(it.seconds))
                            ", by an earlier run that is the same but for how many epochs it has; this one went on from there"
                        }
                    }
                    dt { "Trainable" } dd { (layers(&format!("Trainable layers of {}", start.stage), &start.trainable)) }
                    @if let Some(keras) = start.keras_parameters {
                        dt { "Trainable in Keras" } dd { (thousands(keras)) " parameters of Keras's backbone under the same setting" }
                    }
                    dt { "Frozen" } dd { (layers(&format!("Frozen layers of {}", start.stage), &start.frozen)) }
                    dt { "Frozen prefix" } dd { (prefix(start)) }
                    @if !it.features.is_empty() { dt { "Features of the prefix" } dd { (features(it)) } }
                }
                div {
                    @if let Some(augmentation) = &it.augmentation { (augmented(augmentation)) }
                    dl { (techniques::rows(record, it)) }
                }
            }
            @if let Some(png) = sheet {
                (sheet_of(png, start))
            }
        }
    }
}

fn sheet_of(png: &[u8], start: &StageStart) -> Markup {
    let name = format!("Augmented images of stage {}", start.stage);
    let caption = "First row: images as they are. Below: the same images as the network was fed with them, epoch by epoch.";
    page::sheet(&name, png, None, caption)
}

fn sheet<'a>(files: &'a Files, stage: &str) -> Option<&'a [u8]> {
    files.sheets.iter().find(|it| it.0 == stage).map(|it| it.1.as_slice())
}

fn ending(it: &Stage) -> Markup {
    let Some(end) = &it.end else { return html! { "not yet" } };
    html! {
        @match &end.why {
            Stop::Completed => { "all planned epochs were trained" }
            Stop::Early { monitor, patience, best, best_epoch, baseline, .. } => {
                "early: " code { (monitor) } " did not get better than " (format::score(*best))
                @if *best_epoch > 0 { " of epoch " (best_epoch) }
                " for " (counted(*patience, "epoch"))
                @if let Some(it) = baseline { ", with " (format::score(*it)) " to beat" }
            }
        }
        "; the weights of " strong { "epoch " (end.kept_epoch) } " were kept"
    }
}

fn layers(name: &str, all: &[Layer]) -> Markup {
    let total: usize = all.iter().map(|it| it.parameters).sum();
    html! {
        @if all.is_empty() { "nothing" } @else {
            details {
                summary { strong { (thousands(total)) } " parameters in " (counted(all.len(), "layer")) }
                (scroll(name, html! { table .compact {
                    thead { tr { th { "Layer" } th .num { "Parameters" } } }
                    tbody { @for it in all { tr {
                        th scope="row" { code { (it.name) } }
                        td .num { (thousands(it.parameters)) }
                    } } }
                } }))
            }
        }
    }
}

fn prefix(start: &StageStart) -> Markup {
    let Some(until) = &start.prefix_until else {
        return html! { "none: gradients are computed through every layer" };
    };
    html! {
        "up to " code { (until) }
        @match (start.prefix_cached, start.prefix_views) {
            (true, 0 | 1) => ", computed once per image and reused in every epoch",
            (true, views) => {
                ", computed once for each of " (views) " augmented views of an image, which the epochs take in turn"
            }
            (false, _) => ", computed anew in every step, without gradients, because its input changes from epoch to epoch",
        }
    }
}

fn features(it: &Stage) -> Markup {
    html! { @for (at, it) in it.features.iter().enumerate() {
        @let shape = it.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
        @if at > 0 { br; }
        (it.split) ": " (counted(it.images, "image")) " of " (shape)
        @if it.reused { ", reused" } @else { ", " (format::duration(it.seconds)) }
    } }
}

fn augmented(it: &Augmentation) -> Markup {
    html! {
        div {
            dl .shares {
                @for (name, share) in &it.changed {
                    dt { (name) }
                    dd {
                        span .meter { i style={ "width:" (format!("{:.1}", share.clamp(0.0, 1.0) * 100.0)) "%" } {} }
                        (format::small_percent(*share)) " of images"
                    }
                }
            }
            p .note {
                "Measured on the " (counted(it.images, "image")) " of the first epoch; on average a pixel changed by "
                (format!("{:.1}", it.mean_difference)) " of 255 gray levels."
            }
            @if let Some(it) = warning::augmentation(it) { p .warning { (prose(&it.message)) } }
        }
    }
}
