//! Who answers for the models of a flow.

use std::collections::BTreeMap;

use flowrun_core::flow::ModelDefinition;
use flowrun_llm::{Binder, BoundModel, Environment, HttpClient, ModelConfig, ModelOverride};
use flowrun_steps::Models;

use crate::commands::Stop;

/// The models of a flow with those who answer for them.
pub(in crate::commands) struct Bound(Vec<Option<BoundModel>>);

impl Bound {
    /// Names grouped by who answers, in the order of the document.
    pub(super) fn by_answer(&self) -> Vec<(Vec<String>, String)> {
        let mut groups: Vec<(Vec<String>, String)> = Vec::new();
        for model in self.0.iter().flatten() {
            let described = model.describe();
            match groups.iter_mut().find(|(_, d)| *d == described) {
                Some((names, _)) => names.push(model.name().to_owned()),
                None => groups.push((vec![model.name().to_owned()], described)),
            }
        }
        groups
    }

    /// Who answers, by name.
    pub(in crate::commands) fn described(&self) -> BTreeMap<String, String> {
        self.0.iter().flatten().map(|m| (m.name().to_owned(), m.describe())).collect()
    }

    pub(in crate::commands) fn into_models(self) -> Models {
        Models::new(self.0)
    }
}

/// Binds every model that some step calls.
pub(in crate::commands) fn bind(
    definitions: &[ModelDefinition],
    overrides: &[ModelOverride],
) -> Result<Bound, Stop> {
    for name in overrides.iter().filter_map(|o| o.name.as_ref()) {
        if !definitions.iter().any(|d| d.name == *name) {
            let known: Vec<_> = definitions.iter().map(|d| d.name.as_str()).collect();
            let stop = Stop::usage(format!("`--model`: the flow has no model `{name}`"));
            return Err(
                stop.help(format!("it has {}", if known.is_empty() { "none".into() } else { known.join(", ") }))
            );
        }
    }
    let environment = Environment::from_process().map_err(|e| Stop::usage(e.to_string()))?;
    let mut http = None;
    let mut bound = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let Some(config) = definition.config.downcast_ref::<ModelConfig>().filter(|_| definition.called) else {
            bound.push(None);
            continue;
        };
        let http = match &http {
            Some(http) => http,
            None => http.insert(HttpClient::new().map_err(|e| Stop::usage(e.to_string()))?),
        };
        let overrides: Vec<ModelOverride> = nearest_override(definition, overrides).into_iter().collect();
        let binder = Binder { environment: &environment, overrides: &overrides, http };
        let model = binder.bind(&definition.name, config, definition.offline);
        bound.push(Some(model.map_err(|e| Stop::usage(e.to_string()).help(e.help()))?));
    }
    Ok(Bound(bound))
}

/// What the command line says of a model: of its own name, of one that it uses, the nearest first, or of all.
fn nearest_override(definition: &ModelDefinition, overrides: &[ModelOverride]) -> Option<ModelOverride> {
    let named = |name: &String| overrides.iter().rfind(|o| o.name.as_ref() == Some(name));
    let found = std::iter::once(&definition.name).chain(&definition.uses).find_map(named);
    let found = found.or_else(|| overrides.iter().rfind(|o| o.name.is_none()))?;
    Some(ModelOverride { name: None, choice: found.choice.clone() })
}
