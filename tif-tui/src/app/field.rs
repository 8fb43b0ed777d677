//! One field of a form, checked by the rules that the agent goes by.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use tif_core::limits;
use tif_core::model::value::parse_duration;
use tif_core::model::{Argument, FaultAction, ValueType};
use tif_core::wire::Announcement;
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

/// What a field must be.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Control(Arc<Announcement>),
    Argument(Argument),
    Action,
    Probability,
    Hits,
    Expiry,
}

/// One field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) label: String,
    /// What is allowed, in words.
    pub(crate) hint: String,
    pub(crate) input: Input,
    /// What is in it was put there by the screen: it is selected, and the first character typed takes its place.
    pub(crate) prefilled: bool,
    rule: Rule,
    choices: Vec<String>,
}

impl Field {
    pub(super) fn new(
        label: impl Into<String>,
        hint: impl Into<String>,
        text: impl Into<String>,
        rule: Rule,
        choices: Vec<String>,
    ) -> Field {
        let text: String = text.into();
        Field { label: label.into(), hint: hint.into(), prefilled: !text.is_empty(), input: Input::new(text), rule, choices }
    }

    pub(super) fn of_argument(argument: &Argument) -> Field {
        let choices = choices_of(argument.value_type, &argument.choices);
        let hint = if choices.is_empty() { argument.value_type.to_string() } else { choices.join(" | ") };
        let first = choices.first().cloned().unwrap_or_default();
        Field::new(&argument.name, hint, first, Rule::Argument(argument.clone()), choices)
    }

    /// What is wrong with what is typed; none if nothing is.
    // spec: TUI-2, CTL-1
    pub(crate) fn error(&self) -> Option<String> {
        let text = self.input.value();
        match &self.rule {
            Rule::Control(announcement) => announcement.descriptor.admit(text).err().map(|unfit| unfit.to_string()),
            Rule::Argument(argument) => argument.admit(text).err().map(|unfit| unfit.to_string()),
            Rule::Action => action(text).err(),
            Rule::Probability => probability(text).err(),
            Rule::Hits => hits(text).err(),
            Rule::Expiry => expiry(text).err(),
        }
    }

    /// Takes the next or the previous choice, where there are any.
    pub(crate) fn turn(&mut self, by: isize) {
        if self.choices.is_empty() {
            return;
        }
        let len = self.choices.len() as isize;
        let at = self.choices.iter().position(|choice| choice == self.input.value());
        let to = at.map_or(0, |at| (at as isize + by).rem_euclid(len));
        self.input = Input::new(self.choices[to as usize].clone());
        self.prefilled = true;
    }

    /// A key for the text. A prefilled one is replaced by what is typed and taken away by a deletion; any other key lets it be edited.
    pub(crate) fn type_into(&mut self, event: KeyEvent) {
        let typed = matches!(event.code, KeyCode::Char(_)) && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        if std::mem::take(&mut self.prefilled) && (typed || matches!(event.code, KeyCode::Backspace | KeyCode::Delete)) {
            self.input.reset();
        }
        self.input.handle_event(&Event::Key(event));
    }

    /// Whether there are choices to turn through.
    pub(crate) fn has_choices(&self) -> bool {
        !self.choices.is_empty()
    }
}

pub(super) fn choices_of(value_type: ValueType, choices: &[String]) -> Vec<String> {
    match value_type {
        ValueType::Bool => vec!["true".to_owned(), "false".to_owned()],
        ValueType::Choice => choices.to_vec(),
        _ => Vec::new(),
    }
}

pub(super) fn action(text: &str) -> Result<FaultAction, String> {
    match text.trim() {
        "count" => Ok(FaultAction::Count),
        "record" => Ok(FaultAction::Record),
        "fail" => Ok(FaultAction::Fail),
        "panic" => Ok(FaultAction::Panic),
        "pause" => Ok(FaultAction::Pause),
        other => match other.strip_prefix("delay=").and_then(parse_duration) {
            Some(delay) if delay <= limits::ARM_DELAY_MAX => Ok(FaultAction::Delay(delay)),
            Some(delay) => Err(format!("a delay of {delay:?}: at most {:?} are allowed", limits::ARM_DELAY_MAX)),
            None => Err(format!("{other:?} is not an action: write count, record, delay=50ms, fail, panic or pause")),
        },
    }
}

pub(super) fn probability(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err(format!("{text:?} is not a probability: write a number above 0 up to 1, as 0.5")),
    }
}

pub(super) fn hits(text: &str) -> Result<Option<u64>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match text.parse::<u64>() {
            Ok(hits) if hits > 0 => Ok(Some(hits)),
            _ => Err(format!("{text:?} is not a number of hits: write a whole number from 1, or nothing")),
        },
    }
}

pub(super) fn expiry(text: &str) -> Result<Duration, String> {
    match parse_duration(text.trim()) {
        Some(after) if after > Duration::ZERO && after <= limits::ARM_EXPIRY_MAX => Ok(after),
        Some(_) => Err(format!("more than zero and at most {:?} are allowed", limits::ARM_EXPIRY_MAX)),
        None => Err(format!("{text:?} is not a time: write it with its unit, as 60s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arming_that_the_agent_would_refuse_is_refused_here_with_what_would_be_right() {
        for (result, expect) in [
            (action("explode").map(drop), "delay=50ms"),
            (action("delay=2h").map(drop), "at most 60s"),
            (probability("1.5").map(drop), "up to 1"),
            (probability("NaN").map(drop), "up to 1"),
            (hits("0").map(drop), "from 1"),
            (expiry("60").map(drop), "as 60s"),
            (expiry("0s").map(drop), "more than zero"),
        ] {
            let error = result.unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
        assert_eq!(action("delay=50ms").unwrap(), FaultAction::Delay(Duration::from_millis(50)));
        assert_eq!(hits("").unwrap(), None);
    }
}
