//! What is kept beside a state: which generation of the object it shows, and as of which state of
//! the world a preview of it is asked for.

use reconciler_api::v1::WorldToken;
use serde::{Deserialize, Serialize};

/// The version of the form below.
const VERSION: u32 = 1;

/// The private part of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    v: u32,
    /// The generation that was read or written last.
    pub(super) generation: u64,
    /// The state of the world that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<WorldToken>,
}

impl Kept {
    pub(super) const fn new(generation: u64, token: Option<WorldToken>) -> Self {
        Self { v: VERSION, generation, token }
    }

    /// Reads it. None if there is none, or it is of a newer version of the provider: the next
    /// refresh writes it anew.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|kept: &Self| kept.v == VERSION)
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("numbers and texts are JSON")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::damaged::damaged;

    proptest! {
        #[test]
        fn what_is_read_of_anything_is_what_is_written(
            bytes in damaged(Kept::new(u64::MAX, Some(WorldToken(7))).to_bytes()),
        ) {
            if let Some(kept) = Kept::from_bytes(&bytes) {
                prop_assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept));
            }
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        for kept in [Kept::new(1, None), Kept::new(u64::MAX, Some(WorldToken(7)))] {
            assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept));
        }
        assert_eq!(Kept::from_bytes(b""), None);
        assert_eq!(Kept::from_bytes(br#"{"v":2,"generation":1}"#), None);
    }
}
