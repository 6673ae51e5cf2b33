//! What exported networks have in common, whatever they are written as: layers, what goes in, and what is known of the run.

use ferrite_core::error::{Error, Result};
use ferrite_core::finished::Finished;
use ferrite_core::model::backbone::Described;
use ferrite_core::model::head::Head;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::layer::{Builder, Norm};
use ferrite_core::model::spec::Spec;
use ferrite_core::model::summary::input_norm;

/// A run's network as data.
pub(super) struct Network {
    pub(super) backbone: Described,
    pub(super) head: Head,
    /// The batch norm in front of the backbone, if it has one.
    pub(super) norm: Option<Norm>,
    /// The tensors that it asks for.
    pub(super) specs: Vec<Spec>,
}

impl Network {
    /// The network of `run`.
    pub(super) fn of(run: &Finished) -> Self {
        let settings = &run.settings.model;
        let mut tensors = Builder::default();
        let backbone = settings.backbone.build(settings.implementation(), &mut tensors);
        let positions = backbone.side(run.settings.data.image_size).pow(2);
        let sizes = [backbone.channels, positions, run.dataset.classes.len()];
        let head = Head::build(&mut tensors, &settings.head, backbone.classifier, sizes);
        let norm = input_norm(&mut tensors, settings);
        Self { backbone, head, norm, specs: tensors.specs }
    }
}

/// Checks that the network of `run` computes what that of `implementation` does.
///
/// # Errors
/// [`Error::Usage`] if it does not; `help` says which command to use instead.
pub(super) fn computes_as(
    run: &Finished,
    implementation: Implementation,
    help: &str,
) -> Result<()> {
    if run.settings.model.computes_as(implementation) {
        return Ok(());
    }
    let (name, network) = (run.record.name(), run.settings.model.backbone.name());
    let [its, other] = match implementation {
        Implementation::Keras => ["one for PyTorch", "Keras has none that computes the same"],
        Implementation::Pytorch => ["Keras's", "it computes otherwise than the one for PyTorch"],
    };
    Err(Error::Usage {
        message: format!("the `{network}` of `{name}` is {its}: {other}"),
        help: help.into(),
    })
}

/// What the caller has to put in.
pub(super) fn seen(run: &Finished) -> String {
    let size = run.settings.data.image_size;
    let colours = if run.channels() == 1 { "gray levels" } else { "red, green and blue" };
    let face = if run.settings.data.faces.is_some() {
        "the face as `ferrite predict` places it, "
    } else {
        ""
    };
    format!(
        "{face}{colours} from 0 to 255; pictures smaller than {size}x{size} are enlarged inside, larger ones are to be shrunk to \
         {size}x{size} before"
    )
}

/// The key of `run`, by which its settings are known; empty where its log does not say it.
pub(super) fn key(run: &Finished) -> &str {
    run.record.facts.start.as_ref().map_or("", |it| it.key.as_str())
}
