//! A form: fields that are checked before anything is sent, by the same rules that the agent goes by.

use std::time::Duration;

use tif_core::limits;
use tif_core::model::{Arming, Kind, TestPointKind, Unit};

use super::field::{Field, Rule, action, choices_of, expiry, hits, probability};
use crate::backend::Request;
use crate::model::row::{Row, RowId};

/// What the form is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Purpose {
    /// Change a control that showed this when the form was opened.
    Set { old: String },
    /// Call a procedure that may take so long.
    Fire { timeout: Duration },
    /// Arm a test point.
    Arm,
}

/// Fields, and what they are for.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The instrument.
    pub(crate) row: RowId,
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) purpose: Purpose,
    /// What one should know before filling it in.
    pub(crate) about: Vec<String>,
    pub(crate) fields: Vec<Field>,
    pub(crate) cursor: usize,
    /// Errors of empty fields are shown only after Enter was pressed.
    pub(crate) tried: bool,
}

impl Form {
    /// To change the control of this row; none if it is none.
    pub(crate) fn set(id: RowId, row: &Row) -> Option<Form> {
        let descriptor = &row.announcement.descriptor;
        if !descriptor.is_control() {
            return None;
        }
        let old = row.shown_value();
        let choices = choices_of(descriptor.value_type, &descriptor.choices);
        let mut hint = descriptor.value_type.to_string();
        if !choices.is_empty() {
            hint = choices.join(" | ");
        }
        if let Some((min, max)) = descriptor.range {
            hint.push_str(&format!(", {min} to {max}"));
        }
        if let Some(step) = descriptor.step {
            hint.push_str(&format!(", steps of {step}"));
        }
        if let Some(default) = &descriptor.default {
            hint.push_str(&format!(", default {}", default.show(&descriptor.choices)));
        }
        let text = if row.value().is_some() { old.clone() } else { String::new() };
        let field = Field::new("value", hint, text, Rule::Control(row.announcement.clone()), choices);
        Some(Form::new(id, row, Purpose::Set { old }, vec![field]))
    }

    /// To call the procedure of this row; none if it is none.
    pub(crate) fn fire(id: RowId, row: &Row) -> Option<Form> {
        let Kind::TestPoint(TestPointKind::Procedure { arguments, returns, timeout, .. }) = &row.announcement.descriptor.kind else {
            return None;
        };
        let mut form = Form::new(id, row, Purpose::Fire { timeout: *timeout }, arguments.iter().map(Field::of_argument).collect());
        form.about.push(format!("answers {returns}, within {timeout:?}"));
        Some(form)
    }

    /// To arm the test point of this row; none if it is none.
    pub(crate) fn arm(id: RowId, row: &Row) -> Option<Form> {
        let Kind::TestPoint(TestPointKind::InPath { .. }) = &row.announcement.descriptor.kind else { return None };
        let actions = ["count", "record", "delay=50ms", "fail", "panic", "pause"].map(str::to_owned).to_vec();
        let fields = vec![
            Field::new("action", actions.join(" | "), "count", Rule::Action, actions),
            Field::new("probability", "share of the passes, 0 to 1", "1", Rule::Probability, Vec::new()),
            Field::new("hits", "disarm after so many; empty: no limit", "", Rule::Hits, Vec::new()),
            Field::new("for", "disarm after this time, as 60s", format!("{:?}", limits::ARM_EXPIRY_DEFAULT), Rule::Expiry, Vec::new()),
        ];
        Some(Form::new(id, row, Purpose::Arm, fields))
    }

    fn new(id: RowId, row: &Row, purpose: Purpose, fields: Vec<Field>) -> Form {
        let descriptor = &row.announcement.descriptor;
        let about = vec![descriptor.help.clone()];
        Form { row: id, name: row.address.clone(), unit: descriptor.unit, purpose, about, fields, cursor: 0, tried: false }
    }

    /// The request that the fields make.
    ///
    /// # Errors
    /// With the first field that is wrong; the cursor goes there.
    pub(crate) fn request(&mut self) -> Result<Request, ()> {
        self.tried = true;
        if let Some(wrong) = self.fields.iter().position(|field| field.error().is_some()) {
            self.cursor = wrong;
            return Err(());
        }
        let name = self.name.clone();
        let text = |at: usize| self.fields.get(at).map_or("", |field| field.input.value().trim());
        Ok(match self.purpose {
            // Not trimmed: a text may well end with a space.
            Purpose::Set { .. } => Request::Set { name, value: self.fields.first().map_or("", |f| f.input.value()).to_owned() },
            Purpose::Fire { timeout } => {
                let arguments = self.fields.iter().map(|field| (field.label.clone(), field.input.value().to_owned())).collect();
                Request::Fire { name, arguments, timeout }
            }
            Purpose::Arm => {
                let arming = Arming {
                    action: action(text(0)).map_err(drop)?,
                    probability: probability(text(1)).map_err(drop)?,
                    hits_max: hits(text(2)).map_err(drop)?,
                    expires_after: expiry(text(3)).map_err(drop)?,
                    conditions: Vec::new(),
                    outlives_session: false,
                };
                Request::Arm { name, arming }
            }
        })
    }
}
