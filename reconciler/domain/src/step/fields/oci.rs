//! Steps on registries.

use super::{Field, FieldType, Touch, optional, required, touches};

pub(super) const OCI_PULL: &[Field] = &[
    required(
        "image",
        FieldType::Text,
        "The artifact or image: `REPO@sha256:…`, or `REPO:TAG`. A tag is looked up when the promotion is \
         prepared, and what it was at then is what is used, whatever happens to the tag.",
    ),
    touches(
        Touch::Writes,
        required(
            "to",
            FieldType::Text,
            "The file that the layer becomes, below the working directory. One that is there is \
             replaced; `untar` unpacks it.",
        ),
    ),
    optional(
        "media_type",
        FieldType::Text,
        "Media type of the layer, where there are several. Give this or `file`.",
    ),
    optional(
        "file",
        FieldType::Text,
        "File name of the layer (its annotation `org.opencontainers.image.title`), where there are \
         several.",
    ),
    optional(
        "platform",
        FieldType::Text,
        "Which image of an index, such as `linux/amd64`. Needed where it has several.",
    ),
    optional(
        "max_bytes",
        FieldType::Integer,
        "Most bytes that are taken. Default `67108864` (64 MiB), at most `268435456` (256 MiB).",
    ),
];

pub(super) const OCI_PUSH: &[Field] = &[
    required(
        "from",
        FieldType::Text,
        "The artifact or image, with its digest, as in `{{ freight.api.pinned }}`: what is approved is what \
         is copied. An index is copied with all that it lists.",
    ),
    required(
        "to",
        FieldType::Text,
        "Repository and tag that it gets: `REPO:TAG`. It may be of the same repository, of another, or of \
         another registry.",
    ),
    optional(
        "annotations",
        FieldType::Map(&FieldType::Text),
        "What is added to the annotations of the image or index itself. It has another digest then, and \
         signatures of the old one are not of it.",
    ),
    optional(
        "max_bytes",
        FieldType::Integer,
        "Most bytes that are copied between repositories. Default `1073741824` (1 GiB), at most \
         `68719476736` (64 GiB).",
    ),
];

pub(super) const OCI_ATTACH: &[Field] = &[
    required(
        "image",
        FieldType::Text,
        "What it is attached to, with its digest, as in `{{ freight.api.pinned }}` or \
         `{{ steps.push.pinned }}`.",
    ),
    touches(
        Touch::Reads,
        required(
            "path",
            FieldType::Text,
            "The file that is attached, below the working directory, at most 64 MiB.",
        ),
    ),
    required(
        "artifact_type",
        FieldType::Text,
        "What it is, as a media type such as `application/vnd.example.approval`. Others find it by that.",
    ),
    optional(
        "media_type",
        FieldType::Text,
        "Media type of the file itself. Default `application/octet-stream`.",
    ),
    optional("annotations", FieldType::Map(&FieldType::Text), "Its annotations."),
];
