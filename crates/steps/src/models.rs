//! The models of a run, as steps reach them.

use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_llm::BoundModel;

use crate::search::Vectors;

/// The bound models of a document, by their place in it; none for one that no step calls.
#[derive(Debug, Default)]
pub struct Models {
    all: Vec<Option<BoundModel>>,
    pub(crate) vectors: Vectors,
}

impl Models {
    /// Models in the order of the document's definitions.
    pub fn new(models: Vec<Option<BoundModel>>) -> Self {
        Self { all: models, vectors: Vectors::default() }
    }

    /// The model at a place.
    pub fn get(&self, place: usize) -> Option<&BoundModel> {
        self.all.get(place)?.as_ref()
    }

    /// All that some step calls.
    pub fn iter(&self) -> impl Iterator<Item = &BoundModel> {
        self.all.iter().flatten()
    }
}

/// The model of this name, as the step's signature asked for it.
pub(crate) fn named<'c>(cx: &'c StepCx<'_>, name: &str) -> Result<&'c BoundModel, StepError> {
    let place = cx.model(name);
    place
        .and_then(|place| cx.resource::<Models>().ok()?.get(place))
        .ok_or_else(|| StepError::new("engine.resource", format!("the run has no model `{name}`")).fatal())
}
