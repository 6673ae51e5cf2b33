//! Memory that a batch does not fit into: it is computed in parts, which is told, and the optimizer does not notice.

use ferrite_core::data::augment::Augment;
use ferrite_core::device::Device;
use ferrite_core::event::memory::Divided;
use ferrite_core::event::{Kind, Sink};
use ferrite_core::model::trainable::{Trainable, resolve};
use ferrite_core::model::{Head, Model};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::settings::Stage;
use ferrite_engine::forward::network::NoiseStd;
use ferrite_engine::train::checkpoint::Checkpoint;
use ferrite_engine::train::fit::{Callbacks, Job, fit};
use ferrite_engine::train::images::{Images, Split};

use crate::small::{faces, network};

/// What a stage tells.
#[derive(Default)]
struct Heard(Vec<Kind>);

impl Sink for Heard {
    fn emit(&mut self, kind: Kind) -> ferrite_core::error::Result<()> {
        self.0.push(kind);
        Ok(())
    }
}

/// Trains an epoch of a network without batch norms, and another one at so many images at once; what was told of memory, the
/// loss of the second epoch and the weights after it.
fn second_epoch(settings: &str, at_once: Option<usize>) -> (Vec<Divided>, f64, Vec<f32>) {
    ferrite_torch::start(1, Device::Cpu);
    // Its frozen blocks have batch norms, which see no batch; its head has none.
    let head = Head { layers: vec![16], ..Head::default() };
    let model = Model { head, ..Model::default() };
    let dataset = faces(60);
    let images = Images::new(&dataset, 32, Device::Cpu);
    let mut network = network(&model, &dataset, 32, Precisions::all(Precision::F32));
    network.train(&resolve(&model, &Trainable::default()).unwrap());
    let sgd = "optimizer = { sgd = { lr = 0.05, momentum = 0.9 } }";
    let stage = toml::from_str::<Stage>(&format!("epochs = 2\nbatch_size = 20\n{sgd}\n{settings}"));
    let stage = stage.unwrap();
    let split = |rows| Split { rows, features: None };
    let (train, valid) = (split(&dataset.train), split(&dataset.valid));
    let (augment, noise) = (Augment::default(), NoiseStd::default());
    let job =
        Job { stage: &stage, seed: 3, images: &images, train, valid, augment: &augment, noise };
    let mut kept = None;
    let mut sink = Heard::default();
    let mut save = |it: &Checkpoint| {
        kept = Some(it.clone());
        Ok(())
    };
    let stops = |epochs: usize| epochs >= 1;
    let mut callbacks = Callbacks { sink: &mut sink, save: &mut save, stops: &stops };
    assert!(fit(&mut network, &job, None, &mut callbacks).is_err());
    let mut checkpoint = kept.unwrap();
    assert_eq!(checkpoint.epochs.len(), 1);
    checkpoint.divided = at_once.map(|at_once| Divided {
        stage: String::new(),
        epoch: 1,
        step: 1,
        batch: 20,
        at_once,
        norms: false,
        message: "no more".into(),
    });
    let mut sink = Heard::default();
    let mut callbacks = Callbacks { sink: &mut sink, save: &mut |_| Ok(()), stops: &|_| false };
    let trained = fit(&mut network, &job, Some(checkpoint), &mut callbacks).unwrap();
    let told = sink.0.into_iter();
    let told = told.filter_map(|it| if let Kind::BatchDivided(it) = it { Some(it) } else { None });
    let trains = network.parameters.specs().map(|it| it.0);
    let trains = trains.filter(|it| network.parameters.trains(*it));
    let weights = trains.flat_map(|it| network.parameters.values(it)).collect();
    (told.collect(), trained.epochs[1].train.loss, weights)
}

#[test]
fn the_parts_of_batches_train_as_the_batches_do_where_no_norm_sees_them() {
    for settings in
        ["", "mixup = 0.4", "loss = { class_weights = 'balanced', label_smoothing = 0.1 }"]
    {
        let (none, loss, whole) = second_epoch(settings, None);
        assert_eq!(none, []);
        for at_once in [10, 7] {
            let (told, loss_in_parts, parts) = second_epoch(settings, Some(at_once));
            assert_eq!(told.iter().map(|it| it.at_once).collect::<Vec<_>>(), [at_once]);
            assert!((loss - loss_in_parts).abs() < 1e-5, "{settings}: {loss} {loss_in_parts}");
            let apart = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{settings} {at_once}: {apart}");
        }
    }
}
