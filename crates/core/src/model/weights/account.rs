//! What a file has of what a network asks for.
//!
//! What wraps a network stands before every name in the file: `module.`, `model._orig_mod.`, or whatever a
//! class calls it. What stands before all the names that are asked for is taken off, and told.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::{Error, Result};
use crate::event::weights::Taken;
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::weights::choice::is_averaged;
use crate::model::weights::file::TensorFile;
use crate::model::weights::{Wanted, tensors_of};

/// Counters of PyTorch's batch norms, which nothing here reads.
const COUNTERS: &str = "num_batches_tracked";

/// What a file has of what a network asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// What stands before every name of the network's in the file.
    pub prefix: String,
    /// What else stands before all of these names: the file holds the network more than once.
    pub other_prefixes: Vec<String>,
    /// Names of tensors that fit, as the network calls them.
    pub loaded: Vec<String>,
    /// Names of tensors that the file does not have.
    pub missing: Vec<String>,
    /// Tensors that are there and cannot be read, with the reason.
    pub unreadable: Vec<String>,
    /// Tensors of another shape.
    pub reshaped: Vec<Reshaped>,
    /// Names of tensors that the network has no place for, e.g. another classifier, as the file calls them.
    pub unexpected: Vec<String>,
}

/// A tensor of another shape than the network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshaped {
    /// Its name, as the network calls it.
    pub name: String,
    /// Its shape in the file.
    pub there: Vec<usize>,
    /// The shape that is asked for.
    pub wanted: Vec<usize>,
}

impl Account {
    /// Compares the tensors of `file` with those that are `wanted`.
    pub fn new(file: &TensorFile, wanted: &[Wanted]) -> Self {
        let mut prefixes = prefixes(file, wanted).into_iter();
        let prefix = prefixes.next().unwrap_or_default();
        let mut account = Self { prefix, other_prefixes: prefixes.collect(), ..Self::default() };
        for Wanted { name, shape } in wanted {
            let there = account.in_file(name);
            match (file.shape(&there), file.flaw(&there)) {
                (_, Some(why)) => account.unreadable.push(why),
                (None, None) => account.missing.push(name.clone()),
                (Some(there), None) if there != shape => {
                    let (name, there, wanted) = (name.clone(), there.to_vec(), shape.clone());
                    account.reshaped.push(Reshaped { name, there, wanted });
                }
                (Some(_), None) => account.loaded.push(name.clone()),
            }
        }
        let known: BTreeSet<String> = wanted.iter().map(|it| account.in_file(&it.name)).collect();
        let others = file.tensors().map(|it| it.name).filter(|it| !known.contains(*it));
        let others = others.filter(|it| !it.ends_with(COUNTERS));
        account.unexpected = others.map(str::to_owned).collect();
        account
    }

    /// What the file calls the tensor that the network calls `name`.
    pub fn in_file(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What of `file` is taken, as it is told.
    pub fn taken(&self, file: &TensorFile) -> Taken {
        let mut taken = file.taken.clone();
        taken.prefix.push_str(&self.prefix);
        taken.ambiguous |= !self.other_prefixes.is_empty();
        taken.others.extend(self.other_prefixes.iter().map(|it| it.trim_end_matches('.').into()));
        taken
    }

    /// Whether everything that was asked for fits.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unreadable.is_empty() && self.reshaped.is_empty()
    }

    /// Fails unless everything that was asked for fits.
    ///
    /// # Errors
    /// [`Error::Weights`], naming the first tensor that is missing, of another shape or not to be read.
    pub fn complete(&self, file: &TensorFile) -> Result<()> {
        let Self { missing, unreadable, reshaped, .. } = self;
        let message = if let Some(first) = missing.first() {
            self.incomplete(file, first)
        } else if let Some(why) = unreadable.first() {
            why.clone()
        } else if let Some(Reshaped { name, there, wanted }) = reshaped.first() {
            format!("`{name}` has shape {there:?}, the network needs {wanted:?}")
        } else {
            return Ok(());
        };
        Err(Error::Weights { path: file.path.clone(), message, help: help(file) })
    }

    fn incomplete(&self, file: &TensorFile, first: &str) -> String {
        let all =
            self.loaded.len() + self.missing.len() + self.reshaped.len() + self.unreadable.len();
        let of = file.taken.state_dict.as_ref().map(|it| format!("`{it}` of "));
        format!(
            "{} of the network's {all} tensors are not in {}it, the first is `{first}`; it holds {} tensors, \
             the first is `{}`",
            self.missing.len(),
            of.unwrap_or_default(),
            file.tensors().count(),
            file.tensors().next().map_or("nothing", |it| it.name),
        )
    }
}

/// What stands in `file` before the names of most of what is `wanted`; the first is the one to take off. There
/// are several only where each stands before all of them.
fn prefixes(file: &TensorFile, wanted: &[Wanted]) -> Vec<String> {
    let names: HashSet<&str> = wanted.iter().map(|it| it.name.as_str()).collect();
    let mut counts = HashMap::<&str, usize>::new();
    let readable = file.tensors().map(|it| it.name);
    for name in readable.chain(file.taken.unreadable.keys().map(String::as_str)) {
        let starts = name.match_indices('.').map(|(at, _)| at + 1);
        for start in std::iter::once(0).chain(starts) {
            if names.contains(&name[start..]) {
                *counts.entry(&name[..start]).or_default() += 1;
            }
        }
    }
    let all = names.len();
    let most = counts.values().copied().max().unwrap_or_default();
    // Less than half of it is chance, or another network.
    if counts.get("") == Some(&most) || 2 * most < all {
        return Vec::new();
    }
    let mut best: Vec<&str> =
        counts.iter().filter(|it| *it.1 == most).map(|(prefix, _)| *prefix).collect();
    best.sort_unstable_by_key(|it| (!is_averaged(it), it.len(), *it));
    let several = if most == all { best.len() } else { 1 };
    best.into_iter().take(several).map(str::to_owned).collect()
}

/// What to do about a file that does not fit.
fn help(file: &TensorFile) -> String {
    let all = [Implementation::Pytorch, Implementation::Keras];
    let fits = |it: &&Backbone| {
        all.iter().any(|whose| Account::new(file, &tensors_of(**it, *whose)).is_complete())
    };
    if let Some(backbone) = file.fits.as_ref().or_else(|| Backbone::ALL.iter().find(fits)) {
        return format!(
            "it fits `{}`: change `model.backbone`, or `model.weights`",
            backbone.name()
        );
    }
    let others: Vec<_> = file.taken.others.iter().map(|it| format!("`{it}`")).collect();
    if !others.is_empty() {
        return format!(
            "the file also holds {}: say which is meant with `model.weights.file.state_dict` (`--state-dict`)",
            others.join(", ")
        );
    }
    match names_of(file) {
        Some(whose) => format!(
            "these look like {whose} names; they must be torchvision's (timm's for Xception): load the weights into \
             torchvision's network of the same name, whose tensors are the same in the same order, and save its \
             `state_dict()`"
        ),
        None if file.is_keras() => {
            "its layers go by the names and shapes of `keras.applications`: check `model.backbone`; of several models in it, \
             `model.weights.file.state_dict` (`--state-dict`) names the one that is meant"
                .into()
        }
        None => "it looks like the weights of another network: check `model.backbone` and \
                 `model.weights`"
            .into(),
    }
}

/// Whose names the tensors of `file` have, if they are known and none of torchvision's.
fn names_of(file: &TensorFile) -> Option<&'static str> {
    let has = |part: &str| file.tensors().any(|it| it.name.contains(part));
    if has("conv_stem.weight") && has("conv_dw.weight") {
        Some("timm's")
    } else if has(".convolution.weight") || has("embedder.") {
        Some("Hugging Face Transformers'")
    } else if !file.is_keras() && (has("kernel:0") || has("/kernel") || has("moving_mean")) {
        Some("Keras's")
    } else {
        None
    }
}
