//! What a manifest says: platforms, annotations, and the time of the build.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::Deserialize;

use super::{Digest, OciError};

/// Everything that a manifest request accepts.
pub(super) const MANIFEST_TYPES: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];

const CREATED: &str = "org.opencontainers.image.created";
/// The label that preceded [`CREATED`].
const CREATED_LEGACY: &str = "org.label-schema.build-date";

/// An operating system with an architecture.
///
/// As an image's platform it is what the image was built for; as a constraint it is what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    #[serde(rename = "architecture")]
    pub arch: String,
    /// Such as `v7`.
    #[serde(default)]
    pub variant: Option<String>,
}

/// What a tag or digest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The digest of what the tag names: of the index, if it is one.
    pub digest: Digest,
    /// The media type of what the tag names.
    pub media_type: String,
    /// When it was built, as far as it tells.
    pub created: Option<jiff::Timestamp>,
    /// Annotations of the index or manifest, and the labels of the image where they add to them.
    pub annotations: BTreeMap<String, String>,
    /// The platforms that it is there for, those that were asked for only.
    pub platforms: Vec<Platform>,
}

impl FromStr for Platform {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, arch, variant) = match parts[..] {
            [os, arch] => (os, arch, None),
            [os, arch, variant] => (os, arch, Some(variant)),
            _ => ("", "", None),
        };
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !plain(os) || !plain(arch) || !variant.is_none_or(plain) {
            return Err(OciError::InvalidName {
                name: text.to_owned(),
                reason: "a platform is os/arch or os/arch/variant, such as linux/amd64",
            });
        }
        let (os, arch) = (os.to_owned(), arch.to_owned());
        Ok(Self { os, arch, variant: variant.map(str::to_owned) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Platform {
    /// Whether an image for `image` satisfies this constraint: the same system and architecture and, if the
    /// constraint names one, the same variant.
    #[must_use]
    pub fn matches(&self, image: &Self) -> bool {
        self.os == image.os
            && self.arch == image.arch
            && self.variant.as_ref().is_none_or(|wanted| image.variant.as_ref() == Some(wanted))
    }

    /// Attestations are listed in an index as images for this platform.
    fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.arch == "unknown"
    }
}

/// An index or a manifest: the OCI image specification 1.1, and Docker's schema 2. Only what is used is
/// read, so that what registries hold in practice is too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    pub(super) annotations: Annotations,
    /// Only an index has these.
    pub(super) manifests: Option<Vec<Descriptor>>,
    /// Only a manifest has this.
    pub(super) config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

/// Some tools write `null` for no annotations.
pub(super) type Annotations = Option<BTreeMap<String, String>>;

/// The configuration of an image, as far as it is read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    created: Option<String>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<RunConfig>,
}

#[derive(Debug, Default, Deserialize)]
struct RunConfig {
    #[serde(rename = "Labels")]
    labels: Annotations,
}

impl Manifest {
    /// Docker's types have to be written down, the OCI ones may be left out.
    pub(super) fn media_type(&self) -> &str {
        let implied = match self.manifests {
            Some(_) => OCI_IMAGE_INDEX_MEDIA_TYPE,
            None => OCI_IMAGE_MEDIA_TYPE,
        };
        self.media_type.as_deref().unwrap_or(implied)
    }
}

impl Descriptor {
    /// Whether it is an image for a platform that satisfies the constraint. An entry without a platform
    /// satisfies none but the absent one.
    pub(super) fn is_wanted(&self, constraint: Option<&Platform>) -> bool {
        match (&self.platform, constraint) {
            (Some(platform), _) if platform.is_unknown() => false,
            (Some(platform), Some(constraint)) => constraint.matches(platform),
            (None, Some(_)) => false,
            (Some(_) | None, None) => true,
        }
    }

    pub(super) fn is_image_config(&self) -> bool {
        matches!(self.media_type.as_str(), IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE)
    }
}

impl Config {
    pub(super) fn platform(&self) -> Option<Platform> {
        let (os, arch) = (self.os.clone()?, self.architecture.clone()?);
        let variant = self.variant.clone().filter(|variant| !variant.is_empty());
        (!os.is_empty() && !arch.is_empty()).then_some(Platform { os, arch, variant })
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default()
    }

    /// The later of what the builder wrote and what the labels say: reproducible builds write an epoch.
    pub(super) fn created(&self) -> Option<jiff::Timestamp> {
        let written = self.created.as_deref().and_then(|text| text.parse().ok());
        let labelled = self.config.as_ref().and_then(|config| created_in(&config.labels));
        written.max(labelled)
    }
}

/// The time of the build that annotations or labels name.
pub(super) fn created_in(annotations: &Annotations) -> Option<jiff::Timestamp> {
    let annotations = annotations.as_ref()?;
    [CREATED, CREATED_LEGACY]
        .iter()
        .find_map(|key| annotations.get(*key)?.parse::<jiff::Timestamp>().ok())
}

/// What a document says that it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MediaTyped {
    #[serde(default)]
    pub(super) media_type: Option<String>,
}
