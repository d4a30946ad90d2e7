package barid.patrol

import barid.patrol.model.Alert
import barid.patrol.model.AlertState
import barid.patrol.model.Candidate
import barid.patrol.model.Change
import barid.patrol.model.Conflict
import barid.patrol.model.Delivery
import barid.patrol.model.Event
import barid.patrol.model.EventType
import barid.patrol.model.FieldValue
import barid.patrol.model.GapReason
import barid.patrol.model.Group
import barid.patrol.model.Key
import barid.patrol.model.Need
import barid.patrol.model.Patrol
import barid.patrol.model.PatrolState
import barid.patrol.model.People
import barid.patrol.model.Photo
import barid.patrol.model.PhotoState
import barid.patrol.model.Place
import barid.patrol.model.SyncPhase
import barid.patrol.model.SyncState
import barid.patrol.model.TrackGap
import barid.patrol.model.Transport
import barid.patrol.data.TrackState

/** A night near Ghat, as a phone would hold it. */
object Sample {
    private const val MINUTE = 60_000L
    val distress = Key("space", "event", "distress")
    private val patrolKey = Key("space", "patrol", "night")

    fun fill(fake: FakePhone, arabic: Boolean) {
        val now = fake.clock.now()
        fun place(lat: Double, lon: Double, agoMin: Long = 0) = Place(lat, lon, 8.0, now - agoMin * MINUTE)
        fun say(ar: String, en: String) = if (arabic) ar else en
        fun event(id: String, type: EventType, ago: Long, place: Place?, delivery: Delivery, mine: Boolean, note: String = "", total: Int = 0) = Event(
            Key("space", "event", id), type, now - ago * MINUTE, place, People(total), emptyMap(), null, note, patrolKey.id, mine, delivery, false,
        )
        fake.positions.last.value = place(24.963, 10.181)
        fake.events.all.value = listOf(
            event("distress", EventType.PeopleInDistress, 9, place(24.9705, 10.192, 9), Delivery.OnThisPhone, true,
                say("مجموعة بلا ماء منذ الأمس، شرق البئر.", "A group without water since yesterday, east of the well."), 11,
            ).copy(
                people = People(11, mapOf(Group.Women to 3, Group.Men to 4, Group.Girls to 1, Group.Boys to 2, Group.Unknown to 1)),
                needs = mapOf(Need.Water to 11, Need.Medical to 2), inConflict = true,
            ),
            event("well", EventType.WaterPoint, 64, place(24.955, 10.171, 64), Delivery.Arrived, true, say("صالحة للشرب", "Good to drink")),
            event("truck", EventType.StrandedVehicle, 150, place(24.981, 10.166, 150), Delivery.FromOthers, false, total = 3),
            event("track", EventType.TrackState, 60 * 26, place(24.947, 10.196, 60 * 26), Delivery.Arrived, true),
            event("storm", EventType.WeatherHazard, 60 * 27, place(24.99, 10.2, 60 * 27), Delivery.FromOthers, false),
        )
        fake.patrols.all.value = listOf(
            Patrol(patrolKey, say("آبار جنوب غات", "Wells south of Ghat"), Transport.Vehicle, PatrolState.Active, now - 134 * MINUTE, null, true, Delivery.Arrived),
        )
        fake.recording.state.value = TrackState(patrolKey, false, 412, 23_400.0, null, place(24.963, 10.181))
        val way = (0..30).map { i -> Place(24.945 + i * 0.0007, 10.16 + i * 0.0008 + 0.003 * kotlin.math.sin(i / 4.0), 8.0, now - (130 - i * 4) * MINUTE) }
        fake.tracks.added += Triple(patrolKey, way, listOf(
            TrackGap(way[12].time, way[15].time, GapReason.NoFix), TrackGap(way[20].time, way[22].time, GapReason.Paused),
        ))
        fake.sync.state.value = SyncState(
            SyncPhase.Offline, unsentRecords = 3, unsentPhotos = 2, unsentPhotoBytes = 640_000, lastSuccess = now - 130 * MINUTE,
            nextTry = now + 4 * MINUTE,
        )
        fake.history.open.value = mapOf(distress to listOf(Conflict("note", listOf(
            Candidate(FieldValue.Text(say("مجموعة بلا ماء منذ الأمس، شرق البئر.", "A group without water since yesterday, east of the well.")), "a1b2c3", true, now - 9 * MINUTE, true),
            Candidate(FieldValue.Text(say("وصل الماء، واثنان بحاجة إلى طبيب.", "Water has reached them; two need a doctor.")), "7f04d1", false, now - 3 * MINUTE, false),
        ))))
        fake.history.changes[distress] = listOf(
            Change("2", now - 3 * MINUTE, false, "7f04d1", mapOf("note" to FieldValue.Text(say("وصل الماء، واثنان بحاجة إلى طبيب.", "Water has reached them; two need a doctor.")))),
            Change("1", now - 9 * MINUTE, true, "a1b2c3", mapOf("event_type" to FieldValue.Text("people_in_distress"), "persons_total" to FieldValue.Count(11))),
        )
        fake.photos.all.value = mapOf(distress to listOf(
            Photo("h1", 312_000, PhotoState.OnThisPhone, 96_000, true), Photo("h2", 280_000, PhotoState.Elsewhere, 0, false),
        ))
        fake.photos.bytes["h1"] = Pictures.dunes(320, 240)
        fake.alerts.all.value = emptyList()
    }

    fun alert(fake: FakePhone, delivery: Delivery, state: AlertState, mine: Boolean = true) {
        fake.alerts.all.value = listOf(
            Alert(Key("space", "alert", "sos"), fake.clock.now() - 4 * MINUTE, fake.positions.last.value, state, mine, delivery),
        )
    }
}
