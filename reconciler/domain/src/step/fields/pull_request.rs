//! Arguments of the steps about pull requests.

use super::super::pull_request::{ForgeKind, MergeMethod};
use super::{Field, FieldType, may_wait, optional, required};

const REPO: Field = required("repo", FieldType::Text, "URL of the repository.");

const NUMBER: Field = may_wait(required(
    "number",
    FieldType::Integer,
    "The number of the pull request, as in `{{ steps.pr.number }}`. Null, which `git_open_pr` gives \
     where there was nothing to merge, leaves nothing to do.",
));

const FORGE: Field = optional(
    "forge",
    FieldType::OneOf(ForgeKind::WORDS),
    "What the repository is hosted by; `gitea` stands for Forgejo, too. Default: what its host is \
     known for (`github.com`, `gitlab.com`, `codeberg.org`, `gitea.com`).",
);

pub(super) const OPEN: &[Field] = &[
    REPO,
    required(
        "source",
        FieldType::Text,
        "The branch that is to be merged, as `git_push` pushed it; a name made for the promotion, such \
         as `lockstep/{{ promotion.id }}`.",
    ),
    required("target", FieldType::Text, "The branch that it is to be merged into."),
    may_wait(required("title", FieldType::Text, "The title.")),
    may_wait(optional(
        "description",
        FieldType::Text,
        "What it says. A hidden line is added by which the pull request is found again.",
    )),
    optional(
        "labels",
        FieldType::List(&FieldType::Text),
        "Labels. On Gitea and Forgejo they have to be there.",
    ),
    optional("draft", FieldType::Bool, "Whether it is a draft. Default `false`."),
    FORGE,
];

pub(super) const AWAIT: &[Field] = &[
    REPO,
    NUMBER,
    optional(
        "interval",
        FieldType::Duration,
        "Pause between two looks, at least `1s`. Default `30s`.",
    ),
    optional(
        "timeout",
        FieldType::Duration,
        "Time for all of it. Where it is neither merged nor closed by then, the step failed for good. \
         Default `7d`.",
    ),
    FORGE,
];

pub(super) const MERGE: &[Field] = &[
    REPO,
    NUMBER,
    optional(
        "method",
        FieldType::OneOf(MergeMethod::WORDS),
        "How it is merged. Default `merge`. GitLab has no `rebase` here: its project says whether there \
         is a merge commit.",
    ),
    may_wait(optional(
        "commit",
        FieldType::Text,
        "The commit that the source has to be at: with another, nothing is merged. Default: what this \
         promotion pushed there.",
    )),
    optional(
        "wait",
        FieldType::Duration,
        "How long it may take until the forge lets it be merged, for its checks and reviews. Default: it \
         is not waited for.",
    ),
    optional(
        "interval",
        FieldType::Duration,
        "Pause between two looks while it is waited for, at least `1s`. Default `30s`.",
    ),
    FORGE,
];

pub(super) const CLOSE: &[Field] = &[REPO, NUMBER, FORGE];

pub(super) const COMMENT: &[Field] = &[
    REPO,
    NUMBER,
    may_wait(required(
        "text",
        FieldType::Text,
        "What is said. A hidden line is added by which it is found again.",
    )),
    FORGE,
];
