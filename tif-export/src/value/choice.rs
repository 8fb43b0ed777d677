//! Enums as values.

/// An enum without fields whose variants are the choices. Derive it: `#[derive(Clone, Copy, tif::Choice)]`.
pub trait Choice: Copy + Send + Sync + 'static {
    /// What the choices are called outside, in order.
    const NAMES: &'static [&'static str];
    /// Which one it is.
    fn index(self) -> u32;
    /// The reverse; none if there are not so many.
    fn from_index(index: u32) -> Option<Self>;
}

/// Makes a [`Choice`] a value. Part of what `#[derive(Choice)]` generates: one impl for all choices would exclude every other type.
#[doc(hidden)]
#[macro_export]
macro_rules! choice_is_scalar {
    ($ty:ty) => {
        impl $crate::Shown for $ty {
            const TYPE: $crate::ValueType = $crate::ValueType::Choice;
            type Cell = $crate::declare::ScalarCell;
            fn choices() -> ::std::vec::Vec<::std::string::String> {
                <$ty as $crate::Choice>::NAMES.iter().map(|name| ::std::string::String::from(*name)).collect()
            }
            fn to_value(&self) -> $crate::Value {
                $crate::Value::Choice($crate::Choice::index(*self))
            }
            fn from_value(value: &$crate::Value) -> ::core::option::Option<Self> {
                match value {
                    $crate::Value::Choice(index) => $crate::Choice::from_index(*index),
                    _ => ::core::option::Option::None,
                }
            }
        }
        impl $crate::Scalar for $ty {
            #[inline]
            fn to_bits(self) -> u64 {
                u64::from($crate::Choice::index(self))
            }
            #[inline]
            fn from_bits(bits: u64) -> Self {
                // Bits that no choice has never get here from outside; the first choice keeps this total.
                match <$ty as $crate::Choice>::from_index(bits as u32) {
                    ::core::option::Option::Some(choice) => choice,
                    ::core::option::Option::None => $crate::declare::first_choice(),
                }
            }
        }
    };
}
