//! What of a step's settings stands in its key: what differs from its default, at every depth.
//!
//! A new setting with a default then changes no key, wherever it stands. The defaults are those of the JSON schema
//! that is derived from the settings' types, so nothing here knows a setting by name, but for [`ALWAYS`].

use serde_json::{Map, Value as Json};

use crate::config::schema::{Definition, Schema};

/// Settings of nested tables that keys have named from the first version on, whatever their value: they were
/// compared as whole tables then. No setting is added here.
const ALWAYS: [(&str, &[&str]); 14] = [
    ("Adam", &["lr", "betas", "eps"]),
    ("AdamW", &["lr", "betas", "eps", "weight_decay"]),
    ("Sgd", &["lr", "momentum", "nesterov", "weight_decay"]),
    ("RmsProp", &["lr", "alpha", "eps", "momentum", "centered", "weight_decay"]),
    ("RAdam", &["lr", "betas", "eps", "weight_decay", "decoupled_weight_decay"]),
    ("CosineAnnealing", &["min_lr"]),
    ("Step", &["factor"]),
    ("Plateau", &["monitor", "factor", "patience", "min_delta", "cooldown", "min_lr"]),
    ("OneCycle", &["pct_start", "div_factor", "final_div_factor", "anneal"]),
    ("Warmup", &["epochs", "from"]),
    ("EarlyStopping", &["monitor", "patience", "min_delta", "restore_best"]),
    ("Loss", &["label_smoothing", "class_weights"]),
    ("GaussianNoise", &["std", "unit"]),
    ("TenCrop", &["size"]),
];

/// The part of `settings`, which `schema` describes, that stands in a key.
pub(super) fn differences(schema: &Schema, settings: &Json) -> Json {
    of_value(schema, &schema.root, settings)
}

fn of_value(schema: &Schema, definition: &Json, value: &Json) -> Json {
    let Definition { name, schema: definition } = schema.named(definition);
    match value {
        Json::Object(fields) => {
            let fields = fields.iter().filter_map(|(key, value)| {
                let property = property(definition, key);
                let always = ALWAYS.iter().any(|it| Some(it.0) == name && it.1.contains(&&**key));
                let is_default = property.is_some_and(|it| it.get("default") == Some(value));
                if is_default && !always {
                    return None;
                }
                let value =
                    property.map_or_else(|| value.clone(), |it| of_value(schema, it, value));
                Some((key.clone(), value))
            });
            Json::Object(fields.collect::<Map<_, _>>())
        }
        Json::Array(items) => match definition.get("items") {
            Some(item) => items.iter().map(|it| of_value(schema, item, it)).collect(),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

/// The schema of what stands at `key`: of a setting of a table, or of the variant of a choice.
fn property<'a>(definition: &'a Json, key: &str) -> Option<&'a Json> {
    let of = |it: &'a Json| it.get("properties")?.get(key);
    of(definition).or_else(|| definition.get("oneOf")?.as_array()?.iter().find_map(of))
}
