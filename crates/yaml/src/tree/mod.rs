//! Text to a tree of [`Node`]s, from the events of the YAML parser.

mod builder;
mod file;
mod interpolate;
mod merge;
mod scalar;
mod syntax;

use std::sync::Arc;

use flowrun_core::diagnostics::{Diagnostic, Source, Span};
use flowrun_core::node::Node;
use serde_saphyr::granit_parser::{Event, Parser};

use crate::codes;
use crate::options::{Limits, ParseOptions};
use crate::problems::{Problems, size};

use builder::Builder;
pub use file::InlinedFile;

/// A document and the files that it took in.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) node: Node,
    pub(crate) files: Vec<InlinedFile>,
}

/// The document could not be read to its end; a problem says why.
#[derive(Debug)]
struct Stop;

/// Reads a text. Nothing where it could not be read to its end; a problem says why.
pub(crate) fn read(bytes: &[u8], options: &ParseOptions<'_>, problems: &mut Problems) -> Option<Tree> {
    let source = decode_text(bytes, options, problems)?;
    let mut builder = Builder::new(&source, options, problems);
    let end = drive(&source, &options.limits, &mut builder);
    let (root, files) = builder.finish();
    end.ok()?;
    if root.is_none() {
        problems.push(empty(&Span::new(&source, 0..0)));
    }
    Some(Tree { node: root?, files })
}

/// A file with nothing in it.
pub(crate) fn empty(place: &Span) -> Diagnostic {
    Diagnostic::error(codes::UNREADABLE, "the file is empty", place)
        .help("a flow begins with `flow: NAME` and has `steps:`")
}

/// The bytes as a text that is UTF-8 and not too large.
fn decode_text(bytes: &[u8], options: &ParseOptions<'_>, problems: &mut Problems) -> Option<Arc<Source>> {
    let limit = options.limits.text;
    if bytes.len() > limit {
        let source = Source::new(options.source.as_str(), "");
        let message = format!("the file is larger than {}", size(limit));
        problems.push(
            Diagnostic::error(codes::UNREADABLE, message, &Span::new(&source, 0..0))
                .help("keep data in files of its own that steps read"),
        );
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Source::new(options.source.as_str(), text)),
        Err(error) => {
            // What is replaced begins where the text stops being UTF-8: the place is the same in both.
            let source = Source::new(options.source.as_str(), String::from_utf8_lossy(bytes));
            let start = error.valid_up_to();
            let place = Span::new(&source, start..start + char::REPLACEMENT_CHARACTER.len_utf8());
            let message = format!("the file is not UTF-8 at byte {start}");
            problems.push(Diagnostic::error(codes::UNREADABLE, message, &place).help("save it as UTF-8"));
            None
        }
    }
}

fn drive(source: &Arc<Source>, limits: &Limits, builder: &mut Builder<'_>) -> Result<(), Stop> {
    let mut settings = serde_saphyr::granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
    };
    settings.set_emit_comments(false);
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(&source.text, settings) {
        let (event, span) = match next {
            Ok(found) => found,
            Err(error) => {
                builder.problem(syntax::explain(&error, source));
                return Err(Stop);
            }
        };
        let range = span.byte_range().unwrap_or_default();
        let tag = span.tag_span().and_then(|tag| tag.byte_range());
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    builder.problem(
                        Diagnostic::error(
                            codes::SYNTAX,
                            "a second document in one file",
                            &Span::new(source, range),
                        )
                        .help("a file holds one flow; put subflows under `flows`, others into files of their own"),
                    );
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag_name) => {
                let tag = tag_name.as_deref().map(|name| builder::Tag::new(name, tag, &range));
                builder.scalar(&text, style, anchor, tag, range)?;
            }
            Event::SequenceStart(_, anchor, tag_name) => {
                let tag = tag_name.as_deref().map(|name| builder::Tag::new(name, tag, &range));
                builder.open(builder::Content::list(), anchor, tag, range)?;
            }
            Event::MappingStart(_, anchor, tag_name) => {
                let tag = tag_name.as_deref().map(|name| builder::Tag::new(name, tag, &range));
                builder.open(builder::Content::map(), anchor, tag, range)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(&range)?,
            Event::Alias(anchor) => builder.alias(anchor, range)?,
            Event::UnresolvedAlias(name) => builder.unknown_alias(&name, range)?,
            Event::Anchor(_, name) => builder.anchor_name(&name),
            // Marks of the stream and of documents, which carry no value.
            _ => {}
        }
    }
    Ok(())
}
