package barid.patrol.ui.parts

import androidx.annotation.DrawableRes
import androidx.annotation.StringRes
import androidx.compose.runtime.Composable
import androidx.compose.ui.res.stringResource
import barid.patrol.R
import barid.patrol.model.AlertState
import barid.patrol.model.Delivery
import barid.patrol.model.EventType
import barid.patrol.model.FieldValue
import barid.patrol.model.GapReason
import barid.patrol.model.Group
import barid.patrol.model.Need
import barid.patrol.model.PatrolState
import barid.patrol.model.Transport
import barid.patrol.model.Trouble

// The words and signs of everything that has a closed list.

@get:StringRes
val EventType.words: Int
    get() = when (this) {
        EventType.PeopleInDistress -> R.string.type_people_in_distress
        EventType.MedicalEmergency -> R.string.type_medical_emergency
        EventType.StrandedVehicle -> R.string.type_stranded_vehicle
        EventType.WaterPoint -> R.string.type_water_point_status
        EventType.TrackState -> R.string.type_track_state
        EventType.WeatherHazard -> R.string.type_weather_hazard
        EventType.GroupMovement -> R.string.type_group_movement_observed
        EventType.IrregularCrossing -> R.string.type_irregular_crossing
        EventType.SuspiciousVehicle -> R.string.type_suspicious_vehicle
        EventType.Deceased -> R.string.type_deceased_found
        EventType.Trafficking -> R.string.type_suspected_trafficking
        EventType.Ordnance -> R.string.type_unexploded_ordnance
        EventType.SmugglingGoods -> R.string.type_smuggling_goods
        EventType.SmugglingFuel -> R.string.type_smuggling_fuel
        EventType.Weapons -> R.string.type_weapons_find
        EventType.Infrastructure -> R.string.type_infrastructure_damage
        EventType.Checkpoint -> R.string.type_checkpoint_log
        EventType.Meeting -> R.string.type_meeting_liaison
        EventType.Equipment -> R.string.type_equipment_fault
        EventType.Other -> R.string.type_other
    }

@get:DrawableRes
val EventType.sign: Int
    get() = when (this) {
        EventType.PeopleInDistress -> R.drawable.ic_type_people_in_distress
        EventType.MedicalEmergency -> R.drawable.ic_type_medical_emergency
        EventType.StrandedVehicle -> R.drawable.ic_type_stranded_vehicle
        EventType.WaterPoint -> R.drawable.ic_type_water_point_status
        EventType.TrackState -> R.drawable.ic_type_track_state
        EventType.WeatherHazard -> R.drawable.ic_type_weather_hazard
        EventType.GroupMovement -> R.drawable.ic_type_group_movement_observed
        EventType.IrregularCrossing -> R.drawable.ic_type_irregular_crossing
        EventType.SuspiciousVehicle -> R.drawable.ic_type_suspicious_vehicle
        EventType.Deceased -> R.drawable.ic_type_deceased_found
        EventType.Trafficking -> R.drawable.ic_type_suspected_trafficking
        EventType.Ordnance -> R.drawable.ic_type_unexploded_ordnance
        EventType.SmugglingGoods -> R.drawable.ic_type_smuggling_goods
        EventType.SmugglingFuel -> R.drawable.ic_type_smuggling_fuel
        EventType.Weapons -> R.drawable.ic_type_weapons_find
        EventType.Infrastructure -> R.drawable.ic_type_infrastructure_damage
        EventType.Checkpoint -> R.drawable.ic_type_checkpoint_log
        EventType.Meeting -> R.drawable.ic_type_meeting_liaison
        EventType.Equipment -> R.drawable.ic_type_equipment_fault
        EventType.Other -> R.drawable.ic_type_other
    }

@get:StringRes
val Group.words: Int
    get() = when (this) {
        Group.Women -> R.string.persons_women
        Group.Men -> R.string.persons_men
        Group.Girls -> R.string.persons_girls
        Group.Boys -> R.string.persons_boys
        Group.Unknown -> R.string.persons_unknown
    }

@get:DrawableRes
val Group.sign: Int
    get() = when (this) {
        Group.Women -> R.drawable.ic_woman
        Group.Men -> R.drawable.ic_man
        Group.Girls -> R.drawable.ic_girl
        Group.Boys -> R.drawable.ic_boy
        Group.Unknown -> R.drawable.ic_unknown
    }

@get:StringRes
val Need.words: Int
    get() = when (this) {
        Need.Water -> R.string.needs_water
        Need.Medical -> R.string.needs_medical
        Need.Transport -> R.string.needs_transport
    }

@get:DrawableRes
val Need.sign: Int
    get() = when (this) {
        Need.Water -> R.drawable.ic_water
        Need.Medical -> R.drawable.ic_medical
        Need.Transport -> R.drawable.ic_transport
    }

@get:StringRes
val Transport.words: Int
    get() = when (this) {
        Transport.Vehicle -> R.string.transport_vehicle
        Transport.Foot -> R.string.transport_foot
        Transport.Camel -> R.string.transport_camel
        Transport.Boat -> R.string.transport_boat
        Transport.Air -> R.string.transport_air
    }

@get:DrawableRes
val Transport.sign: Int
    get() = when (this) {
        Transport.Vehicle -> R.drawable.ic_transport
        Transport.Foot -> R.drawable.ic_foot
        Transport.Camel -> R.drawable.ic_camel
        Transport.Boat -> R.drawable.ic_boat
        Transport.Air -> R.drawable.ic_air
    }

@get:StringRes
val PatrolState.words: Int
    get() = when (this) {
        PatrolState.Planned -> R.string.patrol_state_planned
        PatrolState.Ready -> R.string.patrol_state_ready
        PatrolState.Active -> R.string.patrol_state_active
        PatrolState.Paused -> R.string.patrol_state_paused
        PatrolState.Done -> R.string.patrol_state_done
        PatrolState.Cancelled -> R.string.patrol_state_cancelled
    }

@get:StringRes
val AlertState.words: Int
    get() = when (this) {
        AlertState.Raised -> R.string.state_raised
        AlertState.Acknowledged -> R.string.state_acknowledged
        AlertState.Responding -> R.string.state_responding
        AlertState.Cleared -> R.string.state_cleared
        AlertState.Cancelled -> R.string.state_cancelled
    }

@get:StringRes
val GapReason.words: Int
    get() = when (this) {
        GapReason.NoFix -> R.string.gap_no_fix
        GapReason.Paused -> R.string.gap_paused
        GapReason.Battery -> R.string.gap_battery
        GapReason.Killed -> R.string.gap_killed
        GapReason.Unknown -> R.string.gap_unknown
    }

@get:StringRes
val Delivery.words: Int
    get() = when (this) {
        Delivery.OnThisPhone -> R.string.delivery_on_this_phone
        Delivery.Arrived -> R.string.delivery_arrived
        Delivery.FromOthers -> R.string.delivery_from_others
    }

@get:DrawableRes
val Delivery.sign: Int
    get() = when (this) {
        Delivery.OnThisPhone -> R.drawable.ic_waiting
        Delivery.Arrived -> R.drawable.ic_arrived
        Delivery.FromOthers -> R.drawable.ic_from_others
    }

@get:StringRes
val Trouble.words: Int
    get() = when (this) {
        Trouble.NoNetwork -> R.string.trouble_no_network
        Trouble.RelayUnreachable -> R.string.trouble_relay_unreachable
        Trouble.CodeRefused -> R.string.trouble_code_refused
        Trouble.DiskFull -> R.string.trouble_disk_full
        Trouble.TooOld -> R.string.trouble_too_old
        Trouble.Revoked -> R.string.trouble_revoked
        Trouble.Locked -> R.string.trouble_locked
        Trouble.PeerLost -> R.string.trouble_peer_lost
        Trouble.FileUnreadable -> R.string.trouble_file_unreadable
        Trouble.PhotoRefused -> R.string.trouble_photo_refused
        Trouble.Damaged -> R.string.trouble_damaged
        Trouble.Internal -> R.string.trouble_internal
    }

/** A field's name in words; a field that this app does not know keeps its own name. */
@Composable
fun fieldWords(field: String): String = when (field) {
    "title" -> stringResource(R.string.field_title)
    "note" -> stringResource(R.string.field_note)
    "event_type" -> stringResource(R.string.field_event_type)
    "priority" -> stringResource(R.string.field_priority)
    "operational_state" -> stringResource(R.string.field_operational_state)
    "persons_total" -> stringResource(R.string.persons_total)
    "persons_women" -> stringResource(R.string.persons_women)
    "persons_men" -> stringResource(R.string.persons_men)
    "persons_girls" -> stringResource(R.string.persons_girls)
    "persons_boys" -> stringResource(R.string.persons_boys)
    "persons_unknown" -> stringResource(R.string.persons_unknown)
    "needs_water" -> stringResource(R.string.needs_water)
    "needs_medical" -> stringResource(R.string.needs_medical)
    "needs_transport" -> stringResource(R.string.needs_transport)
    "time" -> stringResource(R.string.field_time)
    "lat", "lon", "accuracy_m" -> stringResource(R.string.field_place)
    "withdrawn" -> stringResource(R.string.field_withdrawn)
    else -> if (field.startsWith("attachment/")) stringResource(R.string.field_photo) else field
}

@Composable
fun valueWords(field: String, value: FieldValue): String {
    val formats = LocalFormats.current
    return when (value) {
        is FieldValue.Text -> when (field) {
            "event_type" -> stringResource(EventType.of(value.text).words)
            "state" -> stringResource(AlertState.of(value.text).words)
            else -> value.text
        }
        is FieldValue.Count -> formats.number(value.count)
        is FieldValue.Number -> formats.number(value.number.toLong())
        is FieldValue.Flag -> stringResource(if (value.yes) R.string.value_yes else R.string.value_no)
        FieldValue.Nothing -> stringResource(R.string.value_none)
        is FieldValue.Opaque -> stringResource(R.string.value_changed)
    }
}
