package barid.patrol.model

/**
 * The types of events, in the order of the grid: lives first, then what a patrol meets daily.
 * The words are those of the records; an unknown word (from a newer phone) is shown as [Other].
 */
enum class EventType(val word: String, val category: String, val layer: String, val priority: Int) {
    PeopleInDistress("people_in_distress", "rescue", "crisis_rescue", 300),
    MedicalEmergency("medical_emergency", "rescue", "crisis_rescue", 300),
    StrandedVehicle("stranded_vehicle", "rescue", "crisis_rescue", 200),
    WaterPoint("water_point_status", "environment", "other", 0),
    TrackState("track_state", "environment", "other", 0),
    WeatherHazard("weather_hazard", "environment", "other", 100),
    GroupMovement("group_movement_observed", "operation", "border_crossing", 100),
    IrregularCrossing("irregular_crossing", "operation", "border_crossing", 100),
    SuspiciousVehicle("suspicious_vehicle", "security", "cross_border_crime", 100),
    Deceased("deceased_found", "rescue", "crisis_rescue", 200),
    Trafficking("suspected_trafficking", "security", "cross_border_crime", 200),
    Ordnance("unexploded_ordnance", "security", "other", 200),
    SmugglingGoods("smuggling_goods", "security", "cross_border_crime", 100),
    SmugglingFuel("smuggling_fuel", "security", "cross_border_crime", 100),
    Weapons("weapons_find", "security", "cross_border_crime", 200),
    Infrastructure("infrastructure_damage", "environment", "other", 100),
    Checkpoint("checkpoint_log", "operation", "border_crossing", 0),
    Meeting("meeting_liaison", "operation", "other", 0),
    Equipment("equipment_fault", "operation", "other", 0),
    Other("other", "other", "other", 0),
    ;

    /** Whether the form begins with the counts of people. */
    val isAboutPeople: Boolean
        get() = this in setOf(
            PeopleInDistress, MedicalEmergency, StrandedVehicle, GroupMovement, IrregularCrossing, Deceased, Trafficking,
        )

    companion object {
        fun of(word: String?): EventType = entries.firstOrNull { it.word == word } ?: Other
    }
}
