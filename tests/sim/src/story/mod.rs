//! What happened, so that a person can read it: one line for each thing that was said, done or suffered.

mod brief;
mod words;

use std::fmt;

use crate::world::SECOND;

pub use brief::brief;
pub use words::{between, said, told, wanted, written};

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// At which event.
    pub step: u64,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// On which CPU; 0: between them.
    pub cpu: u32,
    /// Who did it or hears it: the agent, a process, or nobody.
    pub who: String,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / SECOND as f64;
        let cpu = if self.cpu == 0 { "-".to_owned() } else { format!("cpu{}", self.cpu) };
        write!(f, "{:>7} {seconds:>11.6}s {cpu:<5} {:<16} {}", self.step, self.who, self.what)
    }
}

/// Which lines of a timeline are to be shown.
#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    /// Of these CPUs, and what is between them; none: of all.
    pub cpus: Vec<u32>,
    /// With all of these words in them.
    pub words: Vec<String>,
    /// And none of these.
    pub without: Vec<String>,
    /// From here on.
    pub from: Option<Point>,
    /// Up to here.
    pub until: Option<Point>,
}

impl Excerpt {
    /// Whether a line is one of them.
    pub fn has(&self, line: &Line) -> bool {
        let is_of_cpu = self.cpus.is_empty() || line.cpu == 0 || self.cpus.contains(&line.cpu);
        let has = |word: &String| line.to_string().contains(word);
        is_of_cpu
            && self.from.is_none_or(|from| from.reached(line))
            && self.until.is_none_or(|until| !until.passed(line))
            && self.words.iter().all(has)
            && !self.without.iter().any(has)
    }
}

/// A place in a timeline: a step, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The number of an event.
    Step(u64),
    /// Simulated nanoseconds.
    Time(u64),
}

impl Point {
    fn reached(self, line: &Line) -> bool {
        match self {
            Point::Step(step) => line.step >= step,
            Point::Time(at) => line.at >= at,
        }
    }

    fn passed(self, line: &Line) -> bool {
        match self {
            Point::Step(step) => line.step > step,
            Point::Time(at) => line.at > at,
        }
    }
}

/// `4711` is a step, `12.5s` and `800ms` are times.
impl std::str::FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        let wrong = || format!("{text:?} is neither a step like 4711 nor a time like 12.5s or 800ms");
        let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(number), _) => (number, 1e6),
            (None, Some(number)) => (number, 1e9),
            (None, None) => return text.parse().map(Point::Step).map_err(|_| wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        if number.is_finite() && number >= 0.0 { Ok(Point::Time((number * unit) as u64)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, ms: u64, cpu: u32) -> Line {
        Line { step, at: ms * 1_000_000, cpu, who: "agent".into(), what: "hears the bell".into() }
    }

    #[test]
    fn a_point_is_a_step_or_a_time() {
        assert_eq!("4711".parse(), Ok(Point::Step(4711)));
        assert_eq!("12.5s".parse(), Ok(Point::Time(12_500_000_000)));
        assert_eq!("800ms".parse(), Ok(Point::Time(800_000_000)));
        for wrong in ["", "s", "-1s", "soon", "infs"] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_excerpt_has_its_cpus_its_words_and_its_bounds() {
        let excerpt = Excerpt {
            cpus: vec![2],
            words: vec!["agent".into(), "bell".into()],
            without: vec!["whistle".into()],
            from: Some(Point::Step(5)),
            until: Some(Point::Time(900_000_000)),
        };
        assert!(excerpt.has(&line(5, 900, 2)));
        assert!(excerpt.has(&line(5, 900, 0)));
        assert!(!excerpt.has(&line(5, 900, 1)));
        assert!(!excerpt.has(&line(4, 900, 2)));
        assert!(!excerpt.has(&line(5, 901, 2)));
        assert!(!excerpt.has(&Line { what: "is silent".into(), ..line(5, 900, 2) }));
        assert!(!excerpt.has(&Line { what: "hears the bell and the whistle".into(), ..line(5, 900, 2) }));
    }
}
