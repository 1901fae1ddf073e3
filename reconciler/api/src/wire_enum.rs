//! Enumerations whose variants have one stable name on the wire.

/// A text that names no variant of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {allowed}")]
pub struct UnknownName {
    /// What was given.
    pub text: String,
    /// The names that exist, comma-separated.
    pub allowed: String,
}

impl UnknownName {
    pub(crate) fn among<'a>(text: &str, allowed: impl Iterator<Item = &'a str>) -> Self {
        Self { text: text.to_owned(), allowed: allowed.collect::<Vec<_>>().join(", ") }
    }
}

/// Declares a fieldless enumeration with its wire names: serde, JSON Schema, `Display`, `FromStr`
/// and the list of all variants come from the one table.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $text)] $variant, )+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::v1::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|it| it.as_str() == text).ok_or_else(|| {
                    $crate::v1::UnknownName::among(text, Self::ALL.iter().map(|it| it.as_str()))
                })
            }
        }
    };
}
