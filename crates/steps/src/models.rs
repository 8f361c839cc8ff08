//! The models of a run, as steps reach them.

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
