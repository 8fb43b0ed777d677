//! Questions to the kernel that have no safe wrapper.

pub(crate) mod exit_info;
