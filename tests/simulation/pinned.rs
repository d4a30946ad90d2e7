//! Seeds that once found something, each with what it was. They are the worlds that found it for as
//! long as worlds are drawn as they were then; what was wrong in the product has a test beside it too.

/// The seed, and what was wrong.
pub(crate) const SEEDS: &[(u64, &str)] = &[
    (21, "a batch was adopted whose predecessor was discarded, by a phone that never returned"),
    (132, "a frame left a phone when a checkpoint of its database had failed, but no commit"),
    (136, "a batch was acknowledged before the revoke came that cuts before it, and fell"),
    (255, "what a peer brought of a phone's own chain stood beside a branch that the phone never sent"),
    (1233, "the sync of a photo's file hid that the last commit of the database beside it had failed"),
    (101355, "a phone that was killed three times with one batch in hand set it aside for good"),
    (104778, "a sound database was put aside because reads failed while it was opened"),
    (107354, "the write after one that the disk failed was told of it once more"),
    (111323, "a relay whose folder was put back had as many in quarantine as a phone knew of, but others"),
    (120747, "who was linked when its discarded work was adopted was not asked for it before the next link"),
    (121250, "a device that was met learned who is a member from the other's control batch ahead of others"),
    (132612, "what a peer brought of an own branch that does not stand counted as unsent"),
    (143725, "a batch that the network spoiled twice was held back for as long as the link lived"),
    (144277, "a carried batch that was set aside did not learn its place from the log that passed it"),
    (161696, "who carried a batch that was discarded and then adopted did not offer it again"),
    (508248, "a longer branch that fell at a meeting was not answered with the one that stands"),
    (512427, "of a revoked phone that was set back the harness expected what it had not sent"),
    (520987, "what a phone wrote again because of what it met was given only at the next meeting"),
    (
        622964,
        "what a phone was set back to was an ancestor of others' work, and what it wrote on it stayed unsent",
    ),
    (666138, "what a phone had written before it was admitted was offered by others only minutes after"),
    (
        827587,
        "the harness expected of a phone that it knew what others had brought for it since it was set back",
    ),
    (905246, "what was harmed on its way, and brought by another before it was offered again, stayed unsent"),
    (
        1138511,
        "a phone that was set back was linked when an older branch of it displaced what it had just sent",
    ),
    (
        1191316,
        "who had built on late work was revoked before it carried that along, and the log waited for it for good",
    ),
    (
        1311014,
        "a phone that was set back got the end of its own chain from the log, and held what is before it for unsent",
    ),
    (
        1419768,
        "the harness took a copy made after a failed sync for what the phone knew, and it held a batch of a failed commit",
    ),
];
