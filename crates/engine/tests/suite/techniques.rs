//! Every technique of a stage acts: what it changes is measured, and the log tells it.

use ferrite_core::data::augment::Augment;
use ferrite_core::device::Device;
use ferrite_core::error::Result;
use ferrite_core::event::acts::{Orthogonalized, TechniqueEvidence};
use ferrite_core::event::{Epoch, FINAL, NullSink};
use ferrite_core::model::spec::Slot;
use ferrite_core::model::trainable::{Trainable, resolve};
use ferrite_core::model::{Head, Model};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::settings::Stage;
use ferrite_engine::forward::network::NoiseStd;
use ferrite_engine::train::fit::{Callbacks, Job, Trained, fit};
use ferrite_engine::train::images::{Images, Split};
use ferrite_testing::{Place, SMALL, first_difference};

use crate::small::{faces, network};

/// What a stage of two epochs did, and the weights it left.
struct Told {
    trained: Trained,
    weights: Vec<f32>,
}

impl Told {
    fn last(&self) -> &Epoch {
        self.trained.epochs.last().unwrap()
    }

    fn acts(&self) -> &TechniqueEvidence {
        &self.last().acts
    }

    /// The L2 norm of the weights.
    fn norm(&self) -> f64 {
        self.weights.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt()
    }

    /// How far each weight is from its like in `other`.
    fn moved(&self, other: &Self) -> Vec<f64> {
        let pairs = self.weights.iter().zip(&other.weights);
        pairs.map(|(a, b)| f64::from(a - b).abs()).collect()
    }
}

/// Trains a head on faces of which the first class has four times as many as the others.
fn train(settings: &str) -> Told {
    attempt(settings, &|_| true).unwrap()
}

/// The same on the faces of some classes.
fn attempt(settings: &str, keeps: &dyn Fn(usize) -> bool) -> Result<Told> {
    let head = Head { layers: vec![8], ..Head::default() };
    attempt_with(&Model { head, ..Model::default() }, settings, keeps)
}

/// The same of another network.
fn attempt_with(model: &Model, settings: &str, keeps: &dyn Fn(usize) -> bool) -> Result<Told> {
    ferrite_torch::start(1, Device::Cpu);
    let device = Device::Cpu;
    let dataset = faces(140);
    let images = Images::new(&dataset, 32, device);
    let mut seen = [0; 7];
    let common = |row: &&u32| {
        let class = usize::from(dataset.labels[**row as usize]);
        seen[class] += 1;
        keeps(class) && (class == 0 || seen[class] % 4 == 1)
    };
    let rows: Vec<u32> = dataset.train.iter().filter(common).copied().collect();
    let mut network = network(model, &dataset, 32, Precisions::all(Precision::F32));
    network.train(&resolve(model, &Trainable::default()).unwrap());
    let stage: Stage = toml::from_str(&format!("epochs = 2\nbatch_size = 8\n{settings}")).unwrap();
    assert_eq!(stage.check(), []);
    let train = Split { rows: &rows, features: None };
    let valid = Split { rows: &dataset.valid, features: None };
    let (augment, noise) = (Augment::default(), NoiseStd::default());
    let job =
        Job { stage: &stage, seed: 3, images: &images, train, valid, augment: &augment, noise };
    let mut callbacks = Callbacks { sink: &mut NullSink, save: &mut |_| Ok(()), stops: &|_| false };
    let trained = fit(&mut network, &job, None, &mut callbacks)?;
    let trains = |slot: &Slot| network.parameters.trains(*slot);
    let slots = network.parameters.specs().map(|(slot, _)| slot).filter(trains);
    let weights = slots.flat_map(|it| network.parameters.values(it)).collect();
    Ok(Told { trained, weights })
}

#[test]
fn a_stage_without_techniques_says_nothing_of_them() {
    let told = train("");
    assert_eq!(*told.acts(), TechniqueEvidence::default());
    assert_eq!(told.trained.end.checkpoints, []);
}

#[test]
fn a_balanced_epoch_sees_every_class_equally_often() {
    let drawn = train("sampling = 'balanced'").acts().drawn.clone().unwrap();
    let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
    assert!(drawn.len() == 7 && *least > 0 && most - least <= 1, "{drawn:?}");
}

#[test]
fn class_weights_and_label_smoothing_change_the_loss_of_training_and_not_that_of_validation() {
    let plain = train("optimizer = { sgd = { lr = 1e-12 } }");
    for loss in ["label_smoothing = 0.5", "class_weights = 'balanced'"] {
        let told = train(&format!("optimizer = {{ sgd = {{ lr = 1e-12 }} }}\nloss = {{ {loss} }}"));
        let (a, b) = (plain.last(), told.last());
        assert!((a.train.loss - b.train.loss).abs() > 1e-4, "{loss}: {a:?} {b:?}");
        assert!((a.valid.loss - b.valid.loss).abs() < 1e-6, "{loss}: {a:?} {b:?}");
    }
}

#[test]
fn clipping_keeps_the_steps_short_and_says_how_often() {
    let sgd = "optimizer = { sgd = { lr = 1.0 } }";
    let start = train("optimizer = { sgd = { lr = 1e-12 } }");
    let [norm, value, wide] = ["norm = 1e-3", "value = 1e-5", "norm = 1e6"]
        .map(|it| train(&format!("{sgd}\nclip = {{ {it} }}")));
    let steps = 2.0 * 5.0;
    for told in [&norm, &value] {
        let clipped = told.acts().clipped.unwrap();
        assert!(clipped.share == 1.0 && clipped.norm > 1e-3, "{clipped:?}");
    }
    let moved = norm.moved(&start).iter().map(|it| it * it).sum::<f64>().sqrt();
    assert!(moved > 0.0 && moved < steps * 1e-3, "{moved}");
    let most = value.moved(&start).into_iter().fold(0.0, f64::max);
    assert!(most > 1e-5 && most < steps * 1e-5 * 1.01, "{most}");
    assert_eq!(wide.acts().clipped.unwrap().share, 0.0);
    assert_eq!(wide.weights, train(sgd).weights);
}

#[test]
fn the_gradient_of_the_last_step_is_measured_before_it_is_clipped() {
    // So few images that an epoch is one step, whose norm clipping counts as well.
    let few = |settings: &str| attempt(settings, &|class| class == 1).unwrap();
    let sgd = "optimizer = { sgd = { lr = 1e-12 } }";
    let [plain, wide, narrow] = ["", "clip = { norm = 1e6 }", "clip = { norm = 1e-3 }"]
        .map(|it| few(&format!("{sgd}\n{it}")).trained.epochs);
    let gradient = plain[0].gradient.clone().unwrap();
    for epochs in [&wide, &narrow] {
        assert_eq!(epochs[0].gradient.as_ref(), Some(&gradient));
        let counted = epochs[0].acts.clipped.unwrap().norm;
        assert!((counted - gradient.norm).abs() < 1e-5 * gradient.norm, "{counted} {gradient:?}");
    }
    // The hidden layer and the classifier, all that trains.
    let squares: f64 = gradient.groups.iter().map(|it| f64::from(*it).powi(2)).sum();
    assert_eq!(gradient.groups.len(), 2);
    assert!((squares.sqrt() - gradient.norm).abs() < 1e-6 * gradient.norm, "{gradient:?}");
}

#[test]
fn weight_decay_leaves_smaller_weights() {
    for (optimizer, decay) in [
        ("adam", "weight_decay = 1.0"),
        ("adamw", "weight_decay = 10.0"),
        ("sgd", "weight_decay = 1.0"),
        ("rmsprop", "weight_decay = 10.0"),
        ("radam", "weight_decay = 10.0, decoupled_weight_decay = true"),
        ("muon", "weight_decay = 10.0"),
    ] {
        let norms = ["weight_decay = 0.0", decay].map(|it| {
            train(&format!("optimizer = {{ {optimizer} = {{ lr = 1e-2, {it} }} }}")).norm()
        });
        assert!(norms[1] < 0.97 * norms[0], "{optimizer}: {norms:?}");
    }
}

#[test]
fn muon_trains_the_hidden_layer_and_adamw_the_rest_and_the_log_says_how_many_values() {
    let muon = |settings: &str| train(&format!("optimizer = {{ muon = {{ {settings} }} }}"));
    let start = train("optimizer = { sgd = { lr = 1e-12 } }");
    let told = muon("lr = 0.02, adamw = { lr = 1e-12 }");
    let it = told.trained.epochs[0].acts.orthogonalized.unwrap();
    // 1,280 features, a hidden layer of 8 and 7 classes.
    let expected = Orthogonalized { matrices: 1, values: 8 * 1280, others: 8 + 7 * 8 + 7 };
    assert_eq!(it, expected);
    assert_eq!(told.acts().orthogonalized, None, "it is told once");
    let moved = |told: &Told| {
        let moved = told.moved(&start);
        let (hidden, others) = moved.split_at(8 * 1280);
        [hidden, others].map(|it| it.iter().copied().fold(0.0, f64::max))
    };
    let [hidden, others] = moved(&told);
    assert!(hidden > 1e-3 && others < 1e-6, "{hidden} {others}");
    let [hidden, others] = moved(&muon("lr = 1e-12, adamw = { lr = 1e-3 }"));
    assert!(hidden < 1e-6 && others > 1e-3, "{hidden} {others}");
}

#[test]
fn mixing_says_how_much_came_from_other_images() {
    let plain = train("");
    let mixed = |settings: &str| {
        let told = train(settings);
        assert!(told.last().train.loss != plain.last().train.loss, "{settings}");
        told.acts().mixed.unwrap()
    };
    let blended = mixed("mixup = 1.0");
    assert!(blended.cut == 0.0 && blended.other > 0.2 && blended.other < 0.8, "{blended:?}");
    let cut = mixed("cutmix = 1.0");
    assert!(cut.cut == 1.0 && cut.other > 0.05 && cut.other < 0.8, "{cut:?}");
    let both = mixed("mixup = 1.0\ncutmix = 1.0");
    assert!(both.cut > 0.0 && both.cut < 1.0, "{both:?}");
}

#[test]
fn dropout_is_measured_after_the_first_epoch() {
    let dropped = |layers: Vec<usize>, dropout: f64| {
        let head = Head { layers, dropout, ..Head::default() };
        let model = Model { head, ..Model::default() };
        let told = attempt_with(&model, "", &|_| true).unwrap();
        assert_eq!(told.acts().dropped, None, "it is measured once");
        told.trained.epochs[0].acts.dropped
    };
    assert_eq!(dropped(vec![8], 0.0), None);
    // Tests beside this one draw from the same generator, so what is dropped is another part each time: the first two are
    // allowed six standard deviations.
    for (layers, dropout, scatter) in
        [(vec![], 0.5, 0.02), (vec![], 0.2, 0.02), (vec![64], 0.5, 0.05)]
    {
        let share = dropped(layers, dropout).unwrap();
        assert!((share - dropout).abs() < scatter, "{share} instead of {dropout}");
    }
}

#[test]
fn the_least_loss_of_smoothed_labels_is_their_entropy() {
    let told = train("loss = { label_smoothing = 0.1 }");
    let (others, classes) = (0.1 / 7.0, 7.0);
    let own: f64 = 0.9 + others;
    let entropy = -(own * own.ln() + (classes - 1.0) * others * f64::ln(others));
    let least = told.trained.epochs[0].acts.least_loss.unwrap();
    assert!((least - entropy).abs() < 1e-4, "{least} {entropy}");
    assert!(told.last().train.loss > least && told.acts().least_loss.is_none());
    // No answer does better, whatever the classes weigh.
    let told = train("loss = { label_smoothing = 0.1, class_weights = 'balanced' }");
    assert!(told.trained.epochs[0].acts.least_loss.unwrap() > 0.0);
}

#[test]
fn balanced_class_weights_give_every_class_the_same_share_of_the_loss() {
    let weighed = train("loss = { class_weights = 'balanced' }").acts().weighed.clone().unwrap();
    assert!(weighed.len() == 7 && weighed.iter().all(|it| (it - 1.0 / 7.0).abs() < 1e-9));
}

#[test]
fn weight_decay_is_seen_in_the_norm_and_an_average_in_its_distance() {
    let sgd =
        |decay: &str| format!("optimizer = {{ sgd = {{ lr = 1e-2, weight_decay = {decay} }} }}");
    let told = train(&sgd("1.0"));
    let norms: Vec<_> = told.trained.epochs.iter().map(|it| it.acts.norm.unwrap()).collect();
    assert!(norms[0].before > norms[0].after && norms[0].after == norms[1].before, "{norms:?}");
    assert!((norms[1].after - told.norm()).abs() < 1e-4 * told.norm(), "{norms:?}");
    assert_eq!(train(&sgd("0.0")).acts().norm, None);
    let distance = train("ema = 0.9").acts().averaged.unwrap();
    assert!(distance > 0.0 && distance < 1.0, "{distance}");
}

#[test]
fn a_norm_in_front_of_the_backbone_tells_what_it_makes_of_the_pixels() {
    let model = Model { input_norm: true, ..Model::default() };
    let it = attempt_with(&model, "", &|_| true).unwrap().acts().normalized.unwrap();
    assert!(it.from.std > 0.0 && it.from.mean.abs() < 1.0, "{it:?}");
    assert!((it.to.std - 1.0).abs() < 0.1 && it.to.mean.abs() < 0.1, "{it:?}");
}

#[test]
fn an_average_that_hardly_moves_is_validated_and_kept() {
    let lr = "optimizer = { sgd = { lr = 0.1 } }";
    let (plain, still) = (train(lr), train(&format!("{lr}\nema = 0.999999")));
    let first = train("optimizer = { sgd = { lr = 1e-12 } }");
    // What is validated and left behind is almost what the stage began with, though training went on.
    assert!((still.last().valid.loss - first.last().valid.loss).abs() < 1e-3);
    assert!((plain.last().valid.loss - first.last().valid.loss).abs() > 1e-3);
    assert!(still.moved(&first).into_iter().fold(0.0, f64::max) < 1e-4);
    assert!(plain.moved(&first).into_iter().fold(0.0, f64::max) > 1e-3);
    assert_eq!(still.last().train, plain.last().train);
}

#[test]
fn the_rate_of_a_warm_up_is_in_the_log() {
    let told = train("warmup = { epochs = 1, from = 0.5 }\noptimizer = { sgd = { lr = 0.1 } }");
    let rates: Vec<f64> = told.trained.epochs.iter().map(|it| it.lr).collect();
    assert!(rates[0] > 0.05 && rates[0] < 0.1 && rates[1] == 0.1, "{rates:?}");
}

/// Without a test split everything is judged on the validation images, so that scores can be compared.
const KEPT: &str = r#"
    [data]
    source = { synthetic = { faces = 120 } }
    split = { train = 0.6, valid = 0.4 }
    image_size = 32

    # What its epochs are like is told below.
    [model]
    precision = "f32"

    # The epoch with the worst training loss goes on, and that with the best one is kept beside it: whatever
    # training does, these are two.
    [[stages]]
    name = "head"
    epochs = 6
    batch_size = 16
    optimizer = { adam = { lr = 0.02 } }
    ema = 0.5
    early_stopping = { monitor = "train_loss", mode = "max", patience = 6 }
    checkpoints = ["valid_accuracy", "train_loss"]
"#;

/// The values of a weight file's tensors, in the order of their names.
fn tensors(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut all = file.tensors();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.iter().flat_map(|(_, it)| it.data().to_vec()).collect()
}

#[test]
fn weights_kept_under_a_metric_have_the_scores_of_their_epoch() {
    let place = Place::with(&[("e", KEPT)]);
    place.sweep_well();
    let run = place.run("e");
    let stage = &run.facts.stages[0];
    let end = stage.end.as_ref().unwrap();
    let scores = |epoch: usize| stage.epochs[epoch - 1].valid;
    let evaluation = run.facts.evaluation.as_ref().unwrap();
    assert_eq!((evaluation.weights.as_str(), evaluation.split.as_str()), (FINAL, "valid"));
    assert_eq!(evaluation.scores, scores(end.kept_epoch));
    let best = stage.epochs.iter().map(|it| it.valid.accuracy).fold(0.0, f64::max);
    assert_eq!(end.checkpoints[0].value, best);
    let losses: Vec<f64> = stage.epochs.iter().map(|it| it.train.loss).collect();
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = losses.iter().copied().fold(0.0, f64::max);
    assert_eq!((end.checkpoints[1].value, losses[end.kept_epoch - 1]), (lowest, highest));
    assert!(lowest < highest, "nothing was learned: {losses:?}");
    assert_eq!(run.facts.others.len(), 2);
    for (kept, other) in end.checkpoints.iter().zip(&run.facts.others) {
        assert_eq!(kept.monitor, other.weights);
        assert_eq!(other.scores, scores(kept.epoch), "{}", kept.monitor);
    }
    let read = |file: &str| std::fs::read(run.folder.join(file)).unwrap();
    for name in ["valid_accuracy", "train_loss"] {
        read(&format!("model.{name}.safetensors"));
        let rows = String::from_utf8(read(&format!("predictions.{name}.csv"))).unwrap();
        assert_eq!(rows.lines().count(), 1 + evaluation.images);
    }
    let [last, other] = ["model.safetensors", "model.train_loss.safetensors"];
    let difference = first_difference(&tensors(&read(last)), &tensors(&read(other)));
    assert!(difference.is_some(), "{last} and {other} hold the same weights");
    // Two names of one epoch are one network.
    let kept = (&end.checkpoints[0], &end.checkpoints[1]);
    let named = "model.valid_accuracy.safetensors";
    let difference = first_difference(&tensors(&read(named)), &tensors(&read(other)));
    assert_eq!(difference.is_none(), kept.0.epoch == kept.1.epoch, "{difference:?}");
}

#[test]
fn batches_of_classes_without_weight_teach_nothing_and_are_told() {
    // Of sixteen images of seven classes in batches of two, one at least has none of the last class.
    let weights = "[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]";
    let stage = SMALL.replace("batch_size = 16", "batch_size = 2");
    let place = Place::with(&[("e", &format!("{stage}loss = {{ class_weights = {weights} }}"))]);
    let told = place.sweep_well();
    told.says("learned nothing, because `loss.class_weights` gives 0");
    let run = place.run("e");
    for epoch in &run.facts.stages[0].epochs {
        assert!(epoch.acts.weightless.unwrap() > 0 && epoch.train.loss > 0.0, "{epoch:?}");
    }
    let page = std::fs::read_to_string(run.folder.join("index.html")).unwrap();
    assert!(page.contains("learned nothing"));
    place.write(
        "experiments/e.toml",
        format!("{SMALL}loss = {{ class_weights = [0, 0, 0, 0, 0, 0, 0] }}"),
    );
    place.ferrite(&["plan"]).ends_with(2).says("are all 0, so nothing could be learned");
}

#[test]
fn a_loss_in_which_no_training_image_counts_is_refused_with_the_class_that_has_none() {
    let weights = "loss = { class_weights = [0, 0, 1, 0, 0, 0, 0] }";
    let error = attempt(weights, &|class| class != 2).err().unwrap();
    assert_eq!(error.exit_code(), 2);
    let message = error.to_string();
    assert!(
        message.contains("`loss.class_weights`") && message.contains("only `fear`"),
        "{message}"
    );
    assert!(attempt(weights, &|_| true).is_ok());
}

#[test]
fn a_stage_that_mixes_images_reads_no_features_of_them() {
    let mixes = KEPT.replace("ema = 0.5", "mixup = 0.2");
    let place = Place::with(&[("e", &mixes)]);
    place.sweep_well();
    let run = place.run("e");
    let stage = &run.facts.stages[0];
    assert!(!stage.start.prefix_cached);
    let splits: Vec<&str> = stage.features.iter().map(|it| it.split.as_str()).collect();
    assert_eq!(splits, ["valid"]);
    assert!(stage.epochs.iter().all(|it| it.acts.mixed.is_some()));
}
