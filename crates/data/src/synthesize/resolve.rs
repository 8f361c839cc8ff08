//! From what a flow says about a column to the sampler that makes it.

use std::collections::HashSet;
use std::sync::Arc;

use flowrun_core::seed::Key;
use flowrun_core::table::TableError;
use flowrun_core::template::Expression;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;

use super::compose::{ComputedColumn, OneOrAnother};
use super::draw::{Groups, Pick, PickGrouped, PickWeighted};
use super::fake::{Bound, bind};
use super::lookup::{Domain, Parent, Tuples};
use super::numbers::{Identifier, InOrder, Whole, normal, uniform};
use super::sampler::{Dictionary, NONE, Sampler, code};
use super::seed_columns::Seed;
use super::spec::{self, ColumnSpec, Mapping, Nulls, Weighted};
use super::text::{MadeUp, MadeUpOnce};
use crate::batch::{type_of_values, unify};

type Made = Result<Box<dyn Sampler>, TableError>;

/// Makes the samplers of a table, in dependency order.
pub(super) struct Resolver<'a> {
    pub(super) columns: &'a IndexMap<String, ColumnSpec>,
    pub(super) seed: Option<&'a Seed>,
    /// The samplers made so far, by the column's place.
    pub(super) made: Vec<Option<Box<dyn Sampler>>>,
}

impl Resolver<'_> {
    /// The sampler of a column, or of one branch of it, which draws by `key`.
    pub(super) fn sampler(&self, name: &str, spec: &ColumnSpec, key: Key) -> Made {
        Ok(match spec {
            ColumnSpec::Categorical(c) => return self.categorical(name, c, key),
            ColumnSpec::Mapped(m) => return self.mapped(name, m, key),
            ColumnSpec::Joint(j) => return self.joint(name, j, key),
            ColumnSpec::When(w) => return self.when(name, w, &key),
            ColumnSpec::Fake(f) => fake(name, f, key)?,
            ColumnSpec::Choice(c) => pick_value(key, &c.values)?,
            ColumnSpec::Uniform(u) if u.integer => Box::new(Whole::new(key, u)),
            ColumnSpec::Uniform(u) => Box::new(uniform(key, u)),
            ColumnSpec::Normal(n) => Box::new(normal(key, n)),
            ColumnSpec::Sequence(s) => {
                Box::new(InOrder { name: name.to_owned(), column: spec.static_type(), spec: s.clone() })
            }
            ColumnSpec::Uuid(_) => Box::new(Identifier { key, column: Type::string() }),
            ColumnSpec::Expression(e) => self.computed(name, e, spec.static_type())?,
            ColumnSpec::Constant(c) => pick_value(key, std::slice::from_ref(&c.value))?,
        })
    }

    fn seed(&self, name: &str) -> Result<&Seed, TableError> {
        self.seed.ok_or_else(|| {
            TableError::new(
                "synthesize.no_seed",
                format!("column `{name}` draws from a seed table, and there is none"),
            )
            .with_help("wire the step's `seed_table`, or give `values:`")
        })
    }

    fn place(&self, name: &str) -> usize {
        // Names were checked; an absent one would be reported when a row is read.
        self.columns.get_index_of(name).unwrap_or(usize::MAX)
    }

    fn parent(&self, name: &str, domain: Domain) -> Parent {
        let place = self.place(name);
        let sampler = self.made.get(place).and_then(Option::as_ref);
        let dictionary = sampler.and_then(|s| s.dictionary()).map(|d| &**d);
        Parent::new(place, name, dictionary, domain)
    }

    fn categorical(&self, name: &str, spec: &spec::Categorical, key: Key) -> Made {
        let (values, weights) = match (&spec.values, &spec.weights) {
            (Some(Weighted::List(values)), None) => return pick_value(key, values),
            (Some(Weighted::List(values)), Some(weights)) => (values.clone(), weights.clone()),
            (Some(Weighted::Map(map)), _) => {
                (map.keys().map(|k| Value::from(k.as_str())).collect(), map.values().copied().collect())
            }
            (None, _) => {
                let coded = self.seed(name)?.coded(spec.column.as_deref().unwrap_or(name), name)?;
                if spec.nulls == Nulls::Keep {
                    let dictionary = Arc::clone(&coded.dictionary);
                    return Ok(Box::new(Pick { key, dictionary, items: coded.codes.clone() }));
                }
                let items: Vec<u32> = coded.codes.iter().copied().filter(|c| *c != coded.null).collect();
                let dictionary = without_null(&coded.dictionary);
                return Ok(Box::new(Pick { key, dictionary, items: not_empty(items, name)? }));
            }
        };
        let dictionary = Dictionary::of_values(&type_of_values(&values), &values)?;
        let sums = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Ok(Box::new(PickWeighted { key, dictionary, sums: sums.collect() }))
    }

    /// Tuples of the seed's columns that stand for `by`, and the group of each row of the seed.
    fn seed_groups(
        &self,
        name: &str,
        by: &[String],
        from: Option<&[String]>,
    ) -> Result<(Tuples, Vec<u32>), TableError> {
        let seed = self.seed(name)?;
        let mut parents = Vec::with_capacity(by.len());
        let mut columns = Vec::with_capacity(by.len());
        for (ours, theirs) in by.iter().zip(from.unwrap_or(by)) {
            let coded = seed.coded(theirs, name)?;
            let domain = Domain::of_seed(coded.by_key.clone(), coded.dictionary.column.clone());
            parents.push(self.parent(ours, domain));
            columns.push(coded);
        }
        let mut tuples = Tuples::new(parents);
        let rows = columns.first().map_or(0, |c| c.codes.len());
        let mut tuple = vec![NONE; columns.len()];
        let groups = (0..rows).map(|row| {
            tuple.iter_mut().zip(&columns).for_each(|(code, column)| *code = column.codes[row]);
            tuples.intern(&tuple)
        });
        let groups = groups.collect();
        tuples.settle();
        Ok((tuples, groups))
    }

    fn mapped(&self, name: &str, spec: &spec::Mapped, key: Key) -> Made {
        if let Some(mapping) = &spec.values {
            return self.mapped_by(name, &spec.by, mapping, key);
        }
        let (tuples, groups) = self.seed_groups(name, &spec.by, spec.from.as_deref())?;
        let coded = self.seed(name)?.coded(spec.column.as_deref().unwrap_or(name), name)?;
        let mut lists = vec![Vec::new(); groups.iter().max().map_or(0, |g| *g as usize + 1)];
        let mut seen = HashSet::new();
        for (group, value) in groups.iter().zip(&coded.codes) {
            if spec.by_frequency || seen.insert((*group, *value)) {
                lists[*group as usize].push(*value);
            }
        }
        // A null counts only where a group has nothing else: it says that the value is not known, not which one.
        let mut nulls = false;
        for list in &mut lists {
            if list.iter().any(|value| *value != coded.null) {
                list.retain(|value| *value != coded.null);
            } else {
                nulls = true;
            }
        }
        let dictionary = if nulls { Arc::clone(&coded.dictionary) } else { without_null(&coded.dictionary) };
        let groups = Groups::new(lists);
        Ok(Box::new(PickGrouped { key, name: name.to_owned(), tuples, groups, dictionary, otherwise: None }))
    }

    /// As [`Resolver::mapped`], from a given map.
    fn mapped_by(&self, name: &str, by: &[String], mapping: &Mapping, key: Key) -> Made {
        let mut keys: Vec<Vec<&str>> = vec![Vec::new(); by.len()];
        let mut ends: Vec<(Vec<&str>, &[Value])> = Vec::new();
        collect(mapping, &mut Vec::new(), &mut keys, &mut ends);
        let parents = by.iter().zip(keys).map(|(parent, keys)| self.parent(parent, Domain::of_keys(keys)));
        let mut tuples = Tuples::new(parents.collect());
        let mut lists = Vec::with_capacity(ends.len());
        let mut next = 0;
        for (way, values) in &ends {
            let codes: Vec<u32> = way.iter().enumerate().map(|(level, k)| tuples.code_of_key(level, k)).collect();
            tuples.intern(&codes);
            let last = next + code(values.len());
            lists.push((next..last).collect());
            next = last;
        }
        tuples.settle();
        let values = mapping.leaves();
        let column = type_of_values(values.iter().copied());
        let dictionary = Dictionary::of_values(&column, values)?;
        let groups = Groups::new(lists);
        Ok(Box::new(PickGrouped { key, name: name.to_owned(), tuples, groups, dictionary, otherwise: None }))
    }

    fn joint(&self, name: &str, spec: &spec::Joint, key: Key) -> Made {
        let (tuples, groups) = self.seed_groups(name, &spec.by, spec.from.as_deref())?;
        let (values, column) = self.seed(name)?.column(spec.column.as_deref().unwrap_or(name), name)?;
        let mut lists = vec![Vec::new(); groups.iter().max().map_or(0, |g| *g as usize + 1)];
        let mut all = Vec::new();
        let known = (0..values.len()).filter(|row| values.is_valid(*row));
        for row in known {
            lists[groups[row] as usize].push(code(row));
            all.push(code(row));
        }
        let dictionary = without_null(&Dictionary { values: Arc::clone(values), column });
        Ok(Box::new(PickGrouped {
            key,
            name: name.to_owned(),
            tuples,
            groups: Groups::new(lists),
            dictionary,
            otherwise: Some(not_empty(all, name)?),
        }))
    }

    fn when(&self, name: &str, spec: &spec::When, key: &Key) -> Made {
        let mut branches = Vec::with_capacity(spec.is.len() + 1);
        let is = key.column("is");
        for (value, branch) in &spec.is {
            branches.push(self.sampler(name, branch, is.column(value))?);
        }
        branches.push(match &spec.otherwise {
            Some(branch) => self.sampler(name, branch, key.column("else"))?,
            None => pick_value(key.column("else"), &[Value::Null])?,
        });
        let column = branches.iter().map(|b| b.column().clone()).reduce(|a, b| unify(&a, &b));
        let chooser = self.parent(&spec.column, Domain::of_keys(spec.is.keys().map(String::as_str)));
        Ok(Box::new(OneOrAnother { column: column.unwrap_or_else(Type::any), chooser, branches }))
    }

    fn computed(&self, name: &str, spec: &spec::Computed, column: Type) -> Made {
        let expression = Expression::parse(&spec.value)
            .map_err(|e| TableError::new("synthesize.config", format!("column `{name}`: {e}")))?;
        let reads = expression.variables().iter().map(|v| (v.name.clone(), self.place(&v.name))).collect();
        Ok(Box::new(ComputedColumn { name: name.to_owned(), column, expression, reads }))
    }
}

/// The ways through a mapping to its lists, and the keys of each level.
fn collect<'a>(
    mapping: &'a Mapping,
    way: &mut Vec<&'a str>,
    keys: &mut [Vec<&'a str>],
    ends: &mut Vec<(Vec<&'a str>, &'a [Value])>,
) {
    match mapping {
        Mapping::Values(values) => ends.push((way.clone(), values)),
        Mapping::By(map) => {
            for (key, next) in map {
                keys[way.len()].push(key);
                way.push(key);
                collect(next, way, keys, ends);
                way.pop();
            }
        }
    }
}

fn pick_value(key: Key, values: &[Value]) -> Made {
    let dictionary = Dictionary::of_values(&type_of_values(values), values)?;
    Ok(Box::new(Pick { key, items: (0..code(values.len())).collect(), dictionary }))
}

fn fake(name: &str, spec: &spec::Fake, key: Key) -> Made {
    let make = bind(&spec.kind, spec.locale).ok_or_else(|| {
        let message = format!("column `{name}`: nothing is known about how to make up `{}`", spec.kind);
        TableError::new("synthesize.config", message)
    })?;
    Ok(match make {
        Bound::Text(make) if spec.unique => Box::new(MadeUpOnce::new(key, name, &spec.kind, make)),
        make => Box::new(MadeUp { key, column: super::fake::type_of_kind(&spec.kind), make }),
    })
}

/// The same values where a null is never drawn.
fn without_null(dictionary: &Dictionary) -> Arc<Dictionary> {
    let column = dictionary.column.without_null().clone();
    Arc::new(Dictionary { values: Arc::clone(&dictionary.values), column })
}

fn not_empty(items: Vec<u32>, name: &str) -> Result<Vec<u32>, TableError> {
    if items.is_empty() {
        let message = format!("column `{name}`: the seed has nothing but nulls to draw from");
        return Err(TableError::new("synthesize.no_values", message));
    }
    Ok(items)
}
