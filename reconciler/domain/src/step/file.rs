//! Calls that work on files of the working directory, and on nothing else.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A change of files. Paths are below the working directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum FileCall {
    /// `copy`: a file, or a directory with all that it holds but `.git`.
    Copy {
        /// What.
        from: String,
        /// Where to; a directory there is merged with.
        to: String,
    },
    /// `delete`: files, or directories with all that they hold.
    Delete {
        /// Which.
        paths: Vec<String>,
        /// Whether one that is not there is a failure.
        strict: bool,
    },
    /// `git_clear`: all that a directory holds.
    Clear {
        /// Which.
        dir: String,
    },
    /// `tar`: an archive of a file, or of a directory with all that it holds but `.git`.
    Tar {
        /// What.
        from: String,
        /// The archive.
        to: String,
        /// Whether it is compressed.
        gzip: bool,
    },
    /// `untar`: what an archive holds.
    Untar {
        /// The archive.
        from: String,
        /// The directory that it goes to.
        to: String,
        /// Parts that are taken off the beginning of each name.
        strip: usize,
    },
    /// `write`: a text file.
    Write {
        /// Where.
        path: String,
        /// What it holds.
        text: String,
        /// Whether a file that is there is replaced.
        overwrite: bool,
    },
    /// `template`: a text file from another one, in which `{{ }}` may name `values`.
    Template {
        /// The file with the templates.
        path: String,
        /// Where the rendered text goes.
        to: String,
        /// What the templates may name.
        values: Map<String, Value>,
    },
    /// `yaml_merge`: a YAML file from several.
    Merge {
        /// The files, in the order in which they win.
        from: Vec<String>,
        /// Where the merged one goes.
        to: String,
        /// Whether a file that is not there counts as empty.
        ignore_missing: bool,
    },
    /// `kustomize_set_image`: images of a `kustomization.yaml`.
    Images {
        /// The file.
        path: String,
        /// What is set, by the image's name.
        images: IndexMap<String, ImageCall>,
    },
    /// `json_update`, `toml_update`, `hcl_update`: scalars of a file.
    Update {
        /// The file's language.
        language: Language,
        /// The file.
        path: String,
        /// Scalars by key.
        updates: IndexMap<String, Value>,
    },
}

/// What is set of an image in a `kustomization.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageCall {
    /// Another name for it.
    pub new_name: Option<String>,
    /// Its tag.
    pub tag: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
}

/// A file to read values from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseCall {
    /// The file's language.
    pub language: Language,
    /// The file, below the working directory.
    pub path: String,
    /// CEL over `document` by output name.
    pub outputs: BTreeMap<String, String>,
}

/// A language of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// The language of infra modules.
    Hcl,
}
