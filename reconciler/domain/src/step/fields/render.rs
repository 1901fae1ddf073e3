//! Steps that render manifests.

use super::{Field, FieldType, Touch, may_wait, optional, required, touches};

const TO: Field = touches(
    Touch::Writes,
    required(
        "to",
        FieldType::Text,
        "Where the manifests go, below the working directory: a name that ends in `.yaml` or `.yml` is a \
         file for all of them, any other a directory with a file for each, as the program names them. What \
         the directory holds beside stays.",
    ),
);

const TIMEOUT: Field =
    optional("timeout", FieldType::Duration, "Time for the program. Default `5m`.");

pub(super) const KUSTOMIZE_BUILD: &[Field] = &[
    touches(
        Touch::ReadsAround,
        required(
            "path",
            FieldType::Text,
            "The directory of the `kustomization.yaml`, below the working directory. What it refers to has to \
             be in the same directory right below the working directory, such as its checkout: nothing is \
             fetched.",
        ),
    ),
    TO,
    TIMEOUT,
];

pub(super) const HELM_TEMPLATE: &[Field] = &[
    touches(
        Touch::Reads,
        required(
            "path",
            FieldType::Text,
            "The directory of the chart, below the working directory, with the charts that it depends on in \
             its `charts/`: nothing is fetched.",
        ),
    ),
    TO,
    optional("release_name", FieldType::Text, "Name of the release. Default `release-name`."),
    optional("namespace", FieldType::Text, "Namespace of the release. Default `default`."),
    touches(
        Touch::Reads,
        optional(
            "values_files",
            FieldType::List(&FieldType::Text),
            "Files of values, below the working directory. Later ones win.",
        ),
    ),
    may_wait(optional(
        "values",
        FieldType::Map(&FieldType::Any),
        "Values that win over those of all files; they keep their type.",
    )),
    optional("kube_version", FieldType::Text, "Version of Kubernetes that templates see."),
    optional(
        "api_versions",
        FieldType::List(&FieldType::Text),
        "Versions of APIs that templates see beside those.",
    ),
    optional(
        "include_crds",
        FieldType::Bool,
        "Whether what the chart has below `crds/` is among the manifests. Default `false`.",
    ),
    optional("disable_hooks", FieldType::Bool, "Whether hooks are left out. Default `false`."),
    optional("skip_tests", FieldType::Bool, "Whether tests are left out. Default `false`."),
    TIMEOUT,
];

pub(super) const HELM_UPDATE_CHART: &[Field] = &[
    touches(
        Touch::Edits,
        required(
            "path",
            FieldType::Text,
            "The directory of the chart, below the working directory. Its `Chart.yaml` lists the dependencies.",
        ),
    ),
    required(
        "versions",
        FieldType::Map(&FieldType::Text),
        "Exact versions by the name that the chart has a dependency by: its `alias`, if it has one. Others \
         stay at what `Chart.lock` says.",
    ),
    optional(
        "vendor",
        FieldType::Bool,
        "Whether the archives of all dependencies from repositories are put into the chart's `charts/`, as \
         `helm_template` needs them. Without it, only archives that are there already are replaced by those \
         of the new versions. Default `false`.",
    ),
];
