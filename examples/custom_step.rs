//! A full flowrun with one more step type: `cargo run --example custom_step -- examples/custom_step.yaml`.
use flowrun::prelude::*;
/// Counts words and says whether the text is long enough.
#[derive(Deserialize, JsonSchema)]
struct WordCount {
    min: usize,
}
#[derive(Deserialize, JsonSchema)]
struct In {
    text: String,
}
#[derive(Serialize, JsonSchema)]
struct Out {
    words: usize,
}
impl Step for WordCount {
    const TYPE: &'static str = "word_count";
    const BRANCHES: &'static [&'static str] = &["enough", "too_short"];
    type Input = In;
    type Output = Out;
    async fn run(&self, _: &StepCx<'_>, input: In) -> Result<Outcome<Out>, StepError> {
        let words = input.text.split_whitespace().count();
        Ok(Outcome::branch(if words >= self.min { "enough" } else { "too_short" }, Out { words }))
    }
}

fn main() -> ExitCode {
    flowrun::main(flowrun::standard().with::<WordCount>())
}
