//! What a check may take away to see that it is needed. In a build without the feature `defects` nothing can be taken away.

/// The rules of the protocol, as numbered in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are in the table of the module")]
pub enum Rule {
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 9] = [Rule::R1, Rule::R2, Rule::R3, Rule::R4, Rule::R5, Rule::R6, Rule::R7, Rule::R8, Rule::R9];
}

/// The rule that is not kept, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Defects {
    #[cfg(any(test, feature = "defects"))]
    without: Option<Rule>,
}

impl Defects {
    /// Every rule is kept.
    pub const fn none() -> Defects {
        Defects {
            #[cfg(any(test, feature = "defects"))]
            without: None,
        }
    }

    /// Every rule but one.
    #[cfg(any(test, feature = "defects"))]
    pub const fn without(rule: Rule) -> Defects {
        Defects { without: Some(rule) }
    }

    /// Whether a rule is kept.
    pub(super) fn keeps(self, rule: Rule) -> bool {
        #[cfg(any(test, feature = "defects"))]
        return self.without != Some(rule);
        #[cfg(not(any(test, feature = "defects")))]
        {
            let _ = rule;
            true
        }
    }
}
