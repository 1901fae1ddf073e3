//! What comes back from a file that anybody can write: anything, or what was kept with damage in it.

use proptest::prelude::*;

/// Bytes of any kind, often those that were kept with some of them cut off, replaced or put in.
pub(crate) fn damaged(kept: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = kept.len();
    let cut = {
        let kept = kept.clone();
        (0..=length).prop_map(move |end| kept[..end].to_vec())
    };
    let replaced = {
        let kept = kept.clone();
        (0..length, any::<u8>()).prop_map(move |(at, byte)| {
            let mut bytes = kept.clone();
            bytes[at] = byte;
            bytes
        })
    };
    let put_in = (0..=length, "[0-9\"{}\\[\\],:.e-]{1,24}").prop_map(move |(at, text)| {
        let mut bytes = kept.clone();
        bytes.splice(at..at, text.into_bytes());
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), cut, replaced, put_in]
}
