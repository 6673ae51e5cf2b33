//! What a run really did: its network and first weights, noise, stages, and the images they saw.
//!
//! Every technique has its place: a card, a row of its stage's card here or in [`techniques`], or a tile.

mod kept;
mod techniques;

use ferrite_core::digits::thousands;
use ferrite_core::event::acts::Stop;
use ferrite_core::event::weights::{Ancestors, Taken, Weights};
use ferrite_core::event::{Augmentation, Layer, Network, Noise, StageStart};
use ferrite_core::store::record::{Record, Stage};
use ferrite_core::warning;
use maud::{Markup, PreEscaped, html};

use crate::format;
use crate::report::evidence::kept::kept_weights;
use crate::report::page::prose;
use crate::report::trial::Files;
use ferrite_core::digits::counted;

pub(super) fn evidence(record: &Record, files: &Files) -> Option<Markup> {
    let facts = &record.facts;
    let some = facts.weights.is_some() || !facts.stages.is_empty() || !facts.noise.is_empty();
    some.then(|| {
        html! {
            div .cards {
                @if let Some(it) = &facts.network { (network(it)) }
                @if let Some(it) = &facts.weights { (weights(it)) }
                @for it in &facts.noise { (noise(it)) }
                @for it in &facts.stages { (stage(record, it, sheet(files, &it.start.stage))) }
                @if let Some(it) = kept_weights(record) { (it) }
            }
        }
    })
}

fn network(it: &Network) -> Markup {
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
                dt { "Backbone" } dd { code { (it.backbone) } " at " (it.image_size) " px" }
                dt { "Feature maps" } dd { (channels) " × " (height) " × " (width) }
                dt { "Parameters" } dd { strong { (thousands(it.total())) } }
                dt { "In the backbone" } dd { (part(it.backbone_parameters, it.backbone_statistics)) }
                dt { "In the head" } dd { (part(it.head_parameters, it.head_statistics)) }
            }
        }
    }
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
                (names("Not in it, drawn at random", &it.missing))
                (names("Without a place here", &it.unexpected))
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
        @if !it.prefix.is_empty() { dt { "Taken off the names" } dd { code { (it.prefix) } } }
        @if !it.ignored.is_empty() {
            dt { "Ignored, not carried out" }
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
            dt { "Known to them" }
            dd { (thousands(seen.images)) " of " (counted(seen.of, "image")) " of " (split) }
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
                dt { "Of the signal" } dd { (format!("{:.3}", it.signal_std)) }
                dt { "Share" } dd { (format::small_percent(share)) }
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
                    dt { "Trainable" } dd { (layers(&start.trainable)) }
                    @if let Some(keras) = start.keras_parameters {
                        dt { "In Keras" } dd { (thousands(keras)) " parameters of the backbone" }
                    }
                    dt { "Frozen" } dd { (layers(&start.frozen)) }
                    dt { "Frozen prefix" } dd { (prefix(start)) }
                    @if !it.features.is_empty() { dt { "Its output" } dd { (features(it)) } }
                }
                div {
                    @if let Some(augmentation) = &it.augmentation { (augmented(augmentation)) }
                    dl { (techniques::rows(record, it)) }
                }
            }
            @if let Some(png) = sheet {
                figure .sheet {
                    img alt={ "Augmented images of stage " (start.stage) }
                        src={ "data:image/png;base64," (PreEscaped(format::base64(png))) };
                    figcaption { "First row: images as they are. Below: the same images as the network was fed with them, epoch by epoch." }
                }
            }
        }
    }
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
        "; the weights of " strong { "epoch " (end.kept_epoch) } " went on"
    }
}

fn layers(all: &[Layer]) -> Markup {
    let total: usize = all.iter().map(|it| it.parameters).sum();
    html! {
        @if all.is_empty() { "nothing" } @else {
            details {
                summary { strong { (thousands(total)) } " parameters in " (counted(all.len(), "layer")) }
                div .scroll { table .compact { tbody { @for it in all { tr {
                    th scope="row" { code { (it.name) } }
                    td .num { (thousands(it.parameters)) }
                } } } } }
            }
        }
    }
}

fn prefix(start: &StageStart) -> Markup {
    let Some(until) = &start.prefix_until else {
        return html! { "none: every layer is in the graph" };
    };
    html! {
        "up to " code { (until) }
        @match (start.prefix_cached, start.prefix_views) {
            (true, 0 | 1) => ", computed once per image and reused in every epoch",
            (true, views) => {
                ", computed once for each of " (views) " augmented views of an image, which the epochs take in turn"
            }
            (false, _) => ", run without a graph in every step, since its input changes",
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
                "Measured on the " (counted(it.images, "image")) " of the first epoch; on average a pixel moved by "
                (format!("{:.1}", it.mean_difference)) " of 255 gray levels."
            }
            @if let Some(it) = warning::augmentation(it) { p .warning { (prose(&it.message)) } }
        }
    }
}
