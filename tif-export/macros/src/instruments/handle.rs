//! Which handle a field is, and which attributes and values go with it.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{GenericArgument, PathArguments, Type};

use crate::errors::Errors;
use crate::name::did_you_mean;

/// The handle of a field.
pub enum Handle {
    Counter,
    Indicator(Value),
    Dynamic(Value),
    Control(Value),
    Histogram,
    TestPoint(Option<Type>),
    Nested,
}

/// The type of a value, as far as its name tells.
pub struct Value {
    /// As written.
    pub ty: Type,
    /// What it is.
    pub class: Class,
}

/// What can be said of values of a type.
#[derive(Clone, Copy, PartialEq)]
pub enum Class {
    Bool,
    /// Whole numbers between the two.
    Whole(i128, i128),
    Float,
    Text,
    Duration,
    /// Any other type: it has to be a choice, which the compiler will see.
    Choice,
}

impl Class {
    /// Whether limits, ranges and dead-bands make sense.
    pub fn is_number(self) -> bool {
        matches!(self, Class::Whole(..) | Class::Float | Class::Duration)
    }
}

const HANDLES: [&str; 6] = ["Counter", "Indicator", "Dynamic", "Control", "Histogram", "TestPoint"];

impl Handle {
    /// From a field's type. A mistake is reported at the type; the field then counts as nothing.
    pub fn read(ty: &Type, nested: bool, errors: &mut Errors) -> Option<Handle> {
        if nested {
            return Some(Handle::Nested);
        }
        let Some(segment) = last_segment(ty) else {
            errors.at(ty.span(), format!("not an instrument: use one of {}", HANDLES.join(", ")));
            return None;
        };
        let word = segment.ident.to_string();
        let argument = match &segment.arguments {
            PathArguments::AngleBracketed(list) => list.args.iter().find_map(|a| match a {
                GenericArgument::Type(t) => Some(t.clone()),
                _ => None,
            }),
            _ => None,
        };
        let value = |argument: Option<Type>, errors: &mut Errors| match argument {
            Some(ty) => Value::read(ty, errors),
            None => {
                errors.at(ty.span(), format!("of what type? write {word}<u64>, for example"));
                None
            }
        };
        Some(match word.as_str() {
            "Counter" => Handle::Counter,
            "Histogram" => Handle::Histogram,
            "TestPoint" => Handle::TestPoint(argument),
            "Indicator" => Handle::Indicator(value(argument, errors)?),
            "Dynamic" => Handle::Dynamic(value(argument, errors)?),
            "Control" => Handle::Control(value(argument, errors)?),
            _ => {
                let near = did_you_mean(&word, HANDLES.into_iter());
                errors.at(
                    ty.span(),
                    format!(
                        "`{word}` is not an instrument{near}\nuse one of {}; a struct of instruments is marked with #[tif(nested)]",
                        HANDLES.join(", ")
                    ),
                );
                return None;
            }
        })
    }

    /// What it is called in messages.
    pub fn word(&self) -> &'static str {
        match self {
            Handle::Counter => "a counter",
            Handle::Indicator(_) => "an indicator",
            Handle::Dynamic(_) => "a dynamic indicator",
            Handle::Control(_) => "a control",
            Handle::Histogram => "a histogram",
            Handle::TestPoint(_) => "a test point",
            Handle::Nested => "a nested struct",
        }
    }

    /// The attributes that it takes.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            Handle::Counter => &["name", "unit", "deadband", "relative", "at_most_every", "at_least_every", "warn", "critical"],
            Handle::Indicator(_) => &[
                "name",
                "unit",
                "range",
                "step",
                "deadband",
                "deadband_up",
                "deadband_down",
                "relative",
                "at_most_every",
                "at_least_every",
                "warn",
                "critical",
                "warn_below",
                "critical_below",
                "hysteresis",
            ],
            Handle::Dynamic(_) => &[
                "name",
                "unit",
                "every",
                "range",
                "step",
                "deadband",
                "deadband_up",
                "deadband_down",
                "relative",
                "at_most_every",
                "at_least_every",
                "warn",
                "critical",
                "warn_below",
                "critical_below",
                "hysteresis",
            ],
            Handle::Control(_) => &[
                "name",
                "unit",
                "default",
                "range",
                "step",
                "memorized",
                "validated",
                "writers",
                "deadband",
                "deadband_up",
                "deadband_down",
                "relative",
                "at_most_every",
                "at_least_every",
                "warn",
                "critical",
                "warn_below",
                "critical_below",
                "hysteresis",
            ],
            Handle::Histogram => &["name", "unit", "step", "at_most_every", "at_least_every"],
            Handle::TestPoint(_) => &["name"],
            Handle::Nested => &["nested", "name"],
        }
    }

    /// What class of value it shows.
    pub fn class(&self) -> Option<Class> {
        match self {
            Handle::Counter => Some(Class::Whole(0, u64::MAX as i128)),
            Handle::Indicator(v) | Handle::Dynamic(v) | Handle::Control(v) => Some(v.class),
            Handle::Histogram => Some(Class::Float),
            Handle::TestPoint(_) | Handle::Nested => None,
        }
    }
}

impl Value {
    fn read(ty: Type, errors: &mut Errors) -> Option<Value> {
        let span = ty.span();
        let class = class_of(&ty, span, errors)?;
        Some(Value { ty, class })
    }
}

/// The class of a type by its name; a type that can never be a value is reported.
pub fn class_of(ty: &Type, span: Span, errors: &mut Errors) -> Option<Class> {
    let word = last_segment(ty).map(|s| s.ident.to_string()).unwrap_or_default();
    let instead = match word.as_str() {
        "bool" => return Some(Class::Bool),
        "i64" => return Some(Class::Whole(i64::MIN as i128, i64::MAX as i128)),
        "u64" => return Some(Class::Whole(0, u64::MAX as i128)),
        "i32" => return Some(Class::Whole(i32::MIN as i128, i32::MAX as i128)),
        "u32" => return Some(Class::Whole(0, u32::MAX as i128)),
        "f64" => return Some(Class::Float),
        "String" => return Some(Class::Text),
        "Duration" => return Some(Class::Duration),
        "u8" | "u16" => "u32",
        "usize" | "u128" => "u64",
        "i8" | "i16" => "i32",
        "isize" | "i128" => "i64",
        "f32" => "f64",
        "str" | "char" => "String",
        _ if matches!(ty, Type::Reference(_)) => "String",
        // A choice is an enum without fields: it has no arguments.
        _ if last_segment(ty).is_some_and(|s| s.arguments.is_none()) => return Some(Class::Choice),
        _ => "bool, i32, u32, i64, u64, f64, String, Duration or an enum that derives tif::Choice",
    };
    errors.at(span, format!("a value cannot be of this type: use {instead}"));
    None
}

/// The last part of a type's path: `Control` of `tif::Control<u32>`.
pub fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(p) if p.qself.is_none() => p.path.segments.last(),
        Type::Group(g) => last_segment(&g.elem),
        Type::Paren(p) => last_segment(&p.elem),
        _ => None,
    }
}
