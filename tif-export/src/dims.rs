//! Dimensions in a service's code.

use std::fmt::Display;

use tif_core::limits;
use tif_core::model::Dimensions;

/// What tells an instance from others of the same instruments: `tif::dims![shard = 3, tier = "gold"]`.
#[derive(Clone, Debug, Default)]
pub struct Dims(Vec<(String, String)>);

/// Makes [`Dims`]: `dims![shard = 3, tier = "gold"]`.
#[macro_export]
macro_rules! dims {
    ($($key:ident = $value:expr),* $(,)?) => {
        $crate::Dims::default()$(.with(::core::stringify!($key), $value))*
    };
}

impl Dims {
    /// The same and one more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Dims {
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    /// As they are exported. They come from the service's data: what cannot stand in a dimension becomes `_`, what is too long is cut,
    /// what is too many is left out. Never an error in the middle of a service.
    pub(crate) fn into_dimensions(self) -> Dimensions {
        let given = self.0.clone();
        let count = self.0.len().clamp(1, limits::DIMENSIONS_MAX);
        let room = limits::DIMENSIONS_LEN_MAX / count;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in self.0.into_iter().take(limits::DIMENSIONS_MAX) {
            let key = tidy(&key.to_lowercase(), room / 3, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            // The comma and the equals sign take two bytes.
            let value = tidy(&value, room - key.len() - 2, |c| !"{}=,@#*\"".contains(c) && !c.is_control() && !c.is_whitespace());
            if pairs.iter().all(|(k, _)| *k != key) {
                pairs.push((key, value));
            }
        }
        if pairs != given {
            // Another's may be made the same: whoever looks for an instance that is not seen finds here why.
            tracing::warn!(target: "tif::export", ?given, made = ?pairs, "dimensions were made fit");
        }
        Dimensions::new(pairs).unwrap_or_else(|problem| {
            tracing::error!(target: "tif::export", %problem, "dimensions that cannot be exported were left out");
            Dimensions::NONE
        })
    }
}

fn tidy(text: &str, max: usize, allowed: impl Fn(char) -> bool) -> String {
    let tidied: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let cut = crate::value::cut(&tidied, max.max(1));
    if cut.is_empty() { "_".to_owned() } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_data_make_dimensions() {
        assert_eq!(dims![shard = 3, tier = "gold"].into_dimensions().inner_text(), "shard=3,tier=gold");
        assert_eq!(dims![who = "a b,{c}", empty = ""].into_dimensions().inner_text(), "empty=_,who=a_b__c_");
        let long = dims![a = "é".repeat(500), b = "x".repeat(500)].into_dimensions();
        assert_eq!(long.iter().count(), 2);
        let many = (0..20).fold(Dims::default(), |dims, i| dims.with(&format!("key{i}"), i)).into_dimensions();
        assert_eq!(many.iter().count(), limits::DIMENSIONS_MAX);
    }
}
