//! The `MessagePack` form of values, led by their type.
//!
//! Decoding is as strict as the client's own: an object has exactly its attributes, a tuple
//! exactly its elements. It never panics and never reserves memory for a length that was only
//! claimed.

mod decode;
mod encode;
mod unknown;

pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode};

/// Extension type of an unknown with promises; every other extension is a plain unknown.
const REFINED: i8 = 12;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::cty::conform::conform;
    use crate::cty::{Number, Refinement, Type, Value};

    fn any_type() -> impl Strategy<Value = Type> {
        let leaf = prop_oneof![
            Just(Type::String),
            Just(Type::Number),
            Just(Type::Bool),
            Just(Type::Dynamic)
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(Type::list),
                inner.clone().prop_map(Type::map),
                prop_oneof![Just(Type::String), Just(Type::Number)].prop_map(Type::set),
                vec(inner.clone(), 0..3).prop_map(Type::Tuple),
                btree_map("[a-c]", inner, 0..3).prop_map(Type::Object),
            ]
        })
    }

    fn value_of(ty: &Type) -> BoxedStrategy<Value> {
        let known = match ty {
            Type::String => ".{0,6}".prop_map(Value::from).boxed(),
            Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
            Type::Number => prop_oneof![
                any::<i64>().prop_map(Value::from),
                "-?[0-9]{1,25}\\.[0-9]{1,12}"
                    .prop_map(|text| Value::Number(text.parse::<Number>().unwrap())),
            ]
            .boxed(),
            Type::Dynamic => prop_oneof![
                ".{0,4}".prop_map(Value::from),
                vec(any::<i64>(), 0..3).prop_map(Value::from)
            ]
            .boxed(),
            Type::List(element) | Type::Set(element) => {
                vec(value_of(element), 0..4).prop_map(Value::List).boxed()
            }
            Type::Map(element) => {
                btree_map(".{0,3}", value_of(element), 0..3).prop_map(Value::Map).boxed()
            }
            Type::Tuple(elements) => {
                elements.iter().map(value_of).collect::<Vec<_>>().prop_map(Value::List).boxed()
            }
            Type::Object(attributes) => {
                let names: Vec<String> = attributes.keys().cloned().collect();
                let values: Vec<_> = attributes.values().map(value_of).collect();
                values
                    .prop_map(move |values| Value::object(names.iter().cloned().zip(values)))
                    .boxed()
            }
        };
        prop_oneof![
            8 => known,
            1 => Just(Value::Null),
            1 => Just(Value::unknown()),
            1 => Just(Value::unknown_with(Refinement {
                min_length: Some(1),
                ..Refinement::prefix("stg-")
            })),
        ]
        .boxed()
    }

    fn typed_value() -> impl Strategy<Value = (Type, Value)> {
        any_type().prop_flat_map(|ty| {
            let value = value_of(&ty);
            (Just(ty), value)
        })
    }

    proptest! {
        #[test]
        fn values_go_there_and_back((ty, value) in typed_value()) {
            let value = conform(value, &ty).unwrap();
            let bytes = encode(&value, &ty).unwrap();
            prop_assert_eq!(decode(&bytes, &ty).unwrap(), value);
        }

        #[test]
        fn arbitrary_bytes_never_panic(ty in any_type(), bytes in vec(any::<u8>(), 0..64)) {
            if let Ok(value) = decode(&bytes, &ty) {
                let bytes = encode(&value, &ty).unwrap();
                prop_assert_eq!(decode(&bytes, &ty).unwrap(), value);
            }
        }

        #[test]
        fn damaged_values_never_panic(
            (ty, value) in typed_value(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let value = conform(value, &ty).unwrap();
            let mut bytes = encode(&value, &ty).unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            drop(decode(&bytes, &ty));
            drop(decode(&bytes[..place], &ty));
        }
    }

    #[test]
    fn depth_is_limited() {
        let deep = (0..120).fold(Type::Bool, |ty, _| Type::list(ty));
        let bytes = [vec![0x91; 120], vec![0xc3]].concat();
        assert!(decode(&bytes, &deep).is_ok());
        let bytes = [vec![0x92, 0xc4, 0x09], b"\"dynamic\"".to_vec()].concat().repeat(500);
        assert!(decode(&bytes, &Type::Dynamic).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(decode(&[0xc3, 0xc3], &Type::Bool).is_err());
    }
}
