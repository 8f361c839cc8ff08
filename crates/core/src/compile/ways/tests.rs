//! The ways, against a walk back that looks at each step; and how the work grows with the flow.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What is met on the ways back from some steps, one step at a time.
fn met(mut ahead: Vec<usize>, before: &[Vec<usize>], producers: &[Producer], first: bool) -> Reached {
    let (mut seen, mut reached) = (BTreeSet::new(), Reached { producers: Vec::new(), open: first });
    while let Some(step) = ahead.pop() {
        if !seen.insert(step) {
            continue;
        }
        if let Some(producer) = producers.iter().find(|(producer, _)| *producer == step) {
            reached.producers.push(*producer);
        } else {
            reached.open |= step == 0;
            ahead.extend(&before[step]);
        }
    }
    reached.producers.sort_unstable();
    reached
}

/// How the steps of a drawn flow hang together: mostly lines and diamonds, some ways that lead anywhere, some steps to
/// which none does.
#[derive(Clone, Debug)]
enum Joint {
    Line,
    /// So many steps beside each other after the one before, and one after them.
    Diamond(usize),
    /// A way back to so many steps before.
    Again(usize),
    From(Vec<usize>),
}

fn joint() -> impl Strategy<Value = Joint> {
    prop_oneof![
        5 => Just(Joint::Line),
        4 => (1_usize..4).prop_map(Joint::Diamond),
        2 => (0_usize..6).prop_map(Joint::Again),
        2 => prop::collection::vec(0_usize..60, 0..3).prop_map(Joint::From),
    ]
}

fn graph(joints: &[Joint]) -> Vec<Vec<usize>> {
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut anywhere: Vec<(usize, usize)> = Vec::new();
    for joint in joints {
        let at = before.len() - 1;
        match joint {
            Joint::Line => before.push(vec![at]),
            Joint::Diamond(ways) => {
                before.extend((0..*ways).map(|_| vec![at]));
                before.push((at + 1..=at + ways).collect());
            }
            Joint::Again(back) => anywhere.push((at, at.saturating_sub(*back))),
            Joint::From(some) => {
                before.push(Vec::new());
                anywhere.extend(some.iter().map(|from| (*from, at + 1)));
            }
        }
    }
    let steps = before.len();
    for (from, to) in anywhere {
        before[to].push(from % steps);
    }
    for before in &mut before {
        before.sort_unstable();
        before.dedup();
    }
    before
}

proptest! {
    #[test]
    fn the_same_is_met_as_step_by_step(
        joints in prop::collection::vec(joint(), 0..30),
        made in prop::collection::btree_map(0_usize..90, 0_usize..3, 0..8),
        last in prop::collection::btree_set(0_usize..90, 0..4),
    ) {
        let before = graph(&joints);
        let all: Vec<Producer> = made.into_iter().filter(|(step, _)| *step < before.len()).collect();
        let last: Vec<usize> = last.into_iter().filter(|step| *step < before.len()).collect();
        let (ways, producers) = (Ways::new(&before, &last), Producers::new(all.clone()));
        for step in 0..before.len() {
            let wanted = met(before[step].clone(), &before, &all, step == 0);
            prop_assert_eq!(&*ways.back_from(step, &producers), &wanted, "at {}", step);
        }
        let wanted = met(last, &before, &all, false);
        prop_assert_eq!(ways.end_is_open(&producers), wanted.open);
        prop_assert_eq!(&*ways.back_from_end(&producers), &wanted);
    }

    #[test]
    fn circles_are_the_steps_that_reach_each_other(joints in prop::collection::vec(joint(), 0..20)) {
        let before = graph(&joints);
        let mut after = vec![Vec::new(); before.len()];
        for (step, before) in before.iter().enumerate() {
            for from in before {
                after[*from].push(step);
            }
        }
        let reached: Vec<Vec<bool>> = (0..before.len())
            .map(|step| {
                let (mut seen, mut ahead) = (vec![false; before.len()], vec![step]);
                while let Some(at) = ahead.pop() {
                    if !std::mem::replace(&mut seen[at], true) {
                        ahead.extend(&after[at]);
                    }
                }
                seen
            })
            .collect();
        let circles = circles(&after);
        for (a, b) in (0..before.len()).flat_map(|a| (0..before.len()).map(move |b| (a, b))) {
            prop_assert_eq!(circles[a] == circles[b], reached[a][b] && reached[b][a], "{} and {}", a, b);
            prop_assert!(!reached[a][b] || circles[a] >= circles[b], "{} leads to {}", a, b);
        }
    }
}

/// A flow of about so many steps, who produces each name in it, and who reads which.
#[derive(Default)]
struct Drawn {
    before: Vec<Vec<usize>>,
    names: Vec<Vec<usize>>,
    reads: Vec<(usize, usize)>,
}

impl Drawn {
    fn step(&mut self, before: Vec<usize>) -> usize {
        self.before.push(before);
        self.before.len() - 1
    }

    /// A step after the last one, if there is one.
    fn next(&mut self) -> usize {
        self.step(self.before.len().checked_sub(1).into_iter().collect())
    }

    fn name(&mut self, producers: Vec<usize>) -> usize {
        self.names.push(producers);
        self.names.len() - 1
    }

    fn looked(&self) -> u64 {
        let ways = Ways::new(&self.before, &[self.before.len() - 1]);
        let producer = |step: &usize| (*step, 0);
        let names: Vec<Producers> =
            self.names.iter().map(|steps| Producers::new(steps.iter().map(producer).collect())).collect();
        for (step, name) in &self.reads {
            assert!(!ways.back_from(*step, &names[*name]).producers.is_empty());
        }
        for name in &names {
            ways.end_is_open(name);
        }
        ways.looked.get()
    }
}

/// Each step reads what the one before gives, and what the first one gave.
fn chain(steps: usize) -> Drawn {
    let mut drawn = Drawn::default();
    let first = drawn.next();
    let far = drawn.name(vec![first]);
    for step in 1..steps {
        let near = drawn.name(vec![step - 1]);
        let step = drawn.next();
        drawn.reads.extend([(step, near), (step, far)]);
    }
    drawn
}

/// Steps that part in so many ways, each of which gives the same name; where the ways meet it is read, as is another one that
/// only the first way gives, and one from the beginning.
fn diamonds(steps: usize, ways: usize) -> Drawn {
    let mut drawn = Drawn::default();
    let first = drawn.next();
    let far = drawn.name(vec![first]);
    while drawn.before.len() < steps {
        let parts = drawn.next();
        let beside: Vec<usize> = (0..ways).map(|_| drawn.step(vec![parts])).collect();
        let meets = drawn.step(beside.clone());
        let (once, all) = (drawn.name(vec![beside[0]]), drawn.name(beside.clone()));
        drawn.reads.extend([(meets, once), (meets, all), (meets, far)]);
        drawn.reads.extend(beside.iter().map(|step| (*step, far)));
    }
    drawn
}

/// The same name in all diamonds.
fn one_name(steps: usize) -> Drawn {
    let mut drawn = diamonds(steps, 2);
    let all = drawn.names.iter().skip(1).flatten().copied().collect::<BTreeSet<_>>();
    drawn.names = vec![drawn.names[0].clone(), all.into_iter().collect()];
    drawn.reads.iter_mut().for_each(|(_, name)| *name = (*name).min(1));
    drawn
}

/// Pairs of steps of which the second one may go back to the first, and all of them at last to the beginning.
fn circles_in_a_row(steps: usize) -> Drawn {
    let mut drawn = Drawn::default();
    let first = drawn.next();
    let far = drawn.name(vec![first]);
    while drawn.before.len() < steps {
        let writes = drawn.next();
        let judges = drawn.next();
        drawn.before[writes].push(judges);
        let (text, verdict) = (drawn.name(vec![writes]), drawn.name(vec![judges]));
        drawn.reads.extend([(judges, text), (writes, verdict), (writes, far)]);
    }
    let last = drawn.before.len() - 1;
    drawn.before[0].push(last);
    drawn
}

/// Each step may also go to one last step.
fn early_ends(steps: usize) -> Drawn {
    let mut drawn = chain(steps);
    drawn.step((0..steps).collect());
    drawn
}

/// Each step may fail, and then what was done is undone, the last thing first.
fn undone(steps: usize) -> Drawn {
    let mut drawn = chain(steps / 2);
    let mut before = None;
    for does in (0..steps / 2).rev() {
        let undoes = drawn.step(std::iter::once(does).chain(before).collect());
        before = Some(undoes);
        if let Some(name) = does.checked_sub(1) {
            let name = drawn.name(vec![name]);
            drawn.reads.push((undoes, name));
        }
    }
    drawn
}

/// A flow of about so many steps.
type Shape = fn(usize) -> Drawn;

#[test]
fn ten_times_the_steps_are_about_ten_times_the_work() {
    let shapes: [(&str, Shape); 8] = [
        ("chain", chain),
        ("diamonds", |steps| diamonds(steps, 2)),
        ("diamonds of ten ways", |steps| diamonds(steps, 10)),
        ("fan", |steps| diamonds(steps, steps - 4)),
        ("one name", one_name),
        ("circles", circles_in_a_row),
        ("early ends", early_ends),
        ("undone", undone),
    ];
    for (shape, drawn) in shapes {
        let (small, large) = (drawn(1_000).looked(), drawn(10_000).looked());
        assert!(large <= 12 * small, "{shape}: {small} and {large}");
    }
}
