//! The models of a document: found by name from the inside out, `use` resolved, decoded once.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Compiler, Env, Scope, codes};
use crate::diagnostics::Diagnostic;
use crate::flow::ModelDefinition;
use crate::node::{Entry, Node, NodeKind};
use crate::schema;
use crate::signature::Signature;
use crate::spec::DefinitionSpec;

/// The key by which a definition takes over another.
const USE: &str = "use";

/// All definitions so far; a step knows a model by its place here.
#[derive(Default)]
pub(super) struct Models {
    all: Vec<ModelDefinition>,
    /// Place by the path of the defining flow and the name; none for one with errors.
    places: BTreeMap<(String, String), Option<usize>>,
}

impl Models {
    pub(super) fn finish(self) -> Vec<ModelDefinition> {
        self.all
    }
}

impl Compiler<'_> {
    /// Decodes the models that this flow defines.
    pub(super) fn define_models(&self, env: &Env<'_>) {
        for definition in &env.spec.models {
            let name = &definition.name.value;
            let hidden = env.parent.is_some_and(|parent| parent.find_model(name).is_some());
            if hidden {
                let message = format!("the model `{name}` hides another model of that name further out");
                self.report(Diagnostic::warning(codes::SHADOWED, message, &definition.name.span));
            }
            let decoded = self.define(env, definition);
            let mut models = self.models.borrow_mut();
            let place = decoded.map(|definition| {
                models.all.push(definition);
                models.all.len() - 1
            });
            models.places.insert((env.path.clone(), name.clone()), place);
        }
    }

    fn define(&self, env: &Env<'_>, definition: &DefinitionSpec) -> Option<ModelDefinition> {
        let name = &definition.name.value;
        let what = format!("model `{name}`");
        let Some(model_schema) = self.registry.model_schema() else {
            let message = "this program has no models";
            self.report(Diagnostic::error(codes::UNKNOWN_MODEL, message, &definition.name.span));
            return None;
        };
        // Only the definition's own keys are checked; those it takes over are checked where they stand.
        let own = without_use(&definition.config);
        let wrong = schema::check(&own, model_schema, &what);
        let failed = wrong.has_errors();
        self.found.borrow_mut().extend(wrong);
        let (config, uses) = self.resolve_use(env, definition)?;
        let decoded: Result<Arc<dyn Any + Send + Sync>, _> = self.registry.decode_model(&config)?;
        match decoded {
            Ok(decoded) if !failed => Some(ModelDefinition {
                name: name.clone(),
                config: decoded,
                uses,
                called: false,
                offline: true,
                span: definition.name.span.clone(),
            }),
            Ok(_) => None,
            Err(error) => {
                if !failed {
                    self.report(error.into_diagnostic(codes::BAD_CONFIG));
                }
                None
            }
        }
    }

    /// The definition with all keys that it takes over from others.
    fn resolve_use(&self, env: &Env<'_>, definition: &DefinitionSpec) -> Option<(Node, Vec<String>)> {
        let mut config = without_use(&definition.config);
        let mut uses = vec![definition.name.value.clone()];
        let mut here = definition;
        while let Some(base) = here.config.get(USE) {
            let name = base.as_str().unwrap_or_default();
            if uses.iter().any(|u| u == name) {
                let message = format!("the model `{name}` uses itself");
                self.report(Diagnostic::error(codes::UNKNOWN_MODEL, message, &base.span));
                return None;
            }
            let Some((_, found)) = env.find_model(name) else {
                let message = format!("there is no model `{name}` to use");
                let wrong = Diagnostic::error(codes::UNKNOWN_MODEL, message, &base.span);
                self.report(wrong.suggest(name, names(env)));
                return None;
            };
            config = merge(&found.config, &config);
            uses.push(name.to_owned());
            here = found;
        }
        uses.remove(0);
        Some((config, uses))
    }

    /// Resolves the models that a step calls, and notes how it uses them.
    pub(super) fn resolve_models(
        &self,
        env: &Env<'_>,
        scope: &Scope<'_>,
        signature: &Signature,
        mut wanted: BTreeSet<String>,
    ) -> Option<BTreeMap<String, usize>> {
        wanted.extend(signature.models.iter().map(|m| m.model.clone()));
        let mut resolved = BTreeMap::new();
        let mut fine = true;
        for name in wanted {
            let Some((owner, _)) = env.find_model(&name) else {
                let message = format!("there is no model `{name}`");
                let wrong = scope.error(codes::UNKNOWN_MODEL, &["model"], message);
                self.report(wrong.suggest(&name, names(env)));
                fine = false;
                continue;
            };
            let mut models = self.models.borrow_mut();
            let Some(place) = models.places.get(&(owner.path.clone(), name.clone())).copied().flatten() else {
                continue; // the definition has errors of its own, so the flow will not run
            };
            let offline = signature.models.iter().filter(|m| m.model == name).all(|m| m.offline);
            models.all[place].called = true;
            models.all[place].offline &= offline;
            resolved.insert(name, place);
        }
        fine.then_some(resolved)
    }
}

fn names<'a>(env: &'a Env<'a>) -> impl Iterator<Item = &'a str> {
    env.chain().flat_map(|e| e.spec.models.iter().map(|m| m.name.value.as_str()))
}

fn without_use(config: &Node) -> Node {
    let mut config = config.clone();
    if let NodeKind::Map(entries) = &mut config.kind {
        entries.retain(|e| &*e.key != USE);
    }
    config
}

/// The keys of `base`, replaced and completed by those of `over`.
fn merge(base: &Node, over: &Node) -> Node {
    let mut entries: Vec<Entry> = without_use(base).entries().unwrap_or_default().to_vec();
    for entry in over.entries().unwrap_or_default() {
        match entries.iter_mut().find(|e| e.key == entry.key) {
            Some(old) => *old = entry.clone(),
            None => entries.push(entry.clone()),
        }
    }
    Node::new(NodeKind::Map(entries), over.span.clone())
}
