//! Steps that can run again after themselves.

/// The number of the circle that each step belongs to, after the steps that follow each; a step that is in none has a
/// number of its own. What follows a circle has a smaller number than the circle.
pub(in crate::compile) fn circles(after: &[Vec<usize>]) -> Vec<usize> {
    let mut finder = Finder {
        after,
        number: vec![0; after.len()],
        lowest: vec![0; after.len()],
        circle: vec![usize::MAX; after.len()],
        open: Vec::new(),
        numbers: 0,
        circles: 0,
    };
    for step in 0..after.len() {
        if finder.number[step] == 0 {
            finder.walk(step);
        }
    }
    finder.circle
}

/// The method of Tarjan, without recursion: flows are longer than stacks.
struct Finder<'a> {
    after: &'a [Vec<usize>],
    /// When each step was come to, from one on.
    number: Vec<usize>,
    /// The first number that is reached from each step.
    lowest: Vec<usize>,
    circle: Vec<usize>,
    /// Steps whose circle is not known yet.
    open: Vec<usize>,
    numbers: usize,
    circles: usize,
}

impl Finder<'_> {
    fn walk(&mut self, from: usize) {
        self.enter(from);
        // Each with how many of the steps after it are done.
        let mut way = vec![(from, 0)];
        while let Some((step, done)) = way.last_mut() {
            let step = *step;
            if let Some(next) = self.after[step].get(*done).copied() {
                *done += 1;
                if self.number[next] == 0 {
                    self.enter(next);
                    way.push((next, 0));
                } else if self.circle[next] == usize::MAX {
                    self.lowest[step] = self.lowest[step].min(self.number[next]);
                }
                continue;
            }
            way.pop();
            if let Some((above, _)) = way.last() {
                self.lowest[*above] = self.lowest[*above].min(self.lowest[step]);
            }
            if self.lowest[step] == self.number[step] {
                self.close(step);
            }
        }
    }

    fn enter(&mut self, step: usize) {
        self.numbers += 1;
        (self.number[step], self.lowest[step]) = (self.numbers, self.numbers);
        self.open.push(step);
    }

    fn close(&mut self, first: usize) {
        while let Some(step) = self.open.pop() {
            self.circle[step] = self.circles;
            if step == first {
                break;
            }
        }
        self.circles += 1;
    }
}
