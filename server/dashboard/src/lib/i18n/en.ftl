app = Barid
app-title = Barid · coordination
app-title-sos = ({ $n }) SOS · Barid
app-purpose = Reports from patrols, merged into one picture
skip-to-content = Skip to the list

# Login
login-title = Log in
login-name = Account name
login-password = Password
login-submit = Log in
login-busy = Checking…
login-error-wrong_credentials = The account name or the password is wrong.
login-error-too_many_attempts = Too many attempts. Wait a minute and try again.
login-error-login_required = Please log in.
login-error-network = The relay cannot be reached. Check the cable or the network, then try again.
login-error-other = The relay refused ({ $code }).
logout = Log out
signed-in-as = Signed in as { $name }

# Bar
nav-label = Views
nav-map = Map
nav-patrols = Patrols
nav-devices = Devices
language = العربية
language-label = Switch to Arabic
theme-auto = Theme: as the system
theme-light = Theme: light
theme-dark = Theme: dark
demo-badge = Demonstration
help = Keyboard and symbols
help-title = Keyboard
help-search = Search
help-move = Next or previous in the list
help-open = Open
help-close = Close
help-go-map = Go to the map
help-go-patrols = Go to patrols
help-go-devices = Go to devices
help-help = This help
help-licences = Licences of what this page is made of
stat-devices = { $connected } of { $n } devices connected
stat-conflicts =
    { $n ->
        [one] { $n } record in conflict
       *[other] { $n } records in conflict
    }
stat-catching-up =
    { $n ->
        [one] { $n } batch still to be shown
       *[other] { $n } batches still to be shown
    }
stat-set-aside =
    { $n ->
        [one] { $n } entry set aside
       *[other] { $n } entries set aside
    }

# Connection
pill-live = Live · updated { $age }
pill-connecting = Connecting…
pill-offline = Offline since { $time }, showing saved data
pill-offline-short = Offline since { $time }
load-error = Could not load: { $reason }
retry = Try again
part-failed = This part of the page has a fault. The others go on.
loading = Loading…
error-network = no answer from the relay
error-not_ready = the relay is still preparing its picture
error-bad_query = the relay does not understand this filter
error-internal = the relay has a fault; its trace says more
error-other = the relay answered { $code }

# Times
age-now = just now
age-seconds =
    { $n ->
        [one] { $n } s ago
       *[other] { $n } s ago
    }
age-minutes =
    { $n ->
        [one] { $n } min ago
       *[other] { $n } min ago
    }
age-hours =
    { $n ->
        [one] { $n } hour ago
       *[other] { $n } hours ago
    }
age-days =
    { $n ->
        [one] { $n } day ago
       *[other] { $n } days ago
    }
age-ahead =
    { $n ->
        [one] dated { $n } min ahead
       *[other] dated { $n } min ahead
    }
length-now = 0 s
length-seconds =
    { $n ->
        [one] { $n } second
       *[other] { $n } seconds
    }
length-minutes =
    { $n ->
        [one] { $n } minute
       *[other] { $n } minutes
    }
length-hours =
    { $n ->
        [one] { $n } hour
       *[other] { $n } hours
    }
length-days =
    { $n ->
        [one] { $n } day
       *[other] { $n } days
    }
length-ahead = —

# Alerts
alerts-label = Open alerts
alert-sos = SOS
alert-open = Show
alerts-more =
    { $n ->
        [one] { $n } more open alert
       *[other] { $n } more open alerts
    }
alerts-other =
    { $n ->
        [one] { $n } other open alert
       *[other] { $n } other open alerts
    }
alerts-show-all = Show all
alerts-fewer = Show fewer
alert-raised-by = Raised by { $who }
alert-no-place = No position received
alert-unacknowledged = Nobody has acknowledged it yet

# Feed and filters
feed-label = Events
feed-search = Search events…
feed-search-label = Search the events
feed-filters = Filters
feed-clear = Clear filters
feed-count =
    { $n ->
        [0] No events
        [one] { $n } event
       *[other] { $n } events
    }
feed-count-more = Newest { $n } events
feed-empty = No event matches. Clear a filter to see more.
feed-empty-all = Nothing has arrived yet. Events appear here as soon as a patrol comes into range.
feed-more = Load older
feed-new = New
arrivals-count =
    { $n ->
        [one] { $n } report arrived late
       *[other] { $n } reports arrived late
    }
arrivals-seen = Seen
filter-kind = Show
filter-kind-any = Events and alerts
filter-kind-event = Events only
filter-kind-alert = Alerts only
filter-type = Type
filter-organisation = Organisation
filter-priority = Priority
filter-state = State
filter-review = Review
filter-span = Time
filter-any = Any
filter-priority-min = { $priority } and above
filter-conflicts = In conflict only
filter-withdrawn = Include withdrawn
span-all = Any time
span-6h = Last 6 hours
span-24h = Last 24 hours
span-3d = Last 3 days
span-7d = Last 7 days
span-30d = Last 30 days
group-events = Events
group-alerts = Alerts

# Record
record-untitled = Without a title
record-close = Close
record-missing = This record is not here. It may not have arrived yet.
record-show-on-map = Show on the map
record-withdrawn = Withdrawn
record-conflicts =
    { $n ->
        [one] { $n } conflict
       *[other] { $n } conflicts
    }
record-late = Arrived { $length } after it was written
section-persons = People (counts only)
section-needs = Needs
section-place = Place
section-note = Note
section-details = Details
section-history = History
section-conflicts = In conflict
section-other-fields = Other fields
section-attachments = Photos
attachment-name = Photo { $n } of { $count }
attachment-open = Open: { $name }
attachment-before = Photo before
attachment-after = Next photo
attachment-save = Save this photo
attachment-waiting = Not here yet: still on the phone
attachment-broken = Cannot be shown
attachment-preview = Preview; the rest is still on the phone
attachment-preview-long = This is a preview. The full photo is still on the phone and comes when it has a network.
size-kb = { $n } kB
size-mb = { $n } MB
persons-total = Total
persons-women = Women
persons-men = Men
persons-girls = Girls
persons-boys = Boys
persons-unknown = Not known
persons-count =
    { $n ->
        [one] { $n } person
       *[other] { $n } people
    }
needs-water = Water
needs-medical = Medical
needs-transport = Transport
needs-count =
    { $n ->
        [one] for { $n } person
       *[other] for { $n } people
    }
place-near = { $km } km { $direction } of { $place }
place-at = At { $place }
place-accuracy = ± { $m } m
place-accuracy-unknown = Accuracy not stated
place-none = No position
place-age = Position taken { $age }
place-copy = Copy
place-copied = Copied
direction-n = north
direction-ne = north-east
direction-e = east
direction-se = south-east
direction-s = south
direction-sw = south-west
direction-w = west
direction-nw = north-west
conflict-explain = Written apart by different devices. Both values are kept until someone settles it on a device.
conflict-shown = Shown for now
conflict-kept = Kept beside it
by-device = { $device } · { $organisation }
history-created = Recorded
history-edited = Changed
history-withdrawn = Withdrawn
history-restored = Restored
history-written = Written { $time }
history-received = reached the relay { $time }
history-removed = removed
history-first =
    { $n ->
        [one] { $n } field
       *[other] { $n } fields
    }
value-yes = Yes
value-no = No
value-none = none
unknown-device = Unknown device
unknown-organisation = Unknown organisation

# Patrols
patrols-label = Patrols
patrols-search = Search patrols…
patrols-count =
    { $n ->
        [0] No patrols
        [one] { $n } patrol
       *[other] { $n } patrols
    }
patrols-empty = No patrol matches.
patrols-empty-all = No patrol has arrived yet.
patrol-untitled = Patrol without a title
patrol-events =
    { $n ->
        [0] no events
        [one] { $n } event
       *[other] { $n } events
    }
patrol-positions =
    { $n ->
        [0] no positions
        [one] { $n } position
       *[other] { $n } positions
    }
patrol-last-position = Last position
patrol-no-position = No position received yet
section-track = Track
section-patrol-events = Events of this patrol
track-distance = { $km } km recorded
track-gaps =
    { $n ->
        [0] no gaps
        [one] { $n } gap
       *[other] { $n } gaps
    }
track-gap = Gap of { $length }
track-none = No track received yet
track-legend = Dashed: no positions were recorded; the way taken is not known.

# Devices
devices-label = Devices
devices-search = Search devices…
devices-count =
    { $n ->
        [0] No devices
        [one] { $n } device
       *[other] { $n } devices
    }
devices-empty = No device is enrolled yet. Run “barid enrol” on the relay and scan its code with the phone.
devices-note = “Unsent” is what the phone said when it was last heard; records made since then are not counted.
device-name = Device
device-state = State
device-link = Link
device-last-seen = Last seen
device-unsent = Unsent
device-behind = To fetch
device-received = Last record
device-enrolled = Enrolled
device-connected = Connected
device-disconnected = Out of range
device-word-up_to_date = Up to date
device-word-waiting = Waiting { $n }
device-word-behind = Behind { $n }
device-word-silent = Silent { $length }
device-word-never = Never connected
never = never
unsent-unknown = not said
sort-by = Sort by { $column }

# Map
map-label = Map of the events, patrols and devices. The list beside it holds the same records.
map-zoom-in = Zoom in
map-zoom-out = Zoom out
map-home = Show everything
map-legend = Symbols
map-attribution = Borders: Natural Earth, not an official position · place names approximate
legend-shape = Shape: kind of event
legend-colour = Colour: organisation
legend-size = Outline: priority
legend-device = Last known position of a device, with its age
legend-device-old = Older than 6 hours: dimmed
legend-gap = Gap in a track
legend-track = Track
legend-sos = SOS, open
legend-warning = Another alert, open
legend-cluster = Several events; yellow ring: one is urgent
legend-conflict = In conflict
map-failed = The map cannot be drawn in this browser (WebGL is missing). The lists work as usual.

# Vocabulary
type-people_in_distress = People in distress
type-medical_emergency = Medical emergency
type-stranded_vehicle = Stranded vehicle
type-deceased_found = Deceased found
type-group_movement_observed = Group movement
type-irregular_crossing = Irregular crossing
type-suspected_trafficking = Suspected trafficking
type-smuggling_goods = Smuggling of goods
type-smuggling_fuel = Smuggling of fuel
type-weapons_find = Weapons found
type-unexploded_ordnance = Unexploded ordnance
type-suspicious_vehicle = Suspicious vehicle
type-infrastructure_damage = Damage to infrastructure
type-water_point_status = Water point
type-track_state = State of a track
type-weather_hazard = Weather hazard
type-checkpoint_log = Checkpoint log
type-meeting_liaison = Meeting, liaison
type-equipment_fault = Equipment fault
type-other = Other
type-sos = SOS
type-hazard = Hazard
type-overdue = Overdue
type-geofence = Area left or entered
type-tasking = Task
category-rescue = Rescue
category-environment = Environment
category-operation = Operation
category-security = Security
category-other = Other
layer-border_crossing = Border crossing
layer-cross_border_crime = Cross-border crime
layer-crisis_rescue = Crisis and rescue
layer-other = Other
priority-0 = Routine
priority-100 = Notable
priority-200 = High
priority-300 = Urgent
state-new = New
state-active = Active
state-resolved = Resolved
state-raised = Raised
state-acknowledged = Acknowledged
state-responding = Responding
state-cleared = Cleared
state-cancelled = Cancelled
patrol-state-planned = Planned
patrol-state-ready = Ready
patrol-state-active = Active
patrol-state-paused = Paused
patrol-state-done = Done
patrol-state-cancelled = Cancelled
review-draft = Draft
review-submitted = Submitted
review-under_review = Under review
review-verified = Verified
review-needs_info = Needs information
review-rejected = Rejected
transport-vehicle = Vehicle
transport-foot = On foot
transport-camel = Camel
transport-boat = Boat
transport-air = Air
gap-no_fix = no satellite fix
gap-paused = recording paused
gap-battery = battery saved or empty
gap-killed = the phone stopped the app
gap-unknown = reason unknown
how-gps = by GPS
how-manual = set by hand
how-estimated = estimated
how-reported = as reported by others
device-state-pending = Pending
device-state-active = Active
device-state-suspended = Suspended
device-state-lost = Lost
device-state-revoked = Revoked
device-state-retired = Retired

field-time = Time
field-lat = Latitude
field-lon = Longitude
field-accuracy_m = Accuracy (m)
field-how = Position by
field-reported_by = Reported by
field-patrol = Patrol
field-event_type = Type
field-category = Category
field-layer = Layer
field-priority = Priority
field-title = Title
field-note = Note
field-review_state = Review
field-operational_state = State
field-needs_water = Need water
field-needs_medical = Need medical help
field-needs_transport = Need transport
field-persons_total = People, total
field-persons_women = Women
field-persons_men = Men
field-persons_girls = Girls
field-persons_boys = Boys
field-persons_unknown = People not known
field-alert_type = Alert
field-raised_by = Raised by
field-state = State
field-serial = Number
field-patrol_type = Kind of patrol
field-unit = Unit
field-scheduled_start = Planned start
field-scheduled_end = Planned end
field-objective = Objective
field-leader = Leader
field-transport = Transport
field-started_at = Started
field-ended_at = Ended
field-withdrawn = Withdrawn
field-attachment = Photo
field-organisation = Organisation
field-device = Device
patrol-type-routine = Routine
patrol-type-response = Response
patrol-type-rescue = Rescue
patrol-type-escort = Escort
patrol-type-reconnaissance = Reconnaissance
patrol-type-checkpoint = Checkpoint
