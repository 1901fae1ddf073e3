//! Whether evidence holds: what people are said to have agreed to, checked against keys, without a daemon.

use std::collections::BTreeSet;

use super::change_set::digest_of;
use super::{PublicKey, Signed, Stated, Statement, StatementError};
use crate::id::{FreightId, ProjectName, PromotionId, StageName};

/// What is said of a promotion.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// The promotion.
    pub promotion: &'a PromotionId,
    /// Where it goes.
    pub stage: &'a StageName,
    /// What it brings.
    pub freight: &'a FreightId,
    /// The digest of what it does, and the content that the digest is of; absent: it was never prepared.
    pub change_set: Option<(&'a str, &'a str)>,
    /// What people said to it.
    pub statements: &'a [Signed],
}

/// What came of looking at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Whether the digest is that of the content; absent: there is neither.
    pub change_set: Option<bool>,
    /// Each statement, in the same order.
    pub statements: Vec<Standing>,
}

/// What one statement is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It was signed by a known key, and speaks of this promotion.
    Holds {
        /// The key's id.
        key: String,
        /// What is stated.
        statement: Box<Statement>,
        /// Whether it is about another change set: the promotion was prepared anew since.
        is_void: bool,
    },
    /// No known key has signed it.
    Unsigned {
        /// The ids of the keys that are said to have.
        by: Vec<String>,
    },
    /// It was signed for something else.
    Elsewhere {
        /// What it was signed for.
        statement: Box<Statement>,
    },
    /// It is no statement.
    Unreadable(StatementError),
}

impl Checked {
    /// Whether nothing in it is false.
    #[must_use]
    pub fn is_true(&self) -> bool {
        let is_true = |standing: &Standing| match standing {
            Standing::Holds { .. } => true,
            Standing::Unsigned { .. } | Standing::Elsewhere { .. } | Standing::Unreadable(_) => {
                false
            }
        };
        self.change_set.unwrap_or(true) && self.statements.iter().all(is_true)
    }

    /// The people who approved exactly this change set.
    #[must_use]
    pub fn approvers(&self) -> BTreeSet<&str> {
        if self.change_set != Some(true) {
            return BTreeSet::new();
        }
        self.statements.iter().filter_map(Standing::approver).collect()
    }
}

impl Standing {
    /// Who approves by it what the promotion does now.
    fn approver(&self) -> Option<&str> {
        match self {
            Self::Holds { statement, is_void: false, .. } => match &statement.said {
                Stated::Approved { .. } => Some(&statement.by),
                Stated::Answered { .. } => None,
            },
            Self::Holds { is_void: true, .. }
            | Self::Unsigned { .. }
            | Self::Elsewhere { .. }
            | Self::Unreadable(_) => None,
        }
    }
}

impl Evidence<'_> {
    /// Looks at all of it. `holds` says whether the second bytes are an Ed25519 signature of the first under the key.
    #[must_use]
    pub fn check(
        &self,
        keys: &[PublicKey],
        holds: impl Fn(&PublicKey, &[u8], &[u8]) -> bool,
    ) -> Checked {
        let standing = |signed| match self.standing(signed, keys, &holds) {
            Ok(standing) => standing,
            Err(error) => Standing::Unreadable(error),
        };
        Checked {
            change_set: self.change_set.map(|(digest, content)| digest_of(content) == digest),
            statements: self.statements.iter().map(standing).collect(),
        }
    }

    fn standing(
        &self,
        signed: &Signed,
        keys: &[PublicKey],
        holds: &impl Fn(&PublicKey, &[u8], &[u8]) -> bool,
    ) -> Result<Standing, StatementError> {
        let Some(key) = signed.signer(keys, holds)? else {
            let by = signed.signatures.iter().map(|signature| signature.keyid.clone());
            return Ok(Standing::Unsigned { by: by.collect() });
        };
        let statement = Box::new(signed.statement()?);
        let Statement { project, promotion, stage, freight, said, .. } = &*statement;
        if (project, promotion, stage, freight)
            != (self.project, self.promotion, self.stage, self.freight)
        {
            return Ok(Standing::Elsewhere { statement });
        }
        let is_void = self.change_set.is_none_or(|(digest, _)| digest != said.change_set());
        Ok(Standing::Holds { key, statement, is_void })
    }
}
