//! Vectors of texts: what goes to a model, what comes back, and what stands in for one that is offline.

use crate::Usage;

/// Numbers of an offline vector.
const OFFLINE_LENGTH: usize = 256;

/// One call for the vectors of texts.
#[derive(Clone, Debug)]
pub struct EmbedRequest {
    /// The texts; each one gets a vector.
    pub texts: Vec<String>,
    /// What names this call, as hexadecimal digits; the same for every try of it.
    pub identity: String,
}

/// The vectors of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// One for each text, in their order, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that the answering try cost.
    pub usage: Usage,
    /// How many HTTP tries it took; 0 where no endpoint was asked.
    pub tries: u32,
    /// What it cost, in millionths of a millionth of a dollar, by the price of the model.
    pub cost: Option<u64>,
    /// The model that the reply names.
    pub served_by: Option<String>,
}

/// A vector that needs no model: how often each word stands in the text, the words shared out over 256 places by a
/// hash. Texts that share words are near each other; what words mean it does not know.
pub fn offline_vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; OFFLINE_LENGTH];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = blake3::hash(word.to_lowercase().as_bytes());
        vector[usize::from(hash.as_bytes()[0])] += 1.0;
    }
    vector
}

pub(crate) fn offline(request: &EmbedRequest) -> Embedded {
    let vectors = request.texts.iter().map(|text| offline_vector(text)).collect();
    Embedded { vectors, usage: Usage::default(), tries: 0, cost: None, served_by: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_are_nearer_than_others() {
        let dot = |a: &str, b: &str| -> f32 {
            offline_vector(a).iter().zip(offline_vector(b)).map(|(a, b)| a * b).sum()
        };
        assert!(dot("a red bicycle", "The RED car") > dot("a red bicycle", "the blue car"));
        assert!(offline_vector(" .,").iter().all(|n| *n == 0.0));
    }
}
