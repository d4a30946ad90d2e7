"""Barid: records that people make where there is no network, and that find their way all the same.

Open a `FieldStore`, record, and let it sync; see the README of the bindings for the quick start.
"""

from .errors import (
    Closed,
    CodeRejected,
    Damaged,
    FieldError,
    InUse,
    Internal,
    Invalid,
    KeyRefused,
    NoSpace,
    NotEnrolled,
    NotFound,
    Storage,
    Unreachable,
    UpdateNeeded,
)
from .history import Change, Conflict, ConflictSide, History
from .records import Area, Place, Query, Record, RecordDiff, RecordKey, RecordPage, Records, WriteGroup
from .store import Enrolment, FieldStore, KindDeclaration, RecoverReport, StoreConfig
from .sync import Phase, Progress, Sync, SyncError, SyncStatus
from .values import Given, Value

__all__ = [
    "Area",
    "Change",
    "Closed",
    "CodeRejected",
    "Conflict",
    "ConflictSide",
    "Damaged",
    "Enrolment",
    "FieldError",
    "FieldStore",
    "Given",
    "History",
    "InUse",
    "Internal",
    "Invalid",
    "KeyRefused",
    "KindDeclaration",
    "NoSpace",
    "NotEnrolled",
    "NotFound",
    "Phase",
    "Place",
    "Progress",
    "Query",
    "Record",
    "RecordDiff",
    "RecordKey",
    "RecordPage",
    "Records",
    "RecoverReport",
    "Storage",
    "StoreConfig",
    "Sync",
    "SyncError",
    "SyncStatus",
    "Unreachable",
    "UpdateNeeded",
    "Value",
    "WriteGroup",
]
