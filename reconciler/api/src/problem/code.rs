//! The codes that programs branch on.

wire_enum! {
    /// What kind of problem.
    ProblemCode {
        /// The request cannot be read.
        Malformed = "malformed",
        /// The definition or wish can be read, and cannot stand.
        Invalid = "invalid",
        /// The token is missing or not accepted.
        Unauthenticated = "unauthenticated",
        /// The bearer may not do this.
        Forbidden = "forbidden",
        /// There is no such thing.
        NotFound = "not_found",
        /// The path takes other methods.
        MethodNotAllowed = "method_not_allowed",
        /// Something of this name exists.
        AlreadyExists = "already_exists",
        /// Someone else changed the object meanwhile.
        GenerationConflict = "generation_conflict",
        /// Other objects need this one.
        InUse = "in_use",
        /// It is protected from being removed.
        DeletionProtected = "deletion_protected",
        /// Promotions are on their way.
        PromotionRunning = "promotion_running",
        /// An approval names another change set than the present one.
        DigestMismatch = "digest_mismatch",
        /// The promotion's phase does not allow this.
        WrongPhase = "wrong_phase",
        /// The freight is not available to the stage.
        FreightUnavailable = "freight_unavailable",
        /// Holds keep the freight from the stage.
        Held = "held",
        /// Somebody else has the lock of the state.
        StateLocked = "state_locked",
        /// What was sent does not carry on the state that is there, or that state is gone.
        StateConflict = "state_conflict",
        /// A beginning of an id fits several freights.
        AmbiguousFreight = "ambiguous_freight",
        /// The state of the world that a preview asks for is no longer kept.
        PreviewExpired = "preview_expired",
        /// The body is larger than the daemon reads.
        TooLarge = "too_large",
        /// The body is not JSON by its media type.
        UnsupportedMediaType = "unsupported_media_type",
        /// The client asks too often.
        RateLimited = "rate_limited",
        /// The daemon failed.
        Internal = "internal",
        /// The daemon cannot serve just now.
        Unavailable = "unavailable",
        /// A code that this client does not know. Never sent.
        #[serde(other)]
        #[schemars(skip)]
        Unknown = "unknown",
    }
}

impl ProblemCode {
    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Invalid => 422,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::AlreadyExists
            | Self::InUse
            | Self::DeletionProtected
            | Self::PromotionRunning
            | Self::DigestMismatch
            | Self::WrongPhase
            | Self::FreightUnavailable
            | Self::Held
            | Self::StateConflict
            | Self::AmbiguousFreight => 409,
            Self::PreviewExpired => 410,
            Self::GenerationConflict => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::StateLocked => 423,
            Self::RateLimited => 429,
            Self::Internal | Self::Unknown => 500,
            Self::Unavailable => 503,
        }
    }

    /// The same words for each problem of the code.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "the request cannot be read",
            Self::Invalid => "the request cannot stand",
            Self::Unauthenticated => "not authenticated",
            Self::Forbidden => "not allowed",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::AlreadyExists => "exists already",
            Self::GenerationConflict => "changed meanwhile",
            Self::InUse => "in use",
            Self::DeletionProtected => "protected from deletion",
            Self::PromotionRunning => "a promotion is on its way",
            Self::DigestMismatch => "another change set",
            Self::WrongPhase => "not in this phase",
            Self::FreightUnavailable => "freight not available",
            Self::Held => "kept back by a hold",
            Self::StateLocked => "the state is locked",
            Self::StateConflict => "the state does not fit",
            Self::AmbiguousFreight => "several freights match",
            Self::PreviewExpired => "the preview is too old",
            Self::TooLarge => "too large",
            Self::UnsupportedMediaType => "not JSON",
            Self::RateLimited => "too many requests",
            Self::Internal => "the daemon failed",
            Self::Unavailable => "not available just now",
            Self::Unknown => "a problem of an unknown kind",
        }
    }

    /// The page that explains it.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("https://lockstep.dev/errors/{self}")
    }
}

wire_enum! {
    /// What is wrong with a field.
    FieldCode {
        /// It is needed and not there.
        Missing = "missing",
        /// Its value is not one that the field takes.
        Invalid = "invalid",
        /// Another element has the same name.
        Duplicate = "duplicate",
        /// Its number or length is out of bounds.
        OutOfBounds = "out_of_bounds",
        /// Two fields exclude each other.
        Conflicting = "conflicting",
        /// It is not a name.
        BadName = "bad_name",
        /// It is not a duration.
        BadDuration = "bad_duration",
        /// It is not a range of versions.
        BadConstraint = "bad_constraint",
        /// It is not a regular expression.
        BadRegex = "bad_regex",
        /// It is not a glob.
        BadGlob = "bad_glob",
        /// It is not a recurrence rule.
        BadRecurrence = "bad_recurrence",
        /// It is not the name of a time zone.
        BadTimezone = "bad_timezone",
        /// It is not a URL or repository.
        BadUrl = "bad_url",
        /// It is not a platform.
        BadPlatform = "bad_platform",
        /// It is not a CEL expression or template, or names something that does not exist.
        BadExpression = "bad_expression",
        /// The kind of step does not exist.
        UnknownStep = "unknown_step",
        /// The kind of step does not take this.
        UnknownArgument = "unknown_argument",
        /// The stage does not exist.
        UnknownStage = "unknown_stage",
        /// The upstream stage does not exist.
        UnknownUpstream = "unknown_upstream",
        /// The warehouse does not exist.
        UnknownWarehouse = "unknown_warehouse",
        /// The verification does not exist.
        UnknownVerification = "unknown_verification",
        /// The task does not exist.
        UnknownTask = "unknown_task",
        /// The stages form a cycle.
        Cycle = "cycle",
        /// It can never be fulfilled.
        NeverSatisfied = "never_satisfied",
        /// A code that this client does not know. Never sent.
        #[serde(other)]
        #[schemars(skip)]
        Unknown = "unknown",
    }
}
