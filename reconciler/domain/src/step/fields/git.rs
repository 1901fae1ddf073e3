//! Tables of the steps that work on repositories.

use super::{Field, FieldType, Touch, may_wait, optional, required, touches};
use crate::step::IfMoved;

const CHECKOUT: &[Field] = &[
    optional("commit", FieldType::Text, "The commit to check out. Give this or `branch`."),
    optional(
        "branch",
        FieldType::Text,
        "The branch whose tip is checked out; also where `git_push` pushes to.",
    ),
    optional(
        "create",
        FieldType::Bool,
        "Whether a `branch` that is not there begins empty: the first `git_push` makes it, with a commit that has \
         no parent. For branches that hold nothing but what is rendered for them. Default `false`.",
    ),
    optional(
        "paths",
        FieldType::List(&FieldType::Text),
        "Files and folders to check out, below the repository's root, for repositories that are \
         large. Nothing else is there then, and nothing else is taken for deleted by `git_commit`; \
         new files may stand anywhere. Default: all.",
    ),
];

pub(super) const GIT_CLONE: &[Field] = &[
    required("repo", FieldType::Text, "URL of the repository."),
    required(
        "checkout",
        FieldType::Map(&FieldType::Object(CHECKOUT)),
        "What to check out, by directory below the working directory.",
    ),
];

pub(super) const GIT_COMMIT: &[Field] = &[
    touches(
        Touch::Reads,
        required("dir", FieldType::Text, "Directory of a checkout made by `git_clone`."),
    ),
    may_wait(required("message", FieldType::Text, "The commit message.")),
    optional("author_name", FieldType::Text, "The author's name. Default `Lockstep`."),
    optional(
        "author_email",
        FieldType::Text,
        "The author's e-mail address. Default `lockstep@localhost`.",
    ),
];

pub(super) const GIT_PUSH: &[Field] = &[
    touches(
        Touch::Names,
        required(
            "dir",
            FieldType::Text,
            "Directory of a checkout with a commit made by `git_commit`.",
        ),
    ),
    optional(
        "branch",
        FieldType::Text,
        "The branch to push to; one that is not there is made. Default: the branch that the directory \
         was checked out from.",
    ),
    optional(
        "if_moved",
        FieldType::OneOf(IfMoved::WORDS),
        "What to do where others pushed to the branch since the commit was made: `rebase` makes it again on \
         top of theirs, `merge` joins both by a merge commit, and `fail` gives up. Changes of the same lines \
         are a failure with each. Default `rebase`.",
    ),
];

pub(super) const GIT_CLEAR: &[Field] = &[touches(
    Touch::Edits,
    required("dir", FieldType::Text, "Directory of a checkout made by `git_clone`."),
)];

pub(super) const GIT_TAG: &[Field] = &[
    required("repo", FieldType::Text, "URL of the repository."),
    required("tag", FieldType::Text, "The tag, without `refs/tags/`."),
    may_wait(required(
        "commit",
        FieldType::Text,
        "The commit: its 40 digits, as in `{{ steps.push.commit }}` or `{{ freight.infra.commit }}`.",
    )),
    may_wait(optional(
        "message",
        FieldType::Text,
        "What it says, which makes it an annotated tag. Without it, it is a lightweight one: of one \
         that is found there nobody can say who made it, so the undo leaves it.",
    )),
    optional("author_name", FieldType::Text, "The tagger's name. Default `Lockstep`."),
    optional(
        "author_email",
        FieldType::Text,
        "The tagger's e-mail address. Default `lockstep@localhost`.",
    ),
];
