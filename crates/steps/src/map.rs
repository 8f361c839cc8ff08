//! `map`: runs a flow for each item.

use std::sync::Arc;

use flowrun_core::compile::{FlowPorts, Scope, codes};
use flowrun_core::diagnostics::{Diagnostic, Diagnostics};
use flowrun_core::error::StepError;
use flowrun_core::execute::{ItemPlan, OnItemError, StepCx};
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Grows, Port, Rows, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::table::{self, SOURCE_ROWS, Table, column_view};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use flowrun_data::parts::RowWriter;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::files;
use crate::jq::Query;

mod reduce;
mod source;
mod until;

use reduce::{Reducer, Reduction};
use source::Source;
use until::{StopAfterConfig, TargetConfig};

/// Runs a flow for each row of a table, each item of a list, or each entry of an object, which is an object with `key` and
/// `value`; `parallel` at once. Several sources are zipped. Gives each collected output as a list, in the order of the
/// items, or reduced to one value, and all of them as a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    /// The flow, by its name under `flows:`. Its other inputs are the same for every item.
    flow: String,
    /// What is mapped over: inputs of the flow, each with the list, object or table whose items it gets. Nothing in the
    /// place of a reference: the step's input of that name is wired like any other, by `with` or by its name.
    over: IndexMap<String, Option<String>>,
    /// With a single source: inputs of the flow, each with a jq query on the item.
    #[serde(default)]
    unpack: IndexMap<String, String>,
    /// The outputs of the flow that are collected. Default: all.
    collect: Option<Vec<String>>,
    /// Collected outputs that are not given as lists, each with what is made of its values: `sum`, `average`, `max` or
    /// `min`. `append` is the list. Nulls are left out; where no value is left, a sum is 0 and the others are null.
    #[serde(default)]
    reduce: IndexMap<String, Reducer>,
    /// The collected output whose truth says whether an item is accepted.
    accept: Option<String>,
    /// What becomes of the map when an item fails: `fail` ends it, `skip` leaves the item out, `keep` keeps it with
    /// nulls. What failed is listed in the failures file.
    #[serde(default)]
    on_item_error: OnItemError,
    /// Ends the map where its items fail over and over, `{ errors: 20 }` or `{ share: 0.2, of_last: 100 }`, with what
    /// most of them failed of. They are counted in the order of the items.
    stop_after: Option<StopAfterConfig>,
    /// Runs items until so many are accepted, `{ where: is_valid, rows: 100, max_items: 500 }`; what the map runs over
    /// must be tables that can grow, and the result has the first accepted ones alone.
    target_accepted: Option<TargetConfig>,
    /// How many items run at once. Default: 1.
    #[serde(default = "one")]
    #[schemars(default = "one_at_once")]
    parallel: Late<Parallel>,
}

/// The values that an item's flow gets, by name.
type ItemInputs = Vec<(Arc<str>, Value)>;

/// A number of items at once.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Parallel(#[schemars(range(min = 1, max = 65536))] usize);

fn one() -> Late<Parallel> {
    Late::Now(Parallel(1))
}

fn one_at_once() -> usize {
    1
}

impl Map {
    /// The collected outputs: places among the inner flow's, names and types.
    fn collected<'p>(&self, outputs: impl IntoIterator<Item = &'p Port>) -> Vec<(usize, String, Type)> {
        let outputs: Vec<&Port> = outputs.into_iter().collect();
        let all = || outputs.iter().map(|p| p.name.clone()).collect();
        let names: Vec<String> = self.collect.clone().unwrap_or_else(all);
        names
            .into_iter()
            .filter_map(|name| {
                let place = outputs.iter().position(|p| p.name == name)?;
                let kept = outputs[place].value_type.clone();
                let column = if self.on_item_error == OnItemError::Keep { kept.nullable() } else { kept };
                Some((place, name, column))
            })
            .collect()
    }

    fn check(&self, scope: &Scope<'_>, inner: &FlowPorts) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        let inputs = || inner.inputs.iter().map(|p| p.name.as_str());
        if self.over.is_empty() {
            wrong.push(scope.bad(&["over"], "`over` names nothing to map over"));
        }
        if self.unpack.is_empty() {
            for name in self.over.keys().filter(|name| !inputs().any(|i| i == **name)) {
                wrong.push(unknown_input(scope, &["over"], &self.flow, name, inputs()));
            }
        } else if self.over.len() > 1 {
            wrong.push(scope.bad(&["unpack"], "`unpack` goes with a single source"));
        }
        for (name, query) in &self.unpack {
            if !inputs().any(|i| i == name) {
                wrong.push(unknown_input(scope, &["unpack"], &self.flow, name, inputs()));
            }
            if let Err(message) = Query::parse(query) {
                wrong.push(scope.bad(&["unpack", name], message));
            }
        }
        if let (true, Late::Now(Parallel(2..))) = (inner.waits, &self.parallel) {
            let message =
                format!("the flow `{}` may wait for a person, who answers one question at a time", self.flow);
            wrong.push(scope.bad_key(&["parallel"], message).help("take `parallel` out"));
        }
        if let Some(stop_after) = self.stop_after {
            wrong.extend(stop_after.check(scope, self.on_item_error));
        }
        if let Some(target) = &self.target_accepted {
            wrong.extend(target.check(scope, self.accept.as_deref(), self.on_item_error, !self.unpack.is_empty()));
        }
        self.check_collected(scope, inner, &mut wrong);
        self.check_reduced(scope, inner, &mut wrong);
        wrong
    }

    fn check_reduced(&self, scope: &Scope<'_>, inner: &FlowPorts, wrong: &mut Diagnostics) {
        let collected = self.collected(&inner.outputs);
        for (name, reducer) in &self.reduce {
            match collected.iter().find(|(_, collected, _)| collected == name) {
                None => {
                    let message = format!("`reduce` names `{name}`, which is not collected");
                    let names = collected.iter().map(|(_, name, _)| name.as_str());
                    wrong.push(scope.bad_key(&["reduce", name], message).suggest(name, names));
                }
                Some((_, _, values)) if reducer.gives(values).is_none() => {
                    let message = format!("`{name}` is {values}, which has no {}", reducer.word());
                    wrong.push(scope.bad(&["reduce", name], message).help(
                        "numbers and durations have a sum and an average; they, dates, times and texts a max and a min",
                    ));
                }
                Some(_) => {}
            }
        }
    }

    /// What becomes of a collected output.
    fn reducer(&self, name: &str) -> Reducer {
        self.reduce.get(name).copied().unwrap_or(Reducer::Append)
    }

    /// The reductions that are to be made, each with the place of its output among those collected.
    fn reductions(&self, collected: &[(usize, String, Type)]) -> Vec<(usize, Reduction)> {
        let all = collected.iter().enumerate().map(|(place, (_, name, _))| (place, self.reducer(name), name));
        let one = all.filter(|(_, reducer, _)| *reducer != Reducer::Append);
        one.map(|(place, reducer, name)| (place, Reduction::new(reducer, name))).collect()
    }

    fn check_collected(&self, scope: &Scope<'_>, inner: &FlowPorts, wrong: &mut Diagnostics) {
        let outputs = || inner.outputs.iter().map(|p| p.name.as_str());
        for (n, name) in self.collect.iter().flatten().enumerate() {
            let place = n.to_string();
            if !outputs().any(|o| o == name) {
                let message = format!("the flow `{}` gives no `{name}`", self.flow);
                wrong.push(scope.bad(&["collect", &place], message).suggest(name, outputs()));
            }
            if name == "table" || name == SOURCE_ROWS {
                let message = format!("`{name}` is a name of the map's own; rename the output in the flow");
                wrong.push(scope.bad(&["collect", &place], message));
            }
        }
        let (accept, key): (_, &[&str]) = match (&self.accept, &self.target_accepted) {
            (Some(accept), _) => (accept, &["accept"]),
            (None, Some(target)) => (&target.condition, &["target_accepted", "where"]),
            (None, None) => return,
        };
        let word = key[key.len() - 1];
        match self.collected(&inner.outputs).iter().find(|(_, name, _)| name == accept) {
            None => {
                let message = format!("`{word}` names `{accept}`, which is not collected");
                let names = self.collect.iter().flatten().map(String::as_str);
                wrong.push(scope.bad(key, message).suggest(accept, names));
            }
            Some((_, _, kept)) if !matches!(kept.without_null().kind, Kind::Boolean | Kind::Any) => {
                let message = format!("`{word}` names `{accept}`, a {kept}; its truth decides");
                scope.warn(codes::NOT_BOOLEAN, key, message);
            }
            Some(_) => {}
        }
    }

    /// The collected output whose truth says whether an item is accepted.
    fn verdict(&self) -> Option<&String> {
        self.accept.as_ref().or(self.target_accepted.as_ref().map(|target| &target.condition))
    }

    /// The values that each item gets: its own, and those that are the same for all.
    fn items(
        &self,
        cx: &StepCx<'_>,
        sources: Vec<(Arc<str>, Source)>,
        input: &Ports,
        draw: Option<u64>,
    ) -> Result<impl Iterator<Item = Result<ItemInputs, StepError>> + Send + use<>, StepError> {
        let flow = cx.flow(&self.flow)?;
        let shared: Vec<(Arc<str>, Value)> = flow
            .inputs
            .iter()
            .filter(|p| !self.over.contains_key(&p.name) && !self.unpack.contains_key(&p.name))
            .filter_map(|p| Some((p.name.as_str().into(), input.get(&p.name)?.clone())))
            .collect();
        let queries: Vec<(Arc<str>, Query)> = self
            .unpack
            .iter()
            .map(|(name, query)| Ok((name.as_str().into(), Query::parse(query)?)))
            .collect::<Result<_, String>>()
            .map_err(|e| StepError::new("map.unpack", e))?;
        let mut streams: Vec<(Arc<str>, _)> = Vec::with_capacity(sources.len());
        for (name, source) in sources {
            streams.push((name, source.into_items(draw)?));
        }
        Ok(std::iter::from_fn(move || {
            let mut values = Vec::with_capacity(streams.len() + queries.len() + shared.len());
            for (name, stream) in &mut streams {
                match stream.next()? {
                    Ok(value) => values.push((Arc::clone(name), value)),
                    Err(error) => return Some(Err(error)),
                }
            }
            if let ([(_, item)], false) = (values.as_slice(), queries.is_empty()) {
                match unpacked(item, &queries) {
                    Ok(unpacked) => values.extend(unpacked),
                    Err(error) => return Some(Err(error)),
                }
            }
            values.extend(shared.iter().cloned());
            Some(Ok(values))
        }))
    }
}

fn unpacked(item: &Value, queries: &[(Arc<str>, Query)]) -> Result<Vec<(Arc<str>, Value)>, StepError> {
    let one = |(name, query): &(Arc<str>, Query)| {
        let wrong = |e: String| StepError::new("map.unpack", format!("`{name}`: {e}"));
        let found = query.first(item).map_err(wrong)?;
        let value = found.ok_or_else(|| wrong("the query has no result on an item".to_owned()))?;
        Ok((Arc::clone(name), value))
    };
    queries.iter().map(one).collect()
}

fn unknown_input<'n>(
    scope: &Scope<'_>,
    path: &[&str],
    flow: &str,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> Diagnostic {
    let path: Vec<&str> = path.iter().copied().chain([name]).collect();
    scope.bad_key(&path, format!("the flow `{flow}` has no input `{name}`")).suggest(name, known)
}

impl Step for Map {
    const TYPE: &'static str = "map";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "justify:\n  type: map\n  flow: justification\n  over: { generated_row: structured.table, seed_example: examples.table }\n  collect: [justification, is_valid, attempts]\n  accept: is_valid\n  on_item_error: keep\n  parallel: 64";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("NAME", Type::any())
                    .doc("One for each input of the flow that `over` and `unpack` do not give."),
            ],
            outputs: vec![
                Port::new("NAME", Type::list(Type::any()))
                    .doc("One list for each collected output; with `reduce` one value."),
                Port::new("table", Type::table()).doc("The collected outputs as columns."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inner = scope.flow(&self.flow, &["flow"])?;
        self.check(scope, &inner).into_result()?;
        let items: Type = Kind::Union(vec![Type::list(Type::any()), Type::table(), Type::object()]).into();
        let sources = self.over.iter().map(|(name, from)| {
            let port = Port::new(name, items.clone());
            if let Some(from) = from { port.wired(from, &["over", name]) } else { port }
        });
        let given = |p: &Port| self.over.contains_key(&p.name) || self.unpack.contains_key(&p.name);
        let shared = inner.inputs.iter().filter(|p| !given(p)).cloned();
        let inputs = sources.chain(shared).collect();
        let lists = self.collected(&inner.outputs).into_iter().map(|(_, name, values)| {
            let given = self.reducer(&name).gives(&values).unwrap_or_else(Type::any);
            Port::new(name, given)
        });
        let mapped = Rows::Mapped(self.over.keys().cloned().collect());
        let table = Port::new("table", Type::table()).rows(mapped).grows(Grows::Never);
        let outputs = lists.chain([table]).collect();
        let draws_on = self.target_accepted.iter().flat_map(|_| self.over.keys().cloned()).collect();
        Ok(Signature { draws_on, ..Signature::new(inputs, outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let Parallel(parallel) = self.parallel.get(cx)?;
        let mut sources = Vec::with_capacity(self.over.len());
        for name in self.over.keys() {
            let value = input.get(name).cloned().unwrap_or_default();
            sources.push((Arc::from(name.as_str()), Source::new(name, value)?));
        }
        let drawn = self.target_accepted.as_ref().map(|target| target.plan(cx)).transpose()?;
        let total = match drawn {
            Some(_) => until::growable(&sources).map(|()| None)?,
            None => Some(source::common_length(&sources)?),
        };
        let tables: Vec<Table> = sources.iter().filter_map(|(_, s)| s.table().cloned()).collect();
        let collected = self.collected(&cx.flow(&self.flow)?.outputs);
        let accept = self.verdict().and_then(|a| collected.iter().position(|(_, name, _)| name == a));
        let plan = ItemPlan {
            flow: self.flow.clone(),
            total,
            parallel,
            on_error: self.on_item_error,
            collect: collected.iter().map(|(place, _, _)| *place).collect(),
            accept,
            stop_after: self.stop_after.map(StopAfterConfig::plan),
            target: drawn.map(|(target, _)| target),
        };
        let items = self.items(cx, sources, &input, drawn.map(|(_, most)| most))?;
        let fields =
            collected.iter().map(|(_, name, t)| table::field(name, t)).chain([table::source_rows_field()]);
        let types = collected.iter().map(|(_, _, t)| t.clone()).chain([Type::integer()]);
        let schema = Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()));
        let key = cx.address().key();
        let mut rows = RowWriter::new(schema, types, files::parts(cx).map(|parts| (parts, key.as_str())));
        let keep = self.on_item_error == OnItemError::Keep;
        let mut reductions = self.reductions(&collected);
        let mut first: Option<String> = None;
        let counts = cx
            .run_items(&plan, items, |record| {
                let source_row = Value::Int(i64::try_from(record.index).unwrap_or(i64::MAX));
                if let (None, Err(error)) = (&first, &record.result) {
                    let at = error.at.as_ref().map(ToString::to_string).unwrap_or_default();
                    first = Some(format!("{at}: {}", error.message));
                }
                let values: Vec<Value> = match record.result {
                    Ok(values) if drawn.is_some() && accept.is_some_and(|place| !values[place].is_truthy()) => {
                        return Ok(());
                    }
                    Ok(values) => values,
                    Err(_) if keep => collected.iter().map(|_| Value::Null).collect(),
                    Err(_) => return Ok(()),
                };
                for (place, reduction) in &mut reductions {
                    reduction.add(&values[*place])?;
                }
                let row: Vec<Value> = values.into_iter().chain([source_row]).collect();
                Ok(rows.push(&row)?)
            })
            .await?;
        if counts.failed > 0 && counts.failed == counts.asked {
            let message = format!("all {} items of `{}` failed", counts.failed, cx.step_name());
            let mut error = StepError::new("map.all_failed", message);
            if let Some(first) = first {
                error = error.detail("first", first);
            }
            return Err(error);
        }
        if let Some((target, most)) = drawn.filter(|_| !cx.is_preview()) {
            until::met(target, &counts, most)?;
        }
        let table = rows.finish()?.mapped_from(&tables);
        let mut reduced = Vec::with_capacity(reductions.len());
        for (place, reduction) in reductions {
            reduced.push((place, reduction.finish(&collected[place].2)?));
        }
        Ok(Outcome::next(outputs(&collected, &table, &reduced)))
    }
}

/// The table, and each of its columns as a list that is built when somebody reads it, or as the value that it was reduced
/// to.
fn outputs(collected: &[(usize, String, Type)], table: &Table, reduced: &[(usize, Value)]) -> Ports {
    let lists = collected.iter().enumerate().map(|(column, (_, name, column_type))| {
        let given = match reduced.iter().find(|(place, _)| *place == column) {
            Some((_, value)) => value.clone(),
            None => Value::List(column_view(table, column, column_type.clone())),
        };
        (Arc::from(name.as_str()), given)
    });
    lists.chain([(Arc::<str>::from("table"), Value::Table(table.clone()))]).collect()
}
