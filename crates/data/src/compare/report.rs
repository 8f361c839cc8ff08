//! A comparison in one line.

use std::fmt;

use super::{ColumnComparison, Comparison, Details};

/// One line: `region 0.96  customer_net_worth given region 0.94   coherent 150/150`. Columns that were skipped are left
/// out, one without a score shows a dash.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scored = self.columns.iter().filter(|c| {
            // Coherent columns are summed up at the end.
            !matches!(c.details, Details::Skipped | Details::Coherent { .. })
        });
        let words: Vec<String> = scored.map(ToString::to_string).collect();
        f.write_str(&words.join("  "))?;
        if let Some(coherent) = &self.coherent {
            let gap = if words.is_empty() { "" } else { "   " };
            write!(f, "{gap}coherent {}/{}", coherent.rows, coherent.of)?;
        }
        Ok(())
    }
}

impl fmt::Display for ColumnComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.column)?;
        if let Details::Joint { by, .. } = &self.details {
            write!(f, " given {}", by.join(", "))?;
        }
        match self.score {
            // Cut, not rounded: only equals score 1.00.
            Some(score) => write!(f, " {:.2}", (score * 100.0 + 1e-9).floor() / 100.0),
            None => f.write_str(" –"),
        }
    }
}
