//! The demo's story: who rides where, what they see, when they are out of range.
//!
//! Places are real, everything else is made up for the demo: the units, what they report, and when.

use super::route::Point;

/// Seconds after which the story begins again, with the routes ridden the other way.
pub(super) const CYCLE_S: u64 = 75;

/// An organisation of the demo.
pub(super) struct Organisation {
    pub(super) name_en: &'static str,
    pub(super) name_ar: &'static str,
}

/// The two organisations whose phones meet at the relay.
pub(super) const ORGANISATIONS: [Organisation; 2] = [
    Organisation { name_en: "Border Guard", name_ar: "حرس الحدود" },
    Organisation { name_en: "Desert Rescue", name_ar: "الإنقاذ الصحراوي" },
];

/// Something seen on the way.
#[derive(Clone, Copy)]
pub(super) struct Report {
    pub(super) event_type: &'static str,
    pub(super) category: &'static str,
    pub(super) layer: &'static str,
    pub(super) priority: i64,
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    /// Women, men, girls, boys.
    pub(super) persons: Option<[i64; 4]>,
    /// Who needs water, and who medical help.
    pub(super) needs: [i64; 2],
}

/// What a phone does at a moment of the cycle.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Records the next report of the phone's list.
    Report,
    /// Records the event that both organisations will edit.
    RecordShared,
    /// Edits the shared event: its own field, and the title that the other side edits too.
    EditShared { field: &'static str, value: &'static str, title: &'static str },
    /// Decides between the two titles.
    ResolveShared,
    /// Raises an SOS.
    Sos { note: &'static str },
    /// Ends the patrol.
    EndPatrol,
}

/// A phone of the story.
pub(super) struct PhonePlan {
    pub(super) callsign: &'static str,
    pub(super) organisation: usize,
    pub(super) title: &'static str,
    pub(super) objective: &'static str,
    pub(super) transport: &'static str,
    pub(super) route: &'static [Point],
    /// Seconds of the cycle, from and to, without a network.
    pub(super) out_of_range: &'static [(u64, u64)],
    /// Seconds of the cycle, from and to, without a fix.
    pub(super) without_fix: Option<(u64, u64)>,
    pub(super) acts: &'static [(u64, Act)],
    pub(super) reports: &'static [Report],
}

const fn at(lat: f64, lon: f64) -> Point {
    Point { lat, lon }
}

/// The phones.
pub(super) const PHONES: [PhonePlan; 4] = [
    PhonePlan {
        callsign: "BG-1",
        organisation: 0,
        title: "دورية غات – أناي",
        objective: "تفقد المسالك ونقاط المياه جنوب غات",
        transport: "vehicle",
        // Ghat, south along the Tassili escarpment towards the Anay pass.
        route: &[at(24.96, 10.18), at(24.71, 10.22), at(24.44, 10.36), at(24.18, 10.44), at(23.92, 10.63)],
        out_of_range: &[(9, 36)],
        without_fix: Some((20, 26)),
        acts: &[
            (3, Act::RecordShared),
            (12, Act::Report),
            (
                17,
                Act::EditShared {
                    field: "note",
                    value: "شاحنة متوقفة، المياه تكفي حتى المساء. الموقع غرب المسلك.",
                    title: "شاحنة عالقة غرب المسلك",
                },
            ),
            (22, Act::Report),
            (29, Act::Report),
            (45, Act::Report),
            (72, Act::EndPatrol),
        ],
        reports: &[
            Report {
                event_type: "water_point_status",
                category: "environment",
                layer: "other",
                priority: 100,
                title: "بئر صالحة للشرب",
                note: "المضخة تعمل، والماء صافٍ على عمق تسعة أمتار.",
                persons: None,
                needs: [0, 0],
            },
            Report {
                event_type: "people_in_distress",
                category: "rescue",
                layer: "crisis_rescue",
                priority: 300,
                title: "مجموعة عالقة بلا ماء",
                note: "سيارة معطلة منذ يومين. المجموعة في الظل وتحتاج إلى ماء وإسعاف.",
                persons: Some([3, 7, 1, 2]),
                needs: [13, 2],
            },
            Report {
                event_type: "track_state",
                category: "environment",
                layer: "other",
                priority: 0,
                title: "المسلك مغطى بالرمال",
                note: "العبور ممكن بسيارات الدفع الرباعي فقط.",
                persons: None,
                needs: [0, 0],
            },
        ],
    },
    PhonePlan {
        callsign: "BG-2",
        organisation: 0,
        title: "Al Qatrun – Tummo road",
        objective: "Show presence at Tummo, check wells on the way",
        transport: "vehicle",
        // Al Qatrun, south to the crossing at Tummo.
        route: &[at(24.93, 14.63), at(24.20, 14.35), at(23.55, 14.25), at(23.10, 14.18), at(22.67, 14.12)],
        out_of_range: &[(24, 44)],
        without_fix: None,
        acts: &[
            (6, Act::Report),
            (27, Act::Report),
            (33, Act::Report),
            (52, Act::Report),
            (73, Act::EndPatrol),
        ],
        reports: &[
            Report {
                event_type: "checkpoint_log",
                category: "operation",
                layer: "border_crossing",
                priority: 0,
                title: "Checkpoint manned, road open",
                note: "Eleven vehicles northbound since dawn, no incident.",
                persons: None,
                needs: [0, 0],
            },
            Report {
                event_type: "stranded_vehicle",
                category: "rescue",
                layer: "crisis_rescue",
                priority: 200,
                title: "Lorry with broken axle",
                note: "Driver and passengers have shade. Spare part needed from Al Qatrun.",
                persons: Some([0, 5, 0, 0]),
                needs: [5, 0],
            },
            Report {
                event_type: "weather_hazard",
                category: "environment",
                layer: "other",
                priority: 100,
                title: "Sandstorm from the south-east",
                note: "Visibility below two hundred metres; unit halts for now.",
                persons: None,
                needs: [0, 0],
            },
        ],
    },
    PhonePlan {
        callsign: "DR-1",
        organisation: 1,
        title: "Ghat wells round",
        objective: "Water and first aid along the western track",
        transport: "vehicle",
        // From Al Uwaynat near Ghat, south-west to the same track.
        route: &[at(25.79, 10.57), at(25.30, 10.30), at(24.86, 10.27), at(24.52, 10.33), at(24.30, 10.42)],
        out_of_range: &[(10, 33)],
        without_fix: None,
        acts: &[
            (7, Act::Report),
            (
                18,
                Act::EditShared {
                    field: "operational_state",
                    value: "active",
                    title: "Stranded lorry, 5 km north of the well",
                },
            ),
            (25, Act::Report),
            (58, Act::ResolveShared),
            (74, Act::EndPatrol),
        ],
        reports: &[
            Report {
                event_type: "meeting_liaison",
                category: "operation",
                layer: "other",
                priority: 0,
                title: "Met the elders at Al Uwaynat",
                note: "They report two vehicles that passed south at night.",
                persons: None,
                needs: [0, 0],
            },
            Report {
                event_type: "medical_emergency",
                category: "rescue",
                layer: "crisis_rescue",
                priority: 300,
                title: "Heat stroke, treated on the spot",
                note: "Two patients stable, transport to Ghat hospital under way.",
                persons: Some([1, 1, 0, 0]),
                needs: [0, 2],
            },
        ],
    },
    PhonePlan {
        callsign: "DR-2",
        organisation: 1,
        title: "بحث وإنقاذ – الكفرة",
        objective: "البحث عن مركبة متأخرة شرق ربيانة",
        transport: "vehicle",
        // Kufra, west towards Rabyanah.
        route: &[at(24.18, 23.31), at(24.22, 22.95), at(24.26, 22.55), at(24.25, 22.20), at(24.24, 21.99)],
        out_of_range: &[(14, 28)],
        without_fix: Some((30, 35)),
        acts: &[
            (5, Act::Report),
            (16, Act::Report),
            (
                21,
                Act::Sos {
                    note: "مركبتنا انقلبت، جريحان، نحتاج إلى إسعاف"
                },
            ),
            (48, Act::Report),
            (71, Act::EndPatrol),
        ],
        reports: &[
            Report {
                event_type: "track_state",
                category: "environment",
                layer: "other",
                priority: 0,
                title: "آثار عجلات حديثة",
                note: "تتجه غرباً نحو ربيانة.",
                persons: None,
                needs: [0, 0],
            },
            Report {
                event_type: "people_in_distress",
                category: "rescue",
                layer: "crisis_rescue",
                priority: 300,
                title: "العثور على المركبة المتأخرة",
                note: "الركاب بخير، ويحتاجون إلى ماء ووقود.",
                persons: Some([2, 4, 2, 1]),
                needs: [9, 1],
            },
        ],
    },
];

/// The event that both organisations edit while apart.
pub(super) const SHARED: Report = Report {
    event_type: "stranded_vehicle",
    category: "rescue",
    layer: "crisis_rescue",
    priority: 200,
    title: "شاحنة عالقة",
    note: "شاحنة متوقفة قرب المسلك الغربي.",
    persons: Some([0, 4, 0, 0]),
    needs: [4, 0],
};
