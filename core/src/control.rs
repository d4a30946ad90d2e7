//! Control records: signed statements about membership.
