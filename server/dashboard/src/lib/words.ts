// The closed vocabularies of the model. An unknown word (from a newer phone) is shown as it came.

export const EVENT_TYPES = [
  'people_in_distress', 'medical_emergency', 'stranded_vehicle', 'deceased_found', 'group_movement_observed',
  'irregular_crossing', 'suspected_trafficking', 'smuggling_goods', 'smuggling_fuel', 'weapons_find',
  'unexploded_ordnance', 'suspicious_vehicle', 'infrastructure_damage', 'water_point_status', 'track_state',
  'weather_hazard', 'checkpoint_log', 'meeting_liaison', 'equipment_fault', 'other',
] as const;
export const ALERT_TYPES = ['sos', 'hazard', 'overdue', 'geofence', 'tasking'] as const;
export const LAYERS = ['border_crossing', 'cross_border_crime', 'crisis_rescue', 'other'] as const;
export const CATEGORIES = ['rescue', 'environment', 'operation', 'security', 'other'] as const;
export const PRIORITIES = [0, 100, 200, 300] as const;
export const OPERATIONAL_STATES = ['new', 'active', 'resolved'] as const;
export const ALERT_STATES = ['raised', 'acknowledged', 'responding', 'cleared', 'cancelled'] as const;
export const OPEN_ALERT_STATES = ['raised', 'acknowledged', 'responding'] as const;
export const REVIEW_STATES = ['draft', 'submitted', 'under_review', 'verified', 'needs_info', 'rejected'] as const;
export const PATROL_STATES = ['planned', 'ready', 'active', 'paused', 'done', 'cancelled'] as const;
export const TRANSPORTS = ['vehicle', 'foot', 'camel', 'boat', 'air'] as const;
export const GAP_REASONS = ['no_fix', 'paused', 'battery', 'killed', 'unknown'] as const;
export const HOWS = ['gps', 'manual', 'estimated', 'reported'] as const;
export const DEVICE_STATES = ['pending', 'active', 'suspended', 'lost', 'revoked', 'retired'] as const;
export const CHANGE_KINDS = ['created', 'edited', 'withdrawn', 'restored'] as const;

/** Field names with a label of their own; others are shown by their name. */
export const FIELDS = [
  'time', 'lat', 'lon', 'accuracy_m', 'how', 'reported_by', 'patrol', 'event_type', 'category', 'layer', 'priority',
  'title', 'note', 'review_state', 'operational_state', 'needs_water', 'needs_medical', 'needs_transport',
  'persons_total', 'persons_women', 'persons_men', 'persons_girls', 'persons_boys', 'persons_unknown',
  'alert_type', 'raised_by', 'state', 'serial', 'patrol_type', 'unit', 'scheduled_start', 'scheduled_end',
  'objective', 'leader', 'transport', 'started_at', 'ended_at', 'withdrawn',
] as const;
